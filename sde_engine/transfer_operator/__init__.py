"""The law of a Markov chain on a line, carried one update at a time: Ulam's matrix of the transfer operator.

batches    every batch of a finite law of examples, with its probability
chain      an update of SGD as a random map of the line
operator   that map as a matrix between cells: mass is conserved, no entry is negative
spectrum   stationary laws, relaxation rates and metastable sets of such a matrix
from_paths the same from a transition matrix counted along trajectories, with errors
"""

from sde_engine.transfer_operator.chain import Chain as Chain
from sde_engine.transfer_operator.chain import chain_of as chain_of
from sde_engine.transfer_operator.from_paths import relaxation as relaxation
from sde_engine.transfer_operator.operator import ChainLaw as ChainLaw
from sde_engine.transfer_operator.operator import chain_laws as chain_laws
from sde_engine.transfer_operator.operator import find_axis as find_axis
from sde_engine.transfer_operator.spectrum import Relaxation as Relaxation
from sde_engine.transfer_operator.spectrum import relaxation_of as relaxation_of
