"""The functions that kernels with convolutions call, as text.

Each has two bodies: vectors and tiles by intrinsics for compiled kernels, NumPy where jit is disabled.
"""

HELPER = '''\
import contextlib
import functools

if numba.config.DISABLE_JIT:

    def beside(x, out, start):
        """x, from column `start` of out on."""
        out[:, start : start + x.shape[1]] = x

    def windows_in(x, kernel, size, strides, dilations):
        """Rows (c, k): what place k of each window reads in channel c, a part of x."""
        for c in range(x.shape[0]):
            for k in np.ndindex(*kernel):
                starts = [j * d for j, d in zip(k, dilations)]
                stops = [a + (n - 1) * s + 1 for a, n, s in zip(starts, size, strides)]
                yield x[(c, *[slice(a, b, s) for a, b, s in zip(starts, stops, strides)])]

    def unfold(x, columns, kernel, size, strides, dilations, start):
        """Row (c, k) of `columns`, from `start` on: what place k of windows reads in channel c, window after window."""
        for row, part in enumerate(windows_in(x, kernel, size, strides, dilations)):
            columns[row, start : start + part.size] = part.reshape(-1)

    def fold_back(columns, x, kernel, size, strides, dilations):
        """x: the sum of all rows (c, k) of `columns`, each where place k of the windows is in channel c."""
        x[:] = 0
        for row, part in enumerate(windows_in(x, kernel, size, strides, dilations)):
            part += columns[row, : part.size].reshape(part.shape)

    def product(x, y, out, transposed, columns, rows, width):
        """out = x @ y, or x.T @ y."""
        out[:, :columns] = (x.T if transposed else x) @ y[:, :columns]

    def products(x, y, out, columns, rows, width, left, right):
        """out += x @ y.T, where zeros of x, if `left`, and of y, if `right`, annihilate inf and nan."""
        found = x[:, :columns] @ y[:, :columns].T
        if left or right:
            sum_again(x[:, :columns], y[:, :columns].T, found, left, right)
        out += found
else:
    WORD = ir.IntType(64)

    class Vectors:
        """Code for vectors of one element type."""

        def __init__(self, context, builder, element):
            self.builder, self.scalar = builder, context.get_data_type(element)
            self.bytes = 4 if element == types.float32 else 8
            self.registers = 32 if VECTOR == 64 else 16
            self.count = VECTOR // self.bytes
            self.type = ir.VectorType(self.scalar, self.count)
            self.suffix = f"v{self.count}f{8 * self.bytes}"
            self.lanes = ir.VectorType(WORD, self.count)

        def at(self, base, *offsets):
            """A pointer some bytes behind `base`, which points to bytes."""
            for offset in offsets:
                base = self.builder.gep(base, [offset])
            return base

        def call(self, name, result, arguments):
            kind = ir.FunctionType(result, [a.type for a in arguments])
            function = cgutils.get_or_insert_function(self.builder.module, kind, name)
            return self.builder.call(function, arguments)

        def splat(self, value):
            undefined = ir.Constant(ir.VectorType(value.type, self.count), ir.Undefined)
            one = self.builder.insert_element(undefined, value, ir.IntType(32)(0))
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.count), [0] * self.count)
            return self.builder.shuffle_vector(one, undefined, zeros)

        def zero(self):
            return ir.Constant(self.type, [0.0] * self.count)

        def first(self, count):
            """The mask of the first `count` lanes."""
            numbers = ir.Constant(self.lanes, list(range(self.count)))
            return self.builder.icmp_unsigned("<", numbers, self.splat(count))

        def load(self, pointer, mask=None):
            pointer = self.builder.bitcast(pointer, self.type.as_pointer())
            if mask is None:
                return self.builder.load(pointer, align=self.bytes)
            arguments = [pointer, ir.IntType(32)(self.bytes), mask, self.zero()]
            return self.call(f"llvm.masked.load.{self.suffix}.p0", self.type, arguments)

        def store(self, value, pointer, mask=None):
            pointer = self.builder.bitcast(pointer, self.type.as_pointer())
            if mask is None:
                self.builder.store(value, pointer, align=self.bytes)
            else:
                arguments = [value, pointer, ir.IntType(32)(self.bytes), mask]
                self.call(f"llvm.masked.store.{self.suffix}.p0", ir.VoidType(), arguments)

        def number(self, pointer):
            return self.builder.load(self.builder.bitcast(pointer, self.scalar.as_pointer()))

        def multiply_add(self, x, y, z):
            return self.call(f"llvm.fmuladd.{self.suffix}", self.type, [x, y, z])

        def sum(self, x):
            """The lanes added up: the upper half to the lower one, until one is left."""
            count = self.count
            while count > 1:
                count //= 2
                halves = [
                    ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(k, k + count))) for k in (0, count)
                ]
                lower, upper = (self.builder.shuffle_vector(x, x, half) for half in halves)
                x = self.builder.fadd(lower, upper)
            return self.builder.extract_element(x, ir.IntType(32)(0))

        def scaled(self, number):
            """A number of elements in bytes."""
            return self.builder.mul(number, WORD(self.bytes))

        def minimum(self, x, y):
            return self.builder.select(self.builder.icmp_signed("<", x, y), x, y)

        def up(self, x, y):
            """x / y, rounded up."""
            return self.builder.sdiv(self.builder.add(x, WORD(y - 1)), WORD(y))

        def variables(self, count):
            """Vectors that start at 0, for accumulators."""
            made = []
            for _ in range(count):
                with self.builder.goto_entry_block():
                    made.append(self.builder.alloca(self.type))
                self.builder.store(self.zero(), made[-1])
            return made

        def numbers(self, count):
            """Memory for so many elements."""
            with self.builder.goto_entry_block():
                return self.builder.alloca(self.scalar, size=count)

        def element(self, numbers, k):
            return self.builder.gep(numbers, [k])

        def over_row(self, count, action):
            """``action(offset in bytes, mask)`` for each vector of a row; the last has a mask if it is not full."""
            builder = self.builder
            full = builder.sdiv(count, WORD(self.count))
            with cgutils.for_range(builder, full) as loop:
                action(builder.mul(loop.index, WORD(self.count * self.bytes)), None)
            done = builder.mul(full, WORD(self.count))
            rest = builder.sub(count, done)
            with builder.if_then(builder.icmp_signed(">", rest, WORD(0))):
                action(self.scaled(done), self.first(rest))

    def opened(context, builder, type_, value):
        """An array: a pointer to its bytes, its sizes, and its strides in bytes."""
        data = builder.bitcast(arrays.data_of(builder, value), ir.IntType(8).as_pointer())
        sizes = arrays.sizes_of(builder, type_, value)
        return data, sizes, arrays.strides_of(context, builder, type_, sizes)

    def tile_of(rows, columns, per_column, registers):
        """Rows and columns of a tile of accumulators, of the sizes for which all of it takes fewest cycles, and loads.

        A cycle loads two vectors and multiplies two; a multiplication takes four until another can use its result.
        Columns are vectors of `per_column` elements, and what is left of them is done one by one. Where they are single
        elements, the last tile repeats some.
        """
        rows, columns = rows or 24, columns or 48 * per_column

        def cycles(r, c):
            return max(r * c, r + c, 8) / 2

        def cost(shape):
            r, c = shape
            whole = columns // (per_column * c)
            left = -(-columns // per_column) - whole * c
            rest = left * cycles(r, 1) if per_column > 1 else (left > 0) * cycles(r, c)
            return -(-rows // r) * (whole * cycles(r, c) + rest)

        shapes = [(r, c) for r in range(1, 17) for c in range(1, 9) if r * c + min(r, c) + 2 <= registers]
        return min(shapes, key=lambda shape: (cost(shape), sum(shape) / (shape[0] * shape[1])))

    def triples(context, builder, values, kinds):
        """Sizes for each of three axes."""
        pairs = [(cgutils.unpack_tuple(builder, value), kind) for value, kind in zip(values, kinds)]
        return [[context.cast(builder, v, t, types.int64) for v, t in zip(*pair)] for pair in pairs]

    def over(builder, *counts):
        """Nested loops: their variables."""
        stack = contextlib.ExitStack()
        return stack, [stack.enter_context(cgutils.for_range(builder, count)).index for count in counts]

    def position_of(builder, parts, sizes):
        """A number from its digits, the last of which counts fastest."""
        found = parts[0]
        for part, size in zip(parts[1:], sizes[1:]):
            found = builder.add(builder.mul(found, size), part)
        return found

    def seen_from(builder, p, strides, k, dilations):
        """Where place k of window p is, along each axis."""
        return [
            builder.add(builder.mul(a, s), builder.mul(b, d)) for a, s, b, d in zip(p, strides, k, dilations)
        ]

    def copied(vectors, source, target, count):
        """A row of elements."""

        def action(offset, mask):
            vectors.store(vectors.load(vectors.at(source, offset), mask), vectors.at(target, offset), mask)

        vectors.over_row(count, action)

    @intrinsic
    def beside(typingctx, x, out, start):
        """x, from column `start` of out on."""

        def codegen(context, builder, signature, args):
            vectors = Vectors(context, builder, x.dtype)
            data, (rows, width), (step, _) = opened(context, builder, x, args[0])
            target, _, (row_step, _) = opened(context, builder, out, args[1])
            with cgutils.for_range(builder, rows) as loop:
                to = vectors.at(target, builder.mul(loop.index, row_step), vectors.scaled(args[2]))
                copied(vectors, vectors.at(data, builder.mul(loop.index, step)), to, width)
            return context.get_dummy_value()

        return types.void(x, out, types.int64), codegen

    @intrinsic
    def unfold(typingctx, x, columns, kernel, size, strides, dilations, start):
        """Row (c, k) of `columns`, from `start` on: what place k of windows reads in channel c, window after window."""

        def codegen(context, builder, signature, args):
            vectors = Vectors(context, builder, x.dtype)
            data, (channels, *_), steps = opened(context, builder, x, args[0])
            out, _, (row_step, _) = opened(context, builder, columns, args[1])
            kernel, size, strides, dilations = triples(context, builder, args[2:6], signature.args[2:6])
            loops, (c, *rest) = over(builder, channels, *kernel, *size[:2])
            with loops:
                k, p = rest[:3], [*rest[3:], WORD(0)]
                row = position_of(builder, [c, *k], [None, *kernel])
                column = builder.add(position_of(builder, p, size), args[6])
                read = [c, *seen_from(builder, p, strides, k, dilations)]
                source = vectors.at(data, *[builder.mul(a, b) for a, b in zip(read, steps)])
                target = vectors.at(out, builder.mul(row, row_step), vectors.scaled(column))
                with builder.if_else(builder.icmp_signed("==", strides[2], WORD(1))) as (beside, apart):
                    with beside:
                        copied(vectors, source, target, size[2])
                    with apart, cgutils.for_range(builder, size[2]) as loop:
                        value = vectors.number(vectors.at(source, vectors.scaled(builder.mul(loop.index, strides[2]))))
                        place = vectors.at(target, vectors.scaled(loop.index))
                        builder.store(value, builder.bitcast(place, vectors.scalar.as_pointer()))
            return context.get_dummy_value()

        return types.void(x, columns, kernel, size, strides, dilations, types.int64), codegen

    def line_sum(vectors, data, step, target, lines, length, kernel, size, strides, dilations):
        """A line of x: the sum of all that windows have there, added one after another in registers; stride 1 along it.

        lines  its channel, and its place on the first two axes
        """
        builder = vectors.builder
        channel, *places = lines

        def over_windows(axis, row, place, action):
            """``action(row, place)`` for each place in a window, and window, that reach this line of an axis."""
            with cgutils.for_range(builder, kernel[axis]) as loop:
                ahead = builder.sub(places[axis], builder.mul(loop.index, dilations[axis]))
                window = builder.sdiv(ahead, strides[axis])
                whole = builder.icmp_signed("==", builder.mul(window, strides[axis]), ahead)
                inside = builder.icmp_unsigned("<", window, size[axis])
                with builder.if_then(builder.and_(whole, inside)):
                    below = builder.add(builder.mul(row, kernel[axis]), loop.index)
                    action(below, builder.add(builder.mul(place, size[axis]), window))

        def part(offset, mask):
            total = vectors.variables(1)[0]
            start = builder.udiv(offset, WORD(vectors.bytes))

            def line(row, place):
                row, place = builder.mul(row, kernel[2]), builder.mul(place, size[2])
                with cgutils.for_range(builder, kernel[2]) as loop:
                    first = builder.sub(start, builder.mul(loop.index, dilations[2]))
                    at = builder.mul(builder.add(row, loop.index), step)
                    source = vectors.at(data, at, vectors.scaled(builder.add(place, first)))
                    steps_ahead = ir.Constant(vectors.lanes, list(range(vectors.count)))
                    numbers = builder.add(vectors.splat(first), steps_ahead)
                    here = builder.icmp_unsigned("<", numbers, vectors.splat(size[2]))
                    builder.store(builder.fadd(builder.load(total), vectors.load(source, here)), total)

            def lines_of(row, place):
                over_windows(1, row, place, line)

            over_windows(0, channel, WORD(0), lines_of)
            vectors.store(builder.load(total), vectors.at(target, offset), mask)

        vectors.over_row(length, part)

    @intrinsic
    def fold_back(typingctx, columns, x, kernel, size, strides, dilations):
        """x: the sum of all rows (c, k) of `columns`, each where place k of the windows is in channel c."""

        def codegen(context, builder, signature, args):
            vectors = Vectors(context, builder, x.dtype)
            data, _, (step, _) = opened(context, builder, columns, args[0])
            out, sizes, steps = opened(context, builder, x, args[1])
            shape = triples(context, builder, args[2:], signature.args[2:])
            kernel, size, strides, dilations = shape

            def place(*at):
                return vectors.at(out, *[builder.mul(a, b) for a, b in zip(at, steps)])

            def element(pointer):
                return builder.bitcast(pointer, vectors.scalar.as_pointer())

            with builder.if_else(builder.icmp_signed("==", strides[2], WORD(1))) as (in_lines, one_by_one):
                with in_lines:
                    loops, lines = over(builder, *sizes[:3])
                    with loops:
                        line_sum(vectors, data, step, place(*lines), lines, sizes[3], *shape)
                with one_by_one:
                    loops, at = over(builder, *sizes)
                    with loops:
                        builder.store(vectors.scalar(0.0), element(place(*at)))
                    loops, (c, *rest) = over(builder, sizes[0], *kernel, *size)
                    with loops:
                        k, p = rest[:3], rest[3:]
                        row = position_of(builder, [c, *k], [None, *kernel])
                        column = vectors.scaled(position_of(builder, p, size))
                        value = vectors.number(vectors.at(data, builder.mul(row, step), column))
                        target = element(place(c, *seen_from(builder, p, strides, k, dilations)))
                        builder.store(builder.fadd(builder.load(target), value), target)
            return context.get_dummy_value()

        return types.void(columns, x, kernel, size, strides, dilations), codegen

    @intrinsic(prefer_literal=True)
    def product(typingctx, x, y, out, transposed, columns, rows, width):
        """out = x @ y, or x.T @ y: tiles of accumulators, terms added in order."""

        def codegen(context, builder, signature, args):
            vectors = Vectors(context, builder, out.dtype)
            left, _, left_steps = opened(context, builder, x, args[0])
            right, right_sizes, right_steps = opened(context, builder, y, args[1])
            result, result_sizes, result_steps = opened(context, builder, out, args[2])
            row_step, term_step = left_steps[::-1] if transposed.literal_value else left_steps
            m, k = result_sizes[0], right_sizes[0]
            n = context.cast(builder, args[4], signature.args[4], types.int64)
            known, width_known = getattr(rows, "literal_value", 0), getattr(width, "literal_value", 0)
            tall, wide = tile_of(known, width_known, vectors.count, vectors.registers)
            last = builder.sub(m, WORD(1))

            def tile(i, offset, count, mask):
                """A tile of all rows from i on, of which those beyond the last repeat it."""
                numbers = [vectors.minimum(builder.add(i, WORD(r)), last) for r in range(tall)]
                lefts = [vectors.at(left, builder.mul(a, row_step)) for a in numbers]
                sums = vectors.variables(tall * count)
                with cgutils.for_range(builder, k) as loop:
                    row = vectors.at(right, builder.mul(loop.index, right_steps[0]), offset)
                    loaded = [vectors.load(vectors.at(row, WORD(v * VECTOR)), mask) for v in range(count)]
                    term = builder.mul(loop.index, term_step)
                    for r, pointer in enumerate(lefts):
                        factor = vectors.splat(vectors.number(vectors.at(pointer, term)))
                        for v, vector in enumerate(loaded):
                            place = sums[r * count + v]
                            builder.store(vectors.multiply_add(factor, vector, builder.load(place)), place)
                for r, a in enumerate(numbers):
                    row = vectors.at(result, builder.mul(a, result_steps[0]), offset)
                    for v in range(count):
                        target = vectors.at(row, WORD(v * VECTOR))
                        vectors.store(builder.load(sums[r * count + v]), target, mask)

            def strip(offset, count, mask):
                with cgutils.for_range(builder, vectors.up(m, tall)) as block:
                    tile(builder.mul(block.index, WORD(tall)), offset, count, mask)

            strips = builder.sdiv(n, WORD(wide * vectors.count))
            with cgutils.for_range(builder, strips) as loop:
                strip(builder.mul(loop.index, WORD(wide * VECTOR)), wide, None)
            done = builder.mul(strips, WORD(wide * VECTOR))
            rest = builder.sub(n, builder.mul(strips, WORD(wide * vectors.count)))
            vectors.over_row(rest, lambda offset, mask: strip(builder.add(done, offset), 1, mask))
            return context.get_dummy_value()

        return types.void(x, y, out, transposed, columns, rows, width), codegen

    @intrinsic(prefer_literal=True)
    def products(typingctx, x, y, out, columns, rows, width, left_zeros, right_zeros):
        """out += x @ y.T: vectors run along the columns, and are added up at the end.

        Where zeros of x (`left_zeros`) or y (`right_zeros`) annihilate inf and nan, a sum that is nan is summed again.
        """

        def codegen(context, builder, signature, args):
            vectors = Vectors(context, builder, out.dtype)
            left, _, left_steps = opened(context, builder, x, args[0])
            right, _, right_steps = opened(context, builder, y, args[1])
            result, (m, n), result_steps = opened(context, builder, out, args[2])
            length = context.cast(builder, args[3], signature.args[3], types.int64)
            known, width_known = getattr(rows, "literal_value", 0), getattr(width, "literal_value", 0)
            tall, wide = tile_of(known, width_known, 1, vectors.registers)
            guarded = [side.literal_value for side in (left_zeros, right_zeros)]

            def again(found, rows, columns):
                """Sums that are nan, of so many rows and columns, term by term."""
                zero = vectors.scalar(0.0)
                places = [pointers_of(values) for values in (rows, columns)]
                loops, (r, c) = over(builder, WORD(len(rows)), WORD(len(columns)))
                with loops:
                    place = vectors.element(found, builder.add(builder.mul(r, WORD(len(columns))), c))
                    total = builder.load(place)
                    with builder.if_then(builder.fcmp_unordered("uno", total, total), likely=False):
                        row, column = (builder.load(builder.gep(p, [k])) for p, k in zip(places, (r, c)))
                        builder.store(zero, place)
                        with cgutils.for_range(builder, length) as loop:
                            offset = vectors.scaled(loop.index)
                            factors = [vectors.number(vectors.at(pointer, offset)) for pointer in (row, column)]
                            term = builder.fmul(*factors)
                            for factor, annihilates in zip(factors, guarded):
                                if annihilates:
                                    term = builder.select(builder.fcmp_unordered("!=", factor, zero), term, zero)
                            builder.store(builder.fadd(builder.load(place), term), place)

            def pointers_of(values):
                """Memory with these pointers."""
                with builder.goto_entry_block():
                    found = builder.alloca(values[0].type, size=len(values))
                for k, value in enumerate(values):
                    builder.store(value, builder.gep(found, [WORD(k)]))
                return found

            def inside(i, size, last):
                return [vectors.minimum(builder.add(i, WORD(r)), last) for r in range(size)]

            with cgutils.for_range(builder, vectors.up(n, wide)) as outer:
                columns_of = inside(builder.mul(outer.index, WORD(wide)), wide, builder.sub(n, WORD(1)))
                ys = [vectors.at(right, builder.mul(c, right_steps[0])) for c in columns_of]
                with cgutils.for_range(builder, vectors.up(m, tall)) as inner:
                    rows_of = inside(builder.mul(inner.index, WORD(tall)), tall, builder.sub(m, WORD(1)))
                    xs = [vectors.at(left, builder.mul(a, left_steps[0])) for a in rows_of]
                    sums = vectors.variables(tall * wide)

                    def terms(offset, mask):
                        loaded = [vectors.load(vectors.at(pointer, offset), mask) for pointer in ys]
                        for r, pointer in enumerate(xs):
                            factor = vectors.load(vectors.at(pointer, offset), mask)
                            for c, vector in enumerate(loaded):
                                place = sums[r * wide + c]
                                builder.store(vectors.multiply_add(factor, vector, builder.load(place)), place)

                    vectors.over_row(length, terms)
                    targets = [
                        vectors.at(result, builder.mul(a, result_steps[0]), builder.mul(c, result_steps[1]))
                        for a in rows_of
                        for c in columns_of
                    ]
                    totals = [vectors.sum(builder.load(place)) for place in sums]
                    if any(guarded):
                        nans = [builder.fcmp_unordered("uno", *pair) for pair in zip(totals, totals[::-1])]
                        seen = functools.reduce(builder.or_, nans[: -(-len(nans) // 2)])
                        found = vectors.numbers(len(totals))
                        for k, total in enumerate(totals):
                            builder.store(total, vectors.element(found, WORD(k)))
                        with builder.if_then(seen, likely=False):
                            again(found, xs, ys)
                        totals = [builder.load(vectors.element(found, WORD(k))) for k in range(len(totals))]
                    old = [vectors.number(target) for target in targets]
                    for value, total, target in zip(old, totals, targets):
                        pointer = builder.bitcast(target, vectors.scalar.as_pointer())
                        builder.store(builder.fadd(value, total), pointer)
            return context.get_dummy_value()

        return types.void(x, y, out, columns, rows, width, left_zeros, right_zeros), codegen

'''
