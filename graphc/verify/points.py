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
_INTEGERS: tuple[tuple[int, ...], ...] = ((-3, -2, -1, 0, 1, 2, 3, 4), (0, 1, 2, 3, 4, 5), (0, 1, 2), (0, 1), (0,))
"""Where random integers come from: the first ones that the graph takes, for of indices it may take few."""
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
    anyhow: bool = False,
) -> Point | None:
    """Arrays for `leaves` at which `roots` are finite; None where none of a few tries gives them.

    values  given for some leaves; cut to the leaf's shape
    moved   those of them that are better moved a little
    anyhow  rather than None, the first point at which `roots` have values
    """
    first: Point | None = None
    for move in _MOVES if moved else (0.0,):
        for integers in _INTEGERS:
            for interval in _INTERVALS:
                rng = np.random.default_rng(0)
                point = {x: _array(x, env, values.get(x), rng, interval, integers) for x in leaves}
                point.update({x: _moved(point[x], move, rng) for x in moved if x in point})
                try:
                    if finite(roots, point, env):
                        return point
                except OutOfBoundsError:
                    break
                first = first or point
    return first if anyhow else None


def _moved(array: np.ndarray, by: float, rng: np.random.Generator) -> np.ndarray:
    if array.dtype.kind != "f" or not by:
        return array
    return (array + by * rng.uniform(-1.0, 1.0, array.shape) * np.maximum(np.abs(array), 1.0)).astype(array.dtype)


def finite(roots: Sequence[Tensor], point: Point, env: Mapping[str, int]) -> bool:
    return all(bool(np.all(np.isfinite(v))) for v in evaluate(roots, point, env))


def _array(
    leaf: Tensor,
    env: Mapping[str, int],
    value: Any,
    rng: np.random.Generator,
    interval: tuple[float, float],
    integers: Sequence[int],
) -> np.ndarray:
    shape = tuple(dims.evaluate(d, env) for d in leaf.shape)
    if value is not None:
        return np.asarray(value)[tuple(slice(0, n) for n in shape)].astype(leaf.dtype)
    if leaf.dtype.kind == "b":
        return rng.random(shape) < 0.5
    if leaf.dtype.kind in "iu":
        return _integers(shape, rng, [n for n in integers if n >= 0 or leaf.dtype.kind == "i"]).astype(leaf.dtype)
    return rng.uniform(*interval, shape).astype(leaf.dtype)


def _integers(shape: tuple[int, ...], rng: np.random.Generator, among: Sequence[int]) -> np.ndarray:
    """Random integers; the first two differ, and are neither 0 nor 1 where there are others (i * i is i of those two);
    the third is the first again, for sums of what is picked twice."""
    flat = rng.choice(among, max(int(np.prod(shape)), 3))
    telling = [n for n in among if n not in (0, 1)]
    flat[:2] = rng.permutation(telling if len(telling) > 1 else among)[:2]
    flat[2] = flat[0]
    return flat[: int(np.prod(shape))].reshape(shape)
