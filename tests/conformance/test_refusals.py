"""Every refusal of the core is a sentence, is raised before anything is compiled, and is provoked here.

The last test reads the source: a refusal that no line below provokes is named, with its file and line.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from refused_models import REFUSED_MODELS

import sde_engine
from sde_engine.discovery import load_model
from sde_engine.dynamics import from_spec
from sde_engine.dynamics.entropic_flow import EntropicFlow
from sde_engine.dynamics.gaussian_sgd import GaussianSgd
from sde_engine.dynamics.gradient_flow import GradientFlow
from sde_engine.dynamics.langevin import Langevin
from sde_engine.dynamics.sgd import Sgd
from sde_engine.dynamics.svag import Svag
from sde_engine.dynamics.underdamped import UnderdampedLangevin
from sde_engine.ensemble import compare, simulate
from sde_engine.errors import SdeEngineError, SpecError
from sde_engine.kernel import Hyper
from sde_engine.model import Examples
from sde_engine.paths import trace_of
from sde_engine.run import Run
from sde_engine.stability import lyapunov
from sde_engine.stats.histogram import Histogram

ROOT = Path(sde_engine.__file__).parent
COIN, WELL = load_model("two_layer_scalar"), load_model("double_well")
STORED = load_model("two_layer_scalar", law="table", table=((1.0, 0.5), (-0.5, -0.2), (0.8, 0.1), (0.3, 0.9)))
DEEP = load_model("diagonal_network")
HYPER = Hyper(0.1)


@pytest.fixture(autouse=True, scope="module")
def own_folder() -> Iterator[None]:
    """A model of one's own is found on the path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        yield


def run(**changed: Any) -> Callable[[], Any]:
    return lambda: Run(**({"paths": 8, "seed": 1, "updates": 4} | changed))


def changed(**parts: Any) -> Callable[[], Any]:
    return lambda: replace(WELL, **parts)


def model(name: str, **parameters: Any) -> Callable[[], Any]:
    return lambda: load_model(name, **parameters)


def table(value: Any, **more: Any) -> Callable[[], Any]:
    return model("two_layer_scalar", law="table", table=value, **more)


def kernel(dynamics: Any, of: Any = COIN, **hyper: Any) -> Callable[[], Any]:
    return lambda: dynamics.kernel(of, HYPER._replace(**hyper))


def simulated(of: Any = COIN, dynamics: Any = None, hyper: Hyper = HYPER, **changed: Any) -> Callable[[], Any]:
    return lambda: simulate(of, dynamics or Sgd(), hyper, **({"paths": 8, "seed": 1, "updates": 4} | changed))


