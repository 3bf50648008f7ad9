"""Whether ops are recorded for `backward`: a switch of its own in each thread (and each async task)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

_grad_mode: ContextVar[bool] = ContextVar("grad_mode", default=True)
is_grad_enabled = _grad_mode.get
set_mode = _grad_mode.set


class set_grad_enabled:  # noqa: N801 - PyTorch's name, used as a verb
    """``with set_grad_enabled(flag):`` ops inside are recorded, or not. Decorates functions too.

    >>> from graphc import eager
    >>> w = eager.tensor(2.0, requires_grad=True)
    >>> with eager.set_grad_enabled(False):
    ...     print(w * 3)
    tensor(6.)
    """

    def __init__(self, mode: bool):
        self.mode = bool(mode)
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(_grad_mode.get())
        _grad_mode.set(self.mode)

    def __exit__(self, *exc: object) -> None:
        _grad_mode.set(self._before.pop())

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with set_grad_enabled(self.mode):
                return function(*args, **kwargs)

        return call


class no_grad(set_grad_enabled):  # noqa: N801 - PyTorch's name
    """``with no_grad():`` nothing inside is recorded; leaves may be changed in place. Also ``@no_grad()``.

    >>> from graphc import eager
    >>> w = eager.tensor(2.0, requires_grad=True)
    >>> with eager.no_grad():
    ...     w -= 0.5
    >>> w
    tensor(1.5000, requires_grad=True)
    """

    _inside = False

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        return super().__new__(cls) if function is None else cls()(function)  # @no_grad, without brackets

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        super().__init__(self._inside)


class enable_grad(no_grad):  # noqa: N801 - PyTorch's name
    """``with enable_grad():`` ops inside are recorded, also where `no_grad` is in force around it."""

    _inside = True
