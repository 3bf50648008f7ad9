"""All statements that random programs are made of, each with how often it is chosen."""

from __future__ import annotations

from .composites import batched, composite, custom, recurrent, tangent, views
from .rows import row
from .statements import (
    astype,
    binary,
    broadcast,
    contraction,
    creation,
    cumulative,
    gradient,
    indexing,
    joining,
    moving,
    normalise,
    padding,
    permute,
    reduction,
    reshape,
    slicing,
    softmax,
    sorting,
    split,
    unary,
    where,
    writing,
)
from .windowed import windowed

STATEMENTS = (
    (unary, 6), (binary, 12), (row, 14), (where, 3), (astype, 3), (reduction, 10), (softmax, 2), (normalise, 5),
    (cumulative, 3), (sorting, 2), (permute, 4), (slicing, 5), (indexing, 4), (writing, 4), (joining, 4), (padding, 3),
    (moving, 6), (views, 3), (split, 1), (reshape, 5), (broadcast, 3), (contraction, 7), (creation, 3), (composite, 6),
    (gradient, 5), (tangent, 1), (custom, 1), (batched, 1), (recurrent, 1), (windowed, 3),
)  # fmt: skip

__all__ = ["STATEMENTS"]
