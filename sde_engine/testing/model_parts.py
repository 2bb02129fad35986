"""A model's parts against each other: what is stated must follow from what is stated elsewhere.

The gradient is the derivative of the loss; the noise factor is a root of the covariance of one example's gradient;
each symmetry leaves each example alone; each formula says the same in numpy, in compiled lanes and under JAX.
"""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sde_engine import rng
from sde_engine.model import Model
from sde_engine.testing.bound import assert_agree
from sde_engine.testing.evaluation import Each, Machine, on_jax, on_lanes, on_numpy
from sde_engine.testing.example_law import drawn_examples, example_moments

_STATES = 16
_SPREAD = 0.3  # of the states around the starts, relative to the largest component of a start
_SHIFT = 2.0**-6
_DERIVATIVE = 1e-8  # differences of order h**6 with h = 2**-6, and rounding of 1e-13
_ALGEBRA = 1e-9  # exact moments, through a square root
_ROUNDING = 1e-12
_SIGMAS = 5.0  # where a law can only be sampled; thousands of entries are compared


def check_model(model: Model, *, seed: int, points: ArrayLike | None = None) -> None:
    """Hold the parts of a model against each other; raise a sentence on the first that disagree.

    Parameters
    ----------
    model : of the engine or of your own
    seed : of the states and examples at which it is looked at
    points : (M, d) states to look at; None: sixteen states around the model's starts

    Raises
    ------
    AssertionError : naming what disagrees, at which state, and by how much
    """
    _starts(model)
    states = _states(model, seed) if points is None else np.asarray(points, dtype=float).T
    assert states.ndim == 2, f"points has shape {states.T.shape}; an (M, d) array of states is accepted"
    assert len(states) == model.dim, f"points has {len(states)} columns, but {model.name!r} has {model.dim} components"
    _shapes(model, states, seed)
    _gradient_and_loss(model, states)
    _noise_and_examples(model, states, seed)
    _noise_kind(model, states)
    _symmetries(model, states, seed)
    _symmetric_origin(model, states, seed)
    _log_chart(model, states)
    _machines(model, states, seed)
    _words(model)


def _states(model: Model, seed: int) -> np.ndarray:
    index = np.arange(_STATES)
    starts = np.array(model.starts(model.params), dtype=float)
    centre = starts[index % len(starts)].T
    noise = np.array([rng.normals(seed, index, rng.START + i, 0) for i in range(model.dim)])
    return centre + _SPREAD * np.abs(centre).max(axis=0) * noise


def _starts(model: Model) -> None:
    points = model.starts(model.params)
    assert len(points) > 0, f"{model.name!r}: starts is empty; one or more states are needed"
    for point in points:
        assert len(point) == model.dim, (
            f"{model.name!r}: the start {tuple(point)} has {len(point)} numbers, but theta has {model.dim} components"
        )
    array = np.array(points, dtype=float)
    assert np.isfinite(array).all(), f"{model.name!r}: a start is not finite"
    # One component is enough: signs that a symmetry takes to each other need no start of their own.
    low, high = array.min(axis=0), array.max(axis=0)
    spans = ", ".join(f"{name} from {a:g} to {b:g}" for name, a, b in zip(model.components, low, high, strict=True))
    assert np.any((low < 0.0) & (high > 0.0)), (
        f"{model.name!r}: no component has starts of both signs ({spans}); a run could not tell that it has forgotten "
        "the sign of its start"
    )


def _formulas(model: Model) -> Iterator[tuple[str, Any, int]]:
    """Yield name, formula of (theta, p) and number of leaves of everything but the example gradient."""
    yield "loss", model.loss, 1
    yield "gradient", model.gradient, model.dim
    yield "noise_factor", model.noise_factor, model.dim * model.columns
    for name, observable in model.observables.items():
        yield f"observable {name}", observable.formula, 1
    for name, tangent in model.symmetries.items():
        yield f"symmetry {name}", tangent, model.dim


