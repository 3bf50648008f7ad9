"""A fusion group as loop IR: fused loops, or one of the kernels that stand alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..ir.expr import Expr
from ..ir.loops import Chunks, Finish, Kernel, Statement
from ..ir.tensor import Tensor
from .chunks import Chunking
from .columns import columns
from .convolutions import convolve, convolve_in_chunks
from .fuse import Group
from .overlap import overlap, overlap_in_chunks
from .policy import CPU, Policy
from .singles import argsort, check, concat, dot, dot_in_chunks, scan, scatter
from .stages import StagesWriter
from .units import Unit
from .values import KernelWriter, Scope

SINGLES: Mapping[str, Callable[[KernelWriter, Unit], None]] = MappingProxyType(
    {
        "columns": columns,
        "scan": scan,
        "concat": concat,
        "scatter": scatter,
        "dot": dot,
        "convolve": convolve,
        "overlap": overlap,
        "argsort": argsort,
        "check": check,
    }
)

IN_CHUNKS: Mapping[str, Callable[[StagesWriter, Unit, Chunking, list[Statement]], list[Statement]]] = MappingProxyType(
    {"convolve": convolve_in_chunks, "overlap": overlap_in_chunks}
)
"""Those that can do their part for a chunk of rows, in a kernel with others; see `cluster`. So can products."""


def lower(
    group: Group, stored: set[Tensor], buffers: Any, uses: dict[Tensor, int], chunked: bool, policy: Policy = CPU
) -> Kernel:
    """The kernel of `group`.

    stored   nodes that have memory; `buffers` says which, and which of the group's values must reach theirs
    uses     how often each node is read in the graph
    chunked  whether its outermost loop is cut into chunks, as what runs is; without, the same kernel is easier to read
    policy   how it is shaped
    """
    writer: StagesWriter | None = None
    cut = group.chunking if chunked else None
    body: list[Statement] = []
    behind: list[Statement] = []
    known: dict[Any, Expr] = {}
    for member in group.members or [group]:
        writer = StagesWriter(member, stored, buffers, uses, writer)
        writer.chunked, writer.policy = chunked, policy
        first = member.units[0]
        if cut is not None:
            if first.kind == "dot":
                behind += dot_in_chunks(writer, first, group.roles[first.number], cut, body)
            elif first.kind in IN_CHUNKS:
                behind += IN_CHUNKS[first.kind](writer, first, cut, body)
            else:
                behind += writer.in_chunks(cut, body)
        elif first.kind in SINGLES:
            SINGLES[first.kind](writer, first)
        else:
            writer.stages()
        known |= writer.known()
    assert writer is not None
    kernel = writer.kernel
    if cut is not None:
        kernel.body.append(Chunks("c", cut.count, cut.length, cut.extent, body))
    if behind:
        kernel.body.append(Finish(behind))
    if group.ends:
        _end(kernel, [StagesWriter(end, stored, buffers, uses, writer) for end in group.ends], known)
    kernel.nodes = [u.node for u in group.units]
    kernel.title = _title(group)
    return kernel


def _end(kernel: Kernel, writers: Sequence[StagesWriter], known: dict[Any, Expr]) -> None:
    """What is behind all else: once, where that is cut into chunks. `known` are values that have names."""
    body: list[Statement] = kernel.body
    if kernel.chunks:
        finish = kernel.body[-1]
        if not isinstance(finish, Finish):
            finish = Finish([])
            kernel.body.append(finish)
        body = finish.body
    for writer in writers:
        writer.root = Scope(body, 0, None, known)
        first = writer.group.units[0]
        if first.kind in SINGLES:
            SINGLES[first.kind](writer, first)
        else:
            writer.nest(writer.root)


def _title(group: Group) -> str:
    domain = ", ".join(map(str, group.domain)) if group.domain else "scalar"
    ops = dict.fromkeys(u.kind if u.kind in ("copy", "check") else u.node.op.name for u in group.units)
    return f"[{domain}] {', '.join(ops)}"
