"""Vectors of memory on a GPU: a thread reads and writes 16 bytes at a time, and works on their elements in turn.

Where an address is not a multiple of a vector's size, or a vector would reach beyond the end, its elements are read and
written one by one; which ones a thread has does not depend on that.
"""

from __future__ import annotations

import re

from ..ir.expr import Load
from ..ir.loops import Combine, For, Kernel, Statement, Store
from ..ir.tensor import Tensor
from ..schedule.vectors import Vectors
from .cuda_blocks import type_name
from .scalar import Printer


class CudaVectors:
    """Prints loops whose iterations go in groups; mixed into the printer of launches."""

    kernel: Kernel
    printer: Printer
    helpers: set[str]
    lines: list[tuple[int, str, Tensor | None]]

    def line(self, depth: int, text: str, node: Tensor | None = None) -> None:
        raise NotImplementedError

    def block(self, body: list[Statement], depth: int) -> None:
        raise NotImplementedError

    def vector_loop(self, loop: For, vectors: Vectors, first: str, step: str, depth: int) -> None:
        """A loop from `first` on in steps of `step`, both counted in groups; j is the first iteration of a group."""
        width, size = vectors.width, self.printer.size(loop.extent)
        start, stop = ("start + ", "stop") if loop.chunked else ("", size)
        self.print_wide(vectors, depth, f"start % {width} == 0" if loop.chunked else "")
        steps = str(width * int(step)) if step.isdigit() else f"{width} * {step}"
        self.line(depth, f"for j in range({start}{width} * {first}, {stop}, {steps}):")
        self.print_group(loop, vectors, stop, depth + 1)

    def print_wide(self, vectors: Vectors, depth: int, condition: str = "") -> None:
        """Whether vectors may stand where groups of the loop do."""
        self.helpers.add("lanes")
        conditions = [f"aligned({name}, {vectors.width})" for name in vectors.arrays]
        self.line(depth, f"wide = {' and '.join([*conditions, *([condition] if condition else [])])}")

    def print_group(self, loop: For, vectors: Vectors, stop: str, depth: int) -> None:
        """The iterations from j on: what they read, each of them, what they write."""
        width = vectors.width
        even = not loop.chunked and isinstance(loop.extent, int) and loop.extent % width == 0
        self.line(depth, "whole = wide" if even else f"whole = wide and j + {width} <= {stop}")
        loaded = {place: f"x{k}" for k, place in enumerate(vectors.loaded)}
        stored = {place: f"y{k}" for k, place in enumerate(vectors.stored)}
        for place, name in loaded.items():
            self.line(depth, f"{name} = load_lanes({place.array}, {self._at(place)}, {width}, whole, {stop})")
        for place, name in stored.items():
            dtype = next(a for a in self.kernel.arrays if a.name == place.array).dtype
            self.line(depth, f"{name} = cuda.local.array({width}, {type_name(dtype)})")
        self.line(depth, f"for k in range({width}):")
        guarded = not even and any(isinstance(s, Combine) for s in loop.body)
        before = len(self.lines)
        if guarded:
            self.line(depth + 1, f"if {loop.var} < {stop}:")
        self.printer.elements = {place: f"lane({name}, k)" for place, name in loaded.items()}
        for s in loop.body:
            if isinstance(s, Store):
                name = stored[Load(s.array, s.index, s.expr.dtype)]
                self.line(depth + 1 + guarded, f"{name}[k] = {self.printer.text(s.expr)}", s.node)
            else:
                self.block([s], depth + 1 + guarded)
        self.printer.elements = {}
        if any(re.search(rf"\b{loop.var}\b", text) for _, text, _ in self.lines[before:]):
            own = "j + k" if even or guarded else f"min(j + k, {stop} - 1)"
            self.lines.insert(before, (depth + 1, f"{loop.var} = {own}", None))
        for place, name in stored.items():
            self.line(depth, f"store_lanes({place.array}, {self._at(place)}, {width}, whole, {stop}, {name})")

    def _at(self, place: Load) -> str:
        """Where a vector starts."""
        row = "".join(f"{self.printer.text(e)}, " for e in place.index[:-1])
        return f"({row}j)" if row else "(j,)"


