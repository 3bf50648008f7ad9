"""What was differentiated by what: remembered as long as the gradients live, so that a step can certify those in it.

A record is found by its gradients. It keeps what was differentiated alive, never the gradients themselves. A gradient
that is an older node (the derivative of w * x by w is x) does not lead to its record, though others of it may.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import NamedTuple

from ..ir.tensor import Tensor


class Record(NamedTuple):
    """One call of reverse mode: `results` are the cotangents of `wrt`, given those of `outputs`."""

    outputs: tuple[Tensor, ...]
    wrt: tuple[Tensor, ...]
    cotangents: tuple[Tensor, ...]
    results: tuple[weakref.ref[Tensor], ...]

    @property
    def key(self) -> tuple[int, ...]:
        return tuple(t.serial for t in (*self.outputs, *self.wrt, *self.cotangents))


_records: dict[int, list[Record]] = {}


def note(
    outputs: Sequence[Tensor], wrt: Sequence[Tensor], cotangents: Sequence[Tensor], results: Sequence[Tensor]
) -> None:
    """Remember one call of reverse mode."""
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


def records_of(node: Tensor) -> tuple[Record, ...]:
    """The calls of reverse mode that gave `node`."""
    return tuple(_records.get(node.serial, ()))
