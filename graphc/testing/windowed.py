"""Statements of random programs with windows: convolution, transposed convolution, pooling."""

from __future__ import annotations

from typing import Any

from .statements import ranked


def windowed(d: Any) -> Any:
    """Windows over the last axis, or two, of a value with channels in front of them; weights are cut out of it."""
    x = d.pick(ranked(2, "f"))
    if x is None:
        return None
    shape = d.values[x].shape
    ranks = [rank for rank in (1, 2) if len(shape) in (rank + 1, rank + 2)]
    if not ranks:
        return None
    rank = d.choose(ranks)
    kernel = [d.random.randint(1, 3) for _ in range(rank)]
    if 0 in shape or any(k > n for k, n in zip(kernel, shape[-rank:], strict=True)):
        return None
    return d.choose((_convolved, _spread, _pooled))(d, x, rank, kernel)


def _weights(x: str, ndim: int, rank: int, kernel: list[int], transposed: bool) -> str:
    """One output channel, for as many channels as there are, out of the value itself."""
    cut = ", ".join([*["0"] * (ndim - rank - 1), ":", *[f":{k}" for k in kernel]])
    channels = f"{x}.shape[{ndim - rank - 1}]"
    first = f"{channels}, 1" if transposed else f"1, {channels}"
    return f"gc.reshape({x}[{cut}], ({first}, {', '.join(map(str, kernel))}))"


def _convolved(d: Any, x: str, rank: int, kernel: list[int]) -> str:
    weights = _weights(x, d.values[x].ndim, rank, kernel, False)
    padding = d.choose((0, 1, 2, "'same'"))
    stride = 1 if padding == "'same'" else d.random.randint(1, 3)
    return f"gc.nn.conv{rank}d({x}, {weights}, stride={stride}, padding={padding})"


def _spread(d: Any, x: str, rank: int, kernel: list[int]) -> str:
    weights = _weights(x, d.values[x].ndim, rank, kernel, True)
    return f"gc.nn.conv_transpose{rank}d({x}, {weights}, stride={d.random.randint(1, 3)})"


def _pooled(d: Any, x: str, rank: int, kernel: list[int]) -> str:
    size = min(kernel)
    options = f"{size}, {d.random.randint(1, 3)}, {d.random.randint(0, size // 2)}, ceil_mode={d.random.random() < 0.5}"
    form = d.choose(("max_pool", "avg_pool", "adaptive_avg_pool"))
    return f"gc.nn.{form}{rank}d({x}, {d.random.randint(1, 4) if form[1] == 'd' else options})"


__all__ = ["windowed"]