LANES = '''\
if cuda.config.ENABLE_CUDASIM:

    def aligned(a, width):
        return a.ctypes.data % (width * a.itemsize) == 0 and (a.ndim == 1 or a.shape[-1] % width == 0)

    def load_lanes(a, at, width, whole, stop):
        *row, j = at
        if whole:
            return tuple(a[(*row, slice(j, j + width))])
        return tuple(a[(*row, j + k)] if j + k < stop else a.dtype.type(0) for k in range(width))

    def store_lanes(a, at, width, whole, stop, y):
        *row, j = at
        for k in range(width if whole else min(width, stop - j)):
            a[(*row, j + k)] = y[k]

    def lane(x, k):
        return x[k]

    def pick(a, side, i, j):
        return a[i, j]
else:

    def place_of(context, builder, kind, array, at):
        """A pointer to an element."""
        made = context.make_array(kind)(context, builder, array)
        return cgutils.get_item_pointer(context, builder, kind, made, at)

    @intrinsic
    def aligned(typingctx, a, width):
        """Whether a vector of so many elements may start wherever one of them ends."""
        count = getattr(width, "literal_value", 0)

        def codegen(context, builder, signature, args):
            made = context.make_array(a)(context, builder, args[0])
            address = builder.ptrtoint(made.data, ir.IntType(64))
            nbytes = count * context.get_abi_sizeof(made.data.type.pointee)
            found = builder.icmp_unsigned("==", builder.urem(address, address.type(nbytes)), address.type(0))
            if a.ndim > 1:
                size = builder.extract_value(made.shape, a.ndim - 1)
                rest = builder.icmp_unsigned("==", builder.urem(size, size.type(count)), size.type(0))
                found = builder.and_(found, rest)
            return found

        return (types.boolean(a, width), codegen) if count else None  # numba asks again, with the literal

    @intrinsic
    def load_lanes(typingctx, a, at, width, whole, stop):
        """So many elements from `at` on: by one load, if `whole`; else one by one, and zeros from `stop` on."""
        count = getattr(width, "literal_value", 0)
        result = types.UniTuple(a.dtype, count)

        def codegen(context, builder, signature, args):
            data = context.data_model_manager[a.dtype]
            row = cgutils.unpack_tuple(builder, args[1])
            start = place_of(context, builder, a, args[0], row)
            element = start.type.pointee
            with builder.if_else(args[3]) as (then, otherwise):
                with then:
                    pointer = builder.bitcast(start, ir.VectorType(element, count).as_pointer())
                    vector = builder.load(pointer, align=count * context.get_abi_sizeof(element))
                    fast = [builder.extract_element(vector, ir.IntType(32)(k)) for k in range(count)]
                    first = builder.block
                with otherwise:
                    slow = []
                    for k in range(count):
                        before = builder.block
                        inside = builder.icmp_signed("<", builder.add(row[-1], row[-1].type(k)), args[4])
                        with builder.if_then(inside):
                            value = builder.load(builder.gep(start, [ir.IntType(32)(k)]))
                            there = builder.block
                        slow.append(builder.phi(element))
                        slow[-1].add_incoming(ir.Constant(element, None), before)
                        slow[-1].add_incoming(value, there)
                    second = builder.block
            values = []
            for x, y in zip(fast, slow):
                phi = builder.phi(element)
                phi.add_incoming(x, first)
                phi.add_incoming(y, second)
                values.append(phi)
            return cgutils.pack_array(builder, [data.from_data(builder, value) for value in values])

        return (result(a, at, width, whole, stop), codegen) if count else None

    @intrinsic
    def store_lanes(typingctx, a, at, width, whole, stop, y):
        """So many elements of y from `at` on: by one store, if `whole`; else one by one, those before `stop`."""
        count = getattr(width, "literal_value", 0)

        def codegen(context, builder, signature, args):
            row = cgutils.unpack_tuple(builder, args[1])
            start = place_of(context, builder, a, args[0], row)
            element = start.type.pointee
            own = context.make_array(y)(context, builder, args[5]).data
            values = [builder.load(builder.gep(own, [ir.IntType(32)(k)])) for k in range(count)]
            with builder.if_else(args[3]) as (then, otherwise):
                with then:
                    kind = ir.VectorType(element, count)
                    vector = ir.Constant(kind, ir.Undefined)
                    for k, value in enumerate(values):
                        vector = builder.insert_element(vector, value, ir.IntType(32)(k))
                    pointer = builder.bitcast(start, kind.as_pointer())
                    builder.store(vector, pointer, align=count * context.get_abi_sizeof(element))
                with otherwise:
                    for k, value in enumerate(values):
                        inside = builder.icmp_signed("<", builder.add(row[-1], row[-1].type(k)), args[4])
                        with builder.if_then(inside):
                            builder.store(value, builder.gep(start, [ir.IntType(32)(k)]))
            return context.get_dummy_value()

        return (types.void(a, at, width, whole, stop, y), codegen) if count else None

    @intrinsic
    def lane(typingctx, x, k):
        """Element k: chosen, since what is indexed stands in memory."""

        def codegen(context, builder, signature, args):
            value = builder.extract_value(args[0], 0)
            for n in range(1, len(x)):
                here = builder.icmp_signed("==", args[1], args[1].type(n))
                value = builder.select(here, builder.extract_value(args[0], n), value)
            return value

        return x.dtype(x, k), codegen

    @intrinsic
    def pick(typingctx, a, side, i, j):
        """Element (i, j) of a local array, `side` by `side`, chosen in the same way."""
        count = getattr(side, "literal_value", 0)

        def codegen(context, builder, signature, args):
            data = context.make_array(a)(context, builder, args[0]).data
            rows = [builder.icmp_signed("==", args[2], args[2].type(n)) for n in range(count)]
            columns = [builder.icmp_signed("==", args[3], args[3].type(n)) for n in range(count)]
            chosen = None
            for column, here in enumerate(columns):
                value = None
                for row, there in enumerate(rows):
                    element = builder.load(builder.gep(data, [ir.IntType(32)(row * count + column)]))
                    value = element if value is None else builder.select(there, element, value)
                chosen = value if chosen is None else builder.select(here, value, chosen)
            return chosen

        return (a.dtype(a, side, i, j), codegen) if count else None
'''
"""Each function has two bodies: plain Python for the simulator, and an intrinsic, on registers, for a device."""
