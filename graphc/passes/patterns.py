"""What rules look for in a graph: values read through views, exponents, squares, what cannot be negative.

A view stands for everything that only moves elements: an elementwise function of it is the view of the function.
Searches are bounded, so that a rule costs the same in the largest graph.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from ..ir.apply import apply
from ..ir.leaves import constant_value
from ..ir.tensor import Tensor
from ..ops.elementwise import divide, multiply, negative, subtract
from ..ops.movement import broadcast_to
from ..ops.power import square
from ..ops.reduction import restore
from .rules import Match, is_scalar, number

_VIEWS = frozenset({"broadcast_to", "reshape", "permute_dims", "slice", "flip", "check_index", "check_size", "gather"})
_MOST_VIEWS, _MOST_NODES = 8, 64

Views = tuple[Tensor, ...]


def unview(node: Tensor) -> tuple[Tensor, Views]:
    """What is behind the views on top of `node`, and these, the outermost first."""
    views: list[Tensor] = []
    while node.op.name in _VIEWS and len(views) < _MOST_VIEWS:
        views.append(node)
        node = node.inputs[0]
    return node, tuple(views)


def review(inner: Tensor, views: Views) -> Tensor:
    """`inner` behind the same views."""
    for view in reversed(views):
        inner = apply(view.op, inner, *view.inputs[1:], **view.attrs)
    return inner


def behind_views(match: Match) -> Match:
    """The rule of an elementwise function of one operand, whose `match` sees the operand without views."""

    def rule(node: Tensor) -> Tensor | None:
        inner, views = unview(node.inputs[0])
        new = match(inner)
        return None if new is None else review(new, views)

    return rule


def operand_of(op: str, node: Tensor) -> Tensor | None:
    """x where `node` is ``op(x)``, behind views or not."""
    inner, views = unview(node)
    return review(inner.inputs[0], views) if inner.op.name == op else None


def either(node: Tensor, match: Callable[[Tensor, Tensor], Tensor | None]) -> Tensor | None:
    """What `match` finds in the operands of `node` in either order."""
    x, y = node.inputs
    found = match(x, y)
    return match(y, x) if found is None else found


def plus_one(node: Tensor) -> Tensor | None:
    """x where `node` is ``1 + x`` or ``x + 1``."""
    if node.op.name != "add":
        return None
    return either(node, lambda a, b: b if is_scalar(a, 1) else None)


def minus(x: Tensor) -> Tensor:
    """-x, with the sign moved inwards where that changes no bit."""
    name = x.op.name
    if name == "negative":
        return x.inputs[0]
    if name == "subtract":
        return subtract(x.inputs[1], x.inputs[0])
    if name in ("multiply", "divide"):
        a, b = x.inputs
        function = multiply if name == "multiply" else divide
        if a.op.name == "negative" or number(a) is not None:
            return function(minus(a) if a.op.name == "negative" else negative(a), b)
    return negative(x)


def without_sign(x: Tensor) -> tuple[Tensor, bool]:
    """``(y, False)`` where `x` is y, ``(y, True)`` where it is -y."""
    if x.op.name == "negative":
        return x.inputs[0], True
    if x.op.name == "multiply":
        for a, b in (x.inputs, x.inputs[::-1]):
            if is_scalar(a, -1):
                return b, True
    return x, False


def is_spread_back(node: Tensor, reduced: Tensor, x: Tensor) -> bool:
    """Whether `node` is a reduction of `x` stretched back, each result over the elements that it combines."""
    axes = reduced.attrs["axes"]
    if node is restore(reduced, x.shape, axes):
        return True
    leading = axes == tuple(range(len(axes)))
    return leading and node is broadcast_to(reduced, x.shape)


# squares and signs


def square_root_of(node: Tensor) -> Tensor | None:
    """x where `node` is ``x * x`` or ``x**2``."""
    if node.op.name == "multiply" and node.inputs[0] is node.inputs[1]:
        return node.inputs[0]
    return node.inputs[0] if node.op.name == "integer_pow" and node.attrs["exponent"] == 2 else None


def _is_even_power(node: Tensor) -> bool:
    if node.op.name == "multiply":
        return node.inputs[0] is node.inputs[1]
    return node.op.name == "integer_pow" and node.attrs["exponent"] > 0 and node.attrs["exponent"] % 2 == 0


def _is_product_with_itself(node: Tensor) -> bool:
    """A contraction of `x` with `x` in which each element of the result is a sum of squares."""
    if node.op.name != "contract" or node.inputs[0] is not node.inputs[1]:
        return False
    x, y = node.attrs["spec"].split("->")[0].split(",")
    return bool(x == y)


def _is_product_of_squares(node: Tensor) -> bool:
    """A product of weights, even powers, and factors that are there an even number of times."""
    waiting = [node]
    times: Counter[Tensor] = Counter()
    for _ in range(_MOST_NODES):
        if not waiting:
            break
        factor = waiting.pop()
        if factor.op.name == "multiply":
            waiting += factor.inputs
        elif not _is_weight(factor):
            times[factor] += 2 if _is_even_power(unview(factor)[0]) else 1
    return not waiting and bool(times) and all(n % 2 == 0 for n in times.values())


def _is_weight(node: Tensor) -> bool:
    """A number > 0, a size, or an array of constants none of which is negative."""
    inner, _ = unview(node)
    value = constant_value(inner)
    if value is None:
        return inner.op.name == "dim_value"
    return bool(value > 0) if value.shape == () else bool(np.all(value >= 0))


def _all_below(node: Tensor, leaf: Callable[[Tensor], bool], inside: Callable[[Tensor], list[Tensor] | None]) -> bool:
    """Whether `node` is made of leaves by what `inside` opens: it gives the operands that must be so made, or None."""
    waiting, seen = [node], 0
    while waiting:
        inner, _ = unview(waiting.pop())
        seen += 1
        if seen > _MOST_NODES:
            return False
        if leaf(inner):
            continue
        operands = inside(inner)
        if operands is None:
            return False
        waiting += operands
    return True


def _scaled(node: Tensor) -> list[Tensor] | None:
    """The parts of a sum, and what weights multiply and divide."""
    name = node.op.name
    if name == "sum":
        return list(node.inputs)
    if name == "add":
        return [x for x in node.inputs if number(x) != 0.0] or None
    if name in ("multiply", "contract"):
        return [x for x in node.inputs if not _is_weight(x)] or None
    if name == "divide" and _is_weight(node.inputs[1]):
        return [node.inputs[0]]
    return None


def is_sum_of_squares(node: Tensor) -> bool:
    """Whether `node` is a sum of even powers, their products, and what weights make of them: its least value is 0.

    Where it is 0 so is its gradient, and that of its root may be defined as 0.
    """

    def leaf(n: Tensor) -> bool:
        return _is_product_with_itself(n) or _is_product_of_squares(n)

    return _all_below(node, leaf, _scaled)


_NOT_NEGATIVE = frozenset({"exp", "exp2", "abs", "sqrt", "sigmoid", "softplus", "hypot", "erfc", "cosh"})
_KEEPS_SIGN = frozenset(
    {
        "add",
        "multiply",
        "divide",
        "contract",
        "sum",
        "prod",
        "max",
        "min",
        "supremum",
        "first_max",
        "maximum",
        "minimum",
    }
)


def is_not_negative(node: Tensor) -> bool:
    """Whether `node` is known to be >= 0 (or nan) whatever its inputs are."""

    def leaf(n: Tensor) -> bool:
        if n.op.name in _NOT_NEGATIVE or _is_product_with_itself(n) or _is_product_of_squares(n):
            return True
        return _is_weight(n) or number(n) == 0.0

    return _all_below(node, leaf, lambda n: list(n.inputs) if n.op.name in _KEEPS_SIGN else None)


def square_of_norm(node: Tensor) -> Tensor | None:
    """s where `node` is sqrt(s), of an s that is not negative: written out, made zero-safe, as hypot or as abs."""
    inner, views = unview(node)
    name = inner.op.name
    found = None
    if name == "sqrt" and is_not_negative(inner.inputs[0]):
        found = inner.inputs[0]
    elif name == "where":
        found = inside_zero_safe(inner)
    elif name == "hypot":
        found = square(inner.inputs[0]) + square(inner.inputs[1])
    elif name == "abs" and inner.dtype.kind == "f":
        found = square(inner.inputs[0])
    return None if found is None else review(found, views)


def inside_zero_safe(node: Tensor) -> Tensor | None:
    """s where `node` is ``where(s == 0, 0, sqrt(where(s == 0, 1, s)))``: what `ops.statistics.zero_safe` builds."""
    zero, nothing, root = node.inputs
    if zero.op.name != "equal" or root.op.name != "sqrt" or not is_scalar(nothing, 0):
        return None
    s, safe = zero.inputs[0], root.inputs[0]
    whole = safe.op.name == "where" and safe.inputs[0] is zero and safe.inputs[2] is s
    return s if whole and is_scalar(zero.inputs[1], 0) else None
