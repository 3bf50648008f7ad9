"""The product of matrices on the CPU, as text: one compiled function for each dtype, which all kernels of a file call.

It packs columns of the right operand, as many as some vectors hold, and some hundred terms of them, side by side. Then
it goes down the left operand, some rows at a time, with all their sums in registers: a vector of the packed columns is
read once for all these rows, and an element of the left operand is read where it stands. (The scheme of Goto and van de
Geijn, Anatomy of High-Performance Matrix Multiplication, 2008, without a packed left operand: parts of products are
small enough to stay in cache.) Each sum adds its terms in order, in blocks of so many; with a vector, lane by lane.
"""

from __future__ import annotations

DEPTH, LONG = 128, 1024
"""Terms of a block: what is packed of it fills half of a first cache at most. Those of a vector are alone there."""

MULTIPLY = '''\
if not numba.config.DISABLE_JIT:
    import contextlib

    ROWS = 8 if VECTOR == 64 or "x86" not in binding.get_process_triple() else 4
    """Rows at a time: with two vectors of columns, their sums take half of the registers."""
    WORD, BIT = ir.IntType(64), ir.IntType(1)

    class Multiplier:
        """Writes the function ``out = x @ y``, or ``+=``, of one dtype into a module."""

        def __init__(self, context, builder, dtype):
            self.module, self.builder = builder.module, builder
            self.scalar, self.size = context.get_data_type(dtype), dtype.bitwidth // 8
            self.pointer = self.scalar.as_pointer()
            self.lanes = VECTOR // self.size
            self.vector = ir.VectorType(self.scalar, self.lanes)
            self.zero = ir.Constant(self.vector, [self.scalar(0.0)] * self.lanes)
            self.masks = ir.VectorType(BIT, self.lanes)
            place, kind = self.vector.as_pointer(), f"v{self.lanes}f{dtype.bitwidth}"
            self.fused = self.known(f"llvm.fmuladd.{kind}", self.vector, [self.vector] * 3)
            rest = [place, ir.IntType(32), self.masks]
            self.load = self.known(f"llvm.masked.load.{kind}.p0", self.vector, [*rest, self.vector])
            self.store = self.known(f"llvm.masked.store.{kind}.p0", ir.VoidType(), [self.vector, *rest])

        def known(self, name, result, kinds):
            return cgutils.get_or_insert_function(self.module, ir.FunctionType(result, kinds), name)

        # numbers, places, vectors

        def plus(self, x, y):
            return self.builder.add(x, y if isinstance(y, ir.Value) else WORD(y))

        def times(self, x, y):
            return self.builder.mul(x, y if isinstance(y, ir.Value) else WORD(y))

        def least(self, x, y):
            y = y if isinstance(y, ir.Value) else WORD(y)
            return self.builder.select(self.builder.icmp_signed("<", x, y), x, y)

        def steps(self, start, stop, step):
            """A loop in steps; its block gives the index."""
            step = step if isinstance(step, ir.Value) else WORD(step)
            return cgutils.for_range_slice(self.builder, start, stop, step, WORD)

        def at(self, data, offset):
            """A pointer to the element `offset` behind `data`."""
            return self.builder.gep(data, [offset])

        def place(self, matrix, row, column):
            """A pointer to an element of a matrix: its first element, elements of a row, whether it is transposed."""
            data, step, turned = matrix
            far, near = (self.builder.select(turned, *pair) for pair in ((column, row), (row, column)))
            return self.at(data, self.plus(self.times(far, step), near))

        def mask(self, count):
            """The first `count` elements of a vector."""
            number = ir.Constant(ir.VectorType(WORD, self.lanes), list(range(self.lanes)))
            return self.builder.icmp_signed("<", number, self.all(count, ir.VectorType(WORD, self.lanes)))

        def read(self, data, offset, mask=None):
            """The vector from an element on; 0 where it is masked out."""
            place = self.builder.bitcast(self.at(data, offset), self.vector.as_pointer())
            if mask is None:
                return self.builder.load(place, align=self.size)
            return self.builder.call(self.load, [place, ir.IntType(32)(self.size), mask, self.zero])

        def write(self, vector, data, offset, mask=None):
            place = self.builder.bitcast(self.at(data, offset), self.vector.as_pointer())
            if mask is None:
                self.builder.store(vector, place, align=self.size)
            else:
                self.builder.call(self.store, [vector, place, ir.IntType(32)(self.size), mask])

        def all(self, value, kind):
            """The vector of one value."""
            none = ir.Constant(kind, ir.Undefined)
            return self.shuffled(self.builder.insert_element(none, value, ir.IntType(32)(0)), none, [0] * kind.count)

        def shuffled(self, x, y, order):
            return self.builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order))

        def memory(self, count):
            """So many elements on the stack."""
            with self.builder.goto_entry_block():
                found = self.builder.alloca(ir.ArrayType(self.scalar, count))
            found.align = 64
            return self.builder.bitcast(found, self.pointer)

        # functions

        def call(self, write, form, args):
            """Call the function whose body ``write(*args, *form)`` writes, once for each form."""
            name = "_".join(map(str, [write.__name__, *form]))
            if name not in self.module.globals:
                made = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [a.type for a in args]), name)
                made.linkage = "internal"
                made.attributes.add("noinline")
                before, self.builder = self.builder, ir.IRBuilder(made.append_basic_block())
                write(*made.args, *form)
                self.builder.ret_void()
                self.builder = before
            self.builder.call(self.module.globals[name], args)

        def either(self, flag, one, other):
            """One call or the other."""
            with self.builder.if_else(flag) as (yes, no):
                with yes:
                    self.call(*one)
                with no:
                    self.call(*other)

        def loop(self, terms, totals, body):
            """A loop over terms, at least one, of vectors in registers that begin as 0; `body` gives the next."""
            builder, function = self.builder, self.builder.function
            start, head, done = builder.block, function.append_basic_block(), function.append_basic_block()
            builder.branch(head)
            builder.position_at_end(head)
            term = builder.phi(WORD)
            values = [builder.phi(self.vector) for _ in range(totals)]
            news = body(term, values)
            term.add_incoming(WORD(0), start)
            after = self.plus(term, 1)
            term.add_incoming(after, head)
            for value, new in zip(values, news):
                value.add_incoming(self.zero, start)
                value.add_incoming(new, head)
            builder.cbranch(builder.icmp_signed("<", after, terms), head, done)
            builder.position_at_end(done)
            return news

        def sums(
            self, x, x_step, y, y_step, out, out_step, terms, height, width, more, seen, rows, vectors, turned, masked
        ):
            """Add up some rows for some vectors of columns, in registers, and write them.

            seen    where it is noted that one is nan
            turned  the rows of x stand side by side, not the terms
            masked  nothing may be read of y beyond its columns
            """
            builder = self.builder
            last = self.plus(height, -1)
            offsets = [WORD(k) if turned else self.times(self.least(WORD(k), last), x_step) for k in range(rows)]
            masks = [self.mask(builder.sub(width, WORD(v * self.lanes))) for v in range(vectors)]

            def body(term, totals):
                place = self.times(term, y_step)
                columns = [
                    self.read(y, self.plus(place, v * self.lanes), mask if masked else None)
                    for v, mask in enumerate(masks)
                ]
                news, term = [], self.times(term, x_step) if turned else term
                for k in range(rows):
                    element = self.all(builder.load(self.at(x, self.plus(offsets[k], term))), self.vector)
                    some = totals[k * vectors : (k + 1) * vectors]
                    news += [builder.call(self.fused, [element, c, t]) for c, t in zip(columns, some)]
                return news

            totals = self.loop(terms, rows * vectors, body)
            done = builder.function.append_basic_block()
            for k in range(rows):
                row = []
                for v, mask in enumerate(masks):
                    offset = self.plus(self.times(WORD(k), out_step), v * self.lanes)
                    total = totals[k * vectors + v]
                    row.append(builder.select(more, builder.fadd(self.read(out, offset, mask), total), total))
                    self.write(row[-1], out, offset, mask)
                for x, y in zip(row[::2], row[-1::-2]):
                    nans = builder.bitcast(builder.fcmp_unordered("uno", x, y), ir.IntType(self.lanes))
                    self.note(builder.icmp_signed("!=", nans, nans.type(0)), seen)
                following = builder.function.append_basic_block()
                builder.cbranch(builder.icmp_signed(">", height, WORD(k + 1)), following, done)
                builder.position_at_end(following)
            builder.branch(done)
            builder.position_at_end(done)

        def note(self, nan, seen):
            """Note that there is a nan."""
            with self.builder.if_then(nan, likely=False):
                self.builder.store(WORD(1), seen)

        def inner(self, x, x_step, column, out, out_step, terms, height, more, seen, rows):
            """Multiply some rows of x with one column, the terms of both side by side."""
            builder = self.builder
            last = self.plus(height, -1)
            offsets = [self.times(self.least(WORD(k), last), x_step) for k in range(rows)]

            def body(number, totals):
                term = self.times(number, self.lanes)
                mask = self.mask(builder.sub(terms, term))
                column_, *parts = [
                    self.read(data, self.plus(offset, term), mask)
                    for data, offset in [(column, WORD(0)), *[(x, offset) for offset in offsets]]
                ]
                return [builder.call(self.fused, [part, column_, t]) for part, t in zip(parts, totals)]

            count = builder.sdiv(self.plus(terms, self.lanes - 1), WORD(self.lanes))
            totals = self.folded(self.loop(count, rows, body))
            for k in range(rows):
                with builder.if_then(builder.icmp_signed("<", WORD(k), height)):
                    goal = self.at(out, self.times(WORD(k), out_step))
                    total = builder.extract_element(totals, ir.IntType(32)(k))
                    total = builder.select(more, builder.fadd(builder.load(goal), total), total)
                    builder.store(total, goal)
                    self.note(builder.fcmp_unordered("uno", total, total), seen)

        def packed(self, y, step, terms, columns, panel, vectors, turned):
            """Pack some vectors of columns of y, or of rows of a transposed x; the last column fills up the rest."""
            wide = vectors * self.lanes
            if turned:
                last = self.plus(columns, -1)
                with self.steps(WORD(0), terms, self.lanes) as (q, _):
                    mask = self.mask(self.builder.sub(terms, q))
                    for v in range(vectors):
                        places = [self.least(WORD(v * self.lanes + k), last) for k in range(self.lanes)]
                        rows = [self.read(y, self.plus(self.times(place, step), q), mask) for place in places]
                        for k, row in enumerate(self.transposed(rows)):
                            self.write(row, panel, self.plus(self.times(self.plus(q, k), wide), v * self.lanes))
            else:
                masks = [self.mask(self.builder.sub(columns, WORD(v * self.lanes))) for v in range(vectors)]
                with cgutils.for_range(self.builder, terms) as q:
                    for v, mask in enumerate(masks):
                        row = self.read(y, self.plus(self.times(q.index, step), v * self.lanes), mask)
                        self.write(row, panel, self.plus(self.times(q.index, wide), v * self.lanes))

        def folded(self, vectors):
            """The vector of the sums of some vectors: of each, its upper half with its lower one, until one is left."""
            part = self.lanes  # of a vector, that belongs to one sum
            while len(vectors) > 1 or part > 1:
                count = len(vectors) * self.lanes if len(vectors) > 1 else vectors[0].type.count
                pairs = list(zip(vectors[::2], vectors[1::2])) or [(vectors[0], vectors[0])]
                both = range(0, min(count, 2 * self.lanes), part)
                low, high = ([k + start + j for k in both for j in range(part // 2)] for start in (0, part // 2))
                vectors = [self.builder.fadd(*(self.shuffled(*pair, order) for order in (low, high))) for pair in pairs]
                part //= 2
            return vectors[0]

        def transposed(self, rows):
            """As many vectors as each has elements, transposed: lower and upper half are interleaved, and again."""
            half, lanes = len(rows) // 2, range(self.lanes)
            low, high = ([(k + start) // 2 + self.lanes * (k % 2) for k in lanes] for start in (0, self.lanes))
            times = half
            while times:
                pairs = zip(rows[:half], rows[half:])
                rows = [self.shuffled(x, y, order) for x, y in pairs for order in (low, high)]
                times //= 2
            return rows

        # the product

        def body(self, x, y, out, ranges, added):
            """All of it; x, y, out are (first byte, bytes of a row, whether it is transposed). Gives 1 for a nan."""
            builder = self.builder
            self.seen = cgutils.alloca_once_value(builder, WORD(0))
            x, y, out = (
                (builder.inttoptr(d, self.pointer), builder.sdiv(s, WORD(self.size)), builder.trunc(t, BIT))
                for d, s, t in (x, y, out)
            )
            first, last, low, high, start, stop = ranges
            added = builder.trunc(added, BIT)
            with builder.if_then(builder.and_(builder.not_(added), builder.icmp_signed(">=", start, stop))):
                with cgutils.for_range(builder, last, start=first) as r:
                    with cgutils.for_range(builder, high, start=low) as c:
                        builder.store(self.scalar(0.0), self.place(out, r.index, c.index))
            height, width = builder.sub(last, first), builder.sub(high, low)
            one_row, one_column = (builder.icmp_signed("==", n, WORD(1)) for n in (height, width))
            beside = builder.or_(builder.not_(x[2]), builder.icmp_signed("==", out[1], WORD(1)))
            one_column = builder.and_(one_column, beside)
            panel = self.memory(max(2 * self.lanes * DEPTH, LONG))
            with builder.if_else(builder.or_(one_row, one_column)) as (thin, wide):
                with thin:
                    where = self.place(out, first, low)
                    of_y = self.place(y, start, low), y[1], y[2], width, self.place(x, first, start)
                    of_x = self.place(x, first, start), x[1], builder.not_(x[2]), height, self.place(y, start, low)
                    of_y = *of_y, builder.select(x[2], x[1], WORD(1)), WORD(1)
                    of_x = *of_x, builder.select(y[2], WORD(1), y[1]), out[1]
                    chosen = [builder.select(one_column, *pair) for pair in zip(of_x, of_y)]
                    self.by_vector(*chosen, where, builder.sub(stop, start), added, panel)
                with wide:
                    self.by_matrix(x, y, out, ranges, added, panel)
            return builder.load(self.seen)

        @contextlib.contextmanager
        def blocks(self, start, stop, added, most):
            """Blocks of terms: the first of each, their number, and whether its sums were begun."""
            with self.steps(start, stop, most) as (q, _):
                more = self.builder.or_(added, self.builder.icmp_signed(">", q, start))
                yield q, self.least(self.builder.sub(stop, q), most), more

        def by_vector(self, matrix, step, rows, count, vector, stride, out_step, out, terms, added, panel):
            """A matrix and a vector: by rows of the matrix, or by columns of it.

            rows  the terms of the matrix stand side by side
            """
            builder, few = self.builder, min(4, self.lanes)
            with self.blocks(WORD(0), terms, added, LONG) as (q, terms, more):
                apart = builder.icmp_signed("!=", stride, WORD(1))
                with builder.if_then(apart), cgutils.for_range(builder, terms) as t:
                    value = builder.load(self.at(vector, self.times(self.plus(q, t.index), stride)))
                    builder.store(value, self.at(panel, t.index))
                beside = builder.select(apart, panel, self.at(vector, q))
                with builder.if_else(rows) as (yes, no):
                    with yes, self.steps(WORD(0), count, few) as (i, _):
                        x = self.at(matrix, self.plus(self.times(i, step), q))
                        goal = self.at(out, self.times(i, out_step))
                        some = self.least(builder.sub(count, i), few)
                        args = [x, step, beside, goal, out_step, terms, some, more, self.seen]
                        self.call(self.inner, (few,), args)
                    with no, self.steps(WORD(0), count, 8 * self.lanes) as (j, _):
                        some = self.least(builder.sub(count, j), 8 * self.lanes)
                        y, goal = self.at(matrix, self.plus(self.times(q, step), j)), self.at(out, j)

                        def args(start, width):
                            places = [beside, WORD(0), self.at(y, start), step, self.at(goal, start), WORD(0)]
                            return [*places, terms, WORD(1), width, more, self.seen]

                        with builder.if_else(builder.icmp_signed("==", some, WORD(8 * self.lanes))) as (full, part):
                            with full:
                                self.call(self.sums, (1, 8, False, False), args(WORD(0), some))
                            with part, self.steps(WORD(0), some, 4 * self.lanes) as (c, _):
                                self.call(self.sums, (1, 4, False, True), args(c, builder.sub(some, c)))

        def by_matrix(self, x, y, out, ranges, added, panel):
            """Two matrices. Rows of x that stand side by side are packed first, some at a time."""
            builder = self.builder
            first, last, low, high, start, stop = ranges
            group, few = max(ROWS, self.lanes), 8 * max(ROWS, self.lanes)
            some = self.memory(few * DEPTH)
            few_rows = builder.icmp_signed("<=", builder.sub(last, first), WORD(2 * ROWS))
            few_rows = builder.and_(few_rows, builder.not_(y[2]))
            uneven = builder.icmp_signed("!=", builder.and_(builder.sub(last, first), WORD(ROWS - 1)), WORD(0))
            many = builder.icmp_signed(">", builder.sub(high, low), WORD(64))
            copies = builder.and_(x[2], builder.or_(many, uneven))
            tall = builder.select(copies, WORD(few), builder.sub(last, first))

            def columns_of(j, q, width, terms, top, bottom, more, vectors):
                wide = WORD(vectors * self.lanes)
                block = [self.place(y, q, j), y[1], terms, width, panel]
                direct = builder.and_(few_rows, builder.icmp_signed("==", width, wide))
                with builder.if_then(builder.not_(direct)):
                    self.either(y[2], (self.packed, (vectors, True), block), (self.packed, (vectors, False), block))
                columns = builder.select(direct, block[0], panel)
                columns_step = builder.select(direct, y[1], wide)
                with self.steps(top, bottom, ROWS) as (i, _):
                    height = self.least(builder.sub(bottom, i), ROWS)
                    rest = [columns, columns_step, self.place(out, i, j), out[1], terms, height, width, more, self.seen]
                    place = builder.sub(i, top)
                    inside = builder.and_(place, WORD(group - 1))
                    copied = self.at(some, self.plus(self.times(builder.sub(place, inside), DEPTH), inside))
                    left = builder.select(copies, copied, self.place(x, i, q))
                    left_step = builder.select(copies, WORD(group), x[1])
                    turned = self.sums, (ROWS, vectors, True, False), [left, left_step, *rest]
                    plain = self.sums, (ROWS, vectors, False, False), [self.place(x, i, q), x[1], *rest]
                    self.either(x[2], turned, plain)

            with self.steps(first, last, tall) as (top, _), self.blocks(start, stop, added, DEPTH) as (q, terms, more):
                bottom = self.least(self.plus(top, tall), last)
                with builder.if_then(copies), self.steps(top, bottom, group) as (i, _):
                    height = self.least(builder.sub(bottom, i), group)
                    goal = self.at(some, self.times(builder.sub(i, top), DEPTH))
                    block = [self.place(x, i, q), x[1], terms, height, goal]
                    self.call(self.packed, (group // self.lanes, False), block)
                with self.steps(low, high, 2 * self.lanes) as (j, _):
                    width = self.least(builder.sub(high, j), 2 * self.lanes)
                    with builder.if_else(builder.icmp_signed(">", width, WORD(self.lanes))) as (two, one):
                        with two:
                            columns_of(j, q, width, terms, top, bottom, more, 2)
                        with one:
                            columns_of(j, q, width, terms, top, bottom, more, 1)

    def multiply_of(dtype):
        @intrinsic
        def multiply(typingctx, x, y, out, ranges, added):
            """out = x @ y for ranges of rows, columns and terms, or out += x @ y; 1 if a nan was seen, else 0."""

            def codegen(context, builder, signature, args):
                *parts, added = args
                x, y, out, ranges = (cgutils.unpack_tuple(builder, part) for part in parts)
                return Multiplier(context, builder, dtype).body(x, y, out, ranges, added)

            return types.int64(x, y, out, ranges, added), codegen

        return multiply
'''

MULTIPLY = MULTIPLY.replace("DEPTH", str(DEPTH)).replace("LONG", str(LONG))

MULTIPLY_OF_DTYPE = '''\
if not numba.config.DISABLE_JIT:
    multiply_for_DTYPE = multiply_of(types.DTYPE)

    @routine
    def multiply_DTYPE(x, dx, tx, y, dy, ty, out, d, t, first, last, low, high, start, stop, added):
        """out = x @ y, or out += x @ y, for ranges of rows, columns and terms; dx, dy, d are bytes of a row.

        0 where none of these results is nan; 1 where one is, or where inf met the zeros behind an edge.
        """
        return multiply_for_DTYPE((x, dx, tx), (y, dy, ty), (out, d, t), (first, last, low, high, start, stop), added)
'''
