"""Points at which derivatives are compared: values for inputs and params where everything is a real number."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import OutOfBoundsError
from ..ir import dims
from ..ir.evaluate import evaluate
from ..ir.leaves import INPUT, PARAM
from ..ir.tensor import Tensor
from ..ir.traversal import topological

_INTERVALS = ((-1.0, 1.0), (0.2, 0.9), (0.5, 2.0), (1.1, 2.5), (-0.9, -0.2))
"""Where random inputs come from: the first interval on which the graph is finite."""
_MOVES = (0.1, 1e-3, 0.0)
"""How far params are moved from their values, where they can be: a param of zeros is a tie or a kink."""

Point = dict[Tensor, np.ndarray]


def leaves_of(roots: Sequence[Tensor]) -> list[Tensor]:
    """Inputs and params below `roots`."""
    return [n for n in topological(roots) if n.op in (INPUT, PARAM)]


def choose_point(
    roots: Sequence[Tensor],
    leaves: Sequence[Tensor],
    env: Mapping[str, int],
    values: Mapping[Tensor, Any],
    moved: Collection[Tensor] = (),
) -> Point | None:
    """Arrays for `leaves` at which `roots` are finite; None where none of a few tries gives them.

    values  given for some leaves; cut to the leaf's shape
    moved   those of them that are better moved a little
    """
    for move in _MOVES if moved else (0.0,):
        for integers in (2, 1):
            for interval in _INTERVALS:
                rng = np.random.default_rng(0)
                point = {x: _array(x, env, values.get(x), rng, interval, integers) for x in leaves}
                point.update({x: _moved(point[x], move, rng) for x in moved if x in point})
                if finite(roots, point, env):
                    return point
    return None


def _moved(array: np.ndarray, by: float, rng: np.random.Generator) -> np.ndarray:
    if array.dtype.kind != "f" or not by:
        return array
    return (array + by * rng.uniform(-1.0, 1.0, array.shape) * np.maximum(np.abs(array), 1.0)).astype(array.dtype)


def finite(roots: Sequence[Tensor], point: Point, env: Mapping[str, int]) -> bool:
    try:
        found = evaluate(roots, point, env)
    except OutOfBoundsError:
        return False
    return all(bool(np.all(np.isfinite(v))) for v in found)


def _array(
    leaf: Tensor,
    env: Mapping[str, int],
    value: Any,
    rng: np.random.Generator,
    interval: tuple[float, float],
    integers: int,
) -> np.ndarray:
    shape = tuple(dims.evaluate(d, env) for d in leaf.shape)
    if value is not None:
        return np.asarray(value)[tuple(slice(0, n) for n in shape)].astype(leaf.dtype)
    if leaf.dtype.kind == "b":
        return rng.random(shape) < 0.5
    if leaf.dtype.kind in "iu":
        return rng.integers(0, integers, shape).astype(leaf.dtype)
    return rng.uniform(*interval, shape).astype(leaf.dtype)
