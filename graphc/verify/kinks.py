"""Ops that are not differentiable everywhere, and the derivative graphc takes where none exists."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.tensor import Tensor
from ..ir.traversal import depends_on, topological
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
    "maximum": "half to each where they are equal",
    "minimum": "half to each where they are equal",
    "max": "shared equally among ties",
    "min": "shared equally among ties",
    "argsort": "ties keep their order",
    "argmax": "the first of ties",
    "argmin": "the first of ties",
    "where": "that of the branch taken",
    "sqrt": "infinite at 0 (a cotangent of 0 stays 0)",
    "hypot": "0 at the origin",
    "pow": "0 by the exponent where the base is 0",
}


def kinks_of(loss: Tensor, wrt: Sequence[Tensor]) -> tuple[Kink, ...]:
    """The ops between `wrt` and `loss` that have points without a derivative, once per op and line."""
    order = topological([loss])
    active = depends_on(order, wrt)
    found: dict[Kink, None] = {}
    for node in order:
        if node not in active or node.op.name not in KINKS:
            continue
        if node.op.name == "where" and node.inputs[0] not in active:
            continue
        line = str(node.origin.lines[0]) if node.origin.lines else "?"
        found[Kink(node.op.name, line, KINKS[node.op.name])] = None
    return tuple(found)
