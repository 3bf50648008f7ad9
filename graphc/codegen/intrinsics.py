"""What kernels are made of beside loops and arithmetic: their table, arrays, and accumulators on the stack."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from graphc.codegen.arrays import Array, array_of, data_of, word
from graphc.codegen.numba_target import loops


def entry(builder, m, position):
    """A pointer to entry `position` of the table at address `m`."""
    table = builder.inttoptr(m, ir.IntType(64).as_pointer())
    return builder.gep(table, [position])


def indirect(builder, m, o, k):
    """The entry whose position stands at o + k."""
    return builder.load(entry(builder, m, builder.load(entry(builder, m, builder.add(o, k)))))


def widest(function):
    """Let a function use the widest vectors there are, also where LLVM prefers half of that."""
    set.add(function.attributes, '"prefer-vector-width"="512"')  # its own `add` knows no such attribute


@intrinsic
def size(typingctx, m, o, k):
    """A runtime dim: entry m[m[o + k]]."""
    return types.int64(types.int64, types.int64, types.int64), lambda c, b, s, args: indirect(b, *args)


@intrinsic
def code(typingctx, m, o, k):
    """An error code: entry m[o + k]."""

    def codegen(context, builder, signature, args):
        return builder.load(entry(builder, args[0], builder.add(args[1], args[2])))

    return types.int64(types.int64, types.int64, types.int64), codegen


@intrinsic
def flag(typingctx, m, code):
    """Set the error code m[0], if none is set."""

    def codegen(context, builder, signature, args):
        first = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        old = builder.load(first)
        unset = builder.icmp_signed("==", old, old.type(0))
        builder.store(builder.select(unset, args[1], old), first)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


def numbers(context, builder, kinds, shape):
    """The elements of a tuple of integers of these kinds."""
    sizes = cgutils.unpack_tuple(builder, shape)
    return [context.cast(builder, n, kind, types.int64) for n, kind in zip(sizes, kinds, strict=True)]


def apart(builder, address, pointer):
    """An address as a pointer to memory that no other such pointer of the function reaches, which LLVM cannot see.

    It is the result of a call marked "noalias", of no instructions: what LLVM knows of fresh memory. Such memory
    would be gone when the function ends, and with it what was stored there, so another call lets it escape.
    """
    same = ir.InlineAsm(ir.FunctionType(pointer, [address.type]), "", "=r,0")
    data = builder.call(same, [address], cconv="noalias")  # the one place before a result's type
    seen = ir.InlineAsm(ir.FunctionType(ir.VoidType(), [pointer]), "", "r", side_effect=True)
    builder.call(seen, [data])
    return data


@intrinsic
def array(typingctx, m, o, k, shape, dtype):
    """The array of `shape` (C order) whose address is m[m[o + k]]; no other one of the kernel shares its memory."""
    result = Array(dtype.instance_type, len(shape))

    def codegen(context, builder, signature, args):
        widest(builder.function)
        pointer = context.get_data_type(result.dtype).as_pointer()
        data = apart(builder, indirect(builder, *args[:3]), pointer)
        return array_of(context, builder, result, data, numbers(context, builder, shape, args[3]))

    return result(types.int64, types.int64, types.int64, shape, dtype), codegen


@intrinsic
def reshaped(typingctx, x, shape):
    """The memory of an array with another shape."""
    result = Array(x.dtype, len(shape))

    def codegen(context, builder, signature, args):
        data = data_of(builder, args[0])
        return array_of(context, builder, result, data, numbers(context, builder, shape, args[1]))

    return result(x, shape), codegen


@intrinsic(prefer_literal=True)
def lanes(typingctx, count, value):
    """A literal number of elements on the stack, each with the given value."""
    element, number = types.unliteral(value), count.literal_value
    result = Array(element, 1)

    def codegen(context, builder, signature, args):
        data_type = context.get_data_type(element)
        with builder.goto_entry_block():
            memory = builder.alloca(ir.ArrayType(data_type, number))
        memory.align = 64
        data = builder.bitcast(memory, data_type.as_pointer())
        for k in range(number):
            builder.store(args[1], builder.gep(data, [word(k)]))
        return array_of(context, builder, result, data, [word(number)])

    return result(count, element), codegen


@intrinsic
def position(typingctx, start, k):
    """start + k, both not negative."""
    return types.int64(types.int64, types.int64), lambda c, builder, s, args: builder.add(*args, flags=["nuw", "nsw"])


@intrinsic
def as_vectors(typingctx):
    """At the end of a loop's body: it is not to become straight code, unless by then it is one of vectors."""

    def codegen(context, builder, signature, args):
        loops.setdefault(builder.module, []).append(builder.block)
        return context.get_dummy_value()

    return types.void(), codegen
