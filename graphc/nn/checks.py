"""What layers and losses ask of their arguments: errors that name the layer, what it got and what it expected."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arguments import bad_argument
from ..errors import DTypeError, ShapeError, message, user_line
from ..ir import dims
from ..ir.apply import lift
from ..ir.dims import DimLike
from ..ir.dtypes import DType, as_dtype
from ..ops.common import describe
from ..ops.movement import with_shape


def flag(layer: str, name: str, value: Any) -> bool:
    """`value`, which must be a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise bad_argument(layer, name, value, "True or False")
    return bool(value)


def number(layer: str, name: str, value: Any, least: float = -math.inf, most: float = math.inf) -> float:
    """`value` as a float between `least` and `most`."""
    ok = isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and least <= value <= most
    if not ok:
        lower = "" if least == -math.inf else f" >= {least:g}"
        upper = "" if most == math.inf else f"{' and' if lower else ''} <= {most:g}"
        raise bad_argument(layer, name, value, f"a number{lower}{upper}")
    return float(value)


def choice(layer: str, name: str, value: Any, choices: Sequence[Any]) -> Any:
    """`value`, which must be one of `choices`."""
    if value not in choices:
        raise bad_argument(layer, name, value, " or ".join(map(repr, choices)))
    return value


def float_of(layer: str, dtype: Any) -> DType:
    """The dtype of a layer's params: float32 or float64."""
    found = as_dtype(dtype)
    if found.kind != "f":
        raise bad_argument(layer, "dtype", dtype, "'float32' or 'float64'")
    return found


def ill_shaped(layer: str, expected: str, *tensors: Any, hint: str = "") -> ShapeError:
    """The error for tensors whose shapes a layer does not take."""
    return ShapeError(
        message(
            f"bad shape for {layer}",
            got=describe(*tensors),
            expected=expected,
            at=user_line(),
            created=False,
            hint=hint,
        )
    )


def ill_typed(layer: str, expected: str, *tensors: Any, hint: str = "") -> DTypeError:
    """The error for tensors whose dtypes a layer does not take."""
    return DTypeError(
        message(
            f"bad dtype for {layer}",
            got=describe(*tensors),
            expected=expected,
            at=user_line(),
            created=False,
            hint=hint,
        )
    )


def alike(layer: str, *tensors: Any) -> tuple[Any, ...]:
    """Tensors of one engine, which must have one float dtype."""
    found = lift(*tensors)
    if found[0].dtype.kind != "f" or any(t.dtype != found[0].dtype for t in found):
        raise ill_typed(layer, "one float dtype", *found, hint="x.astype('float32') converts data")
    return found


def together(layer: str, x: Any, *params: Any) -> tuple[Any, ...]:
    """`x` and the params of a layer (None stays None) as tensors of one engine; `x` must have the dtype of the params.

    A model of one dtype is fed data of that dtype, as in PyTorch: a mixture would compute all that follows in float64.
    """
    given = [p for p in params if p is not None]
    x, *rest = lift(x, *given)
    for param in rest:
        if param.dtype != x.dtype:
            hint = f"x.astype({str(param.dtype)!r}) converts data"
            if x.dtype.kind == "f":
                hint += f", model.to({str(x.dtype)!r}) makes a converted model"
            raise ill_typed(layer, f"the dtype of its parameters, {param.dtype}", x, hint=hint)
    found = iter(rest)
    return (x, *[None if p is None else next(found) for p in params])


def has_rank(layer: str, x: Any, *ranks: int) -> Any:
    """`x`, which must have one of these numbers of axes."""
    if len(x.shape) not in ranks:
        raise ill_shaped(layer, f"{' or '.join(map(str, ranks))} axes", x)
    return x


def has_size(layer: str, x: Any, axis: int, size: DimLike, what: str) -> Any:
    """`x` with this size on axis `axis`; a named dim is checked when a step is called. A 1 is not stretched."""
    short = len(x.shape) < (axis + 1 if axis >= 0 else -axis)
    if short or dims.equal(x.shape[axis], size) is False or (x.shape[axis] == 1 and not isinstance(size, int)):
        place = "last axis" if axis == -1 else f"axis {axis}"
        raise ill_shaped(layer, f"{what} = {size} on its {place}", x)
    k = axis % len(x.shape)
    return with_shape(x, (*x.shape[:k], size, *x.shape[k + 1 :]))


def same_shape(layer: str, x: Any, y: Any) -> None:
    """Two tensors must have one shape: nothing is stretched, for that is nearly always a mistake in a loss."""
    a, b = tuple(x.shape), tuple(y.shape)
    stretched = [(m == 1) != (n == 1) for m, n in zip(a, b, strict=False)]
    if len(a) != len(b) or any(stretched) or any(dims.equal(m, n) is False for m, n in zip(a, b, strict=True)):
        raise ill_shaped(layer, "one shape", x, y, hint="x.reshape(...), or x.squeeze(-1), makes the shapes equal")
