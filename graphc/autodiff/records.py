"""What was differentiated by what: remembered as long as the gradients live, so that a step can certify those in it.

A record is found by its gradients. It keeps what was differentiated alive, never the gradients themselves.

A gradient may be an older node: the derivative of w * x by w is x, that of a sum the constant 1. Such nodes live on
without it, so what is remembered there keeps nothing alive; and they stand in graphs for other reasons too, so it
counts only where that by which was differentiated, or the gradient as a result, is in the graph.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..ir.tensor import Tensor
from ..ir.traversal import topological


class Record(NamedTuple):
    """One call of reverse mode: `results` are the cotangents of `wrt`, given those of `outputs`."""

    outputs: tuple[Tensor, ...]
    wrt: tuple[Tensor, ...]
    cotangents: tuple[Tensor, ...]
    results: tuple[weakref.ref[Tensor], ...]

    @property
    def key(self) -> tuple[int, ...]:
        return tuple(t.serial for t in (*self.outputs, *self.wrt, *self.cotangents))


class Trace(NamedTuple):
    """A derivative by `wrt` of which no `Record` is kept: `what` is "gradient", "Jacobian" ...

    record  the call of reverse mode, while all it needs lives; None where no such call gave it
    line    of the user's program, where what was differentiated was made
    older   whether it is a node that was there before, and may stand in a graph for another reason
    """

    what: str
    wrt: weakref.ref[Tensor]
    record: Callable[[], Record | None]
    line: str
    older: bool


_records: dict[int, list[Record]] = {}
_traces: dict[int, dict[tuple[object, ...], Trace]] = {}
_MANY = 32
"""From so many traces of one node on, those are dropped, at each doubling, that say no more than others."""


def note(
    outputs: Sequence[Tensor], wrt: Sequence[Tensor], cotangents: Sequence[Tensor], results: Sequence[Tensor]
) -> None:
    """Remember one call of reverse mode; of no outputs there is nothing to remember."""
    if not outputs:
        return
    record = Record(tuple(outputs), tuple(wrt), tuple(cotangents), tuple(weakref.ref(r) for r in results))
    newest = max(record.key, default=-1)
    for result in dict.fromkeys(results):
        if result.serial <= newest:
            continue  # what the record keeps may depend on it
        if result.serial not in _records:
            _records[result.serial] = []
            weakref.finalize(result, _records.pop, result.serial, None).atexit = False
        if all(r.key != record.key for r in _records[result.serial]):
            _records[result.serial].append(record)
    older = [(w, r) for w, r in zip(wrt, results, strict=True) if r.serial <= newest]
    if not older:
        return
    below = set(topological(outputs))
    revived = _weakly(record, {r for _, r in older})
    line = str(outputs[0].origin.latest or "?")
    for w, result in older:
        if w in below:  # else it is zero, whatever the rules are
            _leave(result, (w.serial, *record.key), Trace("gradient", weakref.ref(w), revived, line, True))


def note_other(what: str, outputs: Sequence[Tensor], wrt: Sequence[Tensor], results: Sequence[Tensor]) -> None:
    """Remember that `results`, one per output and tensor of `wrt`, are derivatives of no reverse mode alone."""
    below = {y: set(topological([y])) for y in outputs}
    pairs = [(y, w) for y in outputs for w in wrt]
    for (y, w), result in zip(pairs, results, strict=True):
        if w in below[y]:  # else it is zero
            older = result.serial <= max(y.serial, w.serial)
            trace = Trace(what, weakref.ref(w), _no_record, str(y.origin.latest or "?"), older)
            _leave(result, (what, w.serial, y.serial), trace)


def _no_record() -> None:
    return None


def _weakly(record: Record, results: set[Tensor]) -> Callable[[], Record | None]:
    """The record again, while what it is of lives. Constants are kept, for nobody else may hold the cotangent 1."""
    outputs, wrt, cotangents = (
        [_reference(t, t.op.name == "constant" and t not in results) for t in group] for group in record[:3]
    )
    found_by = record.results

    def revived() -> Record | None:
        groups = [tuple([ref() for ref in refs]) for refs in (outputs, wrt, cotangents)]
        alive = [tuple([t for t in group if t is not None]) for group in groups]
        return None if [*map(len, alive)] != [*map(len, groups)] else Record(alive[0], alive[1], alive[2], found_by)

    return revived


def _reference(t: Tensor, strong: bool) -> Callable[[], Tensor | None]:
    return (lambda: t) if strong else weakref.ref(t)


def _leave(result: Tensor, key: tuple[object, ...], trace: Trace) -> None:
    """Add a trace to those of a node, which go when it does."""
    if result.serial not in _traces:
        _traces[result.serial] = {}
        weakref.finalize(result, _traces.pop, result.serial, None).atexit = False
    known = _traces[result.serial]
    known[key] = trace
    if len(known) >= _MANY and not len(known) & (len(known) - 1):
        useful = {(t.what, t.wrt(), t.line): k for k, t in known.items() if t.wrt() is not None}
        kept = set(useful.values()) | {k for k, t in known.items() if t.record() is not None}
        _traces[result.serial] = {k: t for k, t in known.items() if k in kept}


def records_of(node: Tensor) -> tuple[Record, ...]:
    """The calls of reverse mode that gave `node`, a newer node than all they were about."""
    return tuple(_records.get(node.serial, ()))


def traces_of(node: Tensor) -> tuple[Trace, ...]:
    """The derivatives that `node` is, and no record is kept of."""
    return tuple(_traces.get(node.serial, {}).values())
