"""First values of params, in PyTorch's names and with its formulas; all write in place and return their tensor.

The numbers come from NumPy's PCG64: of `seed` where it is given (an int, or a `numpy.random.Generator`), else of one
stream that `manual_seed` starts anew. They are not those of PyTorch's generator.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments import bad_argument
from ..eager.core import Tensor as Eager
from ..errors import ShapeError, message, user_line
from ..ir.leaves import Param
from ..ops.calls import explain
from ..ops.hints import missing_name
from .checks import choice, number

_stream = np.random.Generator(np.random.PCG64())
_lock = threading.Lock()

GAINS = {
    "linear": 1.0,
    "sigmoid": 1.0,
    "tanh": 5.0 / 3.0,
    "relu": math.sqrt(2.0),
    "selu": 0.75,
}


def manual_seed(seed: int) -> np.random.Generator:
    """Start the stream that layers and `init` functions draw from anew; returns it.

    >>> from graphc import nn
    >>> _ = nn.init.manual_seed(0)
    >>> a = nn.Linear(2, 1).weight.value
    >>> _ = nn.init.manual_seed(0)
    >>> bool((a == nn.Linear(2, 1).weight.value).all())
    True
    """
    global _stream
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or seed < 0:
        raise bad_argument("manual_seed", "seed", seed, "an int >= 0")
    with _lock:
        _stream = np.random.Generator(np.random.PCG64(seed))
        return _stream


def generator(seed: Any = None) -> np.random.Generator:
    """Where numbers come from: the common stream for None, a new one for an int, a generator as it is."""
    if seed is None:
        return _stream
    if isinstance(seed, np.random.Generator):
        return seed
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or seed < 0:
        raise bad_argument("an init function", "seed", seed, "an int >= 0, a numpy.random.Generator, or None")
    return np.random.Generator(np.random.PCG64(seed))


def _shape(tensor: Any) -> tuple[int, ...]:
    """The shape of what an init function can write into."""
    if isinstance(tensor, (Param, Eager, np.ndarray)):
        return tuple(tensor.shape)
    raise bad_argument("an init function", "tensor", tensor, "a param, an eager tensor or an array")


def _write(tensor: Any, values: Any) -> Any:
    """Write numbers into a param, an eager tensor or an array."""
    if isinstance(tensor, Param):
        tensor.state.write(np.asarray(values, tensor.dtype))
    elif isinstance(tensor, Eager):
        tensor._storage.write(tensor._array, np.asarray(values, tensor.dtype))
    else:
        tensor[...] = values
    return tensor


def uniform_(tensor: Any, a: float = 0.0, b: float = 1.0, seed: Any = None) -> Any:
    """Numbers uniform in [a, b).

    >>> from graphc import nn
    >>> nn.init.uniform_(nn.Parameter([0.0, 0.0]), 1.0, 2.0, seed=0)
    Parameter containing:
    tensor([1.6370, 1.2698], requires_grad=True)
    """
    return _write(tensor, generator(seed).uniform(a, b, _shape(tensor)))


def normal_(tensor: Any, mean: float = 0.0, std: float = 1.0, seed: Any = None) -> Any:
    """Normal numbers of this mean and standard deviation."""
    return _write(tensor, mean + std * generator(seed).standard_normal(_shape(tensor)))


def constant_(tensor: Any, val: float) -> Any:
    """`val` everywhere."""
    return _write(tensor, np.full(_shape(tensor), val))


def zeros_(tensor: Any) -> Any:
    """Zeros."""
    return constant_(tensor, 0.0)


def ones_(tensor: Any) -> Any:
    """Ones."""
    return constant_(tensor, 1.0)


def eye_(tensor: Any) -> Any:
    """The identity matrix."""
    if len(_shape(tensor)) != 2:
        raise _bad_rank("eye_", tensor, "2 axes")
    return _write(tensor, np.eye(*tensor.shape))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights before this nonlinearity are scaled; `param` is the slope of leaky_relu.

    >>> from graphc import nn
    >>> nn.init.calculate_gain("leaky_relu", 0.2)
    1.3867504905630728
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else number("calculate_gain", "param", param)
        return math.sqrt(2.0 / (1.0 + slope**2))
    return GAINS[choice("calculate_gain", "nonlinearity", nonlinearity, [*GAINS, "leaky_relu"])]


def fans(tensor: Any) -> tuple[int, int]:
    """How many inputs reach an output of these weights ``(out, in, *kernel)``, and how many outputs an input."""
    if len(_shape(tensor)) < 2:
        raise _bad_rank("weights", tensor, "at least 2 axes, (out, in, *kernel)")
    out, into, *kernel = tensor.shape
    field = math.prod(kernel)
    return into * field, out * field


def _bad_rank(name: str, tensor: Any, expected: str) -> ShapeError:
    got = f"{tensor.dtype}[{', '.join(map(str, tensor.shape))}]"
    return ShapeError(message(f"bad shape for {name}", got=got, expected=expected, at=user_line(), created=False))


def xavier_uniform_(tensor: Any, gain: float = 1.0, seed: Any = None) -> Any:
    """Uniform in +-``gain * sqrt(6 / (fan_in + fan_out))`` (Glorot and Bengio 2010)."""
    bound = gain * math.sqrt(6.0 / sum(fans(tensor)))
    return uniform_(tensor, -bound, bound, seed)


def xavier_normal_(tensor: Any, gain: float = 1.0, seed: Any = None) -> Any:
    """Normal of standard deviation ``gain * sqrt(2 / (fan_in + fan_out))`` (Glorot and Bengio 2010)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(fans(tensor))), seed)


