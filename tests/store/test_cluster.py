"""A sweep on the workers of a dask cluster: the same bits, and every death of a worker is one cell's."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sde_engine.errors import Incompatible, SpecError, StoreError
from sde_engine.progress import Quiet
from sde_engine.runner import cluster, run_sweep, workers
from sde_engine.runner.run import run
from sde_engine.store import STATUS
from sde_engine.sweep import Sweep

distributed = pytest.importorskip("distributed")

SMALL = Sweep(
    model="quadratic", axes={"eta": [0.1, 0.2]}, dynamics=["gaussian_sgd"], paths=16, updates=20, windows=2, seed=1
)


@pytest.fixture
def client(tiny: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of two workers in threads of this process, which have the small engine."""
    workers._plan.cache_clear()
    monkeypatch.setattr(workers, "default_engine", tiny.engine)
    here = {"processes": False, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(n_workers=2, **here) as local, distributed.Client(local) as client:
        yield client
    workers._plan.cache_clear()


def test_workers_and_threads_give_the_same_bits(
    tmp_path: Path, tiny: ModuleType, sweep: Sweep, undisturbed: Path, client: Any
) -> None:
    data = run(sweep, tmp_path / "phase.h5", tiny.engine(), progress=Quiet(), client=client)
    assert data.attrs["n_threads"] == 2
    tiny.assert_same_bits(tmp_path / "phase.h5", undisturbed)
    assert [path.name for path in tmp_path.iterdir()] == ["phase.h5"]


def test_a_cell_that_kills_every_worker_is_flagged_and_its_neighbours_are_computed(
    tmp_path: Path, tiny: ModuleType, sweep: Sweep, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = workers.on_worker

    def deadly(text: str, identity: str, folder: str, numbers: list[int], cost: float) -> Any:
        if 7 in numbers:
            raise distributed.scheduler.KilledWorker("block", SimpleNamespace(address="gone"), 3)
        return computed(text, identity, folder, numbers, cost)

    monkeypatch.setattr(workers, "on_worker", deadly)
    data = run(sweep, tmp_path / "phase.h5", tiny.engine(), progress=Quiet(), block_cells=8, client=client)
    status = data["status"].values.ravel()
    assert status[7] == STATUS.index("worker_died")
    assert np.delete(status, 7).max() < STATUS.index("timeout")
    assert data.attrs["n_failed"] == 1


def test_an_error_that_the_caller_can_mend_comes_back_from_a_worker(
    tmp_path: Path, tiny: ModuleType, sweep: Sweep, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers.parts, "read_manifest", lambda folder: None)
    with pytest.raises(StoreError, match=r"does not see the folder phase\.h5\.parts of the parts"):
        run(sweep, tmp_path / "phase.h5", tiny.engine(), progress=Quiet(), client=client)
    assert not any(tmp_path.iterdir())


def test_a_local_cluster_starts_computes_and_stops(tmp_path: Path) -> None:
    """A process of its own, on the loopback address; what it computes is what this process computes."""
    with cluster(workers=1) as client:
        address = client.scheduler.address
        there = run_sweep(SMALL, tmp_path / "there.h5", progress=Quiet(), client=client)
    assert address.startswith("tcp://127.0.0.1:")
    assert client.status == "closed"
    here = run_sweep(SMALL, tmp_path / "here.h5", progress=Quiet(), threads=1)
    assert there.attrs["content_sha256"] == here.attrs["content_sha256"]


def test_wrong_clusters_are_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong, words in (
        ({"workers": 0}, "workers is 0; a whole number from 1"),
        ({"workers": 2, "scheduler": "tcp://127.0.0.1:1"}, "both workers and a scheduler are given"),
        ({"scheduler": "no address"}, "no scheduler answers at 'no address'"),
    ):
        with pytest.raises(SpecError, match=words), cluster(**wrong):
            pass
    with pytest.raises(SpecError, match="client is 'x'; a dask.distributed Client"):
        run_sweep(SMALL, tmp_path / "x.h5", client="x")
    with pytest.raises(SpecError, match="threads is 2, but a cluster brings its own"):
        run_sweep(SMALL, tmp_path / "x.h5", client="x", threads=2)
    monkeypatch.setattr(workers, "find_spec", lambda name: None)
    with pytest.raises(Incompatible, match="needs the package distributed, which is not installed"), cluster(workers=1):
        pass
    with cluster() as nothing:
        assert nothing is None
