"""When a step ends in eager mode: the outermost module has been called. Keys that it drew from then advance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from ..random import Key

_used: ContextVar[dict[Key, None] | None] = ContextVar("_used", default=None)


def called(forward: Callable[..., Any], args: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    """``forward(*args, **named)`` of a module; if none is under way, keys it drew from advance at the end."""
    if _used.get() is not None:
        return forward(*args, **named)
    used: dict[Key, None] = {}
    token = _used.set(used)
    try:
        result = forward(*args, **named)
    finally:
        _used.reset(token)
    for key in used:
        key.advance()
    return result


def advance_after(key: Key) -> None:
    """Let `key` advance when the outermost module that is being called returns; at once where there is none."""
    used = _used.get()
    if used is None:
        key.advance()
    else:
        used[key] = None
