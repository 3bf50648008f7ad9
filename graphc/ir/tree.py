"""Nested lists, tuples and dicts of values, as the inputs and outputs of steps may be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class Tree:
    """The shape of a nesting: `flatten` gives the leaves in order, `build` puts others in their places.

    >>> tree, leaves = flatten({"a": [1, 2], "b": 3})
    >>> leaves, tree.build([10, 20, 30])
    ([1, 2, 3], {'a': [10, 20], 'b': 30})
    """

    __slots__ = ("children", "kind", "names", "size")

    def __init__(self, kind: type | None, names: tuple[Any, ...], children: tuple[Tree, ...]):
        self.kind, self.names, self.children = kind, names, children
        self.size: int = 1 if kind is None else sum(c.size for c in children)

    def build(self, leaves: Sequence[Any]) -> Any:
        """The nesting with `leaves` (as many as `size`) in place of the original ones."""
        if self.kind is None:
            return leaves[0]
        parts, start = [], 0
        for child in self.children:
            parts.append(child.build(leaves[start : start + child.size]))
            start += child.size
        if self.kind is dict:
            return dict(zip(self.names, parts, strict=True))
        if hasattr(self.kind, "_fields"):
            return self.kind(*parts)
        return self.kind(parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tree) and (self.kind, self.names, self.children) == (
            other.kind,
            other.names,
            other.children,
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.names, self.children))

    def __reduce__(self) -> Any:
        return Tree, (self.kind, self.names, self.children)

    def __str__(self) -> str:
        if self.kind is None:
            return "*"
        inner = [str(c) for c in self.children]
        if self.kind is dict:
            return "{" + ", ".join(f"{n!r}: {c}" for n, c in zip(self.names, inner, strict=True)) + "}"
        return ("[%s]" if self.kind is list else "(%s)") % ", ".join(inner)


LEAF = Tree(None, (), ())


def flatten(value: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[Tree, list[Any]]:
    """The nesting of `value` and its leaves; anything but list, tuple and dict is a leaf."""
    if is_leaf is not None and is_leaf(value):
        return LEAF, [value]
    if isinstance(value, dict):
        names, parts = tuple(value), list(value.values())
    elif isinstance(value, (list, tuple)):
        names, parts = (), list(value)
    else:
        return LEAF, [value]
    children, leaves = [], []
    for part in parts:
        child, found = flatten(part, is_leaf)
        children.append(child)
        leaves += found
    return Tree(dict if isinstance(value, dict) else type(value), names, tuple(children)), leaves