def _shapes(model: Model, states: np.ndarray, seed: int) -> None:
    names = [*model.components, *model.observables]
    assert len(set(names)) == len(names), f"{model.name!r}: two components or observables share a name in {names}"
    draws = drawn_examples(model.examples, seed)[:, : states.shape[1]]
    states = states[:, : draws.shape[1]]
    found = [
        (name, on_numpy(formula, (Each(states), model.params)), leaves) for name, formula, leaves in _formulas(model)
    ]
    example = on_numpy(model.example_gradient, (Each(states), Each(draws), model.params))
    for name, values, leaves in [*found, ("example_gradient", example, model.dim)]:
        assert len(values) == leaves, f"{model.name!r}: {name} has {len(values)} entries, but {leaves} are needed"
        assert np.isfinite(values).all(), f"{model.name!r}: {name} is not finite near the starts"
    starts = np.array(model.starts(model.params), dtype=float).T
    gradients = on_numpy(model.gradient, (Each(starts), model.params))
    assert np.isfinite(gradients).all(), f"{model.name!r}: the gradient is not finite at a start"


def _gradient_and_loss(model: Model, states: np.ndarray) -> None:
    """Central differences at h, h/2, h/4, extrapolated to order 6 (Richardson)."""
    gradient = on_numpy(model.gradient, (Each(states), model.params))
    size = np.abs(on_numpy(model.loss, (Each(states), model.params))) + np.abs(gradient).max(axis=0)
    numeric = np.empty_like(gradient)
    for i in range(model.dim):
        step = _SHIFT * np.maximum(1.0, np.abs(states[i]))
        coarse, middle, fine = (_slope(model, states, i, step / k) for k in (1.0, 2.0, 4.0))
        numeric[i] = (coarse - 20.0 * middle + 64.0 * fine) / 45.0
    what = f"{model.name!r}: the gradient and the central differences of the loss"
    assert_agree(what, gradient, numeric, tolerance=_DERIVATIVE, scale=size, states=states)


def _slope(model: Model, states: np.ndarray, i: int, step: np.ndarray) -> np.ndarray:
    up, down = states.copy(), states.copy()
    up[i], down[i] = states[i] + step, states[i] - step
    high, low = (on_numpy(model.loss, (Each(at), model.params))[0] for at in (up, down))
    return (high - low) / (up[i] - down[i])


def _noise_and_examples(model: Model, states: np.ndarray, seed: int) -> None:
    found = example_moments(model, states, seed)
    gradient = on_numpy(model.gradient, (Each(states), model.params))
    factor = _factor(model, states)
    covariance = np.einsum("ikn,jkn->ijn", factor, factor)
    for what, got, expected, error, size in (
        (
            "the gradient and the mean of example_gradient",
            gradient,
            found.mean,
            found.mean_error,
            np.sqrt(found.second),
        ),
        (
            "G G^T of noise_factor and the covariance of example_gradient",
            covariance,
            found.covariance,
            found.covariance_error,
            found.second,
        ),
    ):
        sentence = f"{model.name!r}: {what} ({found.how})"
        if not error.any():
            assert_agree(sentence, got, expected, tolerance=_ALGEBRA, scale=size, states=states)
        else:
            sigmas = float(np.abs((got - expected) / np.where(error > 0.0, error, 1.0)).max())
            assert sigmas < _SIGMAS, f"{sentence} differ by {sigmas:.1f} standard errors; up to {_SIGMAS:g} are allowed"


def _factor(model: Model, states: np.ndarray) -> np.ndarray:
    values = on_numpy(model.noise_factor, (Each(states), model.params))
    return values.reshape(model.dim, model.columns, -1)


def _noise_kind(model: Model, states: np.ndarray) -> None:
    factor = _factor(model, states)
    if model.noise_kind == "additive":
        first = np.broadcast_to(factor[..., :1], factor.shape)
        what = f"{model.name!r}: noise_kind is 'additive', but noise_factor depends on theta; G there and elsewhere"
        assert_agree(what, factor, first, tolerance=_ROUNDING, states=states)
    if model.noise_kind == "scalar":
        assert model.columns == 1, (
            f"{model.name!r}: noise_kind is 'scalar', but noise_factor has {model.columns} columns"
        )
    if model.noise_kind == "diagonal":
        assert model.columns == model.dim, (
            f"{model.name!r}: noise_kind is 'diagonal', but noise_factor has {model.columns} columns for {model.dim} rows"
        )
        off = factor * (1.0 - np.eye(model.dim))[:, :, None]
        what = f"{model.name!r}: noise_kind is 'diagonal', but row i uses another column than i; G there and 0"
        assert_agree(what, off, 0.0 * off, tolerance=0.0, states=states)


