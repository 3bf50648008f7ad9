"""Products under a guard: BLAS knows none, so that what comes out as nan is summed again; see `ops.guarded`.

Each function stands behind the call that computed the same part of a product, and has two bodies: LLVM for compiled
kernels, one routine for each dtype in a file, and NumPy where jit is disabled.
"""

from __future__ import annotations

from ..schedule.chunks import TILE

MENDED = '''\
if numba.config.DISABLE_JIT:

    def sum_again(x, y, out, left, right):
        """out = x @ y where that is nan; zeros of the left, the right operand annihilate inf and nan."""
        for i, j in np.argwhere(np.isnan(out)):
            u, v = x[i], y[:, j]
            annihilated = (left & (u == 0)) | (right & (v == 0))
            out[i, j] = np.where(annihilated, out.dtype.type(0), u * v).sum()

    def mended_rows(x, y, out, x_transposed, y_transposed, start, stop, left, right):
        """What is nan in rows start ... stop - 1 of out = x @ y."""
        x, y = x.T if x_transposed else x, y.T if y_transposed else y
        sum_again(x[start:stop], y, out[start:stop], left, right)

    def mended_terms(x, y, out, x_transposed, y_transposed, start, stop, left, right):
        """What is nan in out = the terms start ... stop - 1 of x @ y."""
        x, y = x.T if x_transposed else x, y.T if y_transposed else y
        sum_again(x[:, start:stop], y[start:stop], out, left, right)

    def mended_tile(x, y, out, x_transposed, y_transposed, c, left, right):
        """What is nan in tile c of out = x @ y."""
        x, y = x.T if x_transposed else x, y.T if y_transposed else y
        i, j = (TILE * k for k in divmod(c, -(-out.shape[1] // TILE)))
        sum_again(x[i : i + TILE], y[:, j : j + TILE], out[i : i + TILE, j : j + TILE], left, right)

    def mended_whole(x, y, out, left, right):
        """What is nan in out = x @ y."""
        sum_again(x, y, out, left, right)

    def mended_product(x, y, out, transposed, columns, left, right):
        """What is nan in the first columns of out = x @ y, or x.T @ y."""
        sum_again(x.T if transposed else x, y, out[:, :columns], left, right)
else:

    class Operand:
        """A matrix in memory: its first byte, sizes, strides in bytes."""

        def __init__(self, context, builder, type_, value, transposed=None):
            made = arrayobj.make_array(type_)(context, builder, value)
            self.data = builder.bitcast(made.data, ir.IntType(8).as_pointer())
            self.sizes = cgutils.unpack_tuple(builder, made.shape)
            self.strides = cgutils.unpack_tuple(builder, made.strides)
            if transposed is not None:
                for both in (self.sizes, self.strides):
                    both[:] = [builder.select(transposed, *pair) for pair in zip(both[::-1], both)]

    def again(module, scalar, nbytes):
        """The routine: elements of out = x @ y in a range of rows and columns that are nan, from a range of terms."""
        word, byte, flag = ir.IntType(64), ir.IntType(8).as_pointer(), ir.IntType(1)
        name = f"sum_again_{8 * nbytes}"
        if name in module.globals:
            return module.globals[name]
        matrix = [byte, word, word]
        kind = ir.FunctionType(ir.VoidType(), [*matrix, *matrix, byte, word, *[word] * 6, flag, flag])
        function = ir.Function(module, kind, name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        x, xi, xq, y, yq, yj, out, row, first, last, low, high, start, stop, left, right = function.args
        builder = ir.IRBuilder(function.append_basic_block())

        def element(base, *places):
            for number, stride in places:
                base = builder.gep(base, [builder.mul(number, stride)])
            return builder.bitcast(base, scalar.as_pointer())

        def is_nan(value):
            return builder.fcmp_unordered("uno", value, value)

        zero, width = scalar(0.0), word(nbytes)
        with cgutils.for_range(builder, last, start=first) as rows:
            wrong = cgutils.alloca_once_value(builder, flag(0))
            builder.store(flag(0), wrong)
            with cgutils.for_range(builder, high, start=low) as columns:
                value = builder.load(element(out, (rows.index, row), (columns.index, width)))
                builder.store(builder.or_(builder.load(wrong), is_nan(value)), wrong)
            with builder.if_then(builder.load(wrong), likely=False):
                with cgutils.for_range(builder, high, start=low) as columns:
                    place = element(out, (rows.index, row), (columns.index, width))
                    with builder.if_then(is_nan(builder.load(place))):
                        builder.store(zero, place)
                        with cgutils.for_range(builder, stop, start=start) as terms:
                            u = builder.load(element(x, (rows.index, xi), (terms.index, xq)))
                            v = builder.load(element(y, (terms.index, yq), (columns.index, yj)))
                            zeros = [builder.fcmp_ordered("==", value, zero) for value in (u, v)]
                            annihilated = builder.or_(*[builder.and_(*pair) for pair in zip((left, right), zeros)])
                            term = builder.select(annihilated, zero, builder.fmul(u, v))
                            total = builder.fadd(builder.load(place), term)
                            builder.store(total, place)
                            with builder.if_then(is_nan(total)):  # it stays nan
                                terms.do_break()
        builder.ret_void()
        return function

    def mended(parts):
        """A function for a part of a product: ``parts(builder, m, n, k, *numbers)`` gives it as three ranges."""

        def codegen(context, builder, signature, args):
            x_type, y_type, out_type = signature.args[:3]
            flags = [k for k, type_ in enumerate(signature.args) if type_ == types.boolean]
            transposed = [args[k] for k in flags[:-2]] + [None] * (4 - len(flags))
            x, y = (Operand(context, builder, t, v, f) for t, v, f in zip((x_type, y_type), args[:2], transposed))
            out = Operand(context, builder, out_type, args[2])
            numbers = [args[k] for k, type_ in enumerate(signature.args) if type_ == types.int64]
            ranges = parts(builder, out.sizes[0], out.sizes[1], y.sizes[0], *numbers)
            scalar = context.get_data_type(out_type.dtype)
            function = again(builder.module, scalar, 4 if out_type.dtype == types.float32 else 8)
            given = [x.data, *x.strides, y.data, *y.strides, out.data, out.strides[0]]
            builder.call(function, [*given, *ranges, args[flags[-2]], args[flags[-1]]])
            return context.get_dummy_value()

        return codegen

    def tile(builder, m, n, k, c):
        word, size = ir.IntType(64), ir.IntType(64)(TILE)
        across = builder.sdiv(builder.add(n, word(TILE - 1)), size)
        ranges = []
        for number, most in ((builder.sdiv(c, across), m), (builder.srem(c, across), n)):
            low = builder.mul(number, size)
            high = builder.add(low, size)
            ranges += [low, builder.select(builder.icmp_signed("<", high, most), high, most)]
        return [*ranges, word(0), k]

    ZERO = ir.IntType(64)(0)
    FLAG, NUMBER = types.boolean, types.int64

    @intrinsic
    def mended_rows(typingctx, x, y, out, x_transposed, y_transposed, start, stop, left, right):
        """Rows start ... stop - 1 of out = x @ y; zeros of the left, the right operand annihilate inf and nan."""
        found = mended(lambda builder, m, n, k, start, stop: [start, stop, ZERO, n, ZERO, k])
        return types.void(x, y, out, FLAG, FLAG, NUMBER, NUMBER, FLAG, FLAG), found

    @intrinsic
    def mended_terms(typingctx, x, y, out, x_transposed, y_transposed, start, stop, left, right):
        """What is nan in out = the terms start ... stop - 1 of x @ y."""
        found = mended(lambda builder, m, n, k, start, stop: [ZERO, m, ZERO, n, start, stop])
        return types.void(x, y, out, FLAG, FLAG, NUMBER, NUMBER, FLAG, FLAG), found

    @intrinsic
    def mended_tile(typingctx, x, y, out, x_transposed, y_transposed, c, left, right):
        """What is nan in tile c of out = x @ y."""
        return types.void(x, y, out, FLAG, FLAG, NUMBER, FLAG, FLAG), mended(tile)

    @intrinsic
    def mended_whole(typingctx, x, y, out, left, right):
        """What is nan in out = x @ y."""
        found = mended(lambda builder, m, n, k: [ZERO, m, ZERO, n, ZERO, k])
        return types.void(x, y, out, FLAG, FLAG), found

    @intrinsic
    def mended_product(typingctx, x, y, out, transposed, columns, left, right):
        """What is nan in the first columns of out = x @ y, or x.T @ y."""
        found = mended(lambda builder, m, n, k, columns: [ZERO, m, ZERO, columns, ZERO, k])
        return types.void(x, y, out, FLAG, NUMBER, FLAG, FLAG), found
'''.replace("TILE", str(TILE))
