"""Arrays of generated functions, as numba is told of them: an address and sizes, elements in C order.

numba's own arrays count references and have strides, and may be indexed from their end, by slices and by arrays: for
each element LLVM would get thirty lines where one does.
"""

# mypy: disable-error-code="attr-defined"
# (numba says little of the types of its parts)

from __future__ import annotations

import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, typing
from numba.core.datamodel import models, register_default
from numba.core.imputils import Registry
from numba.core.typing import templates

declarations, lowering = templates.Registry(), Registry("graphc")
"""What there is for types, and how it is written for LLVM."""


class Array(types.Type):
    """Elements in memory, in C order."""

    def __init__(self, dtype, ndim):
        self.dtype, self.ndim = dtype, ndim
        super().__init__(f"graphc.Array({dtype}, {ndim})")


class Matrix(types.Type):
    """A factor or the result of a product: its rows, or its columns if it is transposed, may be apart in memory."""

    def __init__(self, dtype, transposed):
        self.dtype, self.transposed = dtype, transposed
        super().__init__(f"graphc.Matrix({dtype}, {transposed})")


@register_default(Array)
class ArrayModel(models.StructModel):
    def __init__(self, manager, kind):
        members = [("data", types.CPointer(kind.dtype)), ("shape", types.UniTuple(types.int64, kind.ndim))]
        super().__init__(manager, kind, members)


@register_default(Matrix)
class MatrixModel(models.StructModel):
    """Sizes as they stand in memory, and the bytes from one row there to the next."""

    def __init__(self, manager, kind):
        members = [
            ("data", types.CPointer(kind.dtype)),
            ("shape", types.UniTuple(types.int64, 2)),
            ("step", types.int64),
        ]
        super().__init__(manager, kind, members)


def word(value):
    """A constant int64 of LLVM's."""
    return ir.IntType(64)(value)


def struct(builder, kind, values):
    """An LLVM struct or array of these values."""
    made = ir.Constant(kind, ir.Undefined)
    for k, value in enumerate(values):
        made = builder.insert_value(made, value, k)
    return made


def array_of(context, builder, kind, data, sizes):
    """The array of a type at `data`."""
    shape = struct(builder, ir.ArrayType(ir.IntType(64), kind.ndim), sizes)
    return struct(builder, context.get_value_type(kind), [data, shape])


def data_of(builder, array):
    """A pointer to the first element."""
    return builder.extract_value(array, 0)


def sizes_of(builder, kind, array):
    """The sizes of its axes, as they stand in memory."""
    return [builder.extract_value(array, [1, axis]) for axis in range(getattr(kind, "ndim", 2))]


def step_of(context, builder, kind, array):
    """Bytes from one row of a matrix to the next, as they stand in memory."""
    if isinstance(kind, Matrix):
        return builder.extract_value(array, 2)
    return strides_of(context, builder, kind, sizes_of(builder, kind, array))[0]


def matrix_of(context, builder, kind, data, sizes, step):
    """The matrix of a type at `data`."""
    shape = struct(builder, ir.ArrayType(ir.IntType(64), 2), sizes)
    return struct(builder, context.get_value_type(kind), [data, shape, step])


def bytes_of(context, kind):
    """Bytes of an element."""
    return context.get_abi_sizeof(context.get_data_type(kind.dtype))


def strides_of(context, builder, kind, sizes):
    """Bytes from one element to the next along each axis."""
    strides = [word(bytes_of(context, kind))]
    for size in sizes[:0:-1]:
        strides.insert(0, builder.mul(strides[0], size))
    return strides


@lowering.lower_constant(Array)
def constant(context, builder, kind, value):
    """A table: it is part of the machine code."""
    content = ir.Constant(ir.ArrayType(ir.IntType(8), value.nbytes), bytearray(np.ascontiguousarray(value).tobytes()))
    place = cgutils.global_constant(builder, "table", content)
    place.align = 64
    data = builder.bitcast(place, context.get_data_type(kind.dtype).as_pointer())
    return array_of(context, builder, kind, data, [word(size) for size in value.shape])


