"""Who integrates the stochastic differential equation: ours, its noise alone, and seven others on one thread."""

import ctypes
import importlib.util
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np

import sde_engine as sde
from sde_engine.backends.lanes.noise import fill_normals
from sde_engine.backends.trace import LANES
from sde_engine.bench.problem import LANGEVIN, NOISE, START, TARGET, Absent, Participant, starts
from sde_engine.ensemble import Run, trace_of

H = LANGEVIN
MODEL = sde.load_model("two_layer_scalar", law="gaussian", target=TARGET, noise=NOISE)


def participants(folder: Path) -> Iterator[Participant | Absent]:
    """Yield everybody; `folder` is for what is compiled."""
    yield ours("sde_engine, numba lanes", 4096, "numba")
    yield Participant("its random numbers alone", 4096, noise_alone(4096))
    yield cpp(4096, folder)
    yield Participant("numba, scalar Generator in the loop", 4096, numba_scalar(4096))
    yield Participant("numpy, arrays over paths", 2048, numpy_arrays(2048))
    yield ours("sde_engine, numpy reference", LANES, "numpy")
    yield Participant("jax, lax.scan and vmap", 2048, jax_scan(2048))
    yield Participant("diffrax Euler, UnsafeBrownianPath", 1024, diffrax_euler(1024, "UnsafeBrownianPath"))
    yield Participant("diffrax Euler, VirtualBrownianTree", 128, diffrax_euler(128, "VirtualBrownianTree"))
    yield torchsde_euler(1024)


def ours(name: str, paths: int, backend: str, threads: int = 1) -> Participant:
    """Return the public loop of a backend, with its statistics of v."""
    dynamics, hyper = sde.Langevin(scheme="euler_maruyama", dt=H.dt), sde.Hyper(H.eta, H.batch)
    points = np.full((1, 2), START)

    def run(seed: int) -> np.ndarray:
        cell = Run(paths, seed, updates=H.steps, observables=("v",))
        trace, _ = trace_of(MODEL, dynamics, hyper, cell, threads=threads, backend=backend, points=points)
        return trace.final[0] * trace.final[1]

    return Participant(name, paths, run)


