"""How a module prints: exactly as PyTorch prints the same one."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .module import Module

_under_way: ContextVar[tuple[Module, ...]] = ContextVar("_under_way", default=())


def module_text(module: Module) -> str:
    """The name and arguments of a module, and on lines of their own the modules inside."""
    token = _under_way.set((*_under_way.get(), module))
    try:
        return layout(type(module).__name__, module.extra_repr(), _parts(vars(module)))
    finally:
        _under_way.reset(token)


def _parts(values: dict[str, Any]) -> list[str]:
    """A line, or several, for each attribute that is a module or has some inside."""
    return [f"({name}): {_indented(text)}" for name, value in values.items() if (text := _text(value))]


def _text(value: Any) -> str:
    """A module, or a list, tuple or dict of them as PyTorch's `ModuleList` and `ModuleDict`; "" for all else.

    A module that is being printed, as the parent that one of its parts knows, is left out.
    """
    from .module import Module

    if isinstance(value, Module):
        return "" if any(value is other for other in _under_way.get()) else repr(value)
    if isinstance(value, dict):
        parts = _parts({str(key): part for key, part in value.items()})
        return layout("ModuleDict", "", parts) if parts else ""
    if isinstance(value, (list, tuple)):
        texts = [(k, text) for k, part in enumerate(value) if (text := _text(part))]
        return layout("ModuleList", "", repeated(texts)) if texts else ""
    return ""


def repeated(texts: list[tuple[int, str]]) -> list[str]:
    """The modules of a list; neighbours that print alike as one: ``(0-2): 3 x ReLU()``."""
    runs: list[tuple[int, int, str]] = []
    for k, text in texts:
        if runs and runs[-1][2] == text and runs[-1][1] == k - 1:
            runs[-1] = (runs[-1][0], k, text)
        else:
            runs.append((k, k, text))
    return [
        f"({first}): {_indented(text)}"
        if first == last
        else f"({first}-{last}): {last - first + 1} x {_indented(text)}"
        for first, last, text in runs
    ]


def layout(name: str, extra: str, parts: list[str]) -> str:
    """``Name(extra)``, or the lines of `extra` and the parts between the brackets."""
    lines = [*extra.split("\n")] if extra else []
    if not parts and len(lines) <= 1:
        return f"{name}({extra})"
    return "\n  ".join([f"{name}(", *lines, *parts]) + "\n)"


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")
