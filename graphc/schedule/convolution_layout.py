"""The sizes of a convolution's node, whatever its rank, and what of its operands belongs to an image."""

from __future__ import annotations

from dataclasses import dataclass

from ..ir import dims
from ..ir.dims import DimLike, Shape
from ..ir.lowering import Alias, Convolve, Gather, Map, View
from ..ir.tensor import Tensor


@dataclass(frozen=True)
class Layout:
    """The sizes of a convolution, spatial axes filled up with leading ones to three."""

    sizes: dict[str, DimLike]  # n, g, o, c
    y: Shape
    x: Shape
    w: Shape
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    low: tuple[int, ...]

    @property
    def reach(self) -> Shape:
        """How many places windows cover along each axis, from -low on."""
        return tuple(
            dims.larger((p - 1) * s + (k - 1) * d + 1, 0)
            for p, k, s, d in zip(self.y, self.w, self.strides, self.dilations, strict=True)
        )

    @property
    def inside(self) -> bool:
        """Whether windows never reach beyond the image."""
        ends = zip(self.x, self.reach, self.low, strict=True)
        return not any(self.low) and all(dims.nonnegative(n - r + a) for n, r, a in ends)

    @property
    def frame(self) -> Shape:
        """Room for the image and all that windows reach."""
        return tuple(a + dims.larger(n, r - a) for n, r, a in zip(self.x, self.reach, self.low, strict=True))

    @property
    def work(self) -> DimLike:
        """Multiplications for one image."""
        places = dims.product(self.w) * dims.product(self.y)
        return self.sizes["g"] * self.sizes["o"] * self.sizes["c"] * places

    @property
    def pointwise(self) -> bool:
        """Whether every window is one place, and every place a window."""
        return self.inside and set(self.w) == {1} == set(self.strides) and self.x == self.y

    def shape(self, letters: str, spatial: Shape) -> Shape:
        return (*[self.sizes[c] for c in letters], *spatial)


def layout_of(node: Tensor) -> Layout:
    """The layout of a convolution's node."""
    lower = node.op.lower
    assert isinstance(lower, Convolve)
    a, b = node.inputs
    y, x, w = {"y": (node, a, b), "x": (a, node, b), "w": (a, b, node)}[lower.result]
    missing = 6 - len(y.shape)

    def filled(spatial: tuple, value: int) -> tuple:
        return (*[value] * missing, *spatial)

    attrs = node.attrs
    return Layout(
        {"n": x.shape[0], "g": w.shape[0], "o": w.shape[1], "c": w.shape[2]},
        filled(y.shape[3:], 1),
        filled(x.shape[3:], 1),
        filled(w.shape[3:], 1),
        filled(attrs["strides"], 1),
        filled(attrs["dilations"], 1),
        filled(attrs["low"], 0),
    )


def by_image(node: Tensor) -> bool:
    """Whether an image of a convolution's value is complete once its loops have come to that image."""
    lower = node.op.lower
    assert isinstance(lower, Convolve)
    return lower.result != "w"


def reads_as_weights(node: Tensor, operand: Tensor) -> bool:
    """Whether a convolution's weights are computed from `operand` as they are read: all belong to every image."""
    if not by_image(node):
        return False
    stack, seen = [node.inputs[1]], set()
    while stack:
        one = stack.pop()
        if one is operand:
            return True
        if one not in seen and isinstance(one.op.lower, (Alias, Gather, Map, View)):
            seen.add(one)
            stack.extend(one.inputs)
    return False
