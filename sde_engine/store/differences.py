"""What two specifications differ in, in words."""

from collections.abc import Iterator, Mapping
from typing import Any


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return one phrase for each field that differs, "paths was 64, now 128", in order of name.

    >>> differences({"paths": 64, "axes": {"eta": [0.1, 0.2]}}, {"paths": 128, "axes": {"eta": [0.1]}})
    ['axes.eta was [0.1, 0.2], now [0.1]', 'paths was 64, now 128']
    """
    before, after = dict(_flat(old)), dict(_flat(new))
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    found = [f"{name} was {_shown(before, name, after)}, now {_shown(after, name, before)}" for name in names]
    if not found and list(before) != list(after):
        order = [[name for name in fields if name.startswith("axes.")] for fields in (before, after)]
        found = [f"the order of the axes was {', '.join(order[0])}, now {', '.join(order[1])}"]
    return found


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            for number, item in enumerate(value):
                yield from _flat(item, f"{prefix}{name}[{number}].")
        else:
            yield prefix + name, value


def _shown(fields: Mapping[str, Any], name: str, other: Mapping[str, Any]) -> str:
    if name not in fields:
        return "absent"
    value, twin = fields[name], other.get(name)
    if isinstance(value, list) and len(repr(value)) > 80:
        at = next((i for i, item in enumerate(value) if not isinstance(twin, list) or twin[i : i + 1] != [item]), 0)
        return f"{len(value)} values ({value[0]!r} to {value[-1]!r}, number {at + 1} is {value[at]!r})"
    return repr(value)
