"""A loss on torch, eager or through torch.compile: values and gradients, or gradient descent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from .workload import Data, Run


def functions() -> SimpleNamespace:
    """The functions that formulas use, in torch's spelling."""
    import torch
    from torch.nn import functional

    own = {
        "softplus": functional.softplus,
        "gelu": functional.gelu,
        "cross_entropy": functional.cross_entropy,
        "conv2d": functional.conv2d,
        "max_pool2d": functional.max_pool2d,
        "attention": functional.scaled_dot_product_attention,
        "layer_norm": lambda x, gain, shift, eps: functional.layer_norm(x, x.shape[-1:], gain, shift, eps),
    }
    return SimpleNamespace(**{**vars(torch), **own})


def tensors(data: Data, names: Sequence[str], wanted: bool) -> list[Any]:
    import torch

    return [torch.tensor(data[name], requires_grad=wanted) for name in names]


def arrays(results: Sequence[Any]) -> list[Any]:
    return [r.detach().numpy() for r in results]


def gradients(loss: Callable[..., Any], data: Data, wrt: Sequence[str], given: Sequence[str], jit: bool) -> Run:
    """``loss(functions, *wrt, *given)`` and its gradients by `wrt`, by `backward`."""
    import torch

    m = functions()
    wanted, fixed = tensors(data, wrt, True), tensors(data, given, False)

    def formula(*tensors: Any) -> Any:
        return loss(m, *tensors)

    value_of = torch.compile(formula) if jit else formula

    def step() -> list[Any]:
        value = value_of(*wanted, *fixed)
        return [value, *torch.autograd.grad(value, wanted)]

    return Run(step, (), arrays)


def descent(
    loss: Callable[..., Any],
    data: Data,
    params: Sequence[str],
    given: Sequence[str],
    rate: float,
    momentum: float,
    jit: bool,
) -> Run:
    """One step of gradient descent on ``loss(functions, *params, *given)``, params updated in place.

    Compiled, loss and gradients and update are one function (`torch.func`), which costs less than autograd around it.
    """
    import torch

    m = functions()
    values, fixed = tensors(data, params, not jit), tensors(data, given, False)
    speeds = [torch.zeros_like(v) for v in values] if momentum else []

    def update(gradients: Sequence[Any]) -> None:
        if momentum:
            for speed, gradient in zip(speeds, gradients, strict=True):
                speed.mul_(momentum).add_(gradient)
            gradients = speeds
        for value, gradient in zip(values, gradients, strict=True):
            value.sub_(gradient, alpha=rate)

    def eager() -> Any:
        value = loss(m, *values, *fixed)
        found = torch.autograd.grad(value, values)
        with torch.no_grad():
            update(found)
        return value

    value_and_gradients = torch.func.grad_and_value(lambda params, fixed: loss(m, *params, *fixed))

    def functional(values: Any, speeds: Any, fixed: Any) -> Any:
        found, value = value_and_gradients(tuple(values), fixed)
        update(found)
        return value

    compiled = torch.compile(functional)
    step = (lambda: compiled(values, speeds, fixed)) if jit else eager
    return Run(step, (), lambda value: arrays([value, *values]))
