"""Numerically stable forms: what overflows, underflows, cancels or has no gradient at 0 where mathematics has.

The same rules run twice. When a step is compiled, as a pass; and before a derivative is taken (`stable_outputs`), for
the derivative of a form that overflows is inf / inf however the form itself is computed later: of log(sum(exp(x))) it
is exp(x) / sum(exp(x)). Both give the same nodes, so that value and gradient go on sharing their parts. Eager mode
computes what is written, as it is written.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ..ir.graph import Graph
from ..ir.leaves import INPUT, PARAM
from ..ir.leaves import input as make_input
from ..ir.tensor import Tensor, rebuilt, tracing_origin
from ..ir.traversal import rebuild, topological
from . import stable_exp, stable_log, stable_norm, stable_power
from .rules import Rule, rewrite

RULES: tuple[Rule, ...] = (*stable_log.RULES, *stable_exp.RULES, *stable_norm.RULES, *stable_power.RULES)
_SEEDS = frozenset({"erf", "erfc", "exp", "expm1", "log", "log10", "log1p", "log2", "pow", "sigmoid", "sqrt"})
"""A graph without these has no gradient that a rule would save."""

Made = dict[Tensor, tuple[str, ...]]
"""The nodes that rules made, with the names of these in order."""

_behind: dict[int, Made] = {}
"""By the serial of a derivative: what rules made before it was taken. Kept as long as the derivative."""


def stable(graph: Graph) -> tuple[Graph, Counter[str]]:
    """The graph in stable forms; what rules made before a derivative in it was taken counts too, each node once."""
    made = _made_behind(graph.nodes)
    graph, _ = rewrite(graph, RULES, made)
    return graph, Counter(name for names in made.values() for name in names)


def stable_outputs(outputs: Sequence[Tensor], wrt: Sequence[Tensor]) -> tuple[list[Tensor], Made]:
    """`outputs` in stable forms, as functions of `wrt`: a computed or constant tensor among these stays what it is.

    Takes time linear in the graph, and little where it has nothing that a rule looks for.
    """
    order = topological(outputs)
    earlier = _made_behind(order)
    if not any(node.op.name in _SEEDS for node in order):
        return list(outputs), earlier
    held = {w: make_input("held", w.shape, w.dtype) for w in wrt if w.op not in (INPUT, PARAM)}
    found = _substituted(order, held)
    made: Made = {}
    graph, _ = rewrite(Graph((), [found.get(o, o) for o in outputs]), RULES, made)
    if not made:
        return list(outputs), earlier
    back = _substituted(graph.nodes, {h: w for w, h in held.items()})
    now = {back.get(node, node): names for node, names in made.items()}
    return [back.get(o, o) for o in graph.outputs], {**earlier, **now}


def _made_behind(nodes: Iterable[Tensor]) -> Made:
    """What rules made before derivatives among `nodes` were taken."""
    found = {id(behind): behind for node in nodes if (behind := _behind.get(node.serial)) is not None}
    return {node: names for behind in found.values() for node, names in behind.items()}


def remember(derivatives: Sequence[Tensor], made: Made) -> None:
    """Let the steps that `derivatives` become part of name the rules behind them."""
    newest = max((node.serial for node in made), default=-1)
    for derivative in derivatives if made else ():
        if derivative.serial > newest and derivative.serial not in _behind:  # an older one may be part of what is kept
            _behind[derivative.serial] = made
            weakref.finalize(derivative, _behind.pop, derivative.serial, None).atexit = False


def _substituted(order: Sequence[Tensor], new: Mapping[Tensor, Tensor]) -> dict[Tensor, Tensor]:
    """Every node of `order` with the keys of `new` replaced; nothing where there is nothing to replace."""

    def visit(node: Tensor, inputs: tuple[Tensor, ...]) -> Tensor:
        if node in new:
            return new[node]
        if all(x is y for x, y in zip(inputs, node.inputs, strict=True)):
            return node
        with tracing_origin(node.origin):
            return rebuilt(node, inputs)

    return rebuild(order, visit) if new else {}
