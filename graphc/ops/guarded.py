"""Sums of products in which zeros annihilate inf and nan: what `ct_mul` and `zero_mul` are to a product, inside one op.

An op that adds up products of two operands has an attribute `guard`: the operands whose zeros annihilate. It is absent
where none do, "left" (the left operand is a cotangent, as in ``ct_mul``), "right", or "both" (as in ``zero_mul``). A
library that knows no guard computes such a sum first; only what comes out as nan is summed again, term by term: 0 * inf
and 0 * nan are nan, and a sum that holds a nan is one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .cotangent import ct_mul, zero_mul
from .elementwise import multiply

LEFT, RIGHT, BOTH = "left", "right", "both"
EXCHANGED = {"": "", LEFT: RIGHT, RIGHT: LEFT, BOTH: BOTH}
"""The guard where the operands change places."""
PRODUCTS: dict[str, Callable[[Any, Any], Any]] = {
    "": multiply,
    LEFT: ct_mul,
    RIGHT: lambda x, y: ct_mul(y, x),
    BOTH: zero_mul,
}
"""The product of two elements under each guard."""


def attrs_of(guard: str) -> dict[str, str]:
    """The attribute, absent where zeros of no operand annihilate."""
    return {"guard": guard} if guard else {}


def sides(guard: str) -> tuple[bool, bool]:
    """Whether zeros of the left, and of the right operand annihilate."""
    return guard in (LEFT, BOTH), guard in (RIGHT, BOTH)


def guard_of_vjp(guard: str, by: int) -> str:
    """The guard of a sum's derivative by operand 0 or 1: a product of the cotangent (left) and the other operand.

    As for single products: the other operand's zeros annihilate where they did before, see `cotangent`.
    """
    return BOTH if sides(guard)[1 - by] else LEFT


def matrix_product(x: np.ndarray, y: np.ndarray, guard: str = "") -> np.ndarray:
    """``np.matmul`` of operands with two axes or more, under a guard."""
    result = np.matmul(x, y)
    wrong = np.isnan(result) if guard and result.dtype.kind == "f" else None
    if wrong is None or not wrong.any():
        return result
    batch = result.shape[:-2]
    x, y = np.broadcast_to(x, (*batch, *x.shape[-2:])), np.broadcast_to(y, (*batch, *y.shape[-2:]))
    if guard == LEFT:  # what is nan itself is not 0: so is its sum
        wrong &= ~np.isnan(x).any(axis=-1, keepdims=True)
    elif guard == RIGHT:
        wrong &= ~np.isnan(y).any(axis=-2, keepdims=True)
    for b in np.ndindex(*batch):
        if wrong[b].any():
            result[b] = np.where(wrong[b], _term_by_term(x[b], y[b], guard), result[b])
    return result


def _term_by_term(x: np.ndarray, y: np.ndarray, guard: str) -> np.ndarray:
    """A product under a guard: terms that are finite as a matrix product, the others one after another."""
    left, right = sides(guard)
    finite = np.isfinite(x).all(axis=0) & np.isfinite(y).all(axis=1)
    result = np.matmul(x[:, finite], y[finite])
    for q in np.flatnonzero(~finite):
        rows = np.flatnonzero(x[:, q]) if left else np.arange(len(x))
        u, v = x[rows, q, None], y[None, q]
        result[rows] += np.where(right & (v == 0), x.dtype.type(0), u * v)
    return result
