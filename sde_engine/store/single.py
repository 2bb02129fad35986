"""One labelled data set to one HDF5 file that netCDF readers open, whole or not at all."""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from sde_engine.conventions import ALGORITHM
from sde_engine.errors import StoreError
from sde_engine.store.atomic import reason, refuse_device, replacing
from sde_engine.store.digest import CONTENT, content_digest, seal
from sde_engine.store.provenance import DATASET, SCHEMA_VERSION, circumstances

if TYPE_CHECKING:
    import xarray


def refuse_unwritable(path: Path) -> None:
    """Raise a sentence, before anything is computed, if a file cannot be made here."""
    if path.is_dir():
        raise StoreError(f"{str(path)!r} is a folder; give the name of a file to write")
    refuse_device(path)
    trial = path.with_name(f".{path.name}.trial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(trial) as temporary:
            temporary.write_bytes(b"")
        trial.unlink()
    except OSError as error:
        raise StoreError(f"cannot write {str(path)!r}: {reason(error)}") from error
    except StoreError as error:
        raise StoreError(str(error).replace(trial.name, path.name)) from error


def save(results: "xarray.Dataset", path: Path) -> None:
    """Write the data set and how it was made, compressed, checksummed and sealed with digests, by an atomic rename."""
    import h5netcdf
    from xarray.backends import H5NetCDFStore

    options = {"compression": "gzip", "compression_opts": 4, "shuffle": True, "fletcher32": True}
    made = {"schema_name": DATASET, "schema_version": SCHEMA_VERSION, "algorithm": ALGORITHM, **circumstances()}
    results = results.assign_attrs(made)
    encoding = {name: dict(options) for name, data in results.data_vars.items() if data.ndim > 0}
    file = BytesIO()  # the HDF5 library ends the process if the disk is full
    with h5netcdf.File(file, "w") as netcdf:
        results.dump_to_store(H5NetCDFStore(netcdf), encoding=encoding)
    with h5py.File(file, "r+") as hdf5:
        hdf5.attrs[CONTENT] = content_digest(hdf5)
        seal(hdf5)
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(file.getbuffer())
    except OSError as error:
        raise StoreError(f"cannot write {str(path)!r}: {reason(error)}") from error
