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
from ..ir.tensor import Tensor
from ..schedule import launches
from ..schedule.plan import Plan
from . import cuda_prelude, intmath, vecmath
from .cuda_blocks import block_function
from .cuda_kernel import LaunchPrinter
from .cuda_products import mended_function, product_function
from .cuda_vectors import LANES
from .prelude import HELPERS
from .statements import KernelText, Printed


@dataclass
class Call:
    """One launch of a step: the kernel's name, the position of its row, how many blocks of how many threads."""

    name: str
    row: int
    blocks: DimLike
    threads: int


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
        return list(dict.fromkeys(call.name for call in self.calls))


def print_cuda(plan: Plan) -> CudaText:
    """The file for `plan`: helpers, kernels without repeats, and `step` which says in which order they are launched."""
    calls: list[Call] = []
    entries: list[tuple[str, Any]] = [("code", 0)]
    errors: dict[int, Tensor] = {}
    finite: set[int] = set()
    names: dict[str, str] = {}
    definitions: list[str] = []
    kernels: list[tuple[str, KernelText]] = []
    printed: list[KernelText] = []
    for number, kernel in enumerate(plan.kernels):
        codes: dict[Tensor, int] = {}
        first = len(printed)
        private = {b.number for b in plan.buffers if b.kind == "temp" and b.first == b.last == number}
        for launch in launches.launches_of(kernel):
            text = LaunchPrinter(kernel, launch, number >= plan.commit, private).print()
            printed.append(text)
            if text.text not in names:
                names[text.text] = f"k{len(names)}"
                definitions.append(f"@kernel\ndef {names[text.text]}(m, o):\n{text.text}\n")
            calls.append(Call(names[text.text], len(entries), launch.blocks, launch.threads))
            for kind, what in text.arguments:
                if kind in ("check", "finite"):
                    assert isinstance(what, Tensor)
                    if what not in codes:
                        codes[what] = len(errors) + 1
                        errors[codes[what]] = what
                        if kind == "finite":
                            finite.add(codes[what])
                    entries.append(("code", codes[what]))
                else:
                    entries.append((kind, what))
        name = "_".join(names[text.text] for text in printed[first:])
        kernels.append((name, printed[first]))
    parts = [_support(printed), *definitions, _step(calls)]
    source = "\n\n".join(p.rstrip("\n") for p in parts) + "\n"
    return CudaText(source, errors, frozenset(finite), kernels, calls, entries)


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
    if name.startswith(("product_", "mended_")):
        kind, dtype, tile = name.split("_")
        (tiling,) = (t for t in launches.PRODUCTS[dtype] if t.tile == int(tile))
        return (product_function if kind == "product" else mended_function)(dtype, tiling)
    return {"argsort": cuda_prelude.ARGSORT, "lanes": LANES}.get(name) or HELPERS[name]


def _step(calls: list[Call]) -> str:
    """The launches as a Python function: `launch` runs a kernel on so many blocks of so many threads."""
    lines = [
        "def step(launch):",
        '    """Launch every kernel in order: the position of its row, its number, its threads."""',
    ]
    lines += [f"    launch({call.name}, {call.row}, {number}, {call.threads})" for number, call in enumerate(calls)]
    return "\n".join(lines) + "\n"
