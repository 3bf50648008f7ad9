"""Random graphs as Python text that builds them again: the same nodes on the same leaves, an equal graph on others."""

from __future__ import annotations

from typing import Any

from ..ir.graph import Graph
from .check import Mismatch
from .random_programs import RandomProgram


def check_text(program: RandomProgram) -> int:
    """Raise `Mismatch` where `Graph.to_python` of a random program builds another graph; returns how many it built."""
    traced = program.trace()
    graph = Graph(traced.inputs, traced.outputs, list(traced.updates.items()))
    text = graph.to_python()
    space: dict[str, Any] = {}
    try:
        exec(text, space)
        again, fresh = space["build"](*graph.leaves), space["build"](rules=graph.leaves.rules)
        if any(one is not other for one, other in zip(again.roots, graph.roots, strict=True)):
            raise Mismatch("as Python: another node on the same leaves")
        if fresh.to_python(names=False) != graph.to_python(names=False):
            raise Mismatch("as Python: another graph on new leaves")
    except Exception as error:
        error.add_note(f"reproduce with\n\n{text}")
        raise
    return 2


__all__ = ["check_text"]
