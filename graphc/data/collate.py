"""Items to one batch: arrays get a new first axis, numbers become an array, tuples and dicts keep their structure."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..eager.core import Tensor


def collate(items: Sequence[Any]) -> Any:
    """One batch of `items`, which are all built alike.

    Arrays of one shape are stacked, numbers become an array (bool, int64, float64, or the dtype of NumPy scalars).
    Tuples, lists and dicts are batched element by element and keep their type; texts become a list. Raises ValueError
    or TypeError, which say what the items are, where that is impossible.

    >>> collate([(np.zeros(2), 3), (np.ones(2), 4)])
    (array([[0., 0.],
           [1., 1.]]), array([3, 4]))
    >>> collate([{"name": "a", "size": 1.5}, {"name": "b", "size": 2.0}])
    {'name': ['a', 'b'], 'size': array([1.5, 2. ])}
    """
    if not len(items):
        raise ValueError("without items, shapes and dtypes are unknown")
    first = items[0]
    if isinstance(first, (str, bytes)):
        return list(items)
    if isinstance(first, Mapping):
        _alike([sorted(map(str, item)) for item in items], "keys")
        return {key: collate([item[key] for item in items]) for key in first}
    if isinstance(first, (tuple, list)):
        _alike([len(item) for item in items], "lengths")
        parts = [collate(list(part)) for part in zip(*items, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    return stack(items)


def stack(items: Sequence[Any]) -> np.ndarray:
    """Arrays of one shape, or numbers, as one array with a new first axis."""
    arrays = [np.asarray(item.detach().numpy() if isinstance(item, Tensor) else item) for item in items]
    wrong = [type(i).__name__ for i, a in zip(items, arrays, strict=True) if a.dtype.kind not in "biufc"]
    if wrong:
        raise TypeError(f"an item holds a {wrong[0]}: expected arrays, numbers, texts, or tuples, lists, dicts of them")
    _alike([array.shape for array in arrays], "shapes")
    if isinstance(items[0], numbers.Number) and not isinstance(items[0], np.generic):
        return np.array(arrays)
    _alike([str(array.dtype) for array in arrays], "dtypes")
    return np.stack(arrays)


def _alike(facts: Sequence[Any], what: str) -> None:
    other = next((k for k, fact in enumerate(facts) if fact != facts[0]), None)
    if other is not None:
        raise ValueError(f"items of different {what}: {facts[0]} in the first, {facts[other]} in number {other + 1}")
