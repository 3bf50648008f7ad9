"""Statements read from the op table: every elementwise row with a public function, on operands of its own domain.

A new row is in random programs from then on.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..ir.lowering import Map
from ..ir.op import Arr, Op
from ..ops.functions import PUBLIC
from ..ops.table import OPS
from .statements import partner

_ATTRS = {"polygamma": "2, ", "astype": None}
"""What the public function of a row with attrs wants before the operands; None where it is another statement."""


class RowFunction(NamedTuple):
    """A row as a function: its name, what comes before the operands, and a sample of each."""

    name: str
    first: str
    operands: tuple[Arr, ...]


def _callables() -> tuple[RowFunction, ...]:
    rows = [op for op in OPS.values() if isinstance(op.lower, Map) and op.name in PUBLIC]
    return tuple(
        RowFunction(op.name, _first(op), op.samples[0].operands) for op in rows if _ATTRS.get(op.name, "") is not None
    )


def _first(op: Op) -> str:
    return _ATTRS.get(op.name) or ""


CALLABLES = _callables()


def row(d: Any) -> Any:
    """One row, each as likely as the others."""
    return row_statement(d, d.choose(CALLABLES))


def row_statement(d: Any, chosen: RowFunction) -> str | None:
    """A call of this row; None where nothing there can be its operand."""
    kinds = [_kinds(spec) for spec in chosen.operands]
    x = d.pick(lambda v: v.dtype.kind in kinds[0])
    if x is None:
        return None
    names = [x]
    for kind in kinds[1:]:
        y = partner(d, x)
        if y in d.values and d.values[y].dtype.kind not in kind:
            y = d.pick(lambda v, kind=kind: v.dtype.kind in kind and v.shape == d.values[x].shape)
        if y is None:
            return None
        names.append(y)
    texts = [_inside(d, name, spec) for name, spec in zip(names, chosen.operands, strict=True)]
    if chosen.name in ("copysign", "signbit"):  # inf - inf may be any nan, and its sign either
        texts[-1] = f"gc.where({texts[-1]} == {texts[-1]}, {texts[-1]}, 1)"
    return f"gc.{chosen.name}({chosen.first}{', '.join(texts)})"


def _kinds(spec: Arr) -> str:
    """The kinds of dtype that an operand may have: floats and integers go together where a row computes in floats."""
    kind = np.dtype(spec.dtype).kind
    return {"f": "fiu", "b": "b"}.get(kind, "iub")


def _inside(d: Any, name: str, spec: Arr) -> str:
    """An operand inside the row's domain: as it is, cut off, or squeezed smoothly."""
    if np.dtype(spec.dtype).kind != "f" or spec.values is not None or (spec.low <= -2 and spec.high >= 2):
        return name
    if d.random.random() < 0.3:
        return f"gc.clip({name}, {spec.low}, {spec.high})"
    return f"(gc.sigmoid({name}) * {spec.high - spec.low:.4g} + {spec.low})"


__all__ = ["CALLABLES", "row", "row_statement"]
