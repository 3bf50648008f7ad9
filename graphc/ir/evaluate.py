"""The reference interpreter: the slow, obvious meaning of a graph. Everything fast is compared with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InputError, ShapeError, TraceError, UserLine, message, user_line
from . import dims
from .dims import Dim
from .leaves import INPUT, PARAM, Param, function_of, identifier
from .naming import operand_labels
from .op import Check
from .tensor import Tensor, latest
from .traversal import topological


def concrete(value: Any, env: Mapping[str, int]) -> Any:
    """An attr with its dims replaced by their sizes."""
    if isinstance(value, Dim):
        return dims.evaluate(value, env)
    if isinstance(value, tuple):
        return tuple([concrete(v, env) for v in value])
    return value


def bind_dims(inputs: Sequence[Tensor], arrays: Sequence[np.ndarray]) -> dict[str, int]:
    """The sizes of the named dims that `arrays` imply; `InputError` where they disagree with the declared shapes."""
    env: dict[str, int] = {}
    for node, array in zip(inputs, arrays, strict=True):
        if array.ndim != node.ndim:
            raise InputError(
                message(
                    f"input {node.name!r} has the wrong rank",
                    got=f"{array.dtype}{list(array.shape)}",
                    expected=str(node.aval),
                    at=user_line(),
                    created=False,
                )
            )
        for dim, size in zip(node.shape, array.shape, strict=True):
            names = dims.symbols(dim)
            if len(names) == 1 and dim == dims.symbol(names[0]) and names[0] not in env:
                env[names[0]] = size
    for node, array in zip(inputs, arrays, strict=True):
        for axis, (dim, size) in enumerate(zip(node.shape, array.shape, strict=True)):
            want = dims.evaluate(dim, env)
            if want != size:
                where = declared(inputs).get(str(dim))
                also = f" ({dim} is {want} from {where})" if where else ""
                raise InputError(
                    message(
                        f"input {node.name!r} has the wrong size on axis {axis}",
                        got=f"{array.dtype}{list(array.shape)}",
                        expected=f"{node.aval}{also}",
                        at=user_line(),
                        created=False,
                    )
                )
    return env


def check_sizes(
    checks: Mapping[Check, tuple[UserLine, ...]], env: Mapping[str, int], inputs: Sequence[Tensor] = ()
) -> None:
    """Raise `ShapeError` for the first condition on sizes that does not hold, naming `inputs` and the line it is of."""
    for check, lines in checks.items():
        if not check.holds(env):
            raise ShapeError(
                message(
                    "sizes do not fit",
                    got=_sizes_text(check, env, inputs),
                    expected=check.what,
                    at=user_line(),
                    created=False,
                    made=latest(lines),
                    hint=check.hint,
                )
            )


def _sizes_text(check: Check, env: Mapping[str, int], inputs: Sequence[Tensor]) -> str:
    """``n = 3 (axis 0 of 'x'), m = 4 (axis 0 of 'y')``, after the values of whole expressions."""
    sides = [d for d in (check.left, check.right) if isinstance(d, Dim)]
    names = dict.fromkeys(name for side in sides for name in dims.symbols(side))
    known = [f"{side} = {dims.evaluate(side, env)}" for side in sides if str(side) not in names]
    where = declared(inputs)
    return ", ".join([*known, *[f"{n} = {env[n]}" + (f" ({where[n]})" if n in where else "") for n in names]])


def declared(inputs: Sequence[Tensor]) -> dict[str, str]:
    """For each named dim the axis that gives it its size: ``axis 0 of 'x'``."""
    found: dict[str, str] = {}
    for node in inputs:
        for axis, dim in enumerate(node.shape):
            names = dims.symbols(dim)
            if len(names) == 1 and dim == dims.symbol(names[0]):
                found.setdefault(names[0], f"axis {axis} of {node.name!r}")
    return found


def value_of(node: Tensor, operands: Sequence[Any], env: Mapping[str, int]) -> Any:
    """The value of one node, given those of its operands: an array, or a tuple of them where its op has several."""
    attrs = {k: concrete(v, env) for k, v in node.attrs.items()}
    value = node.op.numpy(*operands, **attrs)
    return value if node.op.multi else np.asarray(value, dtype=node.dtype)


def evaluate(
    outputs: Sequence[Tensor], values: Mapping[Tensor, np.ndarray] | None = None, env: Mapping[str, int] | None = None
) -> list[np.ndarray]:
    """The values of `outputs`, given those of inputs (params have their own) and the sizes of named dims."""
    order = topological(outputs)
    given = values or {}
    if env is None:
        leaves = [n for n in order if n.op is INPUT and n in given]
        env = bind_dims(leaves, [np.asarray(given[n]) for n in leaves])
    check_sizes({c: n.origin.lines for n in order for c in n.checks}, env, [n for n in order if n.op is INPUT])
    results: dict[Tensor, Any] = {}
    with np.errstate(all="ignore"):
        for node in order:
            if node in given:
                results[node] = np.asarray(given[node], dtype=node.dtype)
                continue
            results[node] = value_of(node, [results[i] for i in node.inputs], env)
    return [results[o] for o in outputs]


def constant_of(tensor: Tensor) -> np.ndarray:
    """The value of a tensor that depends on constants only; `TraceError` otherwise."""
    for node in topological([tensor]):
        if node.op is INPUT or node.op is PARAM or any(isinstance(s, Dim) for a in node.avals for s in a.shape):
            raise TraceError(message("a symbolic tensor has no value", got=repr(tensor), hint=value_hint(tensor)))
    return evaluate([tensor])[0]


def value_hint(tensor: Tensor) -> str:
    """How to come by the value of a tensor that depends on more than constants."""
    if isinstance(tensor, Param):
        name = tensor.name or ""
        return f"{name if name.isidentifier() else 'param'}.value is a copy of its present value"
    inputs = [node for node in topological([tensor]) if node.op is INPUT]
    function = next(filter(None, map(function_of, inputs)), None)
    if function is not None:
        return f"values exist when the compiled {function} runs, not while it is traced: return it; or use gc.eager"
    names = [identifier(node.name or "") for node in inputs]
    listed = ", ".join(names[:3] + ["..."] * (len(names) > 3))
    output = "y" if tensor.op is INPUT else operand_labels([tensor], user_line(), inside=False)[0] or "y"
    params = [node.name or "" for node in topological([tensor]) if node.op is PARAM]
    if params and not inputs:
        name = params[0] if params[0].isidentifier() else "param"
        return f"{name}.value is a copy of the param's present value, and gc.compile([], {output})() computes with it"
    return (
        f"values exist when a compiled step runs: gc.compile([{listed}], {output}) called with arrays; or use gc.eager"
    )
