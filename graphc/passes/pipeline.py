"""The order of passes, and the one hook that verifies, counts and times after each."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from .. import config
from ..ir.graph import Graph
from .algebra import algebra
from .canonicalise import canonicalise
from .contractions import contractions
from .elements import elements
from .fold import fold
from .rows import rows
from .squeeze import squeeze
from .stable import stable
from .vectors import vectors
from .verifier import verify_graph

Pass = Callable[[Graph], tuple[Graph, Counter[str]]]

PIPELINE: tuple[tuple[str, Pass], ...] = (
    ("stable forms", stable),
    ("canonicalise", canonicalise),
    ("fold constants", fold),
    ("algebra", algebra),
    ("contractions", contractions),
    ("vectors", vectors),
    ("one of a row", rows),
    ("axes of size 1", squeeze),
    ("elements", elements),
    ("canonicalise", canonicalise),
    ("algebra", algebra),
)


@dataclass(frozen=True)
class PassReport:
    """What one pass did: nodes before and after, seconds, and how often each rule fired."""

    name: str
    before: int
    after: int
    seconds: float
    fired: dict[str, int]

    def __str__(self) -> str:
        what = ", ".join(f"{n} x {k}" for k, n in sorted(self.fired.items())) or "(unchanged)"
        return f"{self.name:<16} {self.before:>6} -> {self.after:<6} {self.seconds * 1e3:8.2f} ms  {what}"


class PassReports(tuple[PassReport, ...]):
    """The reports of a pipeline; prints one line a pass."""

    __slots__ = ()

    def __str__(self) -> str:
        head = f"{'pass':<16} {'nodes':>6}    {'':<6} {'time':>8}     what fired"
        return "\n".join([head, *map(str, self)])

    __repr__ = __str__


def optimise(graph: Graph, pipeline: tuple[tuple[str, Pass], ...] = PIPELINE) -> tuple[Graph, PassReports]:
    """Run the pipeline; with ``GRAPHC_CHECK=1`` the graph is verified after every pass."""
    reports = []
    for name, run in pipeline:
        start = time.perf_counter()
        new, fired = run(graph)
        reports.append(PassReport(name, len(graph), len(new), time.perf_counter() - start, dict(fired)))
        if config.check_passes():
            verify_graph(new, after=name, before=graph)
        graph = new
    return graph, PassReports(reports)
