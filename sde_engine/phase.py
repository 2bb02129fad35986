"""What each cell of a finished grid says, and where one phase ends and the next begins.

A cell is judged by what its paths did, never by a threshold on the order parameter: near the transition a stationary
law can have most of its mass below any number.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from sde_engine.errors import SpecError, unknown
from sde_engine.values import check_choice

if TYPE_CHECKING:
    import xarray

VERDICTS = ("learned", "collapsed", "diverged", "undecided")
DRIFT = 4.0  # standard errors by which the mean of ln |theta| must fall in a collapse
DEEP = float(np.log(0.05))  # level of <ln |theta|> that a collapse has passed, for states of order 1
_OF_A_FALL = ["log_distance", "duration", "log_distance_steady_bound"]
_OF_A_FALL += [f"log_distance_drift{end}" for end in ("_stderr", "_slowest", "_slowest_stderr")]
MOSTLY = 0.5  # fraction of diverged paths that makes a cell a diverged one


def verdicts(results: "xarray.Dataset") -> "xarray.DataArray":
    """Return the index into `VERDICTS` of every cell.

    diverged
        at least half of the paths left every bound (what the others did is no stationary state)
    collapsed
        the mean of ln |theta| of the surviving paths falls by more than 4 standard errors, has not slowed down, and
        falls for every start (where phases coexist, some do and others do not)
    learned
        the cell is `converged` and not collapsed: paths from all starts agree (R-hat <= 1.01 of every observable, 400
        effective samples), and the mean of ln |theta|, where it is measured, moves by less than 4 of its standard
        errors or by less than 0.05 in the whole run
    undecided
        anything else: critical slowing down, a run that was too short, or too few paths to tell

    All of it is what the run saw. A metastable state reads learned if it outlives the run and no start lies in the
    basin of another: with two hidden layers and more (`diagonal_network`, depth >= 2) and weight decay the origin
    attracts at every temperature, so learned says there that no path had left yet. `stationary` and `relaxation` have
    the rates; `simulate(start=...)` near the symmetric state shows whether it attracts.

    Raises
    ------
    SpecError : what is no result of a sweep
    """
    import xarray

    _refuse_other_data(results)
    diverged = results["diverged_fraction"] >= MOSTLY
    if "log_distance_drift" in results:
        drift, error = results["log_distance_drift"], results["log_distance_drift_stderr"]
        level = results["log_distance"]
        # The fall must have kept its speed: from near 0, ln |theta| is now at drift * time in a collapse, and further on at
        # the transition, where it falls like the square root of time, or on its way to a stationary law.
        steady = level > results["log_distance_steady_bound"] * drift * results["duration"]
        slowest, its_error = results["log_distance_drift_slowest"], results["log_distance_drift_slowest_stderr"]
        agreed = ~(slowest - DRIFT * its_error.fillna(0.0) > 0.5 * drift)
        collapsed = (drift < -DRIFT * error) & (level < DEEP) & steady & agreed
    else:
        collapsed = xarray.zeros_like(diverged)
    learned = (results["converged"] > 0) & ~collapsed
    code = xarray.where(diverged, 2, xarray.where(collapsed, 1, xarray.where(learned, 0, 3))).astype(np.int8)
    code.attrs = {
        "long_name": "verdict",
        "flag_values": np.arange(4, dtype=np.int8),
        "flag_meanings": " ".join(VERDICTS),
        "comment": "within the length of the run: a metastable state that outlives it reads learned",
    }
    return code.rename("verdict")


def _refuse_other_data(results: Any) -> None:
    import xarray

    needed = ["diverged_fraction", "converged"]
    if isinstance(results, xarray.Dataset) and "log_distance_drift" in results:
        needed += _OF_A_FALL
    missing = [name for name in needed if name not in results] if isinstance(results, xarray.Dataset) else needed
    if missing:
        raise SpecError(
            f"the results have no {', '.join(missing)}; those of a sweep by this version are accepted, as run_sweep and "
            "open_results return them"
        )


def boundary(results: "xarray.Dataset", *, verdict: str = "collapsed", along: str = "eta") -> "xarray.Dataset":
    """Return where the learned phase ends and another begins along one axis, bracketed by two cells.

    Parameters
    ----------
    results : a finished sweep
    verdict : the phase, one of `VERDICTS`
    along : the axis to go along, upwards

    Returns
    -------
    xarray.Dataset
        For every other coordinate: `above`, the first cell in the phase; `below`, the last learned cell before it
        (undecided cells lie inside the bracket); `estimate`, their geometric mean; `relative_error`, half their
        logarithmic distance. NaN where the phase is not met, or where nothing is learned before it.

    Raises
    ------
    SpecError : an unknown verdict or axis
    """
    import xarray

    _refuse_other_data(results)
    check_choice("verdict", verdict, VERDICTS)
    if along not in results.dims or not np.issubdtype(results[along].dtype, np.number):
        raise SpecError(unknown("numeric axis", along, [str(d) for d in results.dims]))
    code = verdicts(results).sortby(along)
    values = code[along].values.astype(float)

    def bracket(row: np.ndarray) -> np.ndarray:
        met = np.flatnonzero(row == VERDICTS.index(verdict))
        if not len(met):
            return np.array([np.nan, np.nan])
        before = np.flatnonzero(row[: met[0]] == VERDICTS.index("learned"))
        return np.array([values[before[-1]] if len(before) else np.nan, values[met[0]]])

    edges: Any = xarray.apply_ufunc(
        bracket, code, input_core_dims=[[along]], output_core_dims=[["edge"]], vectorize=True, output_dtypes=[float]
    )
    below, above = edges.isel(edge=0), edges.isel(edge=1)
    found = xarray.Dataset(
        {
            "below": below,
            "above": above,
            "estimate": np.sqrt(below * above),
            "relative_error": 0.5 * np.log(above / below),
        }
    )
    words = {
        "below": "last learned cell before",
        "above": "first cell in",
        "estimate": "geometric mean of the cells around the edge of",
    }
    for name, word in words.items():
        found[name].attrs = {"long_name": f"{along}: {word} the {verdict} phase", "units": "1"}
    found["relative_error"].attrs = {"long_name": "half the logarithmic distance of the two cells", "units": "1"}
    return found
