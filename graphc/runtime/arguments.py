"""Arguments of a call, by position and by name, nested as the inputs are, as a flat list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from inspect import Parameter, Signature
from keyword import iskeyword
from typing import Any

from ..errors import InputError, message, user_line
from ..ir.tensor import Tensor
from ..ir.tree import Tree, flatten


def bind_arguments(
    tree: Tree,
    inputs: Sequence[Tensor],
    args: tuple[Any, ...],
    named: Mapping[str, Any],
    options: Sequence[str] = (),
) -> list[Any]:
    """Positional and named arguments of a call as a flat list, one per input.

    options  what else the call takes by name, and may have been meant by one that is no input
    """
    if not named and all(c.kind is None for c in tree.children) and len(args) == len(tree.children):
        return list(args)
    labels = _labels(tree, inputs)
    if len(args) > len(labels):
        wanted = f"{len(labels)}: {', '.join(labels)}" if labels else "none"
        raise InputError(
            message(
                "too many inputs",
                got=str(len(args)),
                expected=wanted,
                at=user_line(),
                created=False,
                hint=_by_name(args[len(labels) :], options) or _how(tree, inputs),
            )
        )
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
                    hint=_meant(label, [*labels, *options]) or _how(tree, inputs) + _options(options),
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
                hint=_spread(args, labels) or _how(tree, inputs),
            )
        )
    flat: list[Any] = []
    for label, child in zip(labels, tree.children, strict=True):
        flat += _like(child, values[label], label)
    return flat


def signature(tree: Tree, inputs: Sequence[Tensor]) -> Signature:
    """What a call takes, for editors and `help`: its inputs by name, or anything where those are no names of Python."""
    labels = _labels(tree, inputs)
    if all(label.isidentifier() and not iskeyword(label) for label in labels) and len(set(labels)) == len(labels):
        return Signature([Parameter(label, Parameter.POSITIONAL_OR_KEYWORD) for label in labels])
    return Signature([Parameter("args", Parameter.VAR_POSITIONAL), Parameter("named", Parameter.VAR_KEYWORD)])


def _labels(tree: Tree, inputs: Sequence[Tensor]) -> list[str]:
    """The names of a call's arguments."""
    if tree.kind is dict:
        return [str(n) for n in tree.names]
    return [_label(c, inputs, k, tree) for k, c in enumerate(tree.children)]


def _by_name(more: Sequence[Any], options: Sequence[str]) -> str:
    """Where an int stands behind the inputs, and the call takes others by name: what it may have been meant for."""
    if options and len(more) == 1 and type(more[0]) is int:
        return f"the rest is given by name: {options[0]}={more[0]}"
    return ""


def _options(options: Sequence[str]) -> str:
    return f"; or with {', '.join(f'{option}=' for option in options)}" if options else ""


def _meant(label: str, known: Sequence[str]) -> str | None:
    """A name like the one that was given."""
    import difflib  # only where something is wrong

    found = difflib.get_close_matches(label, known, 1)
    return f"did you mean {found[0]}=?" if found else None


def _how(tree: Tree, inputs: Sequence[Tensor]) -> str:
    """How a step is called whose inputs are nested as `tree`: ``compiled with inputs=[x, y]: call step(x, y)``."""
    leaves = iter([i.name or "x" for i in inputs])
    parts = [_named(child, leaves) for child in tree.children]
    if tree.kind is dict:
        parts = [f"{name}={part}" for name, part in zip(tree.names, parts, strict=True)]
    compiled = _named(tree, iter([i.name or "x" for i in inputs]))
    return f"compiled with inputs={compiled}: call step({', '.join(parts)})"


def _named(tree: Tree, leaves: Iterator[str]) -> str:
    """A nesting as it is written, with the names of the inputs in their places."""
    if tree.kind is None:
        return next(leaves)
    parts = [_named(child, leaves) for child in tree.children]
    if tree.kind is dict:
        return "{" + ", ".join(f"{name!r}: {part}" for name, part in zip(tree.names, parts, strict=True)) + "}"
    return f"[{', '.join(parts)}]" if tree.kind is list else f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


def _spread(args: tuple[Any, ...], labels: Sequence[str]) -> str:
    """Where the only argument holds all inputs: how to hand them over one by one."""
    if len(args) == 1 and batches_hint(args[0]):
        return batches_hint(args[0])
    if len(args) == 1 and isinstance(args[0], dict) and set(args[0]) <= set(labels):
        return "inputs are given one by one: step(**inputs) of a dict"
    if len(args) == 1 and isinstance(args[0], (list, tuple)) and len(args[0]) == len(labels):
        return "inputs are given one by one: step(*inputs) of a list or tuple"
    return ""


def batches_hint(value: Any) -> str:
    """For a loader or a dataset in the place of arrays: how a step goes through it; "" for anything else."""
    if not callable(getattr(value, "arrays", None)):
        return ""
    loader = "loader" if hasattr(value, "batch_size") else "dataset"
    each = f"for batch in {loader}: step(*batch)" if loader == "loader" else f"gc.data.DataLoader({loader}) has batches"
    return f"step.run(*{loader}.arrays(), batch_size=...) goes through it inside compiled code; {each}"


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
