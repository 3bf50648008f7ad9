"""The standard workloads, one small module each."""

from __future__ import annotations

from ..workload import Workload
from . import (
    arm,
    black_scholes,
    chain,
    gmm,
    lenet,
    line_fit,
    logistic,
    lstm,
    mlp,
    orthogonal_fit,
    rosenbrock,
    small_network,
    softmax,
    transformer,
)

MODULES = (
    line_fit,
    orthogonal_fit,
    small_network,
    mlp,
    lenet,
    black_scholes,
    chain,
    softmax,
    logistic,
    gmm,
    rosenbrock,
    transformer,
    arm,
    lstm,
)
WORKLOADS: dict[str, Workload] = {w.name: w for module in MODULES for w in module.WORKLOADS}
"""All workloads, in the order of the table."""
