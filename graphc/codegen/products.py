"""Products of matrices as text: the printer's part, and the functions that kernels call for a part of one.

``dot_...`` computes a part by the function of `multiply`. ``mended_...`` stands behind it where the product has a guard
(see `ops.guarded`): that function knows none, so that what came out as nan is summed again. Each has two bodies: NumPy
where jit is disabled, and LLVM for compiled kernels: numba would compile them for every layout.
"""

from __future__ import annotations

from ..ir.dims import DimLike
from ..ir.loops import Dot, Kernel
from ..ir.tensor import Tensor
from ..ops.guarded import sides
from ..schedule.chunks import tile_of
from .multiply import name_of
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
            sides, tile = tile_of(*s.sizes[:2]), "t"
            if s.batched:
                tiles = f"({_tiles_of(out, sides)})"
                self.line(depth, f"b = t // {tiles}")
                x, y, out = self.of_batch(x, s.x_batch), self.of_batch(y, s.y_batch), f"{out}[b]"
                tile = f"t - b * {tiles}"
            self.print_part(s, "tile", depth, x, y, out, *map(str, sides), tile)
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
        self.helpers |= helpers_of(s.dtype.name)
        self.line(depth, f"dot_{part}({', '.join(arguments)})", s.node)
        if s.guard:
            arguments += [str(side) for side in sides(s.guard)]
            self.line(depth, f"mended_{part}({', '.join(arguments)})", s.node)

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


def _tiles_of(out: str, sides: tuple[int, int]) -> str:
    """How many tiles a matrix of a batch has."""
    rows, columns = (f"(({out}.shape[{k}] + {side - 1}) // {side})" for k, side in enumerate(sides, 1))
    return f"{rows} * {columns}"


def helpers_of(dtype: str) -> set[str]:
    """The names of what kernels with a product of a dtype need, see `codegen.prelude`."""
    return {"products", f"products_{dtype}"}


