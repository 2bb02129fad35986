"""One Markov step on the clock t = eta * updates: the form that SGD and every SDE take before a backend runs them."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol

from sde_engine.errors import Incompatible, SpecError
from sde_engine.model import Model
from sde_engine.scheme import Ito
from sde_engine.values import check_choice, is_finite, is_whole

Sampling = Literal["iid", "without_replacement", "epoch"]
SAMPLINGS: tuple[Sampling, ...] = ("iid", "without_replacement", "epoch")


LARGEST_BATCH = 2**31


class Hyper(NamedTuple):
    """Learning rate, batch size and weight decay (PyTorch's: gradient += weight_decay * theta)."""

    eta: float
    batch: int = 1
    weight_decay: float = 0.0

    @property
    def temperature(self) -> float:
        """T = eta / batch."""
        return self.eta / self.batch


class Tolerances(NamedTuple):
    """How a flow is solved in steps of its own choice: errors of a step, implicitly or not, up to rest or to the end.

    `asked` says that the caller asked for any of it, which a solver with fixed steps does not do.
    """

    rtol: float
    atol: float
    implicit: bool
    steady: bool
    asked: bool


class Motion(NamedTuple):
    """What the second half of a state is: `per_clock` times it is the velocity V of theta on the clock t.

    Mean of sum_i masses_i V_i^2 / d is the kinetic temperature (`sde_engine.stats.motion`).
    """

    per_clock: float
    masses: tuple[float, ...]


class Diffusion(NamedTuple):
    """A step driven by standard normals.

    `step(state, z, dt, root_dt, p, h)` returns the next state; `size(state, p, h)`, where given, returns the step that
    the path may take from this state (a function of the present only, so the Ito property holds), at most `dt`.
    `is_discrete` says that a step is an update of SGD and not a stretch of continuous time. A step that discretises an
    equation names it, so that solvers of others can take it over: `equation` and `scheme`, or `velocity` and
    `tolerances` of a flow. Where settings belong to one length of step, `settings_at(dt)` returns those of another.
    """

    width: int
    columns: int
    step: Callable[..., Any]
    size: Callable[..., Any] | None
    dt: float
    settings: Any  # the NamedTuple handed to step and size as h
    is_discrete: bool = False
    equation: Ito | None = None
    scheme: str = ""
    velocity: Callable[..., Any] | None = None
    tolerances: Tolerances | None = None
    settings_at: Callable[[float], Any] | None = None
    motion: Motion | None = None


class Minibatch(NamedTuple):
    """A step driven by the mean gradient of a drawn minibatch: `step(state, mean_gradient, p, h)`.

    `period` is the number of updates after which the law of the draws repeats: the batches of an epoch, else 1. With
    several `weights` the gradient is the weighted sum over as many independent minibatches (the last weight is not
    zero). An update of the clock is made of `steps_per_update` steps.
    """

    width: int
    step: Callable[..., Any]
    sampling: Sampling
    batch: int
    settings: Any
    period: int = 1
    weights: tuple[float, ...] = (1.0,)
    steps_per_update: int = 1
    motion: Motion | None = None


Kernel = Diffusion | Minibatch


def at_step(kernel: Kernel, dt: float) -> Kernel:
    """Return the kernel for steps of this length, which the clock may have shortened to fit the run."""
    if isinstance(kernel, Minibatch) or kernel.settings_at is None:
        return kernel
    return kernel._replace(settings=kernel.settings_at(dt))


class Dynamics(Protocol):
    """What moves the parameters. A frozen dataclass in `sde_engine.dynamics`, or a user's own."""

    kind: str

    def kernel(self, model: Model, hyper: Hyper) -> Kernel:
        """Return the step for this model, or raise `Incompatible` in words."""
        ...


def check_hyper(hyper: Hyper) -> Hyper:
    """Return `hyper` if its values make sense, else raise a sentence."""
    try:
        eta, batch, weight_decay = hyper
    except (TypeError, ValueError):
        raise SpecError(
            f"hyper is {hyper!r}; Hyper(eta, batch, weight_decay) is accepted, such as Hyper(eta=0.1, batch=4)"
        ) from None
    if not (is_finite(eta) and eta > 0.0):
        raise SpecError(f"eta is {eta!r}; a finite learning rate above 0 is accepted")
    if not (is_whole(batch) and 1 <= batch <= LARGEST_BATCH):
        raise SpecError(f"batch is {batch!r}; a whole number of examples, 1 or more and at most 2**31, is accepted")
    if not (is_finite(weight_decay) and weight_decay >= 0.0):
        raise SpecError(f"weight_decay is {weight_decay!r}; a finite number, 0 or more, is accepted")
    return Hyper(float(eta), int(batch), float(weight_decay))


def check_dynamics(dynamics: object) -> None:
    """Refuse what is no dynamics: a name, or a class that was not called.

    Raises
    ------
    SpecError : in words
    """
    if isinstance(dynamics, type) or not callable(getattr(dynamics, "kernel", None)):
        raise SpecError(f"dynamics is {dynamics!r}; a dynamics object is accepted, such as Sgd() or Langevin(dt=0.01)")


def check_sampling(sampling: Sampling) -> None:
    """Refuse a sampling that does not exist."""
    check_choice("sampling", sampling, SAMPLINGS)


def sampling_factor(sampling: Sampling, batch: int, examples: int | None) -> float:
    """Return the variance of a batch mean over that of an iid batch: 1, or (N - B)/(N - 1) without replacement."""
    check_sampling(sampling)
    if sampling == "iid":
        return 1.0
    if examples is None:
        raise SpecError(f"sampling {sampling!r} needs stored examples, but this model draws fresh ones; use 'iid'")
    if batch > examples:
        raise SpecError(f"a batch of {batch} without replacement cannot be drawn from {examples} examples")
    return (examples - batch) / (examples - 1) if examples > 1 else 0.0


def batches_of_epoch(batch: int, examples: int) -> int:
    """Return the number of batches in an epoch; refuse a batch that does not divide the examples."""
    if examples % batch:
        near = [b for b in range(1, examples + 1) if examples % b == 0]
        raise Incompatible(
            f"sampling 'epoch' splits {examples} examples into equal batches, but batch is {batch}; "
            f"accepted: {', '.join(map(str, near))}"
        )
    return examples // batch