# ---- elements, and parts that are arrays themselves ----------------------------------------------------------------


def indexed(kind, index):
    """The type of an element or a part, or None where it is not indexed like that."""
    several = [types.unliteral(each) for each in (index.types if isinstance(index, types.BaseTuple) else [index])]
    slices = [each for each in several if each == types.slice2_type]
    if any(not isinstance(each, types.Integer) and each not in slices for each in several) or len(several) > kind.ndim:
        return None
    if slices:
        return Matrix(kind.dtype, False) if len(slices) == 2 and several[-1] in slices else None
    return kind.dtype if len(several) == kind.ndim else Array(kind.dtype, kind.ndim - len(several))


def numbers_of(context, builder, kinds, values):
    """Integers as words; None for what is none: `:`, the only slice there is."""
    pairs = zip(values, kinds, strict=True)
    return [context.cast(builder, v, k, types.int64) if isinstance(k, types.Integer) else None for v, k in pairs]


def place_of(builder, kind, array, indices):
    """The pointer to the first element that indices are of: none counts from the end, None is all of an axis."""
    place = word(0) if indices[0] is None else indices[0]
    for axis in range(1, kind.ndim):
        place = builder.mul(place, builder.extract_value(array, [1, axis]), flags=["nsw"])
        if axis < len(indices) and indices[axis] is not None:
            place = builder.add(place, indices[axis], flags=["nsw"])
    return builder.gep(data_of(builder, array), [place], inbounds=True)


def at(context, builder, kind, array, index_kind, index):
    """Where an index is in an array, and its numbers."""
    several = isinstance(index_kind, types.BaseTuple)
    values = cgutils.unpack_tuple(builder, index) if several else [index]
    indices = numbers_of(context, builder, index_kind.types if several else [index_kind], values)
    return place_of(builder, kind, array, indices), indices


@declarations.register_global(operator.getitem)
class GetItem(templates.AbstractTemplate):
    def generic(self, args, kws):
        found = indexed(*args) if isinstance(args[0], Array) else None
        return found and typing.signature(found, *args)


@declarations.register_global(operator.setitem)
class SetItem(templates.AbstractTemplate):
    def generic(self, args, kws):
        array, index, _ = args
        if isinstance(array, Array) and indexed(array, index) == array.dtype:
            return typing.signature(types.none, array, index, array.dtype)
        return None


@lowering.lower(operator.getitem, Array, types.Any)
def get_item(context, builder, signature, args):
    (kind, index), part = signature.args, signature.return_type
    place, indices = at(context, builder, kind, args[0], index, args[1])
    sizes = sizes_of(builder, kind, args[0])
    if isinstance(part, Matrix):
        axes = [axis for axis, number in enumerate(indices) if number is None]
        step = strides_of(context, builder, kind, sizes)[axes[0]]
        return matrix_of(context, builder, part, place, [sizes[axis] for axis in axes], step)
    if isinstance(part, Array):
        return array_of(context, builder, part, place, sizes[kind.ndim - part.ndim :])
    return context.unpack_value(builder, kind.dtype, place)


@lowering.lower(operator.setitem, Array, types.Any, types.Any)
def set_item(context, builder, signature, args):
    kind, index, _ = signature.args
    place, _ = at(context, builder, kind, args[0], index, args[1])
    context.pack_value(builder, kind.dtype, args[2], place)
    return context.get_dummy_value()


# ---- attributes ----------------------------------------------------------------------------------------------------


@declarations.register_attr
class AttributesOfArrays(templates.AttributeTemplate):
    key = Array

    def resolve_shape(self, kind):
        return types.UniTuple(types.int64, kind.ndim)

    def resolve_size(self, kind):
        return types.int64 if kind.ndim == 1 else None

    def resolve_T(self, kind):  # noqa: N802
        return Matrix(kind.dtype, True) if kind.ndim == 2 else None


