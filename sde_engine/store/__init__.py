"""Where results live: part files while a sweep runs, then one labelled, checksummed HDF5 file with its provenance."""

from sde_engine.store.differences import differences as differences
from sde_engine.store.grid import FIRST_FAILURE as FIRST_FAILURE
from sde_engine.store.grid import STATUS as STATUS
from sde_engine.store.grid import Axis as Axis
from sde_engine.store.grid import Layout as Layout
from sde_engine.store.results import check as check
from sde_engine.store.results import inspect as inspect
from sde_engine.store.results import open_results as open_results
