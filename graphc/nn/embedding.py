"""`Embedding`: rows of a table by their numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arguments import bad_argument, whole
from ..ir.apply import lift
from ..ops.elementwise import equal, stop_gradient, where
from ..ops.indexing import from_front, take
from ..ops.rearranging import expand_dims
from . import init
from .checks import flag, float_of, ill_shaped, ill_typed
from .module import Module
from .parameter import Parameter


def embedding(x: Any, weight: Any, padding_idx: int | None = None, *, layer: str = "embedding") -> Any:
    """``weight[x]``: `x` holds ints, `weight` is [rows, features]; the result has the shape of `x` and one axis more.

    padding_idx  a row that gets no gradient

    `OutOfBoundsError` for a number that is no row, negative ones included.

    >>> from graphc import eager, nn
    >>> nn.embedding(eager.tensor([2, 0]), eager.tensor([[1.0], [2.0], [3.0]]))
    tensor([[3.],
            [1.]])
    """
    x, weight = lift(x, weight)
    if x.dtype.kind not in "iu":
        raise ill_typed(layer, "ints", x, hint="x.astype('int64') converts data")
    if len(weight.shape) != 2:
        raise ill_shaped(layer, "a weight [rows, features]", weight)
    rows = weight.shape[0]
    y = take(weight, from_front(x, rows), axis=0)
    if padding_idx is None:
        return y
    padded = equal(x, _row(layer, padding_idx, rows))
    return where(expand_dims(padded, axis=-1), stop_gradient(y), y)


def _row(layer: str, padding_idx: Any, rows: int) -> int:
    """The number of the padding row, counted from the end if it is negative."""
    k = whole(layer, "padding_idx", padding_idx, -(2**62))
    if not -rows <= k < rows:
        raise bad_argument(layer, "padding_idx", padding_idx, f"a row: {-rows} <= padding_idx < {rows}")
    return k % rows


class Embedding(Module):
    """A table of `num_embeddings` rows of `embedding_dim` features, taken by number; at first normal.

    padding_idx  a row that is at first 0 and gets no gradient

    >>> from graphc import eager, nn
    >>> table = nn.Embedding(10, 3, padding_idx=0)
    >>> table, table(eager.tensor([[0, 4]])).shape
    (Embedding(10, 3, padding_idx=0), (1, 2, 3))
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        dtype: Any = "float32",
        seed: Any = None,
    ):
        self.num_embeddings = whole("Embedding", "num_embeddings", num_embeddings)
        self.embedding_dim = whole("Embedding", "embedding_dim", embedding_dim)
        self.padding_idx = None if padding_idx is None else _row("Embedding", padding_idx, self.num_embeddings)
        values = init.normal_(np.empty((num_embeddings, embedding_dim), float_of("Embedding", dtype)), seed=seed)
        if self.padding_idx is not None:
            values[self.padding_idx] = 0.0
        self.weight = Parameter(values)

    @classmethod
    def from_pretrained(cls, embeddings: Any, freeze: bool = True, padding_idx: int | None = None) -> Embedding:
        """A table with these rows, frozen unless told otherwise."""
        rows = Parameter(embeddings, not flag("Embedding", "freeze", freeze))
        shape = rows.state.array.shape
        if len(shape) != 2:
            raise ill_shaped("Embedding.from_pretrained", "[rows, features]", rows.data)
        made = cls(shape[0], shape[1], padding_idx, dtype=rows.dtype)
        made.weight = rows
        return made

    def forward(self, x: Any) -> Any:
        return embedding(x, self.weight, self.padding_idx, layer=repr(self))

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
