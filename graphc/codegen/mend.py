"""What is nan in a product of matrices with a guard is summed again, as text: a function like that of `multiply`.

Under a guard (see `ops.guarded`) zeros of an operand annihilate inf and nan. The function for products knows of none:
a product of finite numbers is what it is, and what annihilated terms made nan is computed again behind it.
"""

MEND = '''\
if not numba.config.DISABLE_JIT:

    def sum_again(context, builder, dtype, x, y, out, ranges, left, right):
        """Rows of out = x @ y with a nan are added up again: finite terms by `multiply`, the others one by one.

        x, y, out are (first byte, bytes of a row, whether it is transposed).
        """
        scalar, word, flag = context.get_data_type(dtype), ir.IntType(64), ir.IntType(1)
        byte, size_of = ir.IntType(8).as_pointer(), word(dtype.bitwidth // 8)
        x, y, out = ((builder.inttoptr(d, byte), s, builder.trunc(t, flag)) for d, s, t in (x, y, out))
        left, right = builder.trunc(left, flag), builder.trunc(right, flag)
        first, last, low, high, start, stop = ranges

        def at(matrix, row, column):
            """A pointer to an element."""
            data, step, transposed = matrix
            outer, inner = (builder.select(transposed, *pair) for pair in ((column, row), (row, column)))
            offset = builder.add(builder.mul(outer, step), builder.mul(inner, size_of))
            return builder.bitcast(builder.gep(data, [offset]), scalar.as_pointer())

        zero = scalar(0.0)
        size = builder.module.declare_intrinsic("llvm.fabs", [scalar])
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
            wrong = any_of(low, high, lambda j: is_nan(builder.load(at(out, i, j))))
            builder.store(flag(1), ready)
            with builder.if_then(wrong, likely=False):
                with cgutils.for_range(builder, high, start=low) as columns:
                    with builder.if_then(is_nan(builder.load(at(out, i, columns.index)))):
                        builder.store(flag(0), ready)
                        with cgutils.for_range(builder, stop, start=start) as terms:
                            u = builder.and_(is_nan(builder.load(at(x, i, terms.index))), builder.not_(right))
                            v = builder.load(at(y, terms.index, columns.index))
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
                    builder.store(zero, at(out, i.index, j.index))

            def is_not_finite(q):
                of_x = any_of(top, bottom, lambda i: is_wrong(at(x, i, q)))
                return builder.or_(of_x, any_of(low, high, lambda j: is_wrong(at(y, q, j))))

            def terms(begin, end):
                call_routine(builder, "multiply", dtype, [*x, *y, *out, top, bottom, low, high, begin, end, flag(1)])

            def term(q):
                with cgutils.for_range(builder, bottom, start=top) as i:
                    u = builder.load(at(x, i.index, q))
                    annihilates = builder.and_(left, builder.fcmp_ordered("==", u, zero))
                    with builder.if_then(builder.not_(annihilates)):
                        with cgutils.for_range(builder, high, start=low) as j:
                            v = builder.load(at(y, q, j.index))
                            annihilated = builder.and_(right, builder.fcmp_ordered("==", v, zero))
                            place = at(out, i.index, j.index)
                            term = builder.select(annihilated, zero, builder.fmul(u, v))
                            builder.store(builder.fadd(builder.load(place), term), place)

            runs(start, stop, is_not_finite, terms, term)

        runs(first, last, is_ready, rows_again)

    def mend_of(dtype):
        @intrinsic
        def mend(typingctx, x, y, out, ranges, left, right):
            """What is nan in ranges of rows and columns of out = x @ y; zeros of the left, the right annihilate."""

            def codegen(context, builder, signature, args):
                *parts, left, right = args
                x, y, out, ranges = (cgutils.unpack_tuple(builder, part) for part in parts)
                sum_again(context, builder, dtype, x, y, out, ranges, left, right)
                return context.get_dummy_value()

            return types.void(x, y, out, ranges, left, right), codegen

        return mend
'''

MEND_OF_DTYPE = '''\
if not numba.config.DISABLE_JIT:
    mend_for_DTYPE = mend_of(types.DTYPE)

    @routine
    def mend_DTYPE(x, dx, tx, y, dy, ty, out, d, t, first, last, low, high, start, stop, left, right):
        """What is nan in out = x @ y, for ranges of rows, columns and terms, under a guard."""
        mend_for_DTYPE((x, dx, tx), (y, dy, ty), (out, d, t), (first, last, low, high, start, stop), left, right)
        return 0
'''
