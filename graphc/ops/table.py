"""The op table: every primitive, by name. Everything that walks ops walks this."""

from __future__ import annotations

from types import MappingProxyType

from ..ir import graph, leaves
from ..ir.op import Op
from . import (
    convolution,
    cotangent,
    creation,
    cumulative,
    elementwise,
    exponential,
    guarding,
    indexing,
    joining,
    linalg,
    logic,
    movement,
    philox,
    piecewise,
    power,
    reduction,
    rounding,
    sorting,
    special,
    structure,
    trigonometry,
    windows,
)

_ELEMENTWISE = (elementwise, power, exponential, trigonometry, special, rounding, piecewise, logic)
_MOVING = (creation, movement, joining, guarding, indexing, sorting, philox)
_MODULES = (leaves, cotangent, *_ELEMENTWISE, *_MOVING, cumulative, reduction, linalg, convolution, windows, structure)


def _table() -> dict[str, Op]:
    rows: dict[str, Op] = {}
    for module in _MODULES:
        for row in module.ROWS:
            if row.name in rows:
                raise ValueError(f"two rows are called {row.name}")
            rows[row.name] = row
    return rows


OPS = MappingProxyType(_table())
graph.set_op_lookup(OPS.__getitem__)