REFUSALS: list[tuple[str, Callable[[], Any]]] = [
    ("unknown model 'two_layer_scaler'; did you mean 'two_layer_scalar'. accepted: ", model("two_layer_scaler")),
    ("model is 3; a name is accepted", lambda: load_model(3)),  # type: ignore[arg-type]
    ("unknown parameter of two_layer_scalar 'nois'; did you mean 'noise'", model("two_layer_scalar", nois=1.0)),
    *REFUSED_MODELS,
    ("components .* are 'v'; a tuple of one or more names", changed(components="v")),
    ("components .* names that all differ are accepted", changed(components=("v", "v"))),
    ("params .*; an instance of a NamedTuple is accepted", changed(params={"mu": 1.0})),
    ("examples .* are None; Examples are accepted", changed(examples=None)),
    ("columns .* is 0; a whole number from 1", changed(columns=0)),
    ("gradient .* is None; a function is accepted", changed(gradient=None)),
    ("observable o .* is 3; an Observable is accepted", changed(observables={"o": 3})),
    ("model '__main__:MODEL' lives in a script that is running", model("__main__:MODEL")),
    ("model 'missing:MODEL': cannot import 'missing'", model("missing:MODEL")),
    ("'statistics:mean' cannot be made from .* .StatisticsError: .*; give", model("statistics:mean", data=())),
    ("fourth powers overflow; give them in other units", model("two_layer_scalar", noise=1e300)),
    ("implicit is 'no'; True or False is accepted", lambda: GradientFlow(implicit="no")),  # type: ignore[arg-type]
    ("module 'sde_engine.conventions' has no 'MODEL'", model("sde_engine.conventions:MODEL")),
    ("is a dict; a Model, a NetworkModel or a function that returns one", model("sde_engine.conventions:CONVENTIONS")),
    ("parameter noise of outside_model:MODEL is 'loud'; a number", model("outside_model:MODEL", noise="loud")),
    ("unknown parameter of outside_model:MODEL 'nois'; did you mean 'noise'", model("outside_model:MODEL", nois=0.1)),
    (
        "'outside_network:NET' is a network and takes no parameters; name a function",
        model("outside_network:NET", w=1.0),
    ),
    ("data row 1 is .*; two numbers x,y are accepted", table(__file__)),
    ("unknown law of examples 'gausian'; did you mean 'gaussian'", model("two_layer_scalar", law="gausian")),
    ("noise is -1.0 and scale is 1.0; noise >= 0", model("two_layer_scalar", noise=-1.0)),
    ("target is 'one'; a number is accepted", model("two_layer_scalar", target="one")),
    ("target is inf; a finite number is accepted", model("two_layer_scalar", target=float("inf"))),
    (
        "unknown feature of the diabetes data 'agee'; did you mean 'age'",
        model("two_layer_scalar", law="diabetes", feature="agee"),
    ),
    ("law 'table' needs table: an .N, 2. array", model("two_layer_scalar", law="table")),
    ("the table is not numeric or has rows of different length", table([(1.0, 2.0), (1.0,)])),
    (r"the table has shape \(2, 3\)|the table has shape \(3, 3\); two columns", table(np.ones((3, 3)))),
    ("the table has a value that is not finite in row 2; remove or mend", table([(1.0, 2.0), (1.0, float("nan"))])),
    ("cannot read the table '.*missing.csv'", table("missing.csv")),
    ("a column of the table is constant", table(((1.0, 2.0), (1.0, 3.0)), standardise=True)),
    ("examples of kind 'table' need table", lambda: Examples("table", 2)),
    ("the table has 3 columns, but an example takes 2", lambda: Examples("table", 2, np.ones((4, 3)))),
    ("noise_kind is 'additiv'; accepted: additive", lambda: replace(COIN, noise_kind="additiv")),
    ("unstable, .* dt = 1000 ", kernel(Langevin("exact_ou", dt=1e3), load_model("quadratic", hessian=-1.0))),
    ("log_chart has 1 rows, but the model has 2 components", lambda: replace(COIN, log_chart=((1.0, 1.0),))),
    # hyperparameters
    ("hyper is 0.1; Hyper.eta, batch, weight_decay. is accepted", simulated(hyper=0.1)),  # type: ignore[arg-type]
    ("eta is 0.0; a finite learning rate above 0", simulated(hyper=Hyper(0.0))),
    ("eta is '0.1'; a finite learning rate above 0", simulated(hyper=Hyper("0.1"))),  # type: ignore[arg-type]
    ("batch is 1.5; a whole number of examples", simulated(hyper=Hyper(0.1, 1.5))),  # type: ignore[arg-type]
    ("weight_decay is -1; a finite number, 0 or more", simulated(hyper=Hyper(0.1, 1, -1))),
    # dynamics
    ("dynamics is 'sgd'; a dynamics object is accepted, such as Sgd", simulated(dynamics="sgd")),
    ("dynamics is 3; a name, a table with a kind", lambda: from_spec(3)),
    ("unknown dynamics 'sdg'; did you mean 'sgd'", lambda: from_spec("sdg")),
    (
        "unknown parameter of sgd 'momentun'; did you mean 'momentum'",
        lambda: from_spec({"kind": "sgd", "momentun": 0.5}),
    ),
    ("unknown sampling 'epochs'; did you mean 'epoch'", lambda: Sgd("epochs")),  # type: ignore[arg-type]
    ("momentum is 1.0; a number from 0", lambda: Sgd(momentum=1.0)),
    ("unknown scheme {'a': 1}", lambda: from_spec({"kind": "langevin", "scheme": {"a": 1}})),
    ("preconditioner is 3.0; finite factors above 0", lambda: from_spec({"kind": "sgd", "preconditioner": 3.0})),
    ("preconditioner has 1 factors, but 'two_layer_scalar' has 2 components", kernel(Sgd(preconditioner=(1.0,)))),
    ("preconditioner is .1.0, -1.0.; finite factors", lambda: Sgd(preconditioner=(1.0, -1.0))),
    ("sampling 'epoch' needs stored examples, but this model draws fresh ones; use 'iid'", kernel(Sgd("epoch"))),
    ("a batch of 5 without replacement cannot be drawn from 4", kernel(Sgd("without_replacement"), STORED, batch=5)),
    ("splits 4 examples into equal batches, but batch is 3; accepted: 1, 2, 4", kernel(Sgd("epoch"), STORED, batch=3)),
    ("the noise of reshuffled epochs is correlated in time", kernel(GaussianSgd("epoch"), STORED)),
    ("reshuffled epochs have no Langevin equation of this form", kernel(Langevin(sampling="epoch"), STORED)),
    ("unknown scheme 'eulermaruyama'; did you mean 'euler_maruyama'", lambda: Langevin("eulermaruyama")),
    ("dt is 0.0; a finite number above 0", lambda: Langevin(dt=0.0)),
    ("tolerance is nan; a finite number above 0", lambda: Langevin(tolerance=float("nan"))),
    ("dt is -1; a finite number above 0", lambda: GradientFlow(-1)),
    ("rtol is 0.0; a finite number above 0", lambda: GradientFlow(rtol=0.0)),
    ("unknown sampling 'epochs'; did you mean 'epoch'", lambda: EntropicFlow(sampling="epochs")),  # type: ignore[arg-type]
    ("order is 3; an equation of order 1 or 2 in eta", lambda: Langevin(order=3)),  # type: ignore[arg-type]
    ("levels is 0; a whole number, 1 or more", lambda: Svag(0)),
    ("the two minibatches of a step must be independent", kernel(Svag(sampling="epoch"), STORED)),
    ("momentum is 1.0; a number above 0 and below 1 .*use Langevin", lambda: UnderdampedLangevin(1.0)),
    ("dt is 0.0; a finite number above 0", lambda: UnderdampedLangevin(dt=0.0)),
    ("reshuffled epochs have no Langevin equation", kernel(UnderdampedLangevin(sampling="epoch"), STORED)),
    (
        "'log_platen' serves scalar noise, but 'double_well' has additive noise; use ",
        kernel(Langevin("log_platen"), WELL),
    ),
    (
        "'log_euler' works on multiplicative coordinates, but 'diagonal_network' declares no log_chart; use 'adaptive_ri6'",
        kernel(Langevin("log_euler"), DEEP),
    ),
    # runs
    ("paths is 0; a whole number from 1", run(paths=0)),
    ("seed is None; a whole number from 0", run(seed=None)),
    ("windows is 1.5; a whole number", run(windows=1.5)),
    ("updates is True; a whole number", run(updates=True)),
    ("neither updates nor time is given; give one", run(updates=None)),
    ("time is inf; a finite clock time above 0", run(time=float("inf"))),
    ("burn_in is 1.5; a number of updates or a fraction below 1", run(burn_in=1.5)),
    ("burn_in is nan; ", run(burn_in=float("nan"))),
    ("an observable is listed twice: v, v", run(observables=("v", "v"))),
    (
        "two histograms of one observable: v, v; one each",
        run(histograms=(Histogram("v", 0.0, 1.0), Histogram("v", 0.0, 2.0))),
    ),
    ("burn_in is 4 updates, but the run has 4; leave some to record", simulated(burn_in=4)),
    ("unknown observable of two_layer_scalar 'V'", simulated(observables=("V",))),
    ("unknown backend 'numbas'; did you mean 'numba'", simulated(backend="numbas")),
    ("implicit, stops at a steady state .* by backend 'diffrax'", simulated(dynamics=GradientFlow(steady=True))),
    ("rtol or atol .* 'diffrax'; got 'numba', whose steps are all dt", simulated(dynamics=EntropicFlow(rtol=1e-9))),
    ("rtol or atol is solved", simulated(dynamics=GradientFlow(atol=1e-9), backend="numpy")),
    (
        "backend 'diffrax' solves Langevin equations, .* updates of its own; use backend 'jax'",
        simulated(backend="diffrax"),
    ),
    (
        "backend 'diffrax' has no solver that is our scheme 'log_platen'; accepted: euler_maruyama, heun, milstein",
        simulated(dynamics=Langevin(), backend="diffrax"),
    ),
    (
        "this flow is looked at .* times, and backend 'diffrax' keeps every look",
        simulated(dynamics=GradientFlow(), backend="diffrax", time=1e6),
    ),
    (r"start has shape \(1, 3\); finite states of 2 numbers", simulated(start=(1.0, 2.0, 3.0))),
    ("start has shape .*; finite states of 2 numbers", simulated(start=(float("nan"), 1.0))),
    ("start is 'here'; one state of 2 numbers", simulated(start="here")),
    ("compare got dynamics .*; one or more, all different", lambda: compare(COIN, [], HYPER)),
    (
        "compare got dynamics .*; one or more, all different",
        lambda: compare(COIN, [Sgd(), Sgd()], HYPER, paths=8, seed=1, updates=4),
    ),
    ("progress is 5; a function of the parts", simulated(progress=5)),
    (
        "compare runs several dynamics and a checkpoint is that of one",
        lambda: compare(COIN, [Sgd()], HYPER, paths=8, seed=1, updates=4, checkpoint="run.npz"),
    ),
    ("cannot be made from parameters .* .missing a required argument: 'x'.; name a function", model("math:isfinite")),
    ("takes no parameters; name a function that makes it", lambda: load_model("outside_network:NET", noise=1.0)),
    (
        "threads is 2, but a network runs on 'jax' and its threads, .*; leave threads out",
        lambda: simulate(load_model("outside_network:NET"), Sgd(), HYPER, paths=8, seed=1, updates=4, threads=2),
    ),
    ("unknown method 'monte_carlo'", lambda: lyapunov(COIN, HYPER, method="monte_carlo")),  # type: ignore[arg-type]
    ("theta = 0 is not an invariant state of 'double_well'", lambda: lyapunov(WELL, HYPER)),
    (
        "'two_layer_scalar' states no exact exponents under 'gaussian_sgd'",
        lambda: lyapunov(COIN, HYPER, dynamics=GaussianSgd(), method="exact"),
    ),
    ("has no default seed; give seed=", lambda: lyapunov(COIN, HYPER, method="ensemble")),
    ("unknown scale of a histogram 'logarithmic'", lambda: Histogram("v", 0.1, 1.0, scale="logarithmic")),
    ("observable of a histogram is 3; the name", lambda: Histogram(3, 0.0, 1.0)),  # type: ignore[arg-type]
    ("histogram of 'v' from 1.0 to 1.0; finite low < high", lambda: Histogram("v", 1.0, 1.0)),
    ("histogram of 'v' is logarithmic from 0.0; low > 0", lambda: Histogram("v", 0.0, 1.0, scale="log")),
    ("histogram of 'v' has bins = 1.5; a whole number", lambda: Histogram("v", 0.0, 1.0, bins=1.5)),  # type: ignore[arg-type]
]
UNSETTLED = ("do not settle to one growth rate", lambda: lyapunov(COIN, Hyper(1e15), method="ensemble", seed=1))
ALL = [*REFUSALS, UNSETTLED]  # which only a run can tell


