"""Arguments of a call, by position and by name, nested as the inputs are, as a flat list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InputError, message, user_line
from ..ir.tensor import Tensor
from ..ir.tree import Tree, flatten


def bind_arguments(tree: Tree, inputs: Sequence[Tensor], args: tuple[Any, ...], named: Mapping[str, Any]) -> list[Any]:
    """Positional and named arguments of a call as a flat list, one per input."""
    if not named and all(c.kind is None for c in tree.children) and len(args) == len(tree.children):
        return list(args)
    if tree.kind is dict:
        labels = [str(n) for n in tree.names]
    else:
        labels = [_label(c, inputs, k, tree) for k, c in enumerate(tree.children)]
    if len(args) > len(labels):
        wanted = f"{len(labels)}: {', '.join(labels)}" if labels else "none"
        raise InputError(message("too many inputs", got=str(len(args)), expected=wanted, at=user_line(), created=False))
    values = dict(zip(labels, args, strict=False))
    for label, value in named.items():
        if label not in labels:
            raise InputError(
                message(
                    "unknown input",
                    got=repr(label),
                    expected=f"one of {', '.join(labels)}" if labels else "none",
                    at=user_line(),
                    created=False,
                )
            )
        if label in values:
            raise InputError(
                message(f"input {label!r} given twice", got="by position and by name", at=user_line(), created=False)
            )
        values[label] = value
    missing = [label for label in labels if label not in values]
    if missing:
        raise InputError(
            message(
                "missing input",
                got=f"{len(values)} of {len(labels)}",
                expected=f"a value for {', '.join(map(repr, missing))}",
                at=user_line(),
                created=False,
            )
        )
    flat: list[Any] = []
    for label, child in zip(labels, tree.children, strict=True):
        flat += _like(child, values[label], label)
    return flat


def _label(child: Tree, inputs: Sequence[Tensor], k: int, tree: Tree) -> str:
    start = sum(c.size for c in tree.children[:k])
    return (inputs[start].name or f"argument {k}") if child.kind is None else f"argument {k}"


def _like(tree: Tree, value: Any, label: str) -> list[Any]:
    """The leaves of `value`, which must be nested as `tree`."""
    if tree.kind is None:
        return [value]
    if tree.kind is dict:
        if not isinstance(value, dict) or set(value) != set(tree.names):
            raise _misplaced(label, value, tree)
        parts = [value[n] for n in tree.names]
    else:
        if not isinstance(value, (list, tuple)) or len(value) != len(tree.children):
            raise _misplaced(label, value, tree)
        parts = list(value)
    return [leaf for child, part in zip(tree.children, parts, strict=True) for leaf in _like(child, part, label)]


def _misplaced(label: str, value: Any, tree: Tree) -> InputError:
    return InputError(
        message(
            f"{label} has the wrong structure",
            got=_structure(value),
            expected=str(tree),
            at=user_line(),
            created=False,
        )
    )


def _structure(value: Any) -> str:
    return str(flatten(value)[0]) if isinstance(value, (list, tuple, dict)) else type(value).__name__
