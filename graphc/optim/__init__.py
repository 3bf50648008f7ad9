"""`gc.optim`: optimisers, schedules of their rates, and clipping of gradients, in PyTorch's spelling.

In a compiled step, where forward, backward and update are one:

>>> import graphc as gc
>>> x, w = gc.input("x", ("n",)), gc.param(0.0, name="w")
>>> loss = gc.mean((w - x) ** 2)
>>> opt = gc.optim.Adam([w], lr=gc.optim.cosine(0.5, steps=100))
>>> step = gc.compile([x], loss, updates=opt.minimize(loss))
>>> losses = step.run([1.0, 3.0], steps=100)
>>> print(f"{w.value:.1f}")
2.0

At once, with the same rule, state and counter: ``opt.zero_grad(); loss.backward(); opt.step()``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..ops.calls import explain
from ..ops.hints import missing_name
from .base import Optimizer
from .clipping import clip_grad_norm, clip_grad_norm_, clip_grad_value, clip_grad_value_, total_norm
from .optimizers import SGD, Adagrad, Adam, AdamW, RMSprop
from .schedules import (
    Schedule,
    constant,
    cosine,
    exponential,
    linear,
    multi_step,
    one_cycle,
    polynomial,
    sequential,
    step,
    warmup,
)

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSprop",
    "Schedule",
    "clip_grad_norm",
    "clip_grad_norm_",
    "clip_grad_value",
    "clip_grad_value_",
    "constant",
    "cosine",
    "exponential",
    "linear",
    "multi_step",
    "one_cycle",
    "polynomial",
    "sequential",
    "step",
    "total_norm",
    "warmup",
]

explain(__name__, globals(), __all__)


if not TYPE_CHECKING:  # which knows by itself what is not there

    def __getattr__(name: str) -> Any:
        raise missing_name(__name__, name)
