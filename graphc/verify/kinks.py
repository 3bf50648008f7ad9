"""Ops that are not differentiable everywhere, and the derivative graphc takes where none exists."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.tensor import Tensor
from ..ir.traversal import topological
from ..passes.patterns import inside_zero_safe
from .certificate import Kink

KINKS = {
    "abs": "0 at 0",
    "sign": "0, at the step too",
    "floor": "0, at the steps too",
    "ceil": "0, at the steps too",
    "trunc": "0, at the steps too",
    "round": "0, at the steps too",
    "floor_divide": "0, at the steps too",
    "remainder": "that of the branch taken at the jumps",
    "copysign": "0 by the sign, and 0 by the magnitude at 0",
    "maximum": "half to each where they are equal, all to both where one is nan",
    "minimum": "half to each where they are equal, all to both where one is nan",
    "max": "shared equally among ties",
    "min": "shared equally among ties",
    "supremum": "shared equally among ties",
    "first_max": "that of the first of ties",
    "argsort": "ties keep their order",
    "argmax": "the first of ties",
    "argmin": "the first of ties",
    "where": "that of the branch taken",
    "sqrt": "infinite at 0 (a cotangent of 0 stays 0)",
    "cbrt": "infinite at 0 (a cotangent of 0 stays 0)",
    "xlogy": "-inf by the first where both are 0, the limit of that of x * log(x)",
    "hypot": "0 at the origin",
    "pow": "0 by the exponent where the base is 0",
}


NORM = "0 at 0, as that of a norm"


def kinks_of(loss: Tensor, wrt: Sequence[Tensor]) -> tuple[Kink, ...]:
    """The ops between `wrt` and `loss` that have points without a derivative, once per op and line."""
    order = topological([loss])
    between = _between(order, loss, wrt)
    found: dict[Kink, None] = {}
    within: set[Tensor] = set()
    for node in reversed(order):  # users first: the parts of a norm are not looked at by themselves
        if node not in between or node.op.name not in KINKS or node in within:
            continue
        if node.op.name == "where" and inside_zero_safe(node) is not None:
            within.update((node.inputs[2], *node.inputs[2].inputs))
            found[Kink("sqrt", _line(node), NORM)] = None
        elif node.op.name != "where" or node.inputs[0] in between:
            found[Kink(node.op.name, _line(node), KINKS[node.op.name])] = None
    return tuple(reversed(found))


def _line(node: Tensor) -> str:
    return str(node.origin.lines[0]) if node.origin.lines else "?"


def _between(order: Sequence[Tensor], loss: Tensor, wrt: Sequence[Tensor]) -> set[Tensor]:
    """What depends on `wrt` and leads to `loss`, neither through ``stop_gradient``."""
    leads = {loss}
    for node in reversed(order):
        if node in leads and node.op.name != "stop_gradient":
            leads.update(node.inputs)
    depends = set(wrt)
    for node in order:
        if node.op.name != "stop_gradient" and any(i in depends for i in node.inputs):
            depends.add(node)
    return leads & depends
