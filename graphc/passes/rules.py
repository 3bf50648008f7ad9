"""Rewrite rules as data: a name, the op they look at, and a function that returns a replacement or None."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ..ir.graph import Graph
from ..ir.leaves import constant_value
from ..ir.tensor import Tensor

Match = Callable[[Tensor], Tensor | None]


class Rule(NamedTuple):
    """`apply(node)` gives what `node` (of op `op`) may be replaced by, or None.

    Rules keep every bit of the result, but for the sign of zeros and which nan it is. Those of `stable` keep its
    mathematical value, and may give that where floating point had lost it. One that may lose precision, or turn a
    right value into a wrong one, is no rule.
    """

    name: str
    op: str
    apply: Match


def rewrite(
    graph: Graph, rules: Sequence[Rule], made: dict[Tensor, tuple[str, ...]] | None = None
) -> tuple[Graph, Counter[str]]:
    """Apply `rules` everywhere, operands first; returns the new graph and how often each rule fired.

    made  gets each node that rules made, with their names in order
    """
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
                if made is not None:
                    made[new] = (*made.pop(node, ()), rule.name)
                return new
        return None

    return graph.replace(visit, by_op), fired


def scalar_value(node: Tensor) -> np.generic | None:
    """The value of a tensor that is one constant everywhere, else None."""
    while node.op.name in ("broadcast_to", "reshape"):
        node = node.inputs[0]
    value = constant_value(node)
    return value.flat[0] if value is not None and value.shape == () else None


def number(node: Tensor) -> float | None:
    """`scalar_value` as a Python number."""
    value = scalar_value(node)
    return None if value is None else float(value)


def is_scalar(node: Tensor, value: float) -> bool:
    """Whether `node` is `value` everywhere (0.0 is not -0.0)."""
    found = scalar_value(node)
    return found is not None and bool(found == value) and bool(np.signbit(float(found)) == np.signbit(float(value)))
