"""What op functions share: lifting operands, promoting dtypes, broadcasting shapes, normalising axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DTypeError, ShapeError, message, user_line
from ..ir import dims
from ..ir.apply import apply, is_tensor, lift, lift_promoted
from ..ir.dims import DimLike, Shape, shape_text
from ..ir.dtypes import DType
from ..ir.naming import operand_labels
from ..ir.op import Aval, Op, Require


def describe(*operands: Any, inside: bool = True) -> str:
    """Operands as errors show them: ``x: float32[3], x + 1: float32[4]``, in the user's names and expressions.

    inside  whether they may be steps on the way inside the user's line, and not only what it has already
    """
    return ", ".join(
        (f"{label}: " if label else "") + f"{operand.dtype}{shape_text(tuple(operand.shape))}"
        for operand, label in zip(operands, labels(*operands, inside=inside), strict=True)
    )


def labels(*operands: Any, inside: bool = True) -> list[str]:
    """What errors call operands: their names or the user's expressions for them, else ``operand 2`` of several."""
    found = operand_labels(operands, user_line(), inside)
    return [name or (f"operand {k}" if len(operands) > 1 else "") for k, name in enumerate(found, 1)]


def shape_error(op: str, operands: tuple[Any, ...], expected: str, hint: str = "") -> ShapeError:
    return ShapeError(
        message(f"cannot {op}", got=describe(*operands), expected=expected, at=user_line(), created=False, hint=hint)
    )


def dtype_error(op: str, operands: tuple[Any, ...], expected: str, hint: str = "") -> DTypeError:
    return DTypeError(
        message(f"cannot {op}", got=describe(*operands), expected=expected, at=user_line(), created=False, hint=hint)
    )


def axis_index(axis: Any, ndim: int, op: str) -> int:
    """`axis` as 0 <= axis < ndim; `ShapeError` where it is out of range."""
    if isinstance(axis, bool) or not hasattr(axis, "__index__"):
        raise ShapeError(message(f"bad axis in {op}", got=repr(axis), expected="an int", at=user_line(), created=False))
    if is_tensor(axis) and (axis.shape or axis.dtype.kind not in "iu"):
        hint = f"gc.{op}imum(x, y) takes two tensors" if op in ("max", "min") else ""
        raise ShapeError(
            message(
                f"bad axis in {op}", got=describe(axis), expected="an int", at=user_line(), created=False, hint=hint
            )
        )
    k = axis.__index__()
    if not -ndim <= k < ndim:
        raise ShapeError(
            message(
                f"axis out of range in {op}",
                got=str(k),
                expected=f"{-ndim} <= axis < {ndim}" if ndim else "no axis: the tensor is 0-d",
                at=user_line(),
                created=False,
            )
        )
    return k % ndim


def axes_tuple(axis: Any, ndim: int, op: str) -> tuple[int, ...]:
    """`axis` (None, an int or several) as sorted distinct non-negative ints."""
    if axis is None:
        return tuple(range(ndim))
    listed = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = tuple(sorted(axis_index(a, ndim, op) for a in listed))
    if len(set(axes)) != len(axes):
        raise ShapeError(
            message(f"repeated axis in {op}", got=str(axis), expected="distinct axes", at=user_line(), created=False)
        )
    return axes


def broadcast_shapes(op: str, *operands: Any) -> Shape:
    """The common shape of `operands` by NumPy's rules; a size stretches only where its declared shape says 1.

    Sizes that cannot be compared while building are checked at call time (by ``broadcast_to``).
    """
    ndim = max(len(o.shape) for o in operands)
    result: list[DimLike] = [1] * ndim
    for operand in operands:
        shape = tuple(operand.shape)
        offset = ndim - len(shape)
        for axis, size in enumerate(shape, offset):
            if result[axis] == 1:
                result[axis] = size
            elif size != 1 and dims.equal(result[axis], size) is False:
                raise shape_error(
                    op, operands, "shapes that broadcast: equal sizes, or 1, from the last axis backwards"
                )
            elif isinstance(size, int) and size != 1:
                result[axis] = size  # an int says more than a name; the name is checked at call time
    return tuple(result)


def elementwise_infer(require: Require, *avals: Aval, **attrs: Any) -> Aval:
    """All operands have one shape and dtype, and so has the result."""
    return _same_shape(require, avals)


def comparison_infer(require: Require, *avals: Aval, **attrs: Any) -> Aval:
    return Aval(_same_shape(require, avals).shape, np.dtype("bool"))


def _same_shape(require: Require, avals: tuple[Aval, ...]) -> Aval:
    first = avals[0]
    for other in avals[1:]:
        if other.shape != first.shape or other.dtype != first.dtype:
            raise ShapeError(
                message(
                    f"malformed {require.op_name}",
                    got=", ".join(map(str, avals)),
                    expected="operands of one shape and dtype",
                )
            )
    return first


def broadcast_all(op: str, *operands: Any) -> tuple[Any, ...]:
    """Operands stretched to their common shape by explicit ``broadcast_to`` nodes."""
    from .movement import broadcast_to

    if all(tuple(o.shape) == tuple(operands[0].shape) for o in operands):
        return operands
    shape = broadcast_shapes(op, *operands)
    return tuple([broadcast_to(o, shape) for o in operands])


def unary(op: Op, x: Any, *, to_float: bool = False, **attrs: Any) -> Any:
    """Apply an elementwise op of one operand; `to_float` computes integers in float64."""
    (x,) = lift_promoted(x, to_float=to_float)
    return apply(op, x, **attrs)


def nary(op: Op, *operands: Any, to_float: bool = False, **attrs: Any) -> Any:
    """Apply an elementwise op to operands of promoted dtype and broadcast shape."""
    return apply(op, *broadcast_all(op.name, *lift_promoted(*operands, to_float=to_float)), **attrs)


def refuse_bool(op: str, *operands: Any) -> None:
    """NumPy has no boolean - and unary -; neither have we."""
    for operand in operands:
        if operand.dtype.kind == "b":
            raise dtype_error(op, operands, "numbers", "use logical_xor, logical_not or astype")


def as_tensor(x: Any) -> Any:
    return lift(x)[0]


def float_dtype(x: Any) -> DType:
    return x.dtype if x.dtype.kind == "f" else np.dtype("float64")
