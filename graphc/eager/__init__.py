"""`gc.eager`: the define-by-run engine. Ops are computed by NumPy as they are called and recorded on a tape.

The same ops and the same derivative rules as the compiled steps have, in PyTorch's spelling:

>>> from graphc import eager
>>> a, b, c = (eager.tensor(v, requires_grad=True) for v in (3.0, 5.0, 8.0))
>>> j = 3 * (a + b * c)
>>> j
tensor(129., grad_fn=<MulBackward>)
>>> j.backward()
>>> a.grad, b.grad, c.grad
(tensor(3.), tensor(24.), tensor(15.))

Where it differs from PyTorch: integers that become floats (``mean``, ``exp``, ``/``) become float64, as the ops have it
everywhere in graphc; ``std`` and ``var`` divide by n; ``max(dim)`` gives values only; `eager.grad` gives zeros for what
nothing depends on. It runs on the CPU only: GPUs are for compiled
steps (``gc.compile(..., target="cuda")``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..ops.calls import explain
from ..ops.hints import missing_name
from . import surface
from .backward import grad
from .core import Tensor
from .creation import (
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)
from .dtypes import NAMES
from .engine import ENGINE
from .function import Function
from .handling import FUNCTIONS
from .modes import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .random import Generator, manual_seed, rand, rand_like, randint, randn, randn_like, randperm

_own = dict(globals())
_functions = surface.functions()
surface.install(Tensor, _functions)
globals().update({k: v for k, v in {**NAMES, **_functions, **FUNCTIONS}.items() if k not in _own})


def is_tensor(value: Any) -> bool:
    """Whether `value` is an eager tensor."""
    return isinstance(value, Tensor)


def __dir__() -> list[str]:
    return sorted(k for k in globals() if not k.startswith("_"))


__all__ = [
    "ENGINE", "Function", "Generator", "Tensor", "arange", "as_tensor", "empty", "empty_like", "enable_grad", "eye",
    "from_numpy", "full", "full_like", "grad", "is_grad_enabled", "is_tensor", "linspace", "manual_seed", "no_grad",
    "ones", "ones_like", "rand", "rand_like", "randint", "randn", "randn_like", "randperm", "set_grad_enabled",
    "tensor", "zeros", "zeros_like",
]  # fmt: skip

explain(__name__, globals(), [name for name in __all__ if name != "Tensor"])


if not TYPE_CHECKING:  # which knows by itself what is not there

    def __getattr__(name: str) -> Any:
        raise missing_name(__name__, name, {*__all__, *NAMES, *_functions, *FUNCTIONS})
