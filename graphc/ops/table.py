"""The op table: every primitive, by name. Everything that walks ops walks this."""

from __future__ import annotations

from types import MappingProxyType

from ..ir import graph, leaves
from ..ir.op import Op
from . import cotangent, creation, elementwise, indexing, linalg, movement, reduction

_MODULES = (leaves, cotangent, elementwise, creation, movement, reduction, linalg, indexing)


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