def product_name(dtype: str) -> str:
    """The text that tells the functions for products what their file of a dtype is called."""
    name = f'"{name_of(dtype)}"'
    return f"if not numba.config.DISABLE_JIT:\n    product_names[types.{dtype}] = {name}\n"


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
        """Rows start ... stop - 1 of out = x @ y."""
        dot_whole(*rows_of(*part))

    def dot_terms(*part):
        """out = the terms start ... stop - 1 of x @ y."""
        dot_whole(*terms_of(*part))

    def dot_tile(*part):
        """Tile t of out = x @ y: so many rows and columns."""
        dot_whole(*tile_of_product(*part))

    def dot_whole(x, y, out):
        """out = x @ y."""
        out[:] = x @ y

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
    product_names = {}

    class Matrix:
        """A matrix in memory, its last axis without gaps: first byte, bytes of a row, whether it is transposed."""

        def __init__(self, context, builder, type_, value, transposed=None):
            self.builder = builder
            made = arrayobj.make_array(type_)(context, builder, value)
            self.data = builder.bitcast(made.data, ir.IntType(8).as_pointer())
            sizes, strides = (cgutils.unpack_tuple(builder, part) for part in (made.shape, made.strides))
            if transposed is None:
                transposed = ir.IntType(1)(type_.layout == "F")
                sizes = sizes[::-1] if type_.layout == "F" else sizes
                strides = strides[::-1] if type_.layout == "F" else strides
            self.transposed, self.step = transposed, strides[0]
            self.rows, self.columns = (builder.select(transposed, *pair) for pair in (sizes[::-1], sizes))

    class Routine:
        """A function of a module on three matrices of one dtype: its name, and its body once."""

        def __init__(self, context, module, element, name, numbers, flags):
            word, byte, flag = ir.IntType(64), ir.IntType(8).as_pointer(), ir.IntType(1)
            self.scalar, self.bytes = context.get_data_type(element), 4 if element == types.float32 else 8
            name = f"{name}_f{8 * self.bytes}"
            self.made = name not in module.globals
            if self.made:
                matrix = [byte, word, flag]
                kind = ir.FunctionType(ir.VoidType(), [*matrix * 3, *[word] * numbers, *[flag] * flags])
                function = ir.Function(module, kind, name)
                function.linkage = "internal"
                function.attributes.add("noinline")
                self.builder = ir.IRBuilder(function.append_basic_block())
            self.function = module.globals[name]
            self.matrices, self.rest = [self.function.args[k : k + 3] for k in (0, 3, 6)], self.function.args[9:]

        def at(self, matrix, row, column):
            """A pointer to an element."""
            data, step, transposed = matrix
            builder = self.builder
            outer, inner = builder.select(transposed, column, row), builder.select(transposed, row, column)
            offset = builder.add(builder.mul(outer, step), builder.mul(inner, ir.IntType(64)(self.bytes)))
            return builder.bitcast(builder.gep(data, [offset]), self.scalar.as_pointer())

    def add_up(context, builder, element, values):
        """Call the function ``out = x @ y``, or ``+=``, of another file; all it is given are words."""
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [word] * 16)
        function = cgutils.get_or_insert_function(builder.module, kind, product_names[element])
        words = [builder.ptrtoint(v, word) if v.type.is_pointer else builder.zext(v, word) for v in values]
        builder.call(function, words)

    def sum_again(context, module, element):
        """The routine: rows of out = x @ y with a nan are added up again, under a guard.

        Terms that are finite by BLAS, the others one after another.
        """
        routine = Routine(context, module, element, "sum_again", 6, 2)
        if not routine.made:
            return routine.function
        builder, scalar, word, flag = routine.builder, routine.scalar, ir.IntType(64), ir.IntType(1)
        x, y, out = routine.matrices
        first, last, low, high, start, stop, left, right = routine.rest
        zero = scalar(0.0)
        size = module.declare_intrinsic("llvm.fabs", [scalar])
        found = cgutils.alloca_once_value(builder, flag(0))

        def any_of(start, stop, test):
            builder.store(flag(0), found)
            with cgutils.for_range(builder, stop, start=start) as loop:
                builder.store(builder.or_(builder.load(found), test(loop.index)), found)
            return builder.load(found)

        def is_nan(value):
            return builder.fcmp_unordered("uno", value, value)

        def is_wrong(pointer):
            return builder.fcmp_unordered("uge", builder.call(size, [builder.load(pointer)]), scalar(math.inf))

        def runs(start, stop, ends, run, one=None):
            """`run` on each range of numbers for which `ends` does not hold, and `one` on the others, in order."""
            slot = cgutils.alloca_once_value(builder, start)
            builder.store(start, slot)
            test = cgutils.alloca_once_value(builder, flag(1))
            with cgutils.for_range(builder, builder.add(stop, word(1)), start=start) as loop:
                builder.store(flag(1), test)
                inside = builder.icmp_signed("<", loop.index, stop)
                with builder.if_then(inside):
                    builder.store(ends(loop.index), test)
                with builder.if_then(builder.load(test)):
                    with builder.if_then(builder.icmp_signed("<", builder.load(slot), loop.index)):
                        run(builder.load(slot), loop.index)
                    builder.store(builder.add(loop.index, word(1)), slot)
                    if one is not None:
                        with builder.if_then(inside):
                            one(loop.index)

        ready = cgutils.alloca_once_value(builder, flag(1))

        def is_ready(i):
            """Whether a row has no nan but where the sum is one: an element whose zeros annihilate is nan itself."""
            wrong = any_of(low, high, lambda j: is_nan(builder.load(routine.at(out, i, j))))
            builder.store(flag(1), ready)
            with builder.if_then(wrong, likely=False):
                with cgutils.for_range(builder, high, start=low) as columns:
                    with builder.if_then(is_nan(builder.load(routine.at(out, i, columns.index)))):
                        builder.store(flag(0), ready)
                        with cgutils.for_range(builder, stop, start=start) as terms:
                            u = builder.and_(is_nan(builder.load(routine.at(x, i, terms.index))), builder.not_(right))
                            v = builder.load(routine.at(y, terms.index, columns.index))
                            both = builder.or_(u, builder.and_(is_nan(v), builder.not_(left)))
                            with builder.if_then(both):
                                builder.store(flag(1), ready)
                                terms.do_break()
                        with builder.if_then(builder.not_(builder.load(ready))):
                            columns.do_break()
            return builder.load(ready)

        def rows_again(top, bottom):
            with cgutils.for_range(builder, bottom, start=top) as i:
                with cgutils.for_range(builder, high, start=low) as j:
                    builder.store(zero, routine.at(out, i.index, j.index))

            def is_not_finite(q):
                of_x = any_of(top, bottom, lambda i: is_wrong(routine.at(x, i, q)))
                return builder.or_(of_x, any_of(low, high, lambda j: is_wrong(routine.at(y, q, j))))

            def terms(begin, end):
                add_up(context, builder, element, [*x, *y, *out, top, bottom, low, high, begin, end, flag(1)])

            def term(q):
                with cgutils.for_range(builder, bottom, start=top) as i:
                    u = builder.load(routine.at(x, i.index, q))
                    annihilates = builder.and_(left, builder.fcmp_ordered("==", u, zero))
                    with builder.if_then(builder.not_(annihilates)):
                        with cgutils.for_range(builder, high, start=low) as j:
                            v = builder.load(routine.at(y, q, j.index))
                            annihilated = builder.and_(right, builder.fcmp_ordered("==", v, zero))
                            place = routine.at(out, i.index, j.index)
                            term = builder.select(annihilated, zero, builder.fmul(u, v))
                            builder.store(builder.fadd(builder.load(place), term), place)

            runs(start, stop, is_not_finite, terms, term)

        runs(first, last, is_ready, rows_again)
        builder.ret_void()
        return routine.function

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
                builder.call(sum_again(context, builder.module, element), [*values, *args[-2:]])
            else:
                add_up(context, builder, element, [*values, ir.IntType(1)(0)])
            return context.get_dummy_value()

        kinds = [FLAG] * flags + [NUMBER] * numbers + [FLAG] * (2 if mends else 0)
        return codegen, kinds

    @intrinsic
    def dot_rows(typingctx, x, y, out, x_transposed, y_transposed, start, stop):
        """Rows start ... stop - 1 of out = x @ y."""
        codegen, kinds = function_of(rows, False, 2, 2)
        return types.void(x, y, out, *kinds), codegen

    @intrinsic
    def dot_terms(typingctx, x, y, out, x_transposed, y_transposed, start, stop):
        """out = the terms start ... stop - 1 of x @ y."""
        codegen, kinds = function_of(terms, False, 2, 2)
        return types.void(x, y, out, *kinds), codegen

    @intrinsic
    def dot_tile(typingctx, x, y, out, x_transposed, y_transposed, height, width, t):
        """Tile t of out = x @ y: so many rows and columns."""
        codegen, kinds = function_of(tile, False, 3, 2)
        return types.void(x, y, out, *kinds), codegen

    @intrinsic
    def dot_whole(typingctx, x, y, out):
        """out = x @ y."""
        codegen, kinds = function_of(whole, False, 0, 0)
        return types.void(x, y, out, *kinds), codegen

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
