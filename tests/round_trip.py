"""Every graph that the tests make, written as Python and built again: the same objects must come back.

`watch` looks at every `Graph` that is made; one of each structure makes the round trip. What that costs is counted.
"""

from __future__ import annotations

import functools
import threading
import time
from typing import Any

from graphc.ir import graph as graphs
from graphc.ir.graph import Graph
from graphc.ir.leaves import INPUT, PARAM
from graphc.ir.python_text import HEAD
from graphc.ir.tensor import Origin, intern_key, tracing_origin

LONGEST = 5000
"""Nodes of the largest graph that makes the trip; a test of its own makes it with a longer one."""


class Watch:
    """What was seen: graphs, distinct structures, and the seconds that it took to look and to make round trips."""

    def __init__(self) -> None:
        self.graphs = 0
        self.looking = self.building = 0.0
        self.seen: set[int] = set()
        self._busy = threading.local()
        self._head: dict[str, Any] = {}
        exec(HEAD, self._head)

    def __call__(self, graph: Graph) -> None:
        """Make the round trip with a graph of a structure not seen before."""
        if getattr(self._busy, "now", False) or len(graph) > LONGEST:
            return
        self._busy.now = True
        start = time.perf_counter()
        try:
            self.graphs += 1
            key = structure(graph)
            self.looking += time.perf_counter() - start
            if key not in self.seen:
                self.seen.add(key)
                start = time.perf_counter()
                self.round_trip(graph)
                self.building += time.perf_counter() - start
        finally:
            self._busy.now = False

    def round_trip(self, graph: Graph) -> None:
        """Raise `AssertionError` where the text of `graph` builds another one."""
        text = graph.to_python()
        assert text.startswith(HEAD)
        space = dict(self._head)
        exec(text[len(HEAD) :], space)
        with tracing_origin(Origin("backward")):  # which adds no lines of its own to the nodes that are there
            again = space["build"](*graph.leaves)
        assert len(again.roots) == len(graph.roots), text
        assert all(one is other for one, other in zip(again.roots, graph.roots, strict=True)), text
        assert all(one is other for one, other in zip(again.inputs, graph.inputs, strict=True)), text
        assert all(p is q for (p, _), (q, _) in zip(again.updates, graph.updates, strict=True)), text
        assert (again.name, set(again.checks)) == (graph.name, set(graph.checks)), text

    def __str__(self) -> str:
        return (
            f"{self.graphs} graphs, {len(self.seen)} structures written as Python and built again: "
            f"{self.looking:.1f} s to tell them apart, {self.building:.1f} s for the round trips"
        )


def structure(graph: Graph) -> int:
    """Equal for graphs that differ in their leaves alone."""
    position = {node: k for k, node in enumerate(graph.nodes)}
    rows = [(node.op.name, *[position[i] for i in node.inputs], *_attrs(node)) for node in graph.nodes]
    ends = [position[n] for n in graph.roots]
    return hash((*rows, *ends, *[hash(check) for check in graph.checks]))


def _attrs(node: Any) -> Any:
    if node.op is INPUT or node.op is PARAM:
        return (node.aval,)
    return [_key(node.attrs[k]) for k in sorted(node.attrs)]


def _key(value: Any) -> Any:
    return type(value).__name__ if hasattr(value, "rule") or hasattr(value, "backward") else intern_key(value)


def watch() -> Watch:
    """Begin to look at every graph that is made."""
    found = Watch()
    make = graphs.Graph.__init__

    @functools.wraps(make)
    def made(self: Graph, *args: Any, **options: Any) -> None:
        make(self, *args, **options)
        found(self)

    graphs.Graph.__init__ = made  # type: ignore[method-assign]
    return found
