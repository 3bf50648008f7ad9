"""What each optimiser does to one param: pure functions, the same for compiled steps and for eager tensors.

``rule(w, gradient, state, lr, **options)`` returns the new param and the new state. `w`, its gradient and what the
state holds per element have one shape and dtype; `lr` is a Python float or a 0-d float64 tensor; ``state["step"]``
counts in int64 the updates this param has had. Scalars are computed in float64 and join the param's dtype last, as
PyTorch has it, whose optimisers (`torch.optim`) these are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.apply import cast, is_tensor
from ..ops.elementwise import where
from ..ops.piecewise import maximum
from ..ops.power import pow, sqrt

State = dict[str, Any]


def scalar(value: Any, w: Any) -> Any:
    """A 0-d value in the dtype of `w`; a Python number is as it is, for it adapts."""
    return cast(value, w.dtype) if is_tensor(value) else value


def sgd(
    w: Any, gradient: Any, state: State, lr: Any, *, momentum: float, dampening: float, weight_decay: float,
    nesterov: bool, maximize: bool,
) -> tuple[Any, State]:  # fmt: skip
    """Stochastic gradient descent, with (Nesterov's) momentum; Sutskever et al. 2013, in PyTorch's form."""
    g = decayed(w, -gradient if maximize else gradient, weight_decay)
    if not momentum:
        return w - scalar(lr, w) * g, {}
    after: State = {}
    share: Any = 1.0
    if dampening:  # the first gradient is taken whole
        share = where(state["step"] == 0, 1.0, 1.0 - dampening)
        after["step"] = state["step"] + 1
    buffer = momentum * state["momentum_buffer"] + (scalar(share, w) * g if dampening else g)
    after["momentum_buffer"] = buffer
    return w - scalar(lr, w) * (g + momentum * buffer if nesterov else buffer), after


def adam(
    w: Any, gradient: Any, state: State, lr: Any, *, betas: tuple[float, float], eps: float, weight_decay: float,
    amsgrad: bool, maximize: bool, decoupled: bool,
) -> tuple[Any, State]:  # fmt: skip
    """Kingma and Ba 2015; `decoupled` weight decay: AdamW, Loshchilov and Hutter 2019; amsgrad: Reddi et al. 2018."""
    g = -gradient if maximize else gradient
    if not decoupled:
        g = decayed(w, g, weight_decay)
    elif weight_decay:
        w = w - scalar(lr * weight_decay, w) * w
    beta1, beta2 = betas
    step = state["step"] + 1
    t = cast(step, np.dtype("float64"))
    mean = state["exp_avg"] + (1.0 - beta1) * (g - state["exp_avg"])
    square = beta2 * state["exp_avg_sq"] + (1.0 - beta2) * (g * g)
    after: State = {"step": step, "exp_avg": mean, "exp_avg_sq": square}
    if amsgrad:
        square = after["max_exp_avg_sq"] = maximum(state["max_exp_avg_sq"], square)
    rate = scalar(lr / (1.0 - pow(beta1, t)), w)
    root = scalar(1.0 / sqrt(1.0 - pow(beta2, t)), w)
    return w - rate * mean / (sqrt(square) * root + eps), after


def rmsprop(
    w: Any, gradient: Any, state: State, lr: Any, *, alpha: float, eps: float, weight_decay: float, momentum: float,
    centered: bool, maximize: bool,
) -> tuple[Any, State]:  # fmt: skip
    """Tieleman and Hinton 2012; centered: Graves 2013."""
    g = decayed(w, -gradient if maximize else gradient, weight_decay)
    square = alpha * state["square_avg"] + (1.0 - alpha) * (g * g)
    after: State = {"square_avg": square}
    spread = square
    if centered:
        mean = after["grad_avg"] = state["grad_avg"] + (1.0 - alpha) * (g - state["grad_avg"])
        spread = maximum(square - mean * mean, 0.0)  # a variance: below 0 by rounding only
    move = g / (sqrt(spread) + eps)
    if momentum:
        move = after["momentum_buffer"] = momentum * state["momentum_buffer"] + move
    return w - scalar(lr, w) * move, after


def adagrad(
    w: Any, gradient: Any, state: State, lr: Any, *, lr_decay: float, weight_decay: float, eps: float, maximize: bool,
) -> tuple[Any, State]:  # fmt: skip
    """Duchi, Hazan and Singer 2011."""
    g = decayed(w, -gradient if maximize else gradient, weight_decay)
    total = state["sum"] + g * g
    after: State = {"sum": total}
    if lr_decay:
        lr = lr / (1.0 + lr_decay * cast(state["step"], np.dtype("float64")))
        after["step"] = state["step"] + 1
    return w - scalar(lr, w) * g / (sqrt(total) + eps), after


def decayed(w: Any, gradient: Any, weight_decay: float) -> Any:
    """The gradient of the loss plus ``weight_decay / 2`` times the sum of the squares of `w`."""
    return gradient + weight_decay * w if weight_decay else gradient
