"""Breaking a rule of the op table for the length of a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from graphc.ir.op import Op
from graphc.ops.cotangent import ZERO
from graphc.ops.elementwise import multiply


def scaled(factor: float) -> Callable[[Any], Any]:
    """What a wrong rule does to a right cotangent or tangent."""
    return lambda bar: bar if bar is ZERO or bar is None else multiply(bar, factor)


_FLIPPED = scaled(-1.0)


@contextmanager
def broken(op: Op, field: str = "vjp", change: Callable[[Any], Any] = _FLIPPED) -> Iterator[None]:
    """`op` with every result of its `field` (vjp or jvp) changed."""
    right = getattr(op, field)
    wrong: Any
    if isinstance(right, tuple):
        wrong = tuple(_wrapped(rule, change) if callable(rule) else rule for rule in right)
    else:
        wrong = _all_wrapped(right, change)
    object.__setattr__(op, field, wrong)
    try:
        yield
    finally:
        object.__setattr__(op, field, right)


def _wrapped(rule: Callable[..., Any], change: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda *args, **attrs: change(rule(*args, **attrs))


def _all_wrapped(rules: Callable[..., Any], change: Callable[[Any], Any]) -> Callable[..., Any]:
    def wrong(*args: Any, **attrs: Any) -> Any:
        found = rules(*args, **attrs)
        return tuple(map(change, found)) if isinstance(found, tuple) else change(found)

    return wrong
