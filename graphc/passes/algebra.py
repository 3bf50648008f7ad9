"""Algebraic identities that keep the bits of the result."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ..ir.apply import apply
from ..ir.graph import Graph
from ..ir.leaves import constant_value
from ..ir.tensor import Tensor
from ..ops.elementwise import multiply, negative
from ..ops.guarded import LEFT, RIGHT, attrs_of, sides
from ..ops.movement import reshape
from .patterns import unview
from .rules import Rule, is_scalar, number, rewrite, scalar_value


def _times_one(node: Tensor) -> Tensor | None:
    x, y = node.inputs
    if node.dtype.kind == "b":
        return None
    return y if is_scalar(x, 1) else x if is_scalar(y, 1) else None


def _over_one(node: Tensor) -> Tensor | None:
    x, y = node.inputs
    return x if is_scalar(y, 1) else None


def _plus_zero(node: Tensor) -> Tensor | None:
    """x + 0 for integers; for floats x + (-0.0), since -0.0 + 0.0 is 0.0."""
    x, y = node.inputs
    for a, b in ((x, y), (y, x)):
        if (node.dtype.kind in "iu" and is_scalar(b, 0)) or (node.dtype.kind == "f" and is_scalar(b, -0.0)):
            return a
    return None


def _twice(node: Tensor) -> Tensor | None:
    x, y = node.inputs
    if x is not y:
        return None
    return x if node.dtype.kind == "b" else multiply(2, x)


def _minus_zero(node: Tensor) -> Tensor | None:
    x, y = node.inputs
    return x if is_scalar(y, 0) else None


def _double_negative(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    return x.inputs[0] if x.op.name == "negative" else None


def _plain_product(node: Tensor) -> Tensor | None:
    """A cotangent product whose guard cannot matter: a finite constant derivative, or a cotangent that is never 0."""
    ct, d = node.inputs
    k = scalar_value(d)
    if k is not None and np.isfinite(k):
        return multiply(ct, d)
    return multiply(ct, d) if _is_never_zero(ct) else None


_LEAST = 2.0**-60
"""A number so large is not subnormal in float32 when any size has divided it."""


def _is_never_zero(node: Tensor) -> bool:
    """Whether `node` is a constant, or a constant over a size, as in the gradient of a mean; and not 0."""
    inner, _ = unview(node)
    if inner.op.name == "divide" and inner.inputs[1].op.name == "dim_value":
        divided = number(inner.inputs[0])
        return divided is not None and abs(divided) >= _LEAST
    return number(inner) not in (None, 0.0)


def _plain_tangent_product(node: Tensor) -> Tensor | None:
    """A product in which either zero annihilates, by a finite constant that is not 0."""
    a, b = node.inputs
    known = [v for v in (scalar_value(a), scalar_value(b)) if v is not None]
    return multiply(a, b) if any(np.isfinite(v) and v != 0 for v in known) else None


def _plain_sum_of_products(node: Tensor) -> Tensor | None:
    """A sum of products by finite constants: zeros of the other operand need not annihilate them."""
    guarded = sides(node.attrs.get("guard", ""))
    finite = [_is_finite_constant(x) for x in node.inputs]
    kept = [annihilates and not finite[1 - k] for k, annihilates in enumerate(guarded)]
    if kept == list(guarded):
        return None
    attrs = {name: value for name, value in node.attrs.items() if name != "guard"}
    guard = {(True, False): LEFT, (False, True): RIGHT, (False, False): ""}[kept[0], kept[1]]
    return apply(node.op, *node.inputs, **attrs, **attrs_of(guard))


def _is_finite_constant(node: Tensor) -> bool:
    value = constant_value(unview(node)[0])
    return value is not None and bool(np.isfinite(value).all())


def _times_minus_one(node: Tensor) -> Tensor | None:
    x, y = node.inputs
    if node.dtype.kind not in "fi":
        return None
    return negative(y) if is_scalar(x, -1) else negative(x) if is_scalar(y, -1) else None


def _plus_negative(node: Tensor) -> Tensor | None:
    from ..ops.elementwise import SUBTRACT

    x, y = node.inputs
    if y.op.name == "negative":
        return apply(SUBTRACT, x, y.inputs[0])
    if x.op.name == "negative":
        return apply(SUBTRACT, y, x.inputs[0])
    return None


def _where_constant(node: Tensor) -> Tensor | None:
    c, x, y = node.inputs
    value = scalar_value(c)
    if value is not None:
        return x if value else y
    return x if x is y else None


def _reduce_ones(node: Tensor) -> Tensor | None:
    """A reduction over axes of size 1 only."""
    (x,) = node.inputs
    return reshape(x, node.shape) if all(x.shape[a] == 1 for a in node.attrs["axes"]) else None


RULES = (
    Rule("x * 1", "multiply", _times_one),
    Rule("x * -1", "multiply", _times_minus_one),
    Rule("x / 1", "divide", _over_one),
    Rule("x + 0", "add", _plus_zero),
    Rule("x + (-y)", "add", _plus_negative),
    Rule("x + x", "add", _twice),
    Rule("x - 0", "subtract", _minus_zero),
    Rule("-(-x)", "negative", _double_negative),
    Rule("plain cotangent product", "ct_mul", _plain_product),
    Rule("plain tangent product", "zero_mul", _plain_tangent_product),
    *[
        Rule("plain sum of products", op, _plain_sum_of_products)
        for op in ("contract", "convolve", "convolve_transposed", "convolve_weights")
    ],
    Rule("where of a constant", "where", _where_constant),
    *[Rule(f"{op} over size 1", op, _reduce_ones) for op in ("sum", "prod", "max", "min", "any", "all")],
)


def algebra(graph: Graph) -> tuple[Graph, Counter[str]]:
    return rewrite(graph, RULES)
