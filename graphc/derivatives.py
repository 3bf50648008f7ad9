"""Derivatives of tensors, graph to graph, and of Python functions, function to function."""

from __future__ import annotations

from typing import Any

from .autodiff import vjp as reverse
from .errors import GradientError, message, user_line
from .ir import dims
from .ir.apply import engine_of, is_tensor
from .ir.tensor import Tensor
from .ir.tree import Tree, flatten
from .tracing import gradient_function


def _listed(wrt: Any) -> tuple[Tree, list[Tensor]]:
    tree, leaves = flatten(wrt)
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise GradientError(
                message(
                    "cannot differentiate with respect to",
                    got=repr(leaf)[:80],
                    expected="a tensor, or a nesting of them",
                    at=user_line(),
                    created=False,
                )
            )
    return tree, leaves


def grad(y: Any, wrt: Any = None, *, argnums: Any = 0) -> Any:
    """The gradient of a scalar.

    ``gc.grad(y, wrt)``: of tensor `y` with respect to a tensor, or a nesting of them; zeros where `y` does not depend
    on one. ``gc.grad(f, argnums=0)``: a function that computes the gradient of `f` for its arguments.

    >>> import graphc as gc
    >>> x = gc.input("x")
    >>> gc.grad(x**3, x)
    <Tensor multiply float64[]>
    """
    if callable(y) and not is_tensor(y):
        return gradient_function(y, argnums, with_value=False)
    tree, leaves = _listed(wrt)
    return tree.build(reverse.grad(_scalar(y), leaves))


def _scalar(y: Any) -> Tensor:
    if not isinstance(y, Tensor):
        raise GradientError(
            message(
                "cannot differentiate",
                got=repr(y)[:80],
                expected="a tensor or a function",
                at=user_line(),
                created=False,
            )
        )
    return y


def value_and_grad(f: Any, wrt: Any = None, *, argnums: Any = 0) -> Any:
    """Like `grad`, with the value beside it: ``(y, gradient)``, or a function that returns the pair."""
    if callable(f) and not is_tensor(f):
        return gradient_function(f, argnums, with_value=True)
    return f, grad(f, wrt)


def vjp(y: Any, wrt: Any, ct: Any) -> Any:
    """The product of a cotangent with the Jacobian: `ct` has the shape and dtype of `y` (both may be nested)."""
    out_tree, outputs = _listed(y)
    _, cts = flatten(ct)
    tree, leaves = _listed(wrt)
    if len(cts) != len(outputs):
        raise GradientError(
            message(
                "wrong number of cotangents",
                got=str(len(cts)),
                expected=f"{len(outputs)}, as {out_tree}",
                at=user_line(),
                created=False,
            )
        )
    lifted = []
    for output, c in zip(outputs, cts, strict=True):
        c = c if is_tensor(c) else engine_of(output).constant(c, output.dtype)
        if (
            c.dtype != output.dtype
            or any(dims.equal(a, b) is False for a, b in zip(c.shape, output.shape, strict=False))
            or len(c.shape) != len(output.shape)
        ):
            raise GradientError(
                message(
                    "cotangent does not match its output",
                    got=str(c.aval),
                    expected=str(output.aval),
                    at=user_line(),
                    created=False,
                )
            )
        lifted.append(c)
    return tree.build(reverse.vjp(outputs, leaves, lifted))
