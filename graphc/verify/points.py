"""Points at which derivatives are compared: values for inputs and params where everything is a real number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
_NOISE = 0.1
"""How far params are moved from their values: a param of zeros is a tie or a kink."""

Point = dict[Tensor, np.ndarray]


def leaves_of(roots: Sequence[Tensor]) -> list[Tensor]:
    """Inputs and params below `roots`."""
    return [n for n in topological(roots) if n.op in (INPUT, PARAM)]


def choose_point(
    roots: Sequence[Tensor],
    leaves: Sequence[Tensor],
    env: Mapping[str, int],
    values: Mapping[Tensor, Any],
    seed: int = 0,
    noise: float = _NOISE,
) -> Point | None:
    """Arrays for `leaves` at which `roots` are finite; None where none of a few tries gives them.

    values  given for some leaves: cut to the leaf's shape, and moved a little (by `noise`)
    """
    for integers in (2, 1):
        for low, high in _INTERVALS:
            rng = np.random.default_rng(seed)
            point = {x: _array(x, env, values.get(x), rng, (low, high), integers, noise) for x in leaves}
            if finite(roots, point, env):
                return point
    return None


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
    noise: float,
) -> np.ndarray:
    shape = tuple(dims.evaluate(d, env) for d in leaf.shape)
    if value is not None:
        cut = np.asarray(value)[tuple(slice(0, n) for n in shape)]
        if leaf.dtype.kind != "f" or not noise:
            return cut.astype(leaf.dtype)
        return (cut + noise * rng.uniform(-1.0, 1.0, shape) * np.maximum(np.abs(cut), 1.0)).astype(leaf.dtype)
    if leaf.dtype.kind == "b":
        return rng.random(shape) < 0.5
    if leaf.dtype.kind in "iu":
        return rng.integers(0, integers, shape).astype(leaf.dtype)
    return rng.uniform(*interval, shape).astype(leaf.dtype)
