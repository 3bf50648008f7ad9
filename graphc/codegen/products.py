"""Products of matrices as text: the printer's part, and the functions that kernels call for a part of one.

``dot_...`` computes a part by the function of `multiply`, and says whether a result may be nan. Where the product has a
guard (see `ops.guarded`) that is looked at: the function knows of none, and what came out as nan is summed again by
``mended_...``, with the function of `mend`.
Each has two bodies: NumPy where jit is disabled, and a call of these functions, which are compiled once for all files.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.dims import DimLike
from ..ir.loops import Dot, Kernel
from ..ir.tensor import Tensor
from ..ops.guarded import sides
from ..schedule.chunks import tile_of
from .scalar import Printer


class ProductPrinter:
    """Prints `Dot`; mixed into the printer of kernels."""

    kernel: Kernel
    printer: Printer
    helpers: set[str]

    def line(self, depth: int, text: str, node: Tensor | None = None) -> None:
        raise NotImplementedError

    def print_dot(self, s: Dot, depth: int) -> None:
        x, y, out = s.x, s.y, s.out
        if s.part in ("batch", "rows", "terms"):
            self.dot_in_chunk(s, depth)
            return
        if s.part == "tile":
            sides, tile = [str(self.printer.size(side)) for side in tile_of(*s.sizes[:2])], "t"
            if s.batched:
                tiles = f"({_tiles_of(out, sides)})"
                self.line(depth, f"b = t // {tiles}")
                x, y, out = self.of_batch(x, s.x_batch), self.of_batch(y, s.y_batch), f"{out}[b]"
                tile = f"t - b * {tiles}"
            self.print_part(s, "tile", depth, x, y, out, *sides, tile)
            return
        if s.batched:
            batch = self.printer.size(next(a for a in self.kernel.arrays if a.name == out).shape[0])
            self.line(depth, f"for b in range({batch}):")
            depth += 1
            x, y, out = self.of_batch(x, s.x_batch), self.of_batch(y, s.y_batch), f"{out}[b]"
        x = f"{x}.T" if s.x_transposed else x
        y = f"{y}.T" if s.y_transposed else y
        self.print_part(s, "whole", depth, x, y, out)

    def print_part(self, s: Dot, part: str, depth: int, x: str, y: str, out: str, *numbers: str) -> None:
        """The call of the function for a part of a product, and behind it of that which mends it under a guard."""
        transposed = () if part == "whole" else (str(s.x_transposed), str(s.y_transposed))
        arguments = [x, y, out, *transposed, *numbers]
        self.helpers |= helpers_of(s.dtype.name, "multiply")
        product = f"dot_{part}({', '.join(arguments)})"
        if not s.guard:
            self.line(depth, product, s.node)
            return
        arguments += [str(side) for side in sides(s.guard)]
        self.helpers |= helpers_of(s.dtype.name, "mend")
        self.line(depth, f"if {product}:", s.node)
        self.line(depth + 1, f"mended_{part}({', '.join(arguments)})", s.node)

    def of_batch(self, array: str, batch: tuple[tuple[DimLike, DimLike | None] | None, ...]) -> str:
        """The matrix number b of an array, see `Dot`."""
        if not batch:
            return f"{array}[b]"
        places = []
        for axis in batch:
            if axis is None:
                places.append(":")
                continue
            divisor, modulus = axis
            place = "b" if divisor == 1 else f"b // {self.printer.size(divisor)}"
            places.append(place if modulus is None else f"{place} % {self.printer.size(modulus)}")
        return f"{array}[{', '.join(places)}]"

    def dot_in_chunk(self, s: Dot, depth: int) -> None:
        """What of a product belongs to the rows of a chunk."""
        x, y, out = s.x, s.y, f"{s.out}[c]" if s.part == "terms" else s.out
        if s.batched:
            self.line(depth, f"for b in range({'start, stop' if s.part == 'batch' else f'{out}.shape[0]'}):")
            depth += 1
            x, y, out = self.of_batch(x, s.x_batch), self.of_batch(y, s.y_batch), f"{out}[b]"
        if s.part == "batch":
            self.print_part(s, "rows", depth, x, y, out, "0", f"{out}.shape[0]")
            return
        self.print_part(s, s.part, depth, x, y, out, "start", "stop")


def _tiles_of(out: str, sides: Sequence[str]) -> str:
    """How many tiles a matrix of a batch has."""
    rows, columns = (f"(({out}.shape[{k}] + {side} - 1) // {side})" for k, side in enumerate(sides, 1))
    return f"{rows} * {columns}"


def helpers_of(dtype: str, *functions: str) -> set[str]:
    """The names of what kernels with products of a dtype need that call these functions, see `codegen.prelude`."""
    return {"a routine", "products", *[f"products_{function}_{dtype}" for function in functions]}


PRODUCTS = '''\
if numba.config.DISABLE_JIT:

    def sum_again(x, y, out, left, right):
        """Rows of out = x @ y with a nan, again; zeros of the left, the right operand annihilate inf and nan."""
        for i in np.flatnonzero(np.isnan(out).any(axis=1)):
            u, v = x[i, :, None], y
            annihilated = (left & (u == 0)) | (right & (v == 0))
            out[i] = np.where(annihilated, out.dtype.type(0), u * v).sum(axis=0)

    def rows_of(x, y, out, x_transposed, y_transposed, start, stop):
        x, y = x.T if x_transposed else x, y.T if y_transposed else y
        return x[start:stop], y, out[start:stop]

    def terms_of(x, y, out, x_transposed, y_transposed, start, stop):
        x, y = x.T if x_transposed else x, y.T if y_transposed else y
        return x[:, start:stop], y[start:stop], out

    def tile_of_product(x, y, out, x_transposed, y_transposed, height, width, t):
        x, y = x.T if x_transposed else x, y.T if y_transposed else y
        row, column = divmod(t, -(-out.shape[1] // width))
        i, j = row * height, column * width
        return x[i : i + height], y[:, j : j + width], out[i : i + height, j : j + width]

    def dot_rows(*part):
        """Rows start ... stop - 1 of out = x @ y; whether one of them may be nan."""
        return dot_whole(*rows_of(*part))

    def dot_terms(*part):
        """out = the terms start ... stop - 1 of x @ y; whether one of them may be nan."""
        return dot_whole(*terms_of(*part))

    def dot_tile(*part):
        """Tile t of out = x @ y: so many rows and columns; whether an element may be nan."""
        return dot_whole(*tile_of_product(*part))

    def dot_whole(x, y, out):
        """out = x @ y; whether one of its elements may be nan."""
        out[:] = x @ y
        return np.isnan(out).any()

    def mended_rows(*part):
        """What is nan in rows start ... stop - 1 of out = x @ y."""
        sum_again(*rows_of(*part[:-2]), *part[-2:])

    def mended_terms(*part):
        """What is nan in out = the terms start ... stop - 1 of x @ y."""
        sum_again(*terms_of(*part[:-2]), *part[-2:])

    def mended_tile(*part):
        """What is nan in tile t of out = x @ y."""
        sum_again(*tile_of_product(*part[:-2]), *part[-2:])

    def mended_whole(x, y, out, left, right):
        """What is nan in out = x @ y."""
        sum_again(x, y, out, left, right)

    def mended_product(x, y, out, transposed, columns, left, right):
        """What is nan in the first columns of out = x @ y, or x.T @ y."""
        sum_again(x.T if transposed else x, y[:, :columns], out[:, :columns], left, right)
else:
    class Matrix:
        """A matrix in memory, its last axis without gaps: first byte, bytes of a row, whether it is transposed."""

        def __init__(self, context, builder, type_, value, transposed=None):
            self.builder = builder
            self.data = builder.bitcast(arrays.data_of(builder, value), ir.IntType(8).as_pointer())
            sizes = arrays.sizes_of(builder, type_, value)
            turned = isinstance(type_, arrays.Matrix) and type_.transposed
            self.transposed = ir.IntType(1)(turned) if transposed is None else transposed
            self.step = arrays.step_of(context, builder, type_, value)
            self.rows, self.columns = (builder.select(self.transposed, *pair) for pair in (sizes[::-1], sizes))

    WORD, FLAG, NUMBER = ir.IntType(64), types.boolean, types.int64

    def least(builder, x, y):
        return builder.select(builder.icmp_signed("<", x, y), x, y)

    def rows(builder, m, n, k, start, stop):
        return [start, stop, WORD(0), n, WORD(0), k]

    def terms(builder, m, n, k, start, stop):
        return [WORD(0), m, WORD(0), n, start, stop]

    def tile(builder, m, n, k, height, width, t):
        across = builder.sdiv(builder.add(n, builder.sub(width, WORD(1))), width)
        found = []
        for number, side, most in ((builder.sdiv(t, across), height, m), (builder.srem(t, across), width, n)):
            low = builder.mul(number, side)
            found += [low, least(builder, builder.add(low, side), most)]
        return [*found, WORD(0), k]

    def whole(builder, m, n, k):
        return [WORD(0), m, WORD(0), n, WORD(0), k]

    def columns(builder, m, n, k, first):
        return [WORD(0), m, WORD(0), first, WORD(0), k]

    def function_of(part, mends, numbers, flags):
        """An intrinsic for a part of a product, which `part` gives as ranges of rows, columns and terms."""

        def codegen(context, builder, signature, args):
            transposed = [*args[3 : 3 + flags], None, None]
            given = zip(signature.args[:3], args[:3], [*transposed[:2], ir.IntType(1)(0)])
            x, y, out = (Matrix(context, builder, *each) for each in given)
            sizes = [out.rows, out.columns, y.rows, *args[3 + flags : 3 + flags + numbers]]
            values = [v for matrix in (x, y, out) for v in (matrix.data, matrix.step, matrix.transposed)]
            values += part(builder, *sizes)
            element = signature.args[2].dtype
            if mends:
                call_routine(builder, "mend", element, [*values, *args[-2:]])
                return context.get_dummy_value()
            found = call_routine(builder, "multiply", element, [*values, ir.IntType(1)(0)])
            return builder.icmp_signed("!=", found, WORD(0))

        kinds = [FLAG] * flags + [NUMBER] * numbers + [FLAG] * (2 if mends else 0)
        return codegen, kinds

    @intrinsic
    def dot_rows(typingctx, x, y, out, x_transposed, y_transposed, start, stop):
        """Rows start ... stop - 1 of out = x @ y; whether one of them may be nan."""
        codegen, kinds = function_of(rows, False, 2, 2)
        return types.boolean(x, y, out, *kinds), codegen

    @intrinsic
    def dot_terms(typingctx, x, y, out, x_transposed, y_transposed, start, stop):
        """out = the terms start ... stop - 1 of x @ y; whether one of them may be nan."""
        codegen, kinds = function_of(terms, False, 2, 2)
        return types.boolean(x, y, out, *kinds), codegen

    @intrinsic
    def dot_tile(typingctx, x, y, out, x_transposed, y_transposed, height, width, t):
        """Tile t of out = x @ y: so many rows and columns; whether an element may be nan."""
        codegen, kinds = function_of(tile, False, 3, 2)
        return types.boolean(x, y, out, *kinds), codegen

    @intrinsic
    def dot_whole(typingctx, x, y, out):
        """out = x @ y; whether one of its elements may be nan."""
        codegen, kinds = function_of(whole, False, 0, 0)
        return types.boolean(x, y, out, *kinds), codegen

    @intrinsic
    def mended_rows(typingctx, x, y, out, x_transposed, y_transposed, start, stop, left, right):
        """What is nan in rows start ... stop - 1 of out = x @ y; zeros of the left, the right operand annihilate."""
        codegen, kinds = function_of(rows, True, 2, 2)
        return types.void(x, y, out, *kinds), codegen

    @intrinsic
    def mended_terms(typingctx, x, y, out, x_transposed, y_transposed, start, stop, left, right):
        """What is nan in out = the terms start ... stop - 1 of x @ y."""
        codegen, kinds = function_of(terms, True, 2, 2)
        return types.void(x, y, out, *kinds), codegen

    @intrinsic
    def mended_tile(typingctx, x, y, out, x_transposed, y_transposed, height, width, t, left, right):
        """What is nan in tile t of out = x @ y."""
        codegen, kinds = function_of(tile, True, 3, 2)
        return types.void(x, y, out, *kinds), codegen

    @intrinsic
    def mended_whole(typingctx, x, y, out, left, right):
        """What is nan in out = x @ y."""
        codegen, kinds = function_of(whole, True, 0, 0)
        return types.void(x, y, out, *kinds), codegen

    @intrinsic
    def mended_product(typingctx, x, y, out, transposed, columns_, left, right):
        """What is nan in the first columns of out = x @ y, or x.T @ y."""
        codegen, kinds = function_of(columns, True, 1, 1)
        return types.void(x, y, out, *kinds), codegen
'''