def noise_alone(paths: int) -> Any:
    @numba.njit
    def loop(seed: int) -> float:
        z = np.empty((4, LANES))
        for first_path in range(0, paths, LANES):
            for counter in range(H.steps // 4):
                fill_normals(z, first_path, 0, counter, seed)
        return z[0, 0]

    def run(seed: int) -> None:
        loop(seed)

    return run


def numba_scalar(paths: int) -> Any:
    dt, root, steps = H.dt, H.amplitude * np.sqrt(H.dt), H.steps

    @numba.njit(error_model="numpy")
    def loop(u: np.ndarray, w: np.ndarray, generator: Any) -> None:
        for i in range(u.size):
            a, b = u[i], w[i]
            for _ in range(steps):
                r = a * b - TARGET
                kick = dt * r + root * np.sqrt(2.0 * r * r + NOISE * NOISE) * generator.standard_normal()
                a, b = a - kick * b, b - kick * a
            u[i], w[i] = a, b

    def run(seed: int) -> np.ndarray:
        u, w = starts(paths, seed)
        loop(u, w, np.random.default_rng(seed))
        return u * w

    return run


def numpy_arrays(paths: int) -> Any:
    root = H.amplitude * np.sqrt(H.dt)

    def run(seed: int) -> np.ndarray:
        u, w = starts(paths, seed)
        generator = np.random.default_rng(seed)
        for _ in range(H.steps):
            r = u * w - TARGET
            kick = H.dt * r + root * np.sqrt(2.0 * r * r + NOISE * NOISE) * generator.standard_normal(paths)
            u, w = u - kick * w, w - kick * u
        return u * w

    return run


def cpp(paths: int, folder: Path) -> Participant | Absent:
    name = "C++ -O3, std::normal_distribution"
    compiler = shutil.which("g++")
    if compiler is None:
        return Absent(name, "there is no g++ here")
    library = folder / "euler_loop.so"
    source = Path(__file__).with_name("euler_loop.cpp")
    subprocess.run([compiler, "-O3", "-march=native", "-shared", "-fPIC", source, "-o", library], check=True)
    loop = ctypes.CDLL(str(library)).euler_loop
    array = np.ctypeslib.ndpointer(np.float64, flags="C_CONTIGUOUS")
    loop.argtypes = [array, array, ctypes.c_int64, ctypes.c_int64, *[ctypes.c_double] * 4, ctypes.c_uint64]
    loop.restype = None

    def run(seed: int) -> np.ndarray:
        u, w = starts(paths, seed)
        loop(u, w, paths, H.steps, H.dt, H.amplitude, TARGET, NOISE, seed)
        return u * w

    return Participant(name, paths, run)


def jax_scan(paths: int) -> Any:
    import jax

    root = H.amplitude * np.sqrt(H.dt)

    def step(theta: Any, z: Any) -> Any:
        u, w = theta
        r = u * w - TARGET
        kick = H.dt * r + root * jax.numpy.sqrt(2.0 * r * r + NOISE * NOISE) * z
        return u - kick * w, w - kick * u

    @jax.jit
    def loop(theta: Any, key: Any) -> Any:
        def body(theta: Any, index: Any) -> Any:
            z = jax.random.normal(jax.random.fold_in(key, index), (paths,), "float64")
            return jax.vmap(step)(theta, z), None

        (u, w), _ = jax.lax.scan(body, theta, jax.numpy.arange(H.steps))
        return u * w

    return lambda seed: np.asarray(loop(tuple(starts(paths, seed)), jax.random.key(seed)))


def diffrax_euler(paths: int, brownian: str) -> Any:
    import diffrax
    import jax

    end, short = H.dt * H.steps, H.dt / 2.0

    def drift(t: Any, theta: Any, args: Any) -> Any:
        u, w = theta
        r = u * w - TARGET
        return -r * jax.numpy.stack([w, u])

    def factor(t: Any, theta: Any, args: Any) -> Any:
        u, w = theta
        r = u * w - TARGET
        return -H.amplitude * jax.numpy.sqrt(2.0 * r * r + NOISE * NOISE) * jax.numpy.stack([w, u])

    def one(theta: Any, key: Any) -> Any:
        shape = jax.ShapeDtypeStruct((), "float64")
        if brownian == "UnsafeBrownianPath":
            path: Any = diffrax.UnsafeBrownianPath(shape, key)
        else:
            path = diffrax.VirtualBrownianTree(0.0, end, short, shape, key)
        terms: Any = diffrax.MultiTerm(diffrax.ODETerm(drift), diffrax.ControlTerm(factor, path))
        found = diffrax.diffeqsolve(
            terms, diffrax.Euler(), 0.0, end, H.dt, theta, max_steps=H.steps + 8, adjoint=diffrax.ForwardMode()
        )
        return found.ys[0].prod()

    loop = jax.jit(jax.vmap(one))
    return lambda seed: np.asarray(loop(starts(paths, seed).T, jax.random.split(jax.random.key(seed), paths)))


def torchsde_euler(paths: int) -> Participant | Absent:
    name = "torchsde, euler"
    if importlib.util.find_spec("torchsde") is None:
        return Absent(name, "torchsde is not installed")
    import torch
    import torchsde

    class Equation(torch.nn.Module):
        noise_type, sde_type = "scalar", "ito"

        def f(self, t: Any, theta: Any) -> Any:
            return -(theta.prod(1, keepdim=True) - TARGET) * theta.flip(1)

        def g(self, t: Any, theta: Any) -> Any:
            r = theta.prod(1, keepdim=True) - TARGET
            return (-H.amplitude * torch.sqrt(2.0 * r * r + NOISE * NOISE) * theta.flip(1)).unsqueeze(2)

    def run(seed: int) -> np.ndarray:
        torch.manual_seed(seed)
        times = torch.tensor([0.0, H.dt * H.steps], dtype=torch.float64)
        with torch.no_grad():
            theta = torchsde.sdeint(Equation(), torch.tensor(starts(paths, seed).T), times, method="euler", dt=H.dt)
        return theta[-1].prod(1).numpy()

    return Participant(name, paths, run)
