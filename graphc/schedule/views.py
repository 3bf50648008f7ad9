"""Nodes that show another node's elements: by index arithmetic, or as the same memory under another shape."""

from __future__ import annotations

from ..ir.dims import Shape
from ..ir.lowering import Alias, Convolve, View
from ..ir.tensor import Tensor


def ones_only(old: Shape, new: Shape) -> bool:
    """Whether a reshape only adds or drops axes of size 1."""
    return [s for s in old if s != 1] == [s for s in new if s != 1]


def is_view(node: Tensor) -> bool:
    """Whether the node is index arithmetic on its operand."""
    lower = node.op.lower
    return isinstance(lower, View) or (isinstance(lower, Alias) and not is_alias(node))


def is_alias(node: Tensor) -> bool:
    """Whether the node is its operand's memory under another shape; over a convolution always, for that has some."""
    if not isinstance(node.op.lower, Alias):
        return False
    x = node.inputs[0]
    return isinstance(x.op.lower, Convolve) or not ones_only(x.shape, node.shape)


def in_memory(node: Tensor) -> Tensor:
    """The node whose memory a library call reads for `node`: axes of size 1 make no difference to it."""
    while isinstance(node.op.lower, Alias) and ones_only(node.inputs[0].shape, node.shape):
        node = node.inputs[0]
    return node
