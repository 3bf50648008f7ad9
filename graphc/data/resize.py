"""Bilinear resampling of images as two small matrix products, one along each axis."""

from __future__ import annotations

import functools

import numpy as np


@functools.lru_cache(maxsize=64)
def weights(old: int, new: int, antialias: bool) -> np.ndarray:
    """The matrix float64[new, old] that resamples `old` points to `new`; its rows have the sum 1.

    Pixels are unit squares with their centres at half-integers, so new centre i lies at ``c = (i + 1/2) old / new``,
    and old pixel j gets the weight ``max(0, 1 - |j + 1/2 - c| / s)``, a triangle, of half-width ``s = 1`` (linear
    interpolation of the two neighbours), or ``s = max(1, old / new)`` with `antialias`, so that all old pixels count
    where an image shrinks. At the border the triangle is cut off and the rest scaled up.

    >>> weights(4, 2, False)
    array([[0.5, 0.5, 0. , 0. ],
           [0. , 0. , 0.5, 0.5]])
    """
    scale = old / new
    centres = (np.arange(new) + 0.5) * scale
    width = max(scale, 1.0) if antialias else 1.0
    triangle = np.maximum(0.0, 1.0 - np.abs(np.arange(old) + 0.5 - centres[:, None]) / width)
    matrix = triangle / triangle.sum(axis=1, keepdims=True)
    matrix.flags.writeable = False
    return matrix


def resize(images: np.ndarray, height: int, width: int, antialias: bool) -> np.ndarray:
    """Images float[..., h, w] to float[..., height, width], in their own dtype."""
    rows = weights(images.shape[-2], height, antialias).astype(images.dtype)
    columns = weights(images.shape[-1], width, antialias).astype(images.dtype)
    return np.matmul(rows, np.matmul(images, columns.T))
