"""`Step.memory`: every buffer of a step, how long it lives, and how the arena lets buffers share memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import InputError, count, message, user_line
from ..ir import dims
from ..ir.dims import DimLike
from ..ir.dtypes import DType
from ..schedule.memory import ALIGNMENT, Buffer, place
from .names import ProgramNames


@dataclass(frozen=True)
class BufferReport:
    """One buffer.

    kind     input, param, constant, output (the caller's memory), or temp (in the arena)
    nbytes   its size in bytes, an expression in the runtime dims where it depends on them
    first, last   positions of the first and last kernel call that uses it
    offset   of a temp: where it starts in the arena; None where sizes are not known
    """

    name: str
    kind: str
    dtype: DType
    nbytes: DimLike
    first: int
    last: int
    offset: int | None


class MemoryReport:
    """The memory plan of a step, for given sizes of its runtime dims or without.

    buffers   all buffers, in order of their numbers
    arena     bytes of the arena for these sizes (None: sizes not known)
    without_reuse   bytes that temps would take one behind the other (None: sizes not known)
    """

    def __init__(self, buffers: list[Buffer], names: ProgramNames, symbols: tuple[str, ...], sizes: Mapping[str, int]):
        self._plan = (buffers, names, symbols)
        self.sizes = {s: sizes[s] for s in symbols if s in sizes}
        self.arena: int | None = None
        self.without_reuse: int | None = None
        offsets: dict[int, int] = {}
        if len(self.sizes) == len(symbols):
            offsets, self.arena = place(buffers, self.sizes)
            temps = [b.nbytes(self.sizes) for b in buffers if b.kind == "temp"]
            self.without_reuse = sum(-(-max(n, 1) // ALIGNMENT) * ALIGNMENT for n in temps)
        self.buffers = tuple(
            BufferReport(
                names.buffers[b.number],
                b.kind,
                b.dtype,
                dims.substitute(b.size * b.dtype.itemsize, self.sizes),
                b.first,
                b.last,
                offsets.get(b.number),
            )
            for b in buffers
        )

    def at(self, **sizes: int) -> MemoryReport:
        """The plan for these sizes of the runtime dims. Raises `InputError` for the name of another."""
        buffers, names, symbols = self._plan
        unknown = [name for name in sizes if name not in symbols]
        if unknown:
            raise InputError(
                message(
                    "memory.at of a dim that the step does not have",
                    got=", ".join(unknown),
                    expected=f"dims of the step, {', '.join(symbols)}" if symbols else "no dims: all sizes are known",
                    at=user_line(),
                    created=False,
                )
            )
        return MemoryReport(buffers, names, symbols, {**self.sizes, **sizes})

    def __str__(self) -> str:
        known = ", ".join(f"{name} = {size}" for name, size in self.sizes.items())
        if self.arena is None:
            missing = [s for s in self._plan[2] if s not in self.sizes]
            head = f"arena: depends on {', '.join(missing)}; memory.at({missing[0]}=...) lays it out"
        else:
            head = f"arena: {count(self.arena, 'byte')}, {self.without_reuse} without reuse"
            head += f" ({known})" if known else ""
        rows = [("buffer", "kind", "dtype", "bytes", "calls", "offset")]
        for b in self.buffers:
            lives = "unused" if b.first < 0 else f"{b.first}..{b.last}"
            offset = "" if b.offset is None else str(b.offset)
            rows.append((b.name, b.kind, str(b.dtype), str(b.nbytes), lives, offset))
        widths = [max(len(row[k]) for row in rows) for k in range(6)]
        lines = [
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
        if any(b.first < 0 for b in self.buffers):
            lines.append("unused: the source adds up in these; what runs adds up parts, one for each chunk of rows")
        return "\n".join([head, *lines])

    __repr__ = __str__
