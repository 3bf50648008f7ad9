"""The public face: `compile`, and what it returns."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from .compilation import compile_graph
from .derivatives import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from .errors import CompileError, message, shown, user_line
from .ir.tensor import Tensor
from .runtime import cuda_devices
from .step import Step
from .tracing import Traced, trace
from .vectorise import vmap

CHECKS = ("nan",)


def compile(
    inputs: Any = None,
    outputs: Any = None,
    updates: Mapping[Any, Any] | None = None,
    target: str | None = None,
    threads: int | None = None,
    check: str | None = None,
    name: str | None = None,
    device_outputs: bool = False,
) -> Any:
    """Compile a graph, or a Python function, to a callable step.

    inputs   the symbolic inputs: a tensor, or a nesting of lists, tuples and dicts of them; or a Python function
    outputs  what the step returns, nested as you like to have it back
    updates  {param: new value}: applied together, after everything was read
    target   "cpu", or "cuda" or "cuda:1": an NVIDIA GPU, by number (needs the package numba-cuda, a driver and a
             device; `UnsupportedError` says what is missing). Params live on the device, and `param.value` copies back.
             None: the device that `Module.to` has chosen for the params, "cpu" for others; see there
    threads  the most threads a step may use, an int >= 1, or None for one per core; it changes no bit of a result.
             Small steps use one, and so do all where no threading layer can be loaded (see `runtime.threads`)
    check    "nan": outputs and new values of params are tested for nan and inf before anything is committed, and
             `NonFiniteError` names the op, line and operands they came from; see `Step.__call__`. None: no test
    name     what reports and the generated source call it
    device_outputs   True: the outputs stay on the device, as `gc.DeviceArray`, and the call does not wait for them
             unless there is something to check. `CompileError` for target "cpu"

    On a device, inputs are NumPy arrays, which are copied, or arrays that are there already, which are read where they
    are: `gc.DeviceArray`, or what has ``__cuda_array_interface__`` or DLPack (CuPy, torch, numba, JAX); `InputError`
    where one is on another device, has gaps, or another dtype.

    ``gc.compile(f)`` and ``@gc.compile`` give a function that is traced at its first call with arrays, once per
    dtype, rank and pattern of equal sizes and 1s.

    >>> import graphc as gc
    >>> x = gc.input("x", ("n",))
    >>> gc.compile(inputs=[x], outputs=gc.sum(x * x))([1.0, 2.0])
    np.float64(5.0)
    """
    if target is not None:
        cuda_devices.parse(target)
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise CompileError(_bad("bad threads=", repr(threads), "an int >= 1, or None"))
    if check is not None and not (isinstance(check, str) and check in CHECKS):
        raise CompileError(_bad("bad check=", shown(check), "'nan', or None"))
    if not isinstance(device_outputs, bool):
        raise CompileError(_bad("bad device_outputs=", shown(device_outputs), "True or False"))
    if name is not None and not isinstance(name, str):
        raise CompileError(_bad("bad name=", shown(name), "a string, or None"))
    if callable(inputs) and not isinstance(inputs, Tensor):
        if outputs is not None or updates is not None:
            raise CompileError(_bad("a function has its outputs itself", "outputs= or updates= too", "gc.compile(f)"))
        return Traced(inputs, name, threads, check, target, device_outputs)
    if inputs is None and outputs is None and updates is None:
        return functools.partial(
            compile, target=target, threads=threads, check=check, name=name, device_outputs=device_outputs
        )
    return compile_graph(inputs, outputs, updates, name, threads, check, target, device_outputs)


def _bad(failed: str, got: str, expected: str) -> str:
    return message(failed, got=got, expected=expected, at=user_line(), created=False)


__all__ = [
    "Step",
    "Traced",
    "compile",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "trace",
    "value_and_grad",
    "vjp",
    "vmap",
]
