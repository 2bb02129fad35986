"""Families of networks, each with its symmetries declared once.

Every family is a function that returns a `NetworkModel` on the data it is given. All losses are of one example, without
weight decay; regressions use the half loss |f - y|^2 / 2.
"""

from sde_engine.network.families.attention import self_attention as self_attention
from sde_engine.network.families.classifier import softmax_classifier as softmax_classifier
from sde_engine.network.families.linear import deep_linear as deep_linear
from sde_engine.network.families.linear import embedded_deep_linear as embedded_deep_linear
from sde_engine.network.families.linear import matrix_factorisation as matrix_factorisation
from sde_engine.network.families.normalised import weight_normalised as weight_normalised
from sde_engine.network.families.perceptron import relu_perceptron as relu_perceptron
from sde_engine.network.families.perceptron import tanh_perceptron as tanh_perceptron
from sde_engine.network.families.perceptron import two_layer_vector as two_layer_vector
