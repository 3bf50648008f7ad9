"""`Step.kernels`: every kernel of a step, what it computes, what memory it touches, and why it is one of its own."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace

from ..codegen.statements import Printed
from ..errors import count
from ..ir import dims
from ..ir.dims import Dim, DimLike, Shape, shape_text
from ..ir.loops import Kernel
from ..ir.tensor import Tensor
from ..runtime import files
from ..schedule.fuse import Group
from ..schedule.plan import Plan
from ..schedule.units import alias_base
from ..schedule.views import is_view
from .comments import Comments
from .names import ProgramNames, accesses
from .source import KernelView, bytes_moved

Bytes = tuple[tuple[str, DimLike], ...]
_LIBRARY = {
    "dot": "a matrix product",
    "convolve": "a convolution",
    "overlap": "a sum of windows",
    "scan": "a running sum",
    "scatter": "a scatter",
    "concat": "a concatenation",
}


@dataclass(frozen=True)
class KernelReport:
    """One kernel.

    name    its name in the source
    space   sizes of its loops, outermost first
    serves  sections and user lines: "forward + backward of fit.py:14-15"
    ops     names of the ops that are computed, in order
    units   how many such values were fused into it
    reads, writes   (array, bytes) pairs of one call, the first; bytes may be an expression in the runtime dims
    calls   how often a step runs it
    moved   bytes that all its calls read and write: they may be on arrays of several sizes
    vectors  bits of the widest vectors in its machine code, 0: it did not vectorise; None: not compiled
    chunks  parts it is cut into for threads, an expression in the runtime dims; 1: it is not
    reason  why it is not part of the kernel before it
    library what runs in its place, or in that of its product of matrices, and when
    """

    name: str
    space: Shape
    serves: str
    ops: tuple[str, ...]
    units: int
    reads: Bytes
    writes: Bytes
    calls: int
    moved: DimLike
    vectors: int | None
    chunks: DimLike
    reason: str
    library: str = ""

    @property
    def bytes(self) -> DimLike:
        """Bytes read and written by one call, the first."""
        total: DimLike = 0
        for _, nbytes in (*self.reads, *self.writes):
            total = total + nbytes
        return total

    def __str__(self) -> str:
        often = f"  called {self.calls} times" if self.calls > 1 else ""
        if self.moved != self.calls * self.bytes:
            often += f", on arrays of several sizes: {count(self.moved, 'byte')} in all; its first call"
        return "\n".join(
            [
                f"{self.name}  {shape_text(self.space)}  {self.serves}{often}",
                f"    computes  {', '.join(self.ops)}",
                f"    reads     {_listed(self.reads)}",
                f"    writes    {_listed(self.writes)}",
                f"    runs      {self._runs()}",
                f"    separate  {self.reason}",
            ]
        )

    def _runs(self) -> str:
        """How it runs: by a library, in vectors, on threads."""
        if self.library:
            return f"the product by {self.library}"
        width = (
            "not compiled" if self.vectors is None else f"{self.vectors}-bit vectors" if self.vectors else "no vectors"
        )
        if isinstance(self.chunks, int):
            return f"{width}, {'one thread' if self.chunks <= 1 else f'{self.chunks} chunks for threads'}"
        return f"{width}, in chunks for threads once they are large enough"


class KernelReports(tuple[KernelReport, ...]):
    """The kernels of a step in order of execution, each distinct one once. Print it, or take it apart."""

    __slots__ = ()

    @property
    def launches(self) -> int:
        """Kernel calls in one step."""
        return sum(k.calls for k in self)

    def at(self, **sizes: int) -> KernelReports:
        """The same report with the bytes for these sizes of the runtime dims."""

        def known(pairs: Bytes) -> Bytes:
            return tuple((name, _evaluated(n, sizes)) for name, n in pairs)

        return KernelReports(
            replace(
                k,
                space=tuple(_evaluated(s, sizes) for s in k.space),
                reads=known(k.reads),
                writes=known(k.writes),
                moved=_evaluated(k.moved, sizes),
                chunks=_evaluated(k.chunks, sizes),
            )
            for k in self
        )

    def __str__(self) -> str:
        total: DimLike = 0
        for k in self:
            total = total + k.moved
        kernels, calls, size = count(len(self), "kernel"), count(self.launches, "call"), count(total, "byte")
        head = f"{kernels}, {calls} a step, {size} read and written"
        return "\n".join([head, *map(str, self)])

    __repr__ = __str__


def _evaluated(dim: DimLike, sizes: Mapping[str, int]) -> DimLike:
    return dims.substitute(dim, sizes) if isinstance(dim, Dim) else dim


def _listed(pairs: Bytes) -> str:
    return ", ".join(f"{name} ({nbytes} B)" for name, nbytes in pairs) or "nothing"


def report_kernels(
    plan: Plan, text: Printed, views: Mapping[str, KernelView], names: ProgramNames, cut: list[Kernel]
) -> KernelReports:
    """The report for a plan, whose distinct kernels `views` show; `cut` are those that run, in chunks."""
    widths = files.vectors(text.source) if text.target == "cpu" else {}
    comments = Comments(names)
    calls = [name for name, _ in text.kernels]
    made = {unit.node for group in plan.groups for unit in group.units}
    reports = []
    for name, view in views.items():
        first = calls.index(name)
        group = plan.groups[first]
        reports.append(
            KernelReport(
                name,
                group.domain,
                comments.group(view.computed()),
                _ops(group, made),
                len(group.units),
                _touched(view, view.reads),
                _touched(view, view.writes),
                calls.count(name),
                bytes_moved(kernel for other, kernel in zip(calls, plan.kernels, strict=True) if other == name),
                widths.get(name),
                1 if (chunks := cut[first].chunks) is None else chunks.count,
                _reason(plan, first, names),
                text.library(name),
            )
        )
    return KernelReports(reports)


def _ops(group: Group, made: Set[Tensor]) -> tuple[str, ...]:
    """What a kernel computes: its own nodes, and those written into their expressions, which are not of `made`."""
    own = {unit.node for unit in group.units if unit.kind not in ("copy", "check")}
    inside, stack = set(own), list(own)
    while stack:
        for operand in map(alias_base, stack.pop().inputs):
            if operand.inputs and operand not in made and operand not in inside:
                inside.add(operand)
                stack.append(operand)
    in_order = sorted(inside, key=lambda node: node.serial)  # operands were built before what reads them
    names = [node.op.name for node in in_order if node in own or not is_view(node)]
    return tuple(dict.fromkeys([*names, *[u.kind for u in group.units if u.kind in ("copy", "check")]]))


def _touched(view: KernelView, arrays: set[str]) -> Bytes:
    return tuple(
        (view.names[a.name], dims.product(a.shape) * a.dtype.itemsize) for a in view.kernel.arrays if a.name in arrays
    )


def _reason(plan: Plan, k: int, names: ProgramNames) -> str:
    """Why kernel `k` does not run inside the one before it."""
    if k == 0:
        return "it is the first"
    group, before = plan.groups[k], plan.groups[k - 1]
    if k >= plan.commit > k - 1 and any(kernel.finite is not None for kernel in plan.kernels):
        return "it changes params, which waits until every value has been checked"
    if k >= plan.commit > k - 1 and any(kernel.checks for kernel in plan.kernels):
        return "it changes params, which waits until every index has been checked"
    if "check" in (group.units[0].kind, before.units[0].kind):
        return "values are tested for nan and inf by a kernel of their own"
    for one in (group, before):
        kind = one.units[0].kind
        if kind not in ("map", "reduce", "copy") and not one.members:
            own = f"{_LIBRARY.get(kind, 'a sort')} "
            return own + ("joins only loops over its rows" if kind in ("dot", "convolve") else "is a kernel of its own")
    needed = _needed(plan.kernels[k], plan.kernels[k - 1], group, before, names)
    if needed:
        return f"it needs the whole of {needed} first"
    if group.domain != before.domain:
        return f"its loops {shape_text(group.domain)} are not those of the kernel before, {shape_text(before.domain)}"
    if k > plan.commit and (group.members or before.members):
        return "an update is joined by the product of its gradient, and by nothing else"
    return "a kernel with both would be too long, or would change a param while it is still read"


def _needed(kernel: Kernel, earlier: Kernel, group: Group, before: Group, names: ProgramNames) -> str:
    """The first array that `earlier` writes and `kernel` reads."""
    _, writes = accesses(earlier)
    reads, _ = accesses(kernel)
    written = {a.buffer for a in earlier.arrays if a.name in writes}
    shared = [names.buffers[a.buffer] for a in kernel.arrays if a.name in reads and a.buffer in written]
    made = {u.node for u in before.units}
    if not shared and any(alias_base(n) in made for u in group.units for n in u.reads):
        return "a result"
    return shared[0] if shared else ""