def _kaiming(tensor: Any, a: float, mode: str, nonlinearity: str) -> float:
    fan_in, fan_out = fans(tensor)
    fan = fan_in if choice("kaiming", "mode", mode, ("fan_in", "fan_out")) == "fan_in" else fan_out
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


def kaiming_uniform_(
    tensor: Any, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", seed: Any = None
) -> Any:
    """Uniform in +-``gain * sqrt(3 / fan)``; `a` is the slope of leaky_relu (He and others 2015)."""
    bound = math.sqrt(3.0) * _kaiming(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, seed)


def kaiming_normal_(
    tensor: Any, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", seed: Any = None
) -> Any:
    """Normal of standard deviation ``gain / sqrt(fan)``; `a` is the slope of leaky_relu (He and others 2015)."""
    return normal_(tensor, 0.0, _kaiming(tensor, a, mode, nonlinearity), seed)


def orthogonal_(tensor: Any, gain: float = 1.0, seed: Any = None) -> Any:
    """`gain` times a matrix with orthonormal rows or columns, whichever are fewer (Saxe and others 2013).

    Axes from the second on count as one. The distribution is uniform: signs are those of R's diagonal.
    """
    if len(_shape(tensor)) < 2:
        raise _bad_rank("orthogonal_", tensor, "at least 2 axes")
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    flat = generator(seed).standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(flat)
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return _write(tensor, gain * (q.T if rows < columns else q).reshape(tuple(tensor.shape)))


def fan_in_bound_(tensor: Any, fan_in: int, seed: Any = None) -> Any:
    """Uniform in +-``1 / sqrt(fan_in)``: what PyTorch's linear and convolution layers start from, biases included."""
    bound = 1.0 / math.sqrt(fan_in) if fan_in > 0 else 0.0
    return uniform_(tensor, -bound, bound, seed)


__all__ = [
    "calculate_gain",
    "constant_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "manual_seed",
    "normal_",
    "ones_",
    "orthogonal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

explain(__name__, globals(), __all__)


if not TYPE_CHECKING:  # which knows by itself what is not there

    def __getattr__(name: str) -> Any:
        raise missing_name(__name__, name)