@declarations.register_attr
class AttributesOfMatrices(templates.AttributeTemplate):
    key = Matrix

    def resolve_T(self, kind):  # noqa: N802
        return Matrix(kind.dtype, not kind.transposed)


@lowering.lower_getattr(Array, "shape")
def shape(context, builder, kind, array):
    return builder.extract_value(array, 1)


@lowering.lower_getattr(Array, "size")
def size(context, builder, kind, array):
    return builder.extract_value(array, [1, 0])


@lowering.lower_getattr(Array, "T")
def transposed(context, builder, kind, array):
    sizes = sizes_of(builder, kind, array)
    step = step_of(context, builder, kind, array)
    return matrix_of(context, builder, Matrix(kind.dtype, True), data_of(builder, array), sizes, step)


@lowering.lower_getattr(Matrix, "T")
def transposed_again(context, builder, kind, matrix):
    return matrix


# ---- numbers -------------------------------------------------------------------------------------------------------


def extremum(function, comparison):
    """`max` or `min` of integers: of one type, else of words."""

    @declarations.register_global(function)
    class Extremum(templates.AbstractTemplate):
        def generic(self, args, kws):
            kinds = [types.unliteral(kind) for kind in args]
            if len(kinds) < 2 or not all(isinstance(kind, types.Integer) for kind in kinds):
                return None
            kind = kinds[0] if len(set(kinds)) == 1 else types.int64
            whole = kind == kinds[0] or all(each.signed or each.bitwidth < 64 for each in kinds)
            return typing.signature(kind, *[kind] * len(args)) if whole else None

    @lowering.lower(function, types.VarArg(types.Integer))
    def choose(context, builder, signature, args):
        compare = builder.icmp_signed if signature.return_type.signed else builder.icmp_unsigned
        found = args[0]
        for other in args[1:]:
            found = builder.select(compare(comparison, found, other), found, other)
        return found


extremum(max, ">")
extremum(min, "<")


def rounded(function, count, write):
    """NumPy's function of so many floats of one dtype (else of float64): `write` writes one instruction for it."""

    @declarations.register_global(function)
    class Rounded(templates.AbstractTemplate):
        def generic(self, args, kws):
            if len(args) != count or not all(isinstance(kind, types.Float) for kind in args):
                return None
            kind = args[0] if len(set(args)) == 1 else types.float64
            return typing.signature(kind, *[kind] * count)

    @lowering.lower(function, *[types.Float] * count)
    def lowered(context, builder, signature, args):
        return write(builder, *args)


def instruction(name):
    """The LLVM intrinsic of a name."""

    def write(builder, *args):
        kind = args[0].type
        declared = builder.module.declare_intrinsic(f"llvm.{name}", [kind], ir.FunctionType(kind, [kind] * len(args)))
        return builder.call(declared, args)

    return write


for name in ("ceil", "floor", "rint", "sqrt", "trunc"):
    rounded(getattr(np, name), 1, instruction(name))
rounded(np.copysign, 2, instruction("copysign"))
rounded(np.fmod, 2, lambda builder, x, y: builder.frem(x, y))


def scalar_views():
    """`x.view(dtype)` of numbers: the same bits as another type."""
    for kind in (*types.real_domain, *types.integer_domain):

        @declarations.register_attr
        class View(templates.AttributeTemplate):
            key = kind

            def resolve_view(self, value):
                return types.BoundFunction(ViewOfScalar, value)


class ViewOfScalar(templates.AbstractTemplate):
    key = "graphc.view"

    def generic(self, args, kws):
        return typing.signature(args[0].instance_type, *args, recvr=self.this)


@lowering.lower("graphc.view", types.Any, types.Any)
def view(context, builder, signature, args):
    return builder.bitcast(args[0], context.get_value_type(signature.return_type))


scalar_views()