def _symmetries(model: Model, states: np.ndarray, seed: int) -> None:
    draws = drawn_examples(model.examples, seed)
    for name, formula in model.symmetries.items():
        tangents = on_numpy(formula, (Each(states), model.params))
        assert np.any(tangents != 0.0), f"{model.name!r}: the tangent of symmetry {name!r} is zero everywhere"
        for theta, tangent in zip(states.T, tangents.T, strict=True):
            wide = np.repeat(theta[:, None], draws.shape[1], axis=1)
            terms = on_numpy(model.example_gradient, (Each(wide), Each(draws), model.params)) * tangent[:, None]
            what = f"{model.name!r}: symmetry {name!r} changes the loss of an example; its derivative and 0"
            change = terms.sum(axis=0)
            assert_agree(what, change, 0.0 * change, tolerance=_ROUNDING, scale=np.abs(terms).sum(axis=0), states=wide)


def _symmetric_origin(model: Model, states: np.ndarray, seed: int) -> None:
    if not model.symmetric_origin:
        return
    draws = drawn_examples(model.examples, seed)
    origin = np.zeros((model.dim, draws.shape[1]))
    at_origin = on_numpy(model.example_gradient, (Each(origin), Each(draws), model.params))
    size = np.abs(on_numpy(model.gradient, (Each(states), model.params))).max()
    what = f"{model.name!r}: symmetric_origin is stated, but an example has a gradient at theta = 0; it and 0"
    assert_agree(what, at_origin, 0.0 * at_origin, tolerance=_ROUNDING, scale=size, states=origin)


def _log_chart(model: Model, states: np.ndarray) -> None:
    if model.log_chart is None:
        return
    chart = np.array(model.log_chart, dtype=float)
    assert chart.shape == (model.dim, model.dim), (
        f"{model.name!r}: log_chart has shape {chart.shape}; a square map is needed"
    )
    assert np.linalg.cond(chart) < 1e8, f"{model.name!r}: log_chart cannot be inverted"
    for i in range(model.dim):
        x = chart @ states
        x[i] = 0.0
        theta = np.linalg.solve(chart, x)
        drift = chart @ on_numpy(model.gradient, (Each(theta), model.params))
        noise = np.einsum("ij,jkn->ikn", chart, _factor(model, theta))
        scale = max(np.abs(drift).max(), np.abs(noise).max(), 1e-300)
        for what, values in (("gradient", drift[i : i + 1]), ("noise", noise[i])):
            sentence = f"{model.name!r}: coordinate {i} of log_chart does not stay zero; its {what} there and 0"
            assert_agree(sentence, values, 0.0 * values, tolerance=_ROUNDING, scale=scale, states=theta)


def _machines(model: Model, states: np.ndarray, seed: int) -> None:
    draws = drawn_examples(model.examples, seed)[:, : states.shape[1]]
    calls: list[tuple[str, Any, tuple[Any, ...]]] = [
        (name, formula, (Each(states), model.params)) for name, formula, _ in _formulas(model)
    ]
    fewer = states[:, : draws.shape[1]]
    calls.append(("example_gradient", model.example_gradient, (Each(fewer), Each(draws), model.params)))
    for name, formula, arguments in calls:
        here = arguments[0].components
        plain = on_numpy(formula, arguments)
        what = f"{model.name!r}: {name} in numpy and in compiled lanes"
        assert_agree(
            what, plain, _on("compiled", on_lanes, model, name, formula, arguments), tolerance=0.0, states=here
        )
        what = f"{model.name!r}: {name} in numpy and under JAX"
        traced, size = _on("traced", on_jax, model, name, formula, arguments), np.abs(plain).max()
        assert_agree(what, plain, traced, tolerance=_ROUNDING, scale=size, states=here)


def _on(done: str, machine: Machine, model: Model, name: str, formula: Any, arguments: Any) -> np.ndarray:
    try:
        return machine(formula, arguments)
    except Exception as error:  # whatever numba and JAX make of a formula that is not theirs
        raise AssertionError(
            f"{model.name!r}: {name} cannot be {done}; a formula uses sde_engine.components and plain arithmetic on its "
            f"arguments, nothing else ({type(error).__name__}: {str(error).strip().splitlines()[0]})"
        ) from error


def _words(model: Model) -> None:
    home = getattr(model.gradient, "__module__", None)
    text = getattr(sys.modules.get(str(home)), "__doc__", None) or ""
    for word in ("Units", "References"):
        assert word in text, f"{model.name!r}: the docstring of {home!r}, which defines the model, has no {word!r}"
