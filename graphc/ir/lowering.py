"""How an op says what it means to a loop nest. Declarative: nothing here knows of CPU, CUDA, tiles or libraries.

An op row's `lower` is one of these. `Map`, `View` and `Generate` disappear into the kernels that use their values;
the others are statements of the loop IR.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .dims import Shape
from .expr import Expr

Index = tuple[Expr, ...]


@dataclass(frozen=True)
class Map:
    """Elementwise: ``expr(*operand values, **attrs)`` is the value; all operands have the output's shape.

    `expr` gets ``dtype=`` too (the output's) if it asks for it by name.
    """

    expr: Callable[..., Expr]
    wants_dtype: bool = False


@dataclass(frozen=True)
class View:
    """Index arithmetic: ``index(out_index, in_shape, out_shape, **attrs)`` is where the operand is read.

    `guard`, with the same arguments, is a condition (bool `Expr`); where it fails the value is ``attrs["value"]``
    (default 0) and the operand is not read.
    """

    index: Callable[..., Index]
    guard: Callable[..., Expr] | None = None


@dataclass(frozen=True)
class Generate:
    """A value from the position alone: ``expr(index, shape, dtype, **attrs)``. Has no operands."""

    expr: Callable[..., Expr]


@dataclass(frozen=True)
class Alias:
    """The operand's memory under another shape (a general reshape): needs the operand stored in C order."""


@dataclass(frozen=True)
class Reduce:
    """Combine along ``attrs["axes"]`` (sorted, non-negative): add, mul, max, min, or, and, argmax, argmin."""

    combine: str


@dataclass(frozen=True)
class Scan:
    """Running combination along ``attrs["axis"]``, from the end if ``attrs["reverse"]``: add, mul, or linear.

    linear has two operands a, b: ``acc = ct_mul(acc, a) + b``, from 0.
    """

    combine: str


@dataclass(frozen=True)
class Contract:
    """``out[b, m, n] = sum over k of x[b, m, k] * y[b, k, n]``, as ``attrs["spec"]`` spells it (ops/linalg)."""


@dataclass(frozen=True)
class Convolve:
    """One derivative of the form of a result y, an image x and weights w that ops/convolution describes.

    result  which of the three is computed from the other two: "y", "x" or "w"
    """

    result: str


@dataclass(frozen=True)
class Overlap:
    """``out[..., p * stride + k * dilation - low] += y[..., p, k]`` from 0: windows added up, see ops/windows."""


@dataclass(frozen=True)
class Gather:
    """``gather(x, *indices)``: the leading axes of `x` are indexed by integer arrays of one common shape."""


@dataclass(frozen=True)
class Scatter:
    """``scatter(x, updates, *indices)``: a copy of `x` with rows set ("set": last wins) or added to ("add")."""

    mode: str


@dataclass(frozen=True)
class Concat:
    """The operands one after another along ``attrs["axis"]``."""


@dataclass(frozen=True)
class Argsort:
    """Stable order along ``attrs["axis"]``, NaN last; reversed order of values if ``attrs["descending"]``."""


@dataclass(frozen=True)
class Refused:
    """A field that an op leaves out on purpose; `reason` completes "<op> has no <field>: ..."."""

    reason: str


Lowering = (
    Map
    | View
    | Generate
    | Alias
    | Reduce
    | Scan
    | Contract
    | Convolve
    | Overlap
    | Gather
    | Scatter
    | Concat
    | Argsort
    | Refused
)


def identity_index(index: Index, in_shape: Shape, out_shape: Shape, /, **attrs: Any) -> Index:
    """The operand is read where the result is written."""
    return index
