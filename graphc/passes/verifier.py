"""What must hold of every graph: operands before users, declared types equal to inferred ones, roots unchanged."""

from __future__ import annotations

from ..ir.graph import Graph
from ..ir.op import Require


def verify_graph(graph: Graph, after: str, before: Graph | None = None) -> None:
    """Raise `AssertionError`, naming the pass, where the graph is malformed or its interface changed."""
    seen = set()
    for node in graph.nodes:
        for operand in node.inputs:
            if operand not in seen:
                raise AssertionError(f"after {after}: {node!r} stands before its operand {operand!r}")
        seen.add(node)
        operands = [i.avals if i.op.multi else i.aval for i in node.inputs]
        inferred = node.op.infer(Require(node.op.name), *operands, **node.attrs)
        if (inferred if node.op.multi else (inferred,)) != node.avals:
            raise AssertionError(f"after {after}: {node!r} should be {inferred}")
        if node not in graph.origin:
            raise AssertionError(f"after {after}: {node!r} has no origin")
    if before is not None:
        if [o.avals for o in before.outputs] != [o.avals for o in graph.outputs]:
            raise AssertionError(f"after {after}: the outputs' types changed")
        if [(p, v.avals) for p, v in before.updates] != [(p, v.avals) for p, v in graph.updates]:
            raise AssertionError(f"after {after}: the updates changed")
        if before.inputs != graph.inputs:
            raise AssertionError(f"after {after}: the inputs changed")
