"""The call of a module: nodes made meanwhile know its place in the model, and with the outermost one a step ends.

In eager mode, keys that were drawn from advance then.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import Layer, UserLine, is_internal, user_line
from ..ir.tensor import Tensor, layer_under_way
from ..random import Key

if TYPE_CHECKING:
    from .module import Module

_used: ContextVar[dict[Key, None] | None] = ContextVar("_used", default=None)


class Model(NamedTuple):
    """The outermost module that is being called.

    paths  for the id of each module inside, where it is: ``[1]``, ``.encoder.layers[0]``
    call   the user's line that called it, where it was the user who did
    whole  the name of its class
    """

    paths: dict[int, str]
    call: UserLine | None
    whole: str


_model: ContextVar[Model | None] = ContextVar("_model", default=None)


def called(module: Module, args: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    """``module.forward(*args, **named)``; if no module is under way, keys it drew from advance at the end."""
    if _used.get() is not None:
        return _placed(module, args, named, None)
    used: dict[Key, None] = {}
    token = _used.set(used)
    try:
        result = _placed(module, args, named, sys._getframe(2))
    finally:
        _used.reset(token)
    for key in used:
        key.advance()
    return result


def _placed(module: Module, args: tuple[Any, ...], named: Mapping[str, Any], caller: FrameType | None) -> Any:
    """``module.forward(*args, **named)``, where the nodes of symbolic tensors know which module makes them.

    caller  of the outermost module: who calls it
    """
    model = _model.get()
    if model is None and not _symbolic((*args, *named.values())):
        return module.forward(*args, **named)
    kind = type(module).__name__
    if model is None:
        users = caller is not None and not is_internal(caller.f_code.co_filename)
        model = Model(_paths(module), user_line() if users else None, kind)
    path = model.paths.get(id(module), f".{kind}")  # one that a `forward` made is in no attribute
    own = not type(module).__module__.startswith(f"{__package__}.")
    tokens = _model.set(model), layer_under_way.set(Layer(path, kind, own, model.whole, model.call))
    try:
        return module.forward(*args, **named)
    finally:
        _model.reset(tokens[0])
        layer_under_way.reset(tokens[1])


def _symbolic(values: Iterable[Any]) -> bool:
    """Whether there is a symbolic tensor among `values`, or in lists, tuples and dicts of them."""
    return any(
        isinstance(v, Tensor)
        or (isinstance(v, (list, tuple)) and _symbolic(v))
        or (isinstance(v, dict) and _symbolic(v.values()))
        for v in values
    )


def _paths(module: Module) -> dict[int, str]:
    """Where the modules inside are, as Python writes it."""
    return {id(inner): as_written(name) for name, inner in module.named_modules()}


def as_written(name: str) -> str:
    """A dotted name as Python goes there.

    >>> as_written("encoder.layers.0.fc")
    '.encoder.layers[0].fc'
    """
    return "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in name.split(".") if part)


def advance_after(key: Key) -> None:
    """Let `key` advance when the outermost module that is being called returns; at once where there is none."""
    used = _used.get()
    if used is None:
        key.advance()
    else:
        used[key] = None
