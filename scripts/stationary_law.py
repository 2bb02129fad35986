"""Stationary law of one model by every route, its potentials and its currents, as figures and HDF5.

python scripts/stationary_law.py [folder]
"""

import sys
from pathlib import Path

import numpy as np

import sde_engine as sde
from sde_engine.entropic import entropic_loss
from sde_engine.fokker_planck import Axis, Grid, of_model, stationary_law
from sde_engine.fokker_planck.current import area_rate, entropy_production
from sde_engine.plot.current import current
from sde_engine.plot.look import figure
from sde_engine.plot.potential import potential
from sde_engine.potential import effective_potential
from sde_engine.stationary_law import stationary

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "data/out")
folder.mkdir(parents=True, exist_ok=True)
made = figure(11.0, 4.2)
left, right = made.subplots(1, 2)

# One weight product v = u w on noisy data: where does the noise move the most probable value?
model, hyper = sde.load_model("two_layer_scalar", law="two_point", noise=1.0), sde.Hyper(eta=0.3, batch=1)
law = stationary(model, hyper, method="all", seed=1, paths=1024, time=40.0)
print(law.agreement)
for route in law.routes:
    v = route.lines[0]
    print(f"  {route.method:14s} mean {v.mean:.5f} +- {v.mean_error:.1e}, variance {v.variance:.5f}")
law.to_hdf5(folder / "stationary_law.h5")
v = np.linspace(0.02, 3.0, 600)
balanced = (np.sqrt(v), np.sqrt(v))
potential(
    effective_potential(law.routes[-1]),
    loss=(v, model.loss(balanced, model.params)),
    entropic_loss=(v, entropic_loss(model, hyper, balanced)),
    ax=left,
)
left.set_title(f"two layers, eta = {hyper.eta}, batch {hyper.batch}")

# A bowl whose noise does not commute with its curvature carries a current.
turned = sde.load_model("quadratic", hessian=[[1.0, 0.0], [0.0, 3.0]], covariance=[[2.245, -1.478], [-1.478, 2.755]])
grid = Grid((Axis(-2.8, 2.8, 128), Axis(-1.8, 1.8, 128)))
bowl = stationary_law(of_model(turned, sde.Hyper(eta=0.2)), grid)
print(f"entropy production {entropy_production(bowl):.4f} per unit of t, area rate {area_rate(bowl)[0, 1]:.5f}")
current(bowl, ax=right)
right.set_title("quadratic loss: density and probability current")
made.savefig(folder / "stationary_law.png", dpi=130)
print(f"wrote {folder / 'stationary_law.png'} and {folder / 'stationary_law.h5'}")