@pytest.mark.parametrize(("words", "provoke"), ALL, ids=[words[:56] for words, _ in ALL])
def test_a_refusal_is_a_sentence_that_says_what_was_got(words: str, provoke: Callable[[], Any]) -> None:
    with pytest.raises(SdeEngineError, match=words) as caught:
        provoke()
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith("...") or not text.endswith(".")
    assert caught.value.exit_code == 2


def test_a_csv_row_that_is_not_two_numbers_is_named(tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text("# measured twice\nx,y\n1.0,2.0\n1.5,two\n")
    with pytest.raises(SpecError, match=r"data row 2 is '1.5,two'; two numbers x,y are accepted"):
        load_model("two_layer_scalar", law="table", table=str(file))


def test_refusals_come_before_anything_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run on a million paths is refused as fast as one on eight: no backend is asked."""
    from sde_engine.backends import choice

    def asked(*arguments: Any) -> Any:
        raise RuntimeError("a backend was asked")

    monkeypatch.setattr(choice, "block_runner", asked)
    for _, provoke in REFUSALS:
        with pytest.raises(SdeEngineError):
            provoke()
    with pytest.raises(RuntimeError, match="a backend was asked"):
        trace_of(COIN, Sgd(), HYPER, Run(8, 1, updates=4))


def _constants(node: ast.AST) -> list[str]:
    return [x.value for x in ast.walk(node) if isinstance(x, ast.Constant) and isinstance(x.value, str)]


def refusals_in(file: Path) -> list[tuple[int, str]]:
    """Return line and longest literal piece of every sentence raised in a file."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
            name = node.exc.func.id
            if name in {"SpecError", "Incompatible"} and (pieces := _constants(node.exc)):
                found.append((node.lineno, max(pieces, key=len)))
    return found


# The core; what uses it has tests of its own.
FILES = ("data", "discovery", "ensemble", "kernel", "log_chart", "model", "paths", "rng", "run", "scheme", "stability")
FOLDERS = ("backends", "dynamics", "models", "schemes", "stats")
CORE = [ROOT / f"{name}.py" for name in FILES]
CORE += [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]


def test_no_refusal_of_the_core_goes_unprovoked() -> None:
    said = []
    for _, provoke in ALL:
        try:
            provoke()
        except SdeEngineError as error:
            said.append(str(error))
    text = "\n".join(said)
    silent = [
        f"{file.relative_to(ROOT)}:{line}: {piece!r}"
        for file in CORE
        for line, piece in refusals_in(file)
        if piece.strip() not in text
    ]
    assert not silent, "no test provokes: " + "; ".join(silent)
