"""Sorting: the primitive `argsort`, and `sort`, which takes along it and so has its gradient for free."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.apply import apply, lift
from ..ir.dtypes import INT64
from ..ir.lowering import Argsort
from ..ir.op import Arr, Aval, Op, Require, Sample
from .batching import batch_along_axis
from .common import axis_index
from .cotangent import zero_almost_everywhere
from .indexing import take_along_axis

_TIES = (2.0, 1.0, 2.0, -0.0, np.nan, 0.0, 1.0, np.nan, np.inf, -np.inf)


def _argsort_infer(require: Require, x: Aval, axis: int, descending: bool) -> Aval:
    return Aval(x.shape, INT64)


def _argsort_numpy(x: np.ndarray, axis: int, descending: bool) -> np.ndarray:
    """Descending is ascending of a key that turns the order round: -x for floats (NaN stays last), ~x for the rest."""
    key = x if not descending else -x if x.dtype.kind == "f" else ~x
    return np.argsort(key, axis=axis, kind="stable")


ARGSORT = Op(
    "argsort",
    _argsort_infer,
    _argsort_numpy,
    Argsort(),
    vjp=(zero_almost_everywhere,),
    jvp=(zero_almost_everywhere,),
    batch=batch_along_axis,
    sympy=lambda sp, x, **attrs: sp.Integer(0),
    samples=(
        Sample((Arr((3, 4)),), {"axis": 1, "descending": False}, differentiable=False),
        Sample((Arr((3, 4)),), {"axis": 0, "descending": True}, differentiable=False),
        Sample((Arr((10,), values=_TIES),), {"axis": 0, "descending": False}, differentiable=False),
        Sample((Arr((10,), values=_TIES),), {"axis": 0, "descending": True}, differentiable=False),
        Sample((Arr((9,), dtype="int8", low=-2, high=2),), {"axis": 0, "descending": True}, differentiable=False),
        Sample((Arr((6,), dtype="bool"),), {"axis": 0, "descending": True}, differentiable=False),
        Sample((Arr((2, 0, 3)),), {"axis": 1, "descending": False}, differentiable=False),
    ),
    traits=frozenset({"integer"}),
)


def argsort(x: Any, /, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The positions, int64, that sort `x` along `axis`: smallest first, or largest first if `descending`; NaN last.

    Equal elements keep their order, whatever `stable` says. A result of integers: no gradient flows.

    >>> import graphc as gc
    >>> gc.argsort(gc.input("x", ("n", 3)), axis=0).shape
    (n, 3)
    """
    (x,) = lift(x)
    return apply(ARGSORT, x, axis=axis_index(axis, len(x.shape), "argsort"), descending=bool(descending))


def sort(x: Any, /, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """`x` sorted along `axis`: smallest first, or largest first if `descending`; NaN last, either way.

    The gradient goes back to where each element came from.

    >>> import graphc as gc
    >>> gc.sort(gc.input("x", (3, "n"))).shape
    (3, n)
    """
    (x,) = lift(x)
    return take_along_axis(x, argsort(x, axis=axis, descending=descending), axis=axis)


ROWS = (ARGSORT,)
__all__ = ["argsort", "sort"]
