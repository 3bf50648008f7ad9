"""What `Step` shows of itself: the one place that puts names, source, reports and files together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ..codegen.cpu import support
from ..codegen.kernel import KernelPrinter, is_flat
from ..codegen.sharing import shared
from ..codegen.statements import KernelText, Printed
from ..ir.dims import Shape
from ..ir.graph import Graph
from ..runtime import files
from ..schedule.merge import merge_loops
from ..schedule.plan import Plan
from .kernels import KernelReports, report_kernels
from .memory import MemoryReport
from .names import ProgramNames
from .source import KernelView, render_source, reserved_words


@dataclass
class Reading:
    """A compiled step, to be read: its plan, its text, and the graph as it was traced."""

    plan: Plan
    text: Printed
    traced: Graph

    @cached_property
    def varied(self) -> set[str]:
        """Names of kernels that are called with arrays of several sizes, for which these do not matter."""
        shapes: dict[str, set[tuple[Shape, ...]]] = {}
        for (name, _), running, kernel in zip(self.text.kernels, self.plan.kernels, self.plan.plainly, strict=True):
            if is_flat(running) or running.finite is not None:
                shapes.setdefault(name, set()).add(tuple([array.shape for array in kernel.arrays]))
        return {name for name, found in shapes.items() if len(found) > 1}

    @cached_property
    def plain_plan(self) -> Plan:
        """The plan with its kernels as they are easiest to read: whole loops, one accumulator for each reduction.

        Those called with several sizes are one loop over all elements.
        """
        kernels = self.plan.lowered() if self.varied else self.plan.plainly
        for (name, _), kernel in zip(self.text.kernels, kernels, strict=True):
            if name in self.varied:
                merge_loops(kernel)
        return replace(self.plan, kernels=kernels)

    @cached_property
    def plain_text(self) -> Printed:
        """The text with the kernels of `plain_plan`."""
        printed: list[KernelText] = []
        for (name, _), kernel in zip(self.text.kernels, self.plain_plan.kernels, strict=True):
            varied = name in self.varied and kernel.finite is None
            printed.append(KernelPrinter(kernel, plainly=True, varied=varied).print())
        kernels = list(zip([name for name, _ in self.text.kernels], shared(printed, plainly=True), strict=True))
        return replace(self.text, source=support(printed), kernels=kernels)

    @cached_property
    def names(self) -> ProgramNames:
        return ProgramNames(self.plain_plan, self.traced, reserved_words(self.plain_text))

    @cached_property
    def views(self) -> dict[str, KernelView]:
        """The distinct kernels in order of their first call, in the user's names."""
        found: dict[str, KernelView] = {}
        for (name, text), kernel in zip(self.plain_text.kernels, self.plain_plan.kernels, strict=True):
            if name not in found:
                found[name] = KernelView(name, kernel, text, self.names, name in self.varied)
        return found

    @cached_property
    def source(self) -> str:
        key = files.key_of(self.text.source)
        return render_source(self.plain_plan, self.plain_text, self.views, self.names, key)

    @cached_property
    def kernels(self) -> KernelReports:
        return report_kernels(self.plain_plan, self.text, self.views, self.names, self.plan.kernels)

    def memory(self, sizes: Mapping[str, int]) -> MemoryReport:
        """The memory plan; with offsets if `sizes` has every runtime dim."""
        return MemoryReport(self.plan.buffers, self.names, self.plan.graph.symbols, sizes)


def sizes_in(graph: Graph, shapes: Sequence[Sequence[int]]) -> dict[str, int]:
    """The runtime dims that inputs of these shapes have.

    >>> import graphc as gc
    >>> x = gc.input("x", ("n", 3))
    >>> sizes_in(gc.trace(lambda x: x, x), [(7, 3)])
    {'n': 7}
    """
    found: dict[str, int] = {}
    for node, shape in zip(graph.inputs, shapes, strict=False):
        for dim, size in zip(node.shape, shape, strict=True):
            if str(dim) in graph.symbols:
                found.setdefault(str(dim), size)
    return found
