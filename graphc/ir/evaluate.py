"""The reference interpreter: the slow, obvious meaning of a graph. Everything fast is compared with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InputError, ShapeError, TraceError, message, user_line
from . import dims
from .dims import Dim
from .leaves import INPUT, PARAM, Param, identifier
from .op import Check
from .tensor import Tensor
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
    seen: dict[str, str] = {}
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
        for axis, (dim, size) in enumerate(zip(node.shape, array.shape, strict=True)):
            names = dims.symbols(dim)
            if len(names) == 1 and dim == dims.symbol(names[0]) and names[0] not in env:
                env[names[0]] = size
                seen[names[0]] = f"axis {axis} of {node.name!r}"
    for node, array in zip(inputs, arrays, strict=True):
        for axis, (dim, size) in enumerate(zip(node.shape, array.shape, strict=True)):
            want = dims.evaluate(dim, env)
            if want != size:
                also = f" ({dim} is {want} from {seen[str(dim)]})" if str(dim) in seen else ""
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


def check_sizes(checks: Sequence[Check], env: Mapping[str, int]) -> None:
    """Raise `ShapeError` for the first condition on sizes that does not hold."""
    for check in checks:
        left, right = dims.evaluate(check.left, env), dims.evaluate(check.right, env)
        if not (left == right if check.relation == "==" else left >= right):
            sizes = ", ".join(f"{s} = {env[s]}" for d in (check.left, check.right) for s in dims.symbols(d))
            raise ShapeError(
                message(
                    "sizes do not fit",
                    got=f"{check.left} is {left} and {check.right} is {right} (with {sizes})",
                    expected=check.what,
                    at=user_line(),
                    created=False,
                )
            )


def evaluate(
    outputs: Sequence[Tensor], values: Mapping[Tensor, np.ndarray] | None = None, env: Mapping[str, int] | None = None
) -> list[np.ndarray]:
    """The values of `outputs`, given those of inputs (params have their own) and the sizes of named dims."""
    order = topological(outputs)
    given = values or {}
    if env is None:
        leaves = [n for n in order if n.op is INPUT and n in given]
        env = bind_dims(leaves, [np.asarray(given[n]) for n in leaves])
    check_sizes(list(dict.fromkeys(c for node in order for c in node.checks)), env)
    results: dict[Tensor, Any] = {}
    with np.errstate(all="ignore"):
        for node in order:
            if node in given:
                results[node] = np.asarray(given[node], dtype=node.dtype)
                continue
            attrs = {k: concrete(v, env) for k, v in node.attrs.items()}
            value = node.op.numpy(*[results[i] for i in node.inputs], **attrs)
            results[node] = value if node.op.multi else np.asarray(value, dtype=node.dtype)
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
    inputs = [node.name or "" for node in topological([tensor]) if node.op is INPUT]
    listed = ", ".join([identifier(name) for name in inputs[:3]] + ["..."] * (len(inputs) > 3))
    return f"values exist when a compiled step runs: gc.compile([{listed}], y) called with arrays; or use gc.eager"
