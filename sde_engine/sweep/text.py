"""Specifications as text: TOML written, and mistakes turned into sentences."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, get_args

import numpy as np
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from sde_engine.errors import SpecError, unknown

_BARE = re.compile(r"[A-Za-z0-9_-]+")


class Mistakes(ValueError):
    """Several mistakes found at one place; each argument is a sentence."""


def mistakes(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return one sentence a mistake: where, what was got, what is accepted. A key written wrong is not also missing."""
    sentences: list[str] = []
    meant: set[str] = set()
    for item in error.errors(include_url=False):
        where = _dotted(item["loc"])
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, Mistakes):
            sentences += cause.args
        elif isinstance(cause, ValueError):
            sentences.append(f"{where}: {cause}")
        elif item["type"] == "extra_forbidden":
            known = _fields(model, item["loc"][:-1])
            keys = [_dotted((*item["loc"][:-1], name)) for name in known]
            sentences.append(unknown("key", where, keys))
            meant |= set(get_close_matches(where, keys, n=1, cutoff=0.5))
        else:
            field = _fields(model, item["loc"][:-1]).get(str(item["loc"][-1]))
            accepted = (field.description if field else None) or "see the example in the documentation"
            got = "nothing" if item["type"] == "missing" else shortened(item["input"])
            sentences.append(f"{where}: got {got}; accepted: {accepted}")
    return [sentence for sentence in dict.fromkeys(sentences) if not meant & _absent(sentence)]


def _absent(sentence: str) -> set[str]:
    """Return the names of which a sentence says that they are not there."""
    names, _, rest = sentence.partition(": ")
    return set(names.split(", ")) if rest.startswith(("got nothing", "got neither")) else set()


def refusal(source: str, sentences: Iterable[str]) -> SpecError:
    """Return the one error that names every mistake of a specification."""
    found = list(sentences)
    if len(found) == 1:
        return SpecError(f"{source}: {found[0]}")
    listed = "; ".join(f"({number}) {sentence}" for number, sentence in enumerate(found, 1))
    return SpecError(f"{source} has {len(found)} mistakes: {listed}")


def shortened(value: Any, width: int = 60) -> str:
    """Return the value as Python writes it, cut at `width` characters."""
    text = repr(value)
    return text if len(text) <= width else text[: width - 1] + "…"


def plain(value: Any) -> Any:
    """Return the value with numpy scalars and arrays, tuples and mappings replaced by plain Python ones."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return [plain(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def to_toml(table: Mapping[str, Any]) -> str:
    """Return a TOML document of a plain table, one top-level key a line; missing values are left out."""
    return "".join(f"{_key(key)} = {_toml(value)}\n" for key, value in table.items() if value is not None)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        items = ", ".join(f"{_key(key)} = {_toml(item)}" for key, item in value.items() if item is not None)
        return f"{{ {items} }}" if items else "{}"
    return f"[{', '.join(_toml(item) for item in value)}]"


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _toml(key)


def _dotted(location: tuple[int | str, ...]) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return text.removeprefix(".")


def _fields(model: type[BaseModel], location: tuple[int | str, ...]) -> dict[str, FieldInfo]:
    """Return the fields of the table at a location, walking through lists of tables."""
    for step in location:
        if isinstance(step, str) and step in model.model_fields:
            annotation = model.model_fields[step].annotation
            inner = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
            model = next((kind for kind in inner if issubclass(kind, BaseModel)), model)
    return model.model_fields
