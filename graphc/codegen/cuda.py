"""The CUDA printer: loop IR to the text of one Python file that numba-cuda compiles.

A kernel becomes one or more launches (`schedule.launches`). All of a program's integers and addresses stand in one
int64 table `m` on the device: the error cell, then for each launch a row of sizes, addresses of buffers and error
codes. A CUDA kernel takes the table's address and the position of its row. Launches that change params do nothing once
an error is flagged, so the whole step can be recorded and played back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from ..ir.dims import DimLike
from ..ir.loops import Dot, Kernel
from ..ir.tensor import Tensor
from ..schedule import launches
from ..schedule.cublas import LargeProduct, large_product
from ..schedule.launches import Launch
from ..schedule.plan import Plan
from . import cuda_prelude, intmath, vecmath
from .cuda_blocks import block_function
from .cuda_kernel import LaunchPrinter
from .cuda_products import guarded_function, mended_function, product_function
from .cuda_vectors import LANES
from .prelude import HELPERS
from .statements import KernelText, Printed

FIXED = ("temp", "param", "constant")
"""Kinds of memory that stand at the same addresses at every call in a frame; others are where a call has them."""


@dataclass
class Call:
    """One launch of a step: the kernel's name, the position of its row, how many blocks of how many threads.

    product  what cuBLAS computes in place of a kernel, where `blocks` is 1; the row has the addresses of its x, y, out
    """

    name: str
    row: int
    blocks: DimLike
    threads: int
    product: LargeProduct | None = None


@dataclass
class CudaText(Printed):
    """The text of a program's file, and the layout of its table `m`; of a kernel's texts, `kernels` has the first.

    calls    launches in order
    entries  what stands in `m`: the error cell, then ("dim", dim), ("buffer", number) or ("code", error code)
    """

    calls: list[Call]
    entries: list[tuple[str, Any]]
    target: ClassVar[str] = "cuda"

    @property
    def names(self) -> list[str]:
        """The distinct CUDA kernels, in order."""
        return list(dict.fromkeys(call.name for call in self.calls if call.product is None))

    def library(self, name: str) -> str:
        """cuBLAS for a product that is large, if sizes have to show that.

        `name` is that of a kernel of the plan: the names of its launches.
        """
        found = [call for call in self.calls if call.product is not None and call.name in name.split("_")]
        if not found:
            return ""
        return "cuBLAS" if found[0].blocks == 1 else "cuBLAS where it is large"

    @property
    def products(self) -> list[LargeProduct]:
        """What cuBLAS may compute, in order."""
        return [call.product for call in self.calls if call.product is not None]


def print_cuda(plan: Plan, by_cublas: bool = False) -> CudaText:
    """The file for `plan`: helpers, kernels without repeats, and `step` which says in which order they are launched.

    by_cublas  whether cuBLAS is there, for the products that `schedule.cublas` gives it
    """
    printer = FilePrinter(plan, by_cublas)
    kernels = [printer.kernel(number, kernel) for number, kernel in enumerate(plan.kernels)]
    parts = [_support(printer.printed), *printer.definitions, _step(printer.calls)]
    source = "\n\n".join(p.rstrip("\n") for p in parts) + "\n"
    return CudaText(source, printer.errors, frozenset(printer.finite), kernels, printer.calls, printer.entries)


class FilePrinter:
    """Prints the kernels of a plan, launch by launch, and lays out the table."""

    def __init__(self, plan: Plan, by_cublas: bool):
        self.plan = plan
        self.fixed = {b.number for b in plan.buffers if b.kind in FIXED} if by_cublas else None
        self.calls: list[Call] = []
        self.entries: list[tuple[str, Any]] = [("code", 0)]
        self.errors: dict[int, Tensor] = {}
        self.finite: set[int] = set()
        self.names: dict[str | LargeProduct, str] = {}  # of the text of a kernel, and of what cuBLAS does in its place
        self.definitions: list[str] = []
        self.printed: list[KernelText] = []

    def kernel(self, number: int, kernel: Kernel) -> tuple[str, KernelText]:
        """All launches of a kernel of the plan; its name, and the text of its first launch."""
        codes: dict[Tensor, int] = {}
        private = {b.number for b in self.plan.buffers if b.kind == "temp" and b.first == b.last == number}
        guarded = number >= self.plan.commit  # cuBLAS knows nothing of errors
        first, found = len(self.printed), []
        for launch in launches.launches_of(kernel, None if guarded else self.fixed):
            row = len(self.entries)
            if launch.kind == "cublas":
                call, text = self.by_cublas(kernel, launch, row)
            else:
                text = LaunchPrinter(kernel, launch, guarded, private).print()
                call = Call(self.named(text), row, launch.blocks, launch.threads)
            found.append(call.name)
            self.calls.append(call)
            self.printed.append(text)
            self.entries += [self.entry(kind, what, codes) for kind, what in text.arguments]
        return "_".join(found), self.printed[first]

    def named(self, text: KernelText) -> str:
        """The name of the CUDA kernel with this text, which is defined once."""
        if text.text not in self.names:
            name = self.names[text.text] = f"k{len(self.definitions)}"
            self.definitions.append(f"@kernel\ndef {name}(m, o):\n{text.text}\n")
        return self.names[text.text]

    def by_cublas(self, kernel: Kernel, launch: Launch, row: int) -> tuple[Call, KernelText]:
        """A product in a call of cuBLAS; no text, but what the row has."""
        s = launch.body[0]
        assert isinstance(s, Dot) and self.fixed is not None
        product = large_product(kernel, s, self.fixed)
        name = self.names.setdefault(product, f"cublas{len(self.names) - len(self.definitions)}")
        buffers = {a.name: a.buffer for a in kernel.arrays}
        arguments: list[tuple[str, object]] = [("buffer", buffers[operand]) for operand in (s.x, s.y, s.out)]
        return Call(name, row, launch.blocks, 0, product), KernelText("", arguments, [], {}, {})

    def entry(self, kind: str, what: Any, codes: dict[Tensor, int]) -> tuple[str, Any]:
        """What stands in the table for an argument; `codes` are the error codes of the kernel so far."""
        if kind not in ("check", "finite"):
            return kind, what
        if what not in codes:
            codes[what] = len(self.errors) + 1
            self.errors[codes[what]] = what
            if kind == "finite":
                self.finite.add(codes[what])
        return "code", codes[what]


def _support(printed: Iterable[KernelText]) -> str:
    """What stands before the kernels of a file: its header, and the functions that they call."""
    printed = list(printed)
    functions = {key for text in printed for key in text.functions}
    helpers = {h for text in printed for h in text.helpers}
    if any(kind == "check" for text in printed for kind, _ in text.arguments):
        helpers.add("wrap")
    floats = [key for key in functions if key in vecmath.FUNCTIONS]
    integers = [key for key in functions if key not in vecmath.FUNCTIONS]
    scalar = [cuda_prelude.on_device(text) for text in (vecmath.source_for(floats), intmath.source_for(integers))]
    header = cuda_prelude.header(launches.BLOCK, launches.WARP)
    parts = [header, *[_helper(name) for name in sorted(helpers)], *scalar]
    return "\n\n".join(p.rstrip("\n") for p in parts if p)


def _helper(name: str) -> str:
    """The text of a function that kernels call."""
    if name.startswith(("block_", "scan_")):
        return block_function(name)
    if name.startswith("guarded_"):
        return guarded_function(name.removeprefix("guarded_"))
    if name.startswith(("product_", "mended_")):
        kind, dtype, tile = name.split("_")
        (tiling,) = (t for t in launches.PRODUCTS[dtype] if t.tile == int(tile))
        return (product_function if kind == "product" else mended_function)(dtype, tiling)
    return {"argsort": cuda_prelude.ARGSORT, "lanes": LANES}.get(name) or HELPERS[name]


def _step(calls: list[Call]) -> str:
    """The launches as a Python function: `launch` runs a kernel on so many blocks of so many threads.

    ``product_by_cublas`` has cuBLAS multiply, in place of a kernel.
    """
    if all(call.product is None for call in calls):
        lines = [
            "def step(launch):",
            '    """Launch every kernel in order: the position of its row, its number, its threads."""',
        ]
    else:
        lines = [
            "def step(launch, product_by_cublas):",
            '    """Launch every kernel in order: the position of its row, its number, its threads.',
            "",
            "    Of a product by cuBLAS, the row has the addresses of x, y and out.",
            '    """',
        ]
    for number, call in enumerate(calls):
        if call.product is None:
            lines.append(f"    launch({call.name}, {call.row}, {number}, {call.threads})")
        else:
            lines.append(f"    product_by_cublas({call.row}, {number})  # {call.name}: {call.product.text}")
    return "\n".join(lines) + "\n"
