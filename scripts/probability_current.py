"""The probability current of a bowl whose noise does not commute with its curvature, over its density.

python scripts/probability_current.py [folder]
"""

import sys
from pathlib import Path

import sde_engine as sde
from sde_engine.fokker_planck import Axis, Grid, of_model, stationary_law
from sde_engine.fokker_planck.current import area_rate, entropy_production


def main(folder="data/out"):
    """Solve the Fokker-Planck equation, print its irreversibility and draw the current."""
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    covariance = [[2.245, -1.478], [-1.478, 2.755]]
    model = sde.load_model("quadratic", hessian=[[1.0, 0.0], [0.0, 3.0]], covariance=covariance)
    grid = Grid((Axis(-2.8, 2.8, 128), Axis(-1.8, 1.8, 128)))
    law = stationary_law(of_model(model, sde.Hyper(eta=0.2)), grid)
    print(f"entropy production {entropy_production(law):.4f} per unit of t, area rate {area_rate(law)[0, 1]:.5f}")
    ax = sde.plot.current(law)
    ax.set_title("quadratic loss: density and probability current")
    ax.figure.savefig(out / "probability_current.png", dpi=150)
    print(f"wrote {out / 'probability_current.png'}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
