"""The public op functions as `gc.eager` has them, and what stands on `Tensor`: operators, methods, in-place forms."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..errors import TraceError, message, user_line
from ..ir.leaves import Param
from ..ir.tensor import Tensor as Symbolic
from ..ops import install as operators
from ..ops.calls import refuse_misfit, renamed
from ..ops.common import describe
from ..ops.functions import PUBLIC
from . import creation, handling, indexing, inplace, quick, random
from .core import Tensor
from .engine import ENGINE
from .params import eager_value
from .params import install as install_on_params

_ARGUMENTS = {"dim": "axis", "keepdim": "keepdims"}
_NOT_HERE = frozenset({"custom_gradient"})

METHODS = (
    "abs absolute add all amax amin any argmax argmin argsort asin acos atan atan2 bmm ceil clamp clip copysign "
    "cos cosh cumprod cumsum diag diagonal diff div divide dot eq equal erf erfc exp exp2 expm1 flip floor "
    "floor_divide ge gt hypot isfinite isinf isnan le lgamma log log10 log1p log2 log_softmax logaddexp "
    "logical_and logical_not logical_or logical_xor logsumexp lt matmul max maximum mean min minimum mm moveaxis "
    "mul multiply mv ne neg negative norm outer pow prod reciprocal relu remainder repeat roll round rsqrt sigmoid "
    "sign sin sinh softmax sort split sqrt square std sub subtract sum swapaxes take take_along_axis tan tanh tile "
    "trace tril triu trunc unbind var where"
)
IN_PLACE = (
    "abs add ceil clamp clip cos div divide exp expm1 floor floor_divide log log1p log2 log10 mul multiply neg "
    "negative pow reciprocal relu remainder round rsqrt sigmoid sign sin sqrt square sub subtract tan tanh tril "
    "triu trunc"
)
"""Functions whose result has the shape of their first operand: ``add_`` writes it into that operand."""

_AUGMENTED = {
    "iadd": "add",
    "isub": "subtract",
    "imul": "multiply",
    "itruediv": "divide",
    "ifloordiv": "floor_divide",
    "imod": "remainder",
    "ipow": "pow",
    "imatmul": "matmul",
    "iand": "bitwise_and",
    "ior": "bitwise_or",
    "ixor": "bitwise_xor",
    "ilshift": "bitwise_left_shift",
    "irshift": "bitwise_right_shift",
}


def settled(result: Any, name: str) -> Any:
    """What `name` gave, as eager tensors: a function that got numbers or params built nodes, which are computed."""
    if type(result) is Tensor:
        return result
    if isinstance(result, Symbolic):
        return _value(result, name)
    return type(result)(settled(r, name) for r in result) if type(result) in (tuple, list) else result


def _value(result: Symbolic, name: str) -> Tensor:
    found = eager_value(result, ENGINE.apply)
    if found is not None:
        return found
    raise TraceError(
        message(
            f"gc.eager.{name} computes at once, and a symbolic tensor has no value",
            got=describe(result),
            at=user_line(),
            created=False,
            hint=f"gc.{name} builds a graph",
        )
    )


def eager_function(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """`function` with eager results, PyTorch's ``dim=`` and ``keepdim=``, and ``out=``."""

    @functools.wraps(function)
    def call(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        if kwargs:
            kwargs = renamed(kwargs, _ARGUMENTS, f"gc.eager.{name}")
        try:
            found = function(*args, **kwargs)
        except TypeError:
            refuse_misfit(function, f"gc.eager.{name}", args, kwargs)
            raise
        result = settled(found, name)
        return result if out is None else inplace.write_out(out, result, name)

    call.__name__ = call.__qualname__ = name
    return call


def functions() -> dict[str, Callable[..., Any]]:
    """Every op function of the namespace, by name."""
    found = {name: eager_function(f, name) for name, f in PUBLIC.items() if name not in _NOT_HERE}
    return {**found, "unbind": found["unstack"]}


def install(cls: type, found: dict[str, Callable[..., Any]]) -> None:
    """Put everything on the tensor class, once: later ones give way to what is there."""
    handling.install(cls)
    for maker in ("new_zeros", "new_ones", "new_empty", "new_full", "new_tensor"):
        setattr(cls, maker, getattr(creation, maker))
    for method in (inplace.copy_, inplace.fill_, inplace.zero_, random.normal_, random.uniform_):
        setattr(cls, method.__name__, method)
    for subscript in (indexing.getitem, indexing.setitem):
        setattr(cls, f"__{subscript.__name__}__", subscript)
    for name in METHODS.split():
        if name in found and name not in cls.__dict__:
            setattr(cls, name, found[name])
    for name in IN_PLACE.split():
        if name in found:
            setattr(cls, f"{name}_", inplace.in_place(found[name], f"{name}_"))
    for name, of in _AUGMENTED.items():
        setattr(cls, f"__{name}__", inplace.in_place(PUBLIC[of], f"{of}_"))
    names = (*[f"{name}_" for name in IN_PLACE.split()], "copy_", "fill_", "zero_", "normal_", "uniform_")
    install_on_params(Param, names, tuple(f"__{name}__" for name in _AUGMENTED))
    operators.install(cls, lambda x: x._array)
    quick.install(cls)
    for name in ("add", "mul"):  # 3 * v is recorded as v * 3, as PyTorch does: the tensor's node comes first
        setattr(cls, f"__r{name}__", cls.__dict__[f"__{name}__"])
