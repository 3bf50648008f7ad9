"""Rewrite rules as data: a name, the op they look at, and a function that returns a replacement or None."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ..ir.graph import Graph
from ..ir.leaves import constant_value
from ..ir.tensor import Tensor


class Rule(NamedTuple):
    """`apply(node)` gives what `node` (of op `op`) may be replaced by, or None.

    Rules keep every bit of the result, but for the sign of zeros and which nan it is. One that may lose precision or
    change nan is tagged ``unsafe`` and is off unless asked for.
    """

    name: str
    op: str
    apply: Callable[[Tensor], Tensor | None]
    unsafe: bool = False


def rewrite(graph: Graph, rules: Sequence[Rule]) -> tuple[Graph, Counter[str]]:
    """Apply `rules` everywhere, operands first; returns the new graph and how often each rule fired."""
    fired: Counter[str] = Counter()
    by_op: dict[str, list[Rule]] = {}
    for rule in rules:
        by_op.setdefault(rule.op, []).append(rule)

    def visit(node: Tensor) -> Tensor | None:
        for rule in by_op.get(node.op.name, ()):
            new = rule.apply(node)
            if new is not None and new is not node:
                if new.avals != node.avals:
                    raise AssertionError(f"rule {rule.name} changed {node!r} to {new!r}")
                fired[rule.name] += 1
                return new
        return None

    return graph.replace(visit), fired


def scalar_value(node: Tensor) -> np.generic | None:
    """The value of a tensor that is one constant everywhere, else None."""
    while node.op.name in ("broadcast_to", "reshape"):
        node = node.inputs[0]
    value = constant_value(node)
    return value.flat[0] if value is not None and value.shape == () else None


def is_scalar(node: Tensor, value: float) -> bool:
    """Whether `node` is `value` everywhere (0.0 is not -0.0)."""
    found = scalar_value(node)
    return found is not None and bool(found == value) and bool(np.signbit(float(found)) == np.signbit(float(value)))
