"""A fusion group as loop IR: fused loops, or one of the kernels that stand alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ..ir.loops import Kernel
from ..ir.tensor import Tensor
from .fuse import Group
from .singles import argsort, check, concat, dot, scan, scatter
from .stages import StagesWriter
from .units import Unit
from .values import KernelWriter

SINGLES: Mapping[str, Callable[[KernelWriter, Unit], None]] = MappingProxyType(
    {"scan": scan, "concat": concat, "scatter": scatter, "dot": dot, "argsort": argsort, "check": check}
)


def lower(group: Group, stored: set[Tensor], buffers: Any, uses: dict[Tensor, int], chunked: bool) -> Kernel:
    """The kernel of `group`.

    stored   nodes that have memory; `buffers` says which, and which of the group's values must reach theirs
    uses     how often each node is read in the graph
    chunked  whether its outermost loop is cut into chunks, as what runs is; without, the same kernel is easier to read
    """
    writer = StagesWriter(group, stored, buffers, uses)
    writer.chunked = chunked
    first = group.units[0]
    if first.kind in SINGLES:
        SINGLES[first.kind](writer, first)
    else:
        writer.stages()
    writer.kernel.nodes = [u.node for u in group.units]
    writer.kernel.title = _title(group)
    return writer.kernel


def _title(group: Group) -> str:
    domain = ", ".join(map(str, group.domain)) if group.domain else "scalar"
    ops = dict.fromkeys(u.kind if u.kind in ("copy", "check") else u.node.op.name for u in group.units)
    return f"[{domain}] {', '.join(ops)}"
