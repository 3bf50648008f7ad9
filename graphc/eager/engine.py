"""The engine: runs an op with NumPy as it is called, and records it on the tape where a gradient may be asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.apply import register_engine
from ..ir.dtypes import DType
from ..ir.op import Aval, Op, Require
from ..ir.tensor import Tensor as Symbolic
from .core import Absent, Edge, Tensor
from .modes import is_grad_enabled, set_grad_enabled
from .params import eager_value, mixed
from .tape import OpNode

_LIMIT = 8192
_known_avals: dict[Any, tuple[Aval, ...]] = {}


def infer(op: Op, arrays: list[np.ndarray], attrs: dict[str, Any]) -> tuple[Aval, ...]:
    """Shape and dtype of each output, by the op's own rule; remembered, since loops repeat their calls."""
    key = (op, tuple(attrs.items()), *[a.shape for a in arrays], *[a.dtype for a in arrays])
    found = _known_avals.get(key)
    if found is None:
        inferred = op.infer(Require(op.name), *[Aval(a.shape, a.dtype) for a in arrays], **attrs)
        found = tuple(inferred) if op.multi else (inferred,)
        if len(_known_avals) >= _LIMIT:
            _known_avals.clear()
        _known_avals[key] = found
    return found


class Engine:
    """Serves eager tensors to the op functions; see `ir.apply.Engine`."""

    def constant(self, value: Any, dtype: DType | None = None) -> Tensor:
        """`value` as a tensor of its own memory; a param is its leaf, an expression of params is computed at once."""
        if isinstance(value, Tensor):
            return value
        if isinstance(value, Symbolic):
            found = eager_value(value, self.apply)
            if found is None:
                raise mixed(value)
            return found
        return Tensor(np.array(value, dtype))

    def apply(self, op: Op, inputs: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        """The result of `op`, a tensor (a tuple of them if `op.multi`)."""
        try:
            arrays = [i._array for i in inputs]
        except AttributeError:
            inputs = tuple([self.constant(i) for i in inputs])
            arrays = [i._array for i in inputs]
        avals = infer(op, arrays, attrs)
        with np.errstate(all="ignore"):
            values = op.numpy(*arrays, **attrs)
        if op.multi:
            outputs = [_settled(v, a) for v, a in zip(values, avals, strict=True)]
            outs = tuple([Tensor(o if _alias(o, inputs) is None else o.copy()) for o in outputs])
        else:
            outs = (_output(op, _settled(values, avals[0]), inputs, attrs),)
        if is_grad_enabled():
            _record(op, inputs, outs, attrs)
        return outs if op.multi else outs[0]


def _settled(value: Any, aval: Aval) -> np.ndarray:
    """What `op.numpy` gave, as an array of the inferred dtype."""
    if type(value) is np.ndarray and value.dtype == aval.dtype:
        return value
    return np.asarray(value, aval.dtype)


def _root(array: Any) -> Any:
    """What owns the memory of `array`."""
    while (base := getattr(array, "base", None)) is not None:
        array = base
    return array


def _alias(value: np.ndarray, inputs: tuple[Tensor, ...]) -> Tensor | None:
    """The input whose memory `value` is a view of, if any."""
    for i in inputs:
        if value is i._array:
            return i
    if value.base is not None:
        memory = _root(value)
        for i in inputs:
            if _root(i._array) is memory:
                return i
    return None


def _output(op: Op, value: np.ndarray, inputs: tuple[Tensor, ...], attrs: dict[str, Any]) -> Tensor:
    """The result as a tensor: a view of its operand where NumPy gave one, else memory of its own."""
    source = _alias(value, inputs)
    if source is None or len(inputs) != 1:
        return Tensor(value if source is None and value.flags.writeable else value.copy())
    out = Tensor(value, source._storage)
    if not is_grad_enabled() or source._sealed:
        out._sealed = True
        return out
    base = source if source._base is None else source._base
    out._base, out._chain, out._seen = base, (source._chain, op, attrs), base._history
    return out


def _record(op: Op, inputs: tuple[Tensor, ...], outs: tuple[Tensor, ...], attrs: dict[str, Any]) -> None:
    """Put the call on the tape if an operand requires a gradient and a result can have one."""
    edges: list[Edge | None] = []
    wanted = False
    for i in inputs:
        if i._base is not None and i._seen != i._base._history:
            i._refresh()
        if i._requires:
            wanted = True
            edges.append(i if i._edge is None else i._edge)
        else:
            edges.append(None)
    if not wanted:
        return
    floats = [o for o in outs if o._array.dtype.kind == "f"]
    if not floats:
        return
    node = OpNode(op, inputs, outs, attrs, tuple(edges))
    for k, out in enumerate(outs):
        if out._array.dtype.kind == "f":
            out._edge, out._requires = (node, k), True


def rederive(base: Tensor, chain: Any) -> tuple[Edge | None, bool]:
    """The edge of a view that comes from `base` by `chain`, recorded anew."""
    view = base
    with set_grad_enabled(True):
        for op, attrs in unchained(chain):
            view = ENGINE.apply(op, (view,), attrs)
    return view._edge, view._requires


def unchained(chain: Any) -> list[tuple[Op, dict[str, Any]]]:
    """The ops, in order, by which a view comes from its base."""
    steps = []
    while chain is not None:
        chain, op, attrs = chain
        steps.append((op, attrs))
    return steps[::-1]


ENGINE = Engine()
register_engine(Tensor, ENGINE)
register_engine(Absent, ENGINE)
