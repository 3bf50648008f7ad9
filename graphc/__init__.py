"""graphc: a static-graph compiler for differentiable expressions.

Write a NumPy-like expression once; graphc traces it into a graph, derives the backward graph symbolically, and
compiles forward, backward and parameter update into one step that runs as numba code.

>>> import graphc as gc
>>> x = gc.input("x", ("n",))
>>> w = gc.param(1.0, name="w")
>>> loss = gc.mean((w * x - 2.0) ** 2)
>>> step = gc.compile([x], [loss], {w: w - 0.1 * gc.grad(loss, w)})
>>> step([1.0, 1.0])
[np.float64(1.0)]
>>> w.value
array(1.2)
"""

from __future__ import annotations

import importlib
from typing import Any

from . import eager
from .errors import (
    ArgumentError,
    CompileError,
    DataError,
    DTypeError,
    FileError,
    GradientError,
    GraphcError,
    GraphcWarning,
    InputError,
    MissingAttributeError,
    MissingFileError,
    NonFiniteError,
    OutOfBoundsError,
    ShapeError,
    TraceError,
    UnsupportedError,
)
from .ir.evaluate import constant_of
from .ir.graph import Graph
from .ir.leaves import Param, constant, input, param
from .ir.leaves import constant as asarray
from .ir.tensor import Tensor
from .ops.calls import explain
from .ops.functions import PUBLIC
from .ops.hints import missing_attribute, missing_name
from .ops.install import install

install(Tensor, constant_of, missing_attribute)
globals().update(PUBLIC)


LIBRARY = ("data", "nn", "optim", "random")
"""What is written with the functions above, and imported when it is first used."""
FILES = {"load": "checkpoint", "save": "checkpoint"}
"""Functions that are imported likewise, and their modules."""


def __getattr__(name: str) -> Any:
    """Called for names that are not here. (To a type checker, every function of `PUBLIC`: it cannot see that line.)"""
    if name in LIBRARY:
        return importlib.import_module(f"{__name__}.{name}")
    if name in FILES:
        found = {name: getattr(importlib.import_module(f"{__name__}.{FILES[name]}"), name)}
        explain(__name__, found, [name])
        return globals().setdefault(name, found[name])  # the first of several threads
    raise missing_name(__name__, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *LIBRARY, *FILES})


from .api import (  # noqa: E402 - gc.trace is not numpy's
    Step,
    Traced,
    compile,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    trace,
    value_and_grad,
    vjp,
    vmap,
)
from .contrast import contrast  # noqa: E402
from .runtime.cuda_arrays import DeviceArray, to_device  # noqa: E402
from .sympy_io import from_sympy, to_sympy  # noqa: E402
from .verify.certificate import Certificate, VerificationError  # noqa: E402
from .verify.entry import verify  # noqa: E402 - the function; the package of that name stays importable

__all__ = [
    "ArgumentError",
    "Certificate",
    "CompileError",
    "DTypeError",
    "DataError",
    "DeviceArray",
    "FileError",
    "GradientError",
    "Graph",
    "GraphcError",
    "GraphcWarning",
    "InputError",
    "MissingAttributeError",
    "MissingFileError",
    "NonFiniteError",
    "OutOfBoundsError",
    "Param",
    "ShapeError",
    "Step",
    "Tensor",
    "TraceError",
    "Traced",
    "UnsupportedError",
    "VerificationError",
    "asarray",
    "compile",
    "constant",
    "contrast",
    "eager",
    "from_sympy",
    "grad",
    "hessian",
    "hvp",
    "input",
    "jacobian",
    "jvp",
    "param",
    "to_device",
    "to_sympy",
    "trace",
    "value_and_grad",
    "verify",
    "vjp",
    "vmap",
    *FILES,
    *LIBRARY,
    *(name for name in PUBLIC if name != "trace"),
]

explain(__name__, globals(), __all__)
