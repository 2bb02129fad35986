"""The networks of a user are those of `scripts/my_networks.py`, which people copy."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "scripts"))
