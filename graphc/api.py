"""The public face: `compile`, and what it returns."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from .derivatives import grad, value_and_grad, vjp
from .errors import CompileError, message
from .ir.tensor import Tensor
from .step import Step, compile_graph
from .tracing import Traced, trace

TARGETS = ("cpu",)


def compile(
    inputs: Any = None,
    outputs: Any = None,
    updates: Mapping[Any, Any] | None = None,
    target: str = "cpu",
    threads: int | None = None,
    check: str | None = None,
    name: str | None = None,
) -> Any:
    """Compile a graph, or a Python function, to a callable step.

    inputs   the symbolic inputs: a tensor, or a nesting of lists, tuples and dicts of them; or a Python function
    outputs  what the step returns, nested as you like to have it back
    updates  {param: new value}: applied together, after everything was read
    target   "cpu"

    ``gc.compile(f)`` and ``@gc.compile`` give a function that is traced at its first call with arrays, once per
    dtype, rank and pattern of equal sizes and 1s.

    >>> import graphc as gc
    >>> x = gc.input("x", ("n",))
    >>> gc.compile(inputs=[x], outputs=gc.sum(x * x))([1.0, 2.0])
    np.float64(5.0)
    """
    if target not in TARGETS:
        raise CompileError(message("unknown target", got=repr(target), expected=f"one of {', '.join(TARGETS)}"))
    if callable(inputs) and not isinstance(inputs, Tensor):
        return Traced(inputs, name)
    if inputs is None and outputs is None and updates is None:
        return functools.partial(compile, target=target, threads=threads, check=check, name=name)
    return compile_graph(inputs, outputs, updates, name)


__all__ = ["Step", "Traced", "compile", "grad", "trace", "value_and_grad", "vjp"]
