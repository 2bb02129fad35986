"""Blocks on the workers of a dask.distributed cluster: the same parts, and so the same bits, as in one process.

A worker is sent the specification and the numbers of some cells, never code; it writes its part itself, into the folder
of the result, and returns a receipt. A block on which workers die is halved until one cell is left, which is flagged.
"""

import json
import logging
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sde_engine.errors import Incompatible, SpecError, StoreError
from sde_engine.runner import block as unit
from sde_engine.runner.loop import Interrupted, Stop
from sde_engine.runner.plan import Plan, Receipt, default_engine, make_plan
from sde_engine.store import atomic, parts
from sde_engine.sweep import Block, Sweep
from sde_engine.values import check_whole

_AHEAD = 2  # blocks a thread of a worker that are sent ahead
_TICK = 0.25  # seconds between looks at the clock
_PATIENCE = 60.0  # seconds to wait for a first worker


@contextmanager
def cluster(workers: int | None = None, scheduler: str | None = None) -> Iterator[Any]:
    """Give a client of `workers` processes of this machine on the loopback address, or of the cluster at an address.

    Both None: give None, for the threads of this process.

    Raises
    ------
    SpecError, Incompatible : both are given, a number that is none, or dask.distributed is not installed
    """
    if workers is None and scheduler is None:
        yield None
        return
    if workers is not None and scheduler is not None:
        raise SpecError("both workers and a scheduler are given; one of the two is accepted")
    _refuse_without_dask()
    from distributed import Client, LocalCluster

    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=10)
        except (OSError, ValueError) as error:
            raise SpecError(
                f"no scheduler answers at {scheduler!r} ({error}); give its address, tcp://host:port"
            ) from None
        with client:
            yield client
        return
    check_whole("workers", workers, 1, 4096)
    here = {"host": "127.0.0.1", "dashboard_address": None, "silence_logs": logging.ERROR}
    with LocalCluster(n_workers=workers, threads_per_worker=1, **here) as local, Client(local) as client:
        yield client


def check_client(client: Any) -> None:
    """Refuse what is no client of a cluster."""
    _refuse_without_dask()
    from distributed import Client

    if not isinstance(client, Client) or client.asynchronous:
        raise SpecError(f"client is {client!r}; a dask.distributed Client (not an asynchronous one) is accepted")


def _refuse_without_dask() -> None:
    if find_spec("distributed") is None:
        raise Incompatible(
            "a cluster needs the package distributed, which is not installed; install the extra 'cluster' of sde-engine, "
            "or leave workers, scheduler and client out and use threads"
        )


def threads_of(client: Any) -> int:
    """Return the threads of all workers, once there are any.

    Raises
    ------
    Incompatible : no worker came within a minute
    """
    try:
        client.wait_for_workers(1, timeout=_PATIENCE)
    except TimeoutError:
        raise Incompatible(f"the cluster has no workers after {_PATIENCE:.0f} s; start some, or use threads") from None
    return sum(client.nthreads().values())


def work_on(
    client: Any, plan: Plan, folder: Path, blocks: Iterable[Block], stop: Stop
) -> Generator[Receipt | None, None, None]:
    """Yield receipts as they come, and None from time to time: what `sde_engine.runner.loop.work` does with threads."""
    from distributed import wait

    waiting, flying, failure = deque(blocks), dict[Any, Block](), None
    try:
        while True:
            room = _AHEAD * max(1, sum(client.nthreads().values()))
            while waiting and len(flying) < room and not stop.asked():
                block = waiting.popleft()
                flying[_sent(client, plan, folder, block)] = block
            if not flying:
                break
            try:
                done = wait(list(flying), timeout=_TICK, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                stop.asked()
                yield None
                continue
            for future in done:
                block, error = flying.pop(future), _error(future)
                if error is None:
                    yield future.result()
                elif type(error).__name__ != "KilledWorker":
                    stop.ask("an error")
                    failure = failure or error
                elif len(block.cells) > 1:
                    waiting.extendleft(_halves(block))
                else:
                    yield unit.give_up(plan, folder, block, "every worker that computed it died")
    finally:  # also when whoever listens has gone
        client.cancel(list(flying))
    if failure is not None:
        raise failure


def _sent(client: Any, plan: Plan, folder: Path, block: Block) -> Any:
    numbers = [cell.number for cell in block.cells]
    identity = json.dumps(plan.identity(), sort_keys=True)
    text = json.dumps(plan.sweep.canonical())
    return client.submit(on_worker, text, identity, str(folder.resolve()), numbers, block.cost, pure=False)


def on_worker(text: str, identity: str, folder: str, numbers: list[int], cost: float) -> Receipt:
    """Compute cells of a specification on a worker and write their part; only the receipt goes back.

    Raises
    ------
    StoreError : the worker does not see the folder of the parts, or has another version of the engine
    """
    plan, path = _plan(text), Path(folder)
    if json.dumps(plan.identity(), sort_keys=True) != identity:
        raise StoreError(
            f"the worker on {atomic.host()} has another version of sde_engine; install the same everywhere"
        )
    if parts.read_manifest(path) is None:
        raise StoreError(
            f"the worker on {atomic.host()} does not see the folder {path.name} of the parts; write the result into a "
            "folder that all workers share"
        )
    chosen = set(numbers)
    cells = tuple(cell for cell in plan.sweep.cells() if cell.number in chosen)
    return unit.do(plan, path, Block(cells, cost))


@lru_cache(maxsize=4)
def _plan(text: str) -> Plan:
    return make_plan(Sweep.from_dict(json.loads(text)), default_engine())


def _error(future: Any) -> BaseException | None:
    """Return what went wrong on the worker; a cluster that is gone is an interruption."""
    if future.status == "finished":
        return None
    if future.status in ("cancelled", "lost"):
        return Interrupted("the cluster is gone; finished cells are kept, and the same call goes on from there")
    error: BaseException = future.exception()
    return error


def _halves(block: Block) -> list[Block]:
    middle = len(block.cells) // 2
    return [Block(cells, 0.5 * block.cost) for cells in (block.cells[:middle], block.cells[middle:])]
