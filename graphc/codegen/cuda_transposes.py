"""Nests that read across memory, as text: a block takes a tile, reads it row by row, and goes through it by columns."""

from __future__ import annotations

from ..ir.dims import ceildiv
from ..ir.loops import For, Kernel, Statement
from ..ir.tensor import Tensor
from ..schedule import launches
from ..schedule.launches import Launch
from .cuda_blocks import BARRIER, type_name
from .scalar import Printer


class CudaTransposes:
    """Prints launches of kind "tiles"; mixed into the printer of launches."""

    kernel: Kernel
    launch: Launch
    printer: Printer

    def line(self, depth: int, text: str, node: Tensor | None = None) -> None:
        raise NotImplementedError

    def block(self, body: list[Statement], depth: int) -> None:
        raise NotImplementedError

    def _loop(self, loops: list[For], first: str, step: str, depth: int) -> int:
        raise NotImplementedError

    def print_tiles(self) -> None:
        """A tile for each block: its own rows are read, those of the result are written."""
        tiles = self.launch.transposed
        assert tiles is not None
        side, rows = launches.WARP, launches.BLOCK // launches.WARP
        row, column = tiles.row, tiles.column
        dtypes = {a.name: type_name(a.dtype) for a in self.kernel.arrays}
        self.line(1, f"x = cuda.threadIdx.x % {side}")
        self.line(1, f"y = cuda.threadIdx.x // {side}")
        for k, load in enumerate(tiles.loaded):  # a column more: a column's elements then stand in different banks
            self.line(1, f"t{k} = cuda.shared.array(({side}, {side + 1}), {dtypes[load.array]})")
        outer = [loop for loop in self.launch.loops if loop is not row and loop is not column]
        places = [For("p", ceildiv(row.extent, side), "map"), For("q", ceildiv(column.extent, side), "map")]
        depth = self._loop([*outer, *places], "first_block()", "all_blocks()", 1)
        self.line(depth, BARRIER)
        self.line(depth, f"for k in range(y, {side}, {rows}):")
        self.line(depth + 1, f"{row.var} = {side} * p + x")
        self.line(depth + 1, f"{column.var} = {side} * q + k")
        inside = (
            f"if {row.var} < {self.printer.size(row.extent)} and {column.var} < {self.printer.size(column.extent)}:"
        )
        self.line(depth + 1, inside)
        for k, load in enumerate(tiles.loaded):
            self.line(depth + 2, f"t{k}[k, x] = {self.printer.text(load)}")
        self.line(depth, BARRIER)
        self.line(depth, f"for k in range(y, {side}, {rows}):")
        self.line(depth + 1, f"{row.var} = {side} * p + k")
        self.line(depth + 1, f"{column.var} = {side} * q + x")
        self.line(depth + 1, inside)
        self.printer.elements = {load: f"t{k}[x, k]" for k, load in enumerate(tiles.loaded)}
        self.block(self.launch.body, depth + 2)
        self.printer.elements = {}
