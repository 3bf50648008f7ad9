"""`apply`: run an op on operands of any engine. Op functions call it; it never knows which engines exist.

An engine is registered by the type of its tensors. The symbolic engine builds nodes; `graphc.eager` registers one
that computes at once. Everything else (scalars, arrays) is lifted to the engine of the tensors beside it.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from ..errors import DTypeError, TraceError, message, user_line
from .dims import Dim
from .dtypes import DType, WeakScalar, as_dtype, check_fits, promote
from .leaves import DimScalar, Param, constant, function_of
from .op import Op
from .tensor import Tensor, build
from .tree import flatten


class Engine(Protocol):
    """What an engine offers: constants of its own kind, and ops on its own tensors."""

    def constant(self, value: Any, dtype: DType | None) -> Any: ...

    def apply(self, op: Op, inputs: tuple[Any, ...], attrs: dict[str, Any]) -> Any: ...


class Symbolic:
    """The engine that builds graph nodes."""

    def constant(self, value: Any, dtype: DType | None = None) -> Tensor:
        return constant(value, dtype)

    def apply(self, op: Op, inputs: tuple[Any, ...], attrs: dict[str, Any]) -> Tensor:
        return build(op, inputs, attrs)


SYMBOLIC = Symbolic()
_engines: dict[type, Engine] = {Tensor: SYMBOLIC, Param: SYMBOLIC}


def register_engine(tensor_type: type, engine: Engine) -> None:
    """Let operands of `tensor_type` be served by `engine`."""
    _engines[tensor_type] = engine


def engine_of(*operands: Any) -> Engine:
    """The engine of the tensors among `operands`; the symbolic one where there is none.

    Beside tensors of another engine symbolic ones count as data: that engine's `constant` takes or refuses them.
    """
    for operand in operands:
        engine = _engines.get(type(operand))
        if engine is not None and engine is not SYMBOLIC:
            return engine
    return SYMBOLIC


def is_tensor(value: Any) -> bool:
    """Whether `value` is a tensor of any engine."""
    return type(value) in _engines


def apply(op: Op, *inputs: Any, **attrs: Any) -> Any:
    """`op` of tensors that already have the dtypes and shapes it wants."""
    return engine_of(*inputs).apply(op, inputs, attrs)


def lift(*operands: Any, dtype: DType | None = None, beside: tuple[Any, ...] = ()) -> tuple[Any, ...]:
    """Every operand as a tensor of one engine (that of the tensors among them and `beside`); data become constants."""
    engine = engine_of(*operands, *beside)
    given = [_operand(o, engine) for o in operands]
    return tuple([o if type(o) in _engines else engine.constant(o, dtype) for o in given])


def lift_promoted(*operands: Any, to_float: bool = False, beside: tuple[Any, ...] = ()) -> tuple[Any, ...]:
    """Every operand as a tensor, all of the promoted dtype; Python scalars are weak, NumPy scalars strong."""
    if _agree(operands, to_float):
        return operands
    engine = engine_of(*operands, *beside)
    plain = [_operand(o, engine) for o in operands]
    strong = [o.dtype for o in plain if not isinstance(o, (*WeakScalar, DimScalar))]
    weak = [0 if isinstance(o, DimScalar) else o for o in plain if isinstance(o, (*WeakScalar, DimScalar))]
    dtype = promote([as_dtype(s) for s in strong], weak)
    if to_float and dtype.kind != "f":
        dtype = np.dtype("float64")
    for scalar in weak:
        check_fits(scalar, dtype)
    return tuple([cast(o, dtype) if type(o) in _engines else engine.constant(o, dtype) for o in plain])


def _agree(operands: tuple[Any, ...], to_float: bool) -> bool:
    """Whether all operands are tensors of one engine and dtype already, the usual case."""
    dtype = engine = None
    for operand in operands:
        served = _engines.get(type(operand))
        if served is None:
            return False
        if dtype is None:
            engine, dtype = served, operand.dtype
        elif served is not engine or operand.dtype != dtype:
            return False
    return dtype is not None and (not to_float or dtype.kind == "f")


def _operand(value: Any, engine: Engine) -> Any:
    """A tensor of `engine`, or what is none yet; tensors of another engine count as data."""
    served = _engines.get(type(value))
    if served is engine:
        return value
    return _plain(value) if served is None else engine.constant(value, None)


def _plain(value: Any) -> Any:
    """A Python scalar, a NumPy array, or something with `dtype` that `Engine.constant` understands."""
    if isinstance(value, WeakScalar) and not isinstance(value, np.generic):  # np.float64 is a float, yet strong
        return value
    if isinstance(value, Dim):
        return DimScalar(value)
    try:
        array = np.asarray(value)
    except (TraceError, ValueError):  # tensors in a list, or lists of different lengths
        raise _no_data(value) from None
    if array.dtype.kind in "OUSVMm":
        raise _no_data(value)
    as_dtype(array.dtype)
    return array


def _no_data(value: Any) -> DTypeError:
    """What is no data: a string, a ragged list, a list of tensors, for which there is `stack`."""
    tensors = [leaf for leaf in flatten(value)[1] if isinstance(leaf, Tensor)]
    hint = ""
    if tensors:
        hint = "gc.stack(x) makes one tensor of a list of them"
        function = next(filter(None, map(function_of, tensors)), None)
        if function is not None:
            hint += f"; where it is an argument of {function}, pass np.array(x) instead of a list"
    return DTypeError(
        message(
            "cannot use as a tensor",
            got=f"{type(value).__name__} {value!r}"[:120],
            expected="a number, an array of numbers, or a tensor",
            at=user_line(),
            created=False,
            hint=hint,
        )
    )


def cast(x: Any, dtype: DType) -> Any:
    """`x` as `dtype` (the ``astype`` op), or `x` itself."""
    if x.dtype == dtype:
        return x
    return apply(_cast_op[0], x, dtype=dtype)


_cast_op: list[Op] = []


def set_cast(op: Op) -> None:
    """Tell `cast` which row is ``astype``; called once by the op table."""
    _cast_op[:] = [op]
