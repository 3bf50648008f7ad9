"""The ways of torch, torch.compile, JAX and PyTensor for a formula that all of them spell alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from . import on_jax, on_pytensor, on_torch
from .workload import Way


def gradients(loss: Callable[..., Any], wrt: str, given: str = "") -> dict[str, Way]:
    """Value and gradients by `wrt` (names of data) of ``loss(functions, *wrt, *given)``."""
    names: tuple[Sequence[str], Sequence[str]] = wrt.split(), given.split()
    return {
        "torch": lambda data, threads: on_torch.gradients(loss, data, *names, jit=False),
        "torch.compile": lambda data, threads: on_torch.gradients(loss, data, *names, jit=True),
        "jax": lambda data, threads: on_jax.gradients(loss, data, *names),
        "pytensor": lambda data, threads: on_pytensor.gradients(loss, data, *names),
    }


def descent(loss: Callable[..., Any], params: str, given: str, rate: float, momentum: float = 0.0) -> dict[str, Way]:
    """One step of gradient descent on ``loss(functions, *params, *given)``."""
    names: tuple[Sequence[str], Sequence[str]] = params.split(), given.split()
    return {
        "torch": lambda data, threads: on_torch.descent(loss, data, *names, rate, momentum, jit=False),
        "torch.compile": lambda data, threads: on_torch.descent(loss, data, *names, rate, momentum, jit=True),
        "jax": lambda data, threads: on_jax.descent(loss, data, *names, rate, momentum),
        "pytensor": lambda data, threads: on_pytensor.descent(loss, data, *names, rate, momentum),
    }
