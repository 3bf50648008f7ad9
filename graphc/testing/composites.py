"""Statements of several ops at once: chains of views, composite functions, custom gradients, forward mode, vmap."""

from __future__ import annotations

from typing import Any

from .statements import is_kind, moving, partner, permute, ranked, reshape, slicing

_OF_MATRICES = (
    "{x}.trace()", "gc.matrix_transpose({x})", "gc.swapaxes({x}, 0, -1)", "gc.norm({x} + 4)",
    "gc.norm({x} + 4, ord=1, axis=(-2, -1))", "gc.diagonal({x}, offset=1)", "gc.tril({x}, k=-1)", "gc.triu({x}, k=1)",
    "gc.matmul({x}, gc.matrix_transpose({x}))", "gc.diagonal({x}, offset=-1)",
)  # fmt: skip
_OF_ONE = (
    "gc.cumsum({x}, axis=0)", "gc.cumprod({x} * 0.5, axis=0)", "gc.full_like({x}, 2)", "gc.ravel({x})",
    "gc.vecdot({x}, {x})", "gc.inner({x}, {x})", "gc.sum({x}, axis=0, dtype='float64')", "gc.ones({x}.shape) - {x}",
    "gc.mean({x}, axis=-1, dtype='float32')", "gc.cumulative_sum({x}, axis=-1)", "gc.empty_like({x}) * 0 + 1",
    "gc.diff({x}, axis=0, n=2)", "gc.diff({x}, axis=-1, prepend={x}[..., :1])", "gc.repeat({x}, 3, axis=-1)",
    "gc.tile({x}, (2, 1))", "gc.roll({x}, (1, -2), axis=(0, -1))", "gc.squeeze({x}[None], axis=0)",
    "gc.max({x}, axis=-1, keepdims=True) - {x}", "gc.arange(0.0, 2.0, 0.25)[:3] * gc.sum({x})",
)  # fmt: skip
_OF_TWO = ("gc.dot({x}, {y})", "gc.matmul({x}, {y})", "gc.tensordot({x}, {y}, axes=1)", "gc.inner({x}, {y})",
           "gc.vecdot({x}, {y})", "gc.outer(gc.ravel({x}), gc.ravel({y}))")  # fmt: skip
_CUSTOM = (
    "gc.custom_gradient(lambda a: gc.sin(a), lambda ct, a: ct * gc.cos(a))({x})",
    "gc.custom_gradient(lambda a: a * a * a, lambda ct, a: 3 * ct * a * a)({x})",
    "gc.custom_gradient(lambda a, b: (a * b, a + b), lambda ct, a, b: (ct[0] * b + ct[1], ct[0] * a + ct[1]))"
    "({x}, {x} * 0.5)[{k}]",
    "gc.custom_gradient(lambda a: gc.sum(a), lambda ct, a: gc.broadcast_to(ct, a.shape))({x})",
)
_BATCHED = (
    "gc.vmap(lambda a: a * gc.sum(a))({x})",
    "gc.vmap(lambda a: gc.cumulative_sum(a * 2, axis=-1))({x})",
    "gc.vmap(lambda a, b: gc.maximum(a, gc.sum(b)))({x}, {x})",
    "gc.vmap(lambda a: gc.sort(gc.flip(a)))({x})",
    "gc.vmap(lambda a, b: a - gc.mean(b), in_axes=(0, None))({x}, {x})",
    "gc.vmap(lambda a: gc.vjp(gc.sum(a * a), a, gc.ones_like(gc.sum(a))))({x})",
    "gc.vmap(lambda a: gc.where(a > 0, a, a * a), out_axes=-1)({x})",
)


def composite(d: Any) -> Any:
    """A function of the library that other statements do not write."""
    x = d.pick(ranked(1, "iuf"))
    if x is None:
        return None
    form = d.random.random()
    if form < 0.3:
        x = d.pick(ranked(2, "iuf"))
        return x and d.choose(_OF_MATRICES).format(x=x)
    if form < 0.5:
        return d.choose(_OF_TWO).format(x=x, y=d.pick(lambda v: v.ndim and v.shape[0] == d.values[x].shape[-1]) or x)
    if form < 0.6:
        y = d.pick(lambda v: v.ndim == 1)
        return (f"gc.meshgrid({y}, {y}, indexing={d.choose(('xy', 'ij'))!r})", 2) if y else None
    if form < 0.7:
        y = partner(d, x)
        return f"gc.broadcast_arrays({x}, {y})", 2
    if form < 0.75 and 0 < d.values[x].shape[0] < 4:
        return f"gc.unstack({x})", d.values[x].shape[0]
    return d.choose(_OF_ONE).format(x=x)


def views(d: Any) -> Any:
    """A view of a view of a view: index arithmetic that has to be composed."""
    x = d.pick(ranked(2)) or d.pick(ranked(1))
    if x is None:
        return None
    for _ in range(d.random.randint(2, 5)):
        text = d.choose((slicing, slicing, permute, moving, reshape))(_Only(d, x))
        if text is None or not d.add(text):
            break
        x = list(d.values)[-1]
    return None  # they are added already


class _Only:
    """A draft in which there is one value to pick."""

    def __init__(self, draft: Any, name: str):
        self.draft, self.name = draft, name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.draft, attribute)

    def pick(self, test: Any = None) -> str | None:
        return self.name if test is None or test(self.draft.values[self.name]) else None


def custom(d: Any) -> Any:
    """A derivative of one's own (which is the right one)."""
    x = d.pick(is_kind("f"))
    return x and d.choose(_CUSTOM).format(x=x, k=d.random.randrange(2))


def batched(d: Any) -> Any:
    """A function of one sample, for many."""
    x = d.pick(ranked(2, "f"))
    return x and d.choose(_BATCHED).format(x=x)


def recurrent(d: Any) -> Any:
    """The derivative of a running product."""
    x = d.pick(ranked(1, "f"))
    if x is None:
        return None
    product = f"gc.cumulative_prod({x}, axis={d.random.randrange(d.values[x].ndim)})"
    return f"gc.vjp({product}, [{x}], gc.cos({x}))", 1


def tangent(d: Any) -> Any:
    """Forward mode, inside what follows; forward over reverse where the values are cotangents."""
    y = d.pick(is_kind("f"))
    if y is None:
        return None
    leaves = [n for n in d.values if d.values[n].dtype.kind == "f" and n[0] in "xw" and d.is_alone(n)]
    if not leaves:
        return None
    x = d.choose(leaves)
    return f"gc.jvp({y}, {x}, gc.ones_like({x}))"


__all__ = ["batched", "composite", "custom", "recurrent", "tangent", "views"]
