"""Which products of matrices cuBLAS computes, and how their operands stand in memory; `runtime.cublas` calls it.

The one place where that is decided. graphc's own kernel is good to read, computes what follows element by element in
registers, and has no library to call; cuBLAS takes less time for a large product, and what follows is then a kernel of
its own, which reads the result again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..ir import dims
from ..ir.dims import DimLike
from ..ir.dtypes import DType
from ..ir.loops import ArrayArg, Dot, Kernel

LEAST_WORK = {"float32": 1 << 27, "float64": 1 << 26}
"""Multiplications (of all products of a batch together) from which on cuBLAS computes a product: 512 x 512 x 512 in
float32. **Predicted for an H100, not measured**, for want of a device: that the own kernel reaches 60 % of 67 TFLOP/s
in float32 and 75 % of 34 in float64 (its instructions, see the README); cuBLAS 85 % of 67 in both, for tensor cores
compute in float64, too; and that a kernel behind it, in the place of an epilogue, takes about 2.6 us. So much is saved
from 1.7e8 multiplications on in float32, from 0.6e8 in float64; these are the powers of 2 beside them.

``python tests/benchmarks/device.py`` measures: its table of products has the times of both for sizes around these, and
says from where on cuBLAS takes less; those are the numbers that belong here."""


@dataclass(frozen=True)
class Matrices:
    """A factor, or the results, in memory: matrices in C order, one for each index b of a batch.

    step    elements from one row to the next
    batch   (stride, divisor, modulus) for each axis of the batch: matrix b starts ``b // divisor % modulus * stride``
            elements behind the start; without modulus ``b // divisor * stride``
    """

    step: DimLike
    batch: tuple[tuple[DimLike, DimLike, DimLike | None], ...] = ()

    @property
    def evenly(self) -> bool:
        """Whether one matrix of a batch stands as far behind the one before as every other."""
        return len(self.batch) == 1 and self.batch[0][1:] == (1, None)


@dataclass(frozen=True)
class LargeProduct:
    """``out[m, n] = x[m, k] @ y[k, n]`` for each of `count` (None: there is no batch), by cuBLAS.

    transposed  of x and y, whether its columns stand where its rows are named here
    fixed       whether all three stand at the same addresses at every call
    """

    dtype: DType
    sizes: tuple[DimLike, DimLike, DimLike]
    count: DimLike | None
    x: Matrices
    y: Matrices
    out: Matrices
    transposed: tuple[bool, bool]
    fixed: bool

    @property
    def text(self) -> str:
        """What it computes, for comments."""
        x, y = (f"{name}.T" if t else name for name, t in zip("xy", self.transposed, strict=True))
        return f"out = {x} @ {y}, {self.dtype.name}{'' if self.count is None else ', each of a batch'}"


def share(kernel: Kernel, s: Dot, fixed: set[int]) -> DimLike:
    """1 where cuBLAS computes a product, or else 0: a number, or an expression in sizes that are not known yet.

    fixed  memory that stands at the same addresses at every call. A recorded call of cuBLAS has its operands'
           addresses in it, or those of tables with their addresses. The frame's own table serves a single product, so
           that its operands may stand anywhere; the many addresses of a batch are written once, so that they must stay.
    """
    if s.batched and not fixed >= {a.buffer for a in kernel.arrays if a.name in (s.x, s.y, s.out)}:
        return 0
    return _is_large(kernel, s)


def are_large(kernels: Iterable[Kernel]) -> bool:
    """Whether a kernel has a product that is large, or may be as sizes will show."""
    return any(isinstance(s, Dot) and _is_large(kernel, s) != 0 for kernel in kernels for s in kernel.body)


def _is_large(kernel: Kernel, s: Dot) -> DimLike:
    """1 or 0, or an expression in sizes that are not known yet."""
    m, n, k = s.sizes
    count = _array(kernel, s.out).shape[0] if s.batched else 1
    return dims.smaller(m * n * k * count // LEAST_WORK[s.dtype.name], 1)


def large_product(kernel: Kernel, s: Dot, fixed: set[int]) -> LargeProduct:
    """The product `s` of a kernel as cuBLAS is asked for it."""
    x, y, out = (_array(kernel, name) for name in (s.x, s.y, s.out))
    return LargeProduct(
        s.dtype,
        s.sizes,
        out.shape[0] if s.batched else None,
        _matrices(x, s, s.x_batch),
        _matrices(y, s, s.y_batch),
        _matrices(out, s, ()),
        (s.x_transposed, s.y_transposed),
        fixed >= {x.buffer, y.buffer, out.buffer},
    )


def _array(kernel: Kernel, name: str) -> ArrayArg:
    return next(a for a in kernel.arrays if a.name == name)


def _matrices(array: ArrayArg, s: Dot, batch: tuple[tuple[DimLike, DimLike | None] | None, ...]) -> Matrices:
    """Where the matrices of an array stand: its last axis is one of theirs, see `Dot`."""
    shape = array.shape
    places = batch or (((1, None), None, None) if s.batched else (None, None))
    behind = [dims.product(shape[axis + 1 :]) for axis in range(len(shape))]
    outer, last = (axis for axis, place in enumerate(places) if place is None)
    assert last == len(shape) - 1
    axes = tuple((behind[axis], *place) for axis, place in enumerate(places) if place is not None)
    return Matrices(behind[outer], axes)
