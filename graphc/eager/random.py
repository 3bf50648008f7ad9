"""Random tensors, from a generator that `manual_seed` sets."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DTypeError, message, user_line
from .core import Tensor
from .creation import finished, size_of
from .dtypes import dtype_of
from .inplace import assign


class Generator:
    """A stream of random numbers (Philox); without `manual_seed` it starts from the system's entropy.

    >>> from graphc import eager
    >>> g = eager.Generator().manual_seed(0)
    >>> a = eager.rand(3, generator=g)
    >>> bool((a == eager.rand(3, generator=eager.Generator().manual_seed(0))).all())
    True
    """

    def __init__(self) -> None:
        self.numpy = np.random.Generator(np.random.Philox())

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream that belongs to `seed` (any int); returns the generator."""
        self.numpy = np.random.Generator(np.random.Philox(seed % 2**64))
        return self


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Start the default stream anew: the same seed gives the same numbers."""
    return default_generator.manual_seed(seed)


def _stream(generator: Generator | None) -> np.random.Generator:
    return (generator or default_generator).numpy


def _float_dtype(dtype: Any, name: str) -> np.dtype:
    chosen = dtype_of("float32" if dtype is None else dtype)
    if chosen.kind != "f":
        raise DTypeError(
            message(
                f"{name} of {chosen}", expected="float32 or float64", at=user_line(), created=False, hint="use randint"
            )
        )
    return chosen


def rand(
    *size: Any, generator: Generator | None = None, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """Uniform numbers in [0, 1)."""
    values = _stream(generator).random(size_of(size), _float_dtype(dtype, "rand"))
    return finished(np.asarray(values), requires_grad, device)


def randn(
    *size: Any, generator: Generator | None = None, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """Normal numbers of mean 0 and variance 1."""
    values = _stream(generator).standard_normal(size_of(size), _float_dtype(dtype, "randn"))
    return finished(np.asarray(values, _float_dtype(dtype, "randn")), requires_grad, device)


def randint(
    low: int, high: Any, size: Any = None, *, generator: Generator | None = None, dtype: Any = None, device: Any = None
) -> Tensor:
    """Integers from `low` (may be left out: 0) up to, not including, `high`."""
    if size is None:
        low, high, size = 0, low, high
    values = _stream(generator).integers(low, high, size_of((size,)), np.int64)
    return finished(np.asarray(values).astype(dtype_of("int64" if dtype is None else dtype)), False, device)


def randperm(n: int, *, generator: Generator | None = None, device: Any = None) -> Tensor:
    """The integers 0 .. n-1 in random order."""
    return finished(_stream(generator).permutation(n).astype(np.int64), False, device)


def rand_like(x: Tensor, *, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Uniform numbers in the shape and dtype of `x`."""
    return rand(*x.shape, dtype=x.dtype if dtype is None else dtype, requires_grad=requires_grad, device=device)


def randn_like(x: Tensor, *, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Normal numbers in the shape and dtype of `x`."""
    return randn(*x.shape, dtype=x.dtype if dtype is None else dtype, requires_grad=requires_grad, device=device)


def uniform_(self: Tensor, low: float = 0.0, high: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Write uniform numbers in [low, high) into this tensor; returns it."""
    values = _stream(generator).random(self.shape, _float_dtype(self.dtype, "uniform_"))
    return assign(self, Tensor(np.asarray(values * (high - low) + low, self.dtype)), "uniform_")


def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Write normal numbers into this tensor; returns it."""
    values = _stream(generator).standard_normal(self.shape, _float_dtype(self.dtype, "normal_"))
    return assign(self, Tensor(np.asarray(values * std + mean, self.dtype)), "normal_")
