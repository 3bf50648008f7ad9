"""Attention (Vaswani and others 2017): `MultiheadAttention`, and `scaled_dot_product_attention` beneath it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arguments import bad_argument, whole
from ..ir.apply import cast, lift
from ..ops.creation import iota
from ..ops.elementwise import less, where
from ..ops.linalg import matmul
from ..ops.movement import permute_dims, reshape
from ..ops.rearranging import expand_dims, squeeze
from ..ops.statistics import mean, softmax
from . import init
from .checks import alike, flag, float_of, has_rank, has_size, ill_shaped, ill_typed, number
from .dropout import Dropping
from .linear import Linear, linear
from .parameter import Parameter


def scaled_dot_product_attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, is_causal: bool = False, scale: float | None = None
) -> Any:
    """``softmax(query @ key.mT * scale + mask) @ value``: [..., L, D], [..., S, D], [..., S, E] give [..., L, E].

    attn_mask   [L, S], or a shape that broadcasts: bool, True where a query may look at a key; or floats that are added
    is_causal   a query looks at keys up to its own position only
    scale       1 / sqrt(D) by default

    >>> from graphc import eager, nn
    >>> x = eager.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> nn.scaled_dot_product_attention(x, x, x, is_causal=True)
    tensor([[1.0000, 0.0000],
            [0.3302, 0.6698]])
    """
    name = "scaled_dot_product_attention"
    query, key, value = alike(name, query, key, value)
    if min(len(query.shape), len(key.shape), len(value.shape)) < 2:
        raise ill_shaped(name, "at least 2 axes", query, key, value)
    mask = None
    if attn_mask is not None:
        (mask,) = lift(attn_mask, beside=(query,))
        mask = _added(name, ~mask if mask.dtype.kind == "b" else mask, query)
    return matmul(_weights(query, key, mask, is_causal, scale), value)


def _weights(query: Any, key: Any, mask: Any, is_causal: bool, scale: float | None) -> Any:
    """How much each query takes of each key: [..., L, S]."""
    if scale is None:
        size = query.shape[-1]
        scale = 1.0 / math.sqrt(size) if isinstance(size, int) else None
    scores = matmul(query * scale, permute_dims(key, (*range(len(key.shape) - 2), -1, -2)))
    if mask is not None:
        scores = scores + mask
    if is_causal:
        rows, columns = (iota((n,), beside=(scores,)) for n in scores.shape[-2:])
        scores = where(less(expand_dims(rows, axis=1), expand_dims(columns, axis=0)), -math.inf, scores)
    return softmax(scores, axis=-1)


def _added(name: str, mask: Any, like: Any) -> Any:
    """What a mask adds to scores: -inf where a bool one is True."""
    if mask.dtype.kind == "b":
        return where(mask, cast(lift(-math.inf, beside=(like,))[0], like.dtype), 0.0)
    if mask.dtype.kind != "f":
        raise ill_typed(name, "a mask of bools or floats", mask)
    return cast(mask, like.dtype)


class NonDynamicallyQuantizableLinear(Linear):
    """`Linear`, as the last layer of `MultiheadAttention` is called in PyTorch."""


class MultiheadAttention(Dropping):
    """Attention of `num_heads` heads, whose results are joined and sent through a linear layer.

    embed_dim    features of queries and of the result; `num_heads` divides it
    bias         whether the projections have one
    kdim, vdim   features of keys and values; `embed_dim` by default
    batch_first  [batch, length, features] instead of [length, batch, features]; without a batch [length, features]
    dropout      while training, the probability of a weight to become 0, as `Dropout` has it: the others are scaled up
    seed         of the first values, then of the key where there is `dropout`

    With dropout there is a key to draw from, and what `Dropout` says holds: its counter is the number of the step, a
    compiled step advances it by ``model.updates()``, and `state_dict` has its ``words`` and ``counter``.

    >>> from graphc import eager, nn
    >>> attention = nn.MultiheadAttention(8, 2, batch_first=True)
    >>> x = eager.randn(3, 5, 8)
    >>> y, weights = attention(x, x, x)
    >>> y.shape, weights.shape
    ((3, 5, 8), (3, 5, 5))
    >>> dropping, x = nn.MultiheadAttention(4, 1, dropout=0.5, seed=0), eager.ones(3, 4)
    >>> dropping(x, x, x)[1].detach()
    tensor([[0.0000, 0.0000, 0.0000],
            [0.0000, 0.6667, 0.0000],
            [0.6667, 0.6667, 0.0000]])
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        dtype: Any = "float32",
        seed: Any = None,
    ):
        name = "MultiheadAttention"
        self.embed_dim = e = whole(name, "embed_dim", embed_dim)
        self.num_heads = whole(name, "num_heads", num_heads)
        if e % self.num_heads:
            raise bad_argument(name, "num_heads", num_heads, f"a divisor of embed_dim = {e}")
        self.dropout = number(name, "dropout", dropout, 0.0, 1.0)
        self.kdim = e if kdim is None else whole(name, "kdim", kdim)
        self.vdim = e if vdim is None else whole(name, "vdim", vdim)
        self.batch_first, given = flag(name, "batch_first", batch_first), float_of(name, dtype)
        stream, one = init.generator(seed), self.kdim == self.vdim == e

        def weight(*shape: int) -> Any:
            return Parameter(init.xavier_uniform_(np.empty(shape, given), seed=stream))

        self.in_proj_weight = weight(3 * e, e) if one else None
        self.q_proj_weight = None if one else weight(e, e)
        self.k_proj_weight = None if one else weight(e, self.kdim)
        self.v_proj_weight = None if one else weight(e, self.vdim)
        self.in_proj_bias = Parameter(np.zeros(3 * e, given)) if flag(name, "bias", bias) else None
        self.out_proj = NonDynamicallyQuantizableLinear(e, e, bias, given, stream)
        if self.out_proj.bias is not None:
            init.zeros_(self.out_proj.bias)
        if self.dropout:
            self._draw_from(stream)

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Any, Any]:
        """The result, and the weights [batch, L, S] ([batch, heads, L, S] unless averaged), None where not needed.

        The weights are those that were used: with zeros where they were dropped.

        key_padding_mask   [batch, S]: True (or -inf, added) where a key is padding
        attn_mask          [L, S] or [batch * heads, L, S]: True where a query may not look, or floats that are added
        is_causal          a query looks at keys up to its own position only

        Nothing is stretched: `ShapeError` for keys, values or masks of another batch or length.
        """
        query, key, value = alike(self._named(), query, key, value)
        has_rank(self._named(), query, 2, 3)
        batched = len(query.shape) == 3
        key, value = self._fitting(query, key, value, batched)
        q, k, v = self._projected(*[self._rows(x, batched) for x in (query, key, value)])
        mask = self._mask(q, k, key_padding_mask, attn_mask, batched)
        weights = _weights(q, k, mask, flag(self._named(), "is_causal", is_causal), None)
        weights = self._drop(self._named(), weights, self.dropout)
        heads = permute_dims(matmul(weights, v), (0, 2, 1, 3))
        y = self.out_proj(reshape(heads, (*heads.shape[:2], self.embed_dim)))
        if not batched:
            y = squeeze(y, axis=0)
        elif not self.batch_first:
            y = permute_dims(y, (1, 0, 2))
        if not need_weights:
            return y, None
        weights = mean(weights, axis=1) if average_attn_weights else weights
        return y, weights if batched else squeeze(weights, axis=0)

    def _rows(self, x: Any, batched: bool) -> Any:
        """[batch, length, features]."""
        if not batched:
            return expand_dims(x, axis=0)
        return x if self.batch_first else permute_dims(x, (1, 0, 2))

    def _fitting(self, query: Any, key: Any, value: Any, batched: bool) -> tuple[Any, Any]:
        """Keys and values: as many of these as of those, in batches of the size of that of the queries."""
        keys, values = f"the keys of {self._named()}", f"the values of {self._named()}"
        key, value = has_rank(keys, key, 3 if batched else 2), has_rank(values, value, 3 if batched else 2)
        batch = 0 if self.batch_first else 1
        if batched:
            key = has_size(keys, key, batch, query.shape[batch], "the batch of the queries")
            value = has_size(values, value, batch, query.shape[batch], "the batch of the queries")
        length = 1 - batch if batched else 0
        return key, has_size(values, value, length, key.shape[length], "the number of keys")

    def _projected(self, query: Any, key: Any, value: Any) -> list[Any]:
        """Queries, keys and values of every head: [batch, heads, length, features]."""
        e, name = self.embed_dim, self._named()
        query = has_size(name, query, -1, e, "embed_dim")
        key, value = has_size(name, key, -1, self.kdim, "kdim"), has_size(name, value, -1, self.vdim, "vdim")
        bias: list[Any] = [None] * 3
        if self.in_proj_bias is not None:
            (whole_bias,) = lift(self.in_proj_bias, beside=(query,))
            bias = [whole_bias[k * e : (k + 1) * e] for k in range(3)]
        if self.in_proj_weight is None:
            weight = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        else:
            (whole_weight,) = lift(self.in_proj_weight, beside=(query,))
            weight = [whole_weight[k * e : (k + 1) * e] for k in range(3)]
        found = [linear(x, w, b, layer=name) for x, w, b in zip((query, key, value), weight, bias, strict=True)]
        split = [reshape(y, (*y.shape[:2], self.num_heads, e // self.num_heads)) for y in found]
        return [permute_dims(y, (0, 2, 1, 3)) for y in split]

    def _mask(self, q: Any, k: Any, padding: Any, attn_mask: Any, batched: bool) -> Any:
        """What is added to the scores [batch, heads, L, S]; None for nothing."""
        name, total = self._named(), None
        if attn_mask is not None:
            (mask,) = lift(attn_mask, beside=(q,))
            has_rank(f"attn_mask of {name}", mask, 2, 3)
            mask = has_size(f"attn_mask of {name}", mask, -2, q.shape[2], "the number of queries")
            mask = has_size(f"attn_mask of {name}", mask, -1, k.shape[2], "the number of keys")
            total = _added(name, mask, q)
            if len(mask.shape) == 3:
                total = reshape(total, (q.shape[0], self.num_heads, *mask.shape[1:]))
        if padding is None:
            return total
        (mask,) = lift(padding, beside=(q,))
        has_rank(f"key_padding_mask of {name}", mask, 2 if batched else 1)
        mask = has_size(f"key_padding_mask of {name}", mask, -1, k.shape[2], "the number of keys")
        if batched:
            mask = has_size(f"key_padding_mask of {name}", mask, 0, q.shape[0], "the batch of the queries")
        more = _added(name, mask, q)
        more = reshape(more, (mask.shape[0] if batched else 1, 1, 1, mask.shape[-1]))
        return more if total is None else total + more

    def _named(self) -> str:
        return f"MultiheadAttention({self.embed_dim}, {self.num_heads})"
