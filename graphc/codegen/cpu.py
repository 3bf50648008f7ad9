"""The CPU printer: loop IR to the text of one Python file that numba compiles.

All of a program's integers and addresses stand in one int64 table `m`: the error code, the kernels to call, sizes
of runtime dims, addresses of buffers, and for every kernel call a row of positions in that table. A kernel is a C
function of five numbers: the table's address, the position of its row, the number of a chunk of its outermost loop,
which it runs, whether to combine, then, what all chunks found, and the number of scratch memory that no other call uses
meanwhile. A kernel that is not cut into chunks runs as a whole. (A call is one chunk, not all of them in a loop: what
LLVM can, it computes ahead of a loop, in vectors of 512 bits even where a short chunk makes no use of them.)
`step` is the order of the calls, which compiled loops read from the table (`runtime.drivers`). With jit disabled, `m`
is a list that holds arrays where the table has addresses, and kernels and `step` run as plain Python.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..ir.dims import DimLike
from ..ir.tensor import Tensor
from ..schedule.plan import Plan
from . import intmath, vecmath
from .kernel import KernelPrinter
from .prelude import HEADER, HELPERS
from .scalar import FunctionKey
from .sharing import shared
from .statements import KernelText, Printed

FIRST_CALL = 6
"""Layout of `m`: the error code, the number of kernel calls before the error check, of all calls, the position of the
first call, how many threads may run, a counter for them; then (address, row, number of chunks) per call, dims, buffers,
rows."""


@dataclass
class ProgramText(Printed):
    """The text of a program's file, and the layout of its table `m`.

    size         length of `m`
    commit       number of kernel calls before the error check; the rest run only if m[0] is 0
    calls        per kernel call: name of the kernel, position of its row, position of its number of chunks (0: none)
    dims         runtime dims, values from m[first_dim] on
    first_buffer position in `m` of buffer 0's address
    rows         constant tail of `m`, from position `first_row` on: one row of positions per kernel call
    """

    size: int
    commit: int
    calls: list[tuple[str, int, int]]
    dims: list[DimLike]
    first_dim: int
    first_buffer: int
    first_row: int
    rows: list[int]


def print_program(plan: Plan) -> ProgramText:
    """The file for `plan`: helpers, kernels without repeats, and `step` which calls them in order."""
    printed = shared([KernelPrinter(k).print() for k in plan.kernels])
    first_dim = FIRST_CALL + 3 * len(printed)
    dims: dict[DimLike, int] = {}
    for text in printed:
        for kind, what in text.arguments:
            if kind == "dim":
                dims.setdefault(what, first_dim + len(dims))  # type: ignore[arg-type]
        if text.chunks is not None:
            dims.setdefault(text.chunks, first_dim + len(dims))
    first_buffer = first_dim + len(dims)
    first_row = first_buffer + len(plan.buffers)
    rows: list[int] = []
    errors: dict[int, Tensor] = {}
    finite: set[int] = set()
    names: dict[str, str] = {}
    definitions: list[str] = []
    calls: list[tuple[str, int, int]] = []
    kernels: list[tuple[str, KernelText]] = []
    for text in printed:
        if text.text not in names:
            names[text.text] = f"k{len(names)}"
            definitions.append(f"@kernel\ndef {names[text.text]}(m, o, chunk, finish, slot):\n{text.text}\n")
        calls.append((names[text.text], first_row + len(rows), 0 if text.chunks is None else dims[text.chunks]))
        kernels.append((names[text.text], text))
        rows += _row(text, dims, first_buffer, errors, finite)
    size = max(first_row + len(rows), 1)
    parts = [support(printed), *definitions, _step(calls, plan.commit)]
    source = "\n\n".join(p.rstrip("\n") for p in parts) + "\n"
    return ProgramText(
        source,
        errors,
        frozenset(finite),
        kernels,
        size,
        plan.commit,
        calls,
        list(dims),
        first_dim,
        first_buffer,
        first_row,
        rows,
    )


def support(printed: Iterable[KernelText]) -> str:
    """What stands before the kernels of a file: its header, and the functions that they call."""
    printed = list(printed)
    functions = {key: name for text in printed for key, name in text.functions.items()}
    helpers = {h for text in printed for h in text.helpers}
    if any(kind == "check" for text in printed for kind, _ in text.arguments):
        helpers.add("wrap")
    parts = [HEADER, *[HELPERS[h] for h in sorted(helpers)], _functions(functions)]
    return "\n\n".join(p.rstrip("\n") for p in parts if p)


def _step(calls: list[tuple[str, int, int]], commit: int) -> str:
    """The order of kernel calls as a Python function; what updates params stands behind the error check."""
    lines = ["def step(m):", '    """Run every kernel; params change only if no error was flagged (m[0])."""']
    for k, (name, row, chunks) in enumerate(calls):
        if k == commit:
            lines += ["    if m[0] != 0:", "        return m[0]"]
        if chunks:
            lines.append(f"    for c in range(max(m[{chunks}], 1)):")
            lines.append(f"        {name}(m, {row}, c, c + 1 >= m[{chunks}], 0)")
        else:
            lines.append(f"    {name}(m, {row}, 0, 1, 0)")
    return "\n".join([*lines, "    return m[0]"]) + "\n"


def _row(
    text: KernelText, dims: dict[DimLike, int], first_buffer: int, errors: dict[int, Tensor], finite: set[int]
) -> list[int]:
    """The positions a kernel call passes; checks get error codes, counted from 1."""
    row: list[int] = []
    for kind, what in text.arguments:
        if kind == "dim":
            row.append(dims[what])  # type: ignore[index]
        elif kind == "buffer":
            row.append(first_buffer + what)  # type: ignore[operator]
        elif kind == "number":
            row.append(what)  # type: ignore[arg-type]
        else:
            errors[len(errors) + 1] = what  # type: ignore[assignment]
            row.append(len(errors))
            if kind == "finite":
                finite.add(len(errors))
    return row


def _functions(functions: dict[FunctionKey, str]) -> str:
    floats = [k for k in functions if k in vecmath.FUNCTIONS]
    integers = [k for k in functions if k not in vecmath.FUNCTIONS]
    return "\n\n".join(filter(None, [vecmath.source_for(floats), intmath.source_for(integers)]))
