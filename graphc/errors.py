"""Errors written for the reader: what failed, where in the user's code, what was expected, what to do."""

from __future__ import annotations

import functools
import linecache
import os
import sys
from types import CodeType
from typing import Any, NamedTuple

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_DEMO = _PACKAGE + "__main__.py"
_STDLIB = os.path.dirname(os.__file__) + os.sep
_MAX_QUOTE = 120
GENERATED_CALL = "<call of a graphc step>"
"""The file name of the code that a call of a step goes through: none of the user's lines."""

Span = tuple[int, int, int, int]
"""Where an expression stands in its file: first line, column, last line, end column, as `ast` counts them."""


def one_line(text: str) -> str:
    """A user's text as it may stand in a comment: on one line, nothing in it that does not print.

    >>> one_line("a \\n b\\0")
    'a b?'
    """
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


class UserLine(NamedTuple):
    """A line of the user's program: where a node was created, and by which expression. One line is one `UserLine`."""

    file: str
    line: int
    span: Span | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UserLine) and (self.file, self.line) == (other.file, other.line)

    def __hash__(self) -> int:
        return hash((self.file, self.line))

    def __str__(self) -> str:
        return f"{one_line(os.path.basename(self.file))}:{self.line}"

    @property
    def text(self) -> str:
        """The source line itself, stripped; empty where the file cannot be read."""
        return linecache.getline(self.file, self.line).strip()


class GraphcError(Exception):
    """Base of every error graphc raises on purpose."""


class ShapeError(GraphcError, ValueError):
    """Shapes that do not fit together, or an axis out of range."""


class DTypeError(GraphcError, TypeError):
    """A dtype graphc does not have, or one that an op does not take."""


class TraceError(GraphcError, TypeError):
    """Python asked a symbolic tensor for something only data can answer (a truth value, an int, an iterator)."""


class GradientError(GraphcError, TypeError):
    """A derivative that does not exist, or was asked for in a way that has no answer."""


class InputError(GraphcError, ValueError):
    """A step was called with arguments that do not match its inputs."""


class OutOfBoundsError(GraphcError, IndexError):
    """An index outside its axis, found while building or by a running step."""


class UnsupportedError(GraphcError, NotImplementedError):
    """Something graphc does not do; never a slow path instead."""


class CompileError(GraphcError, RuntimeError):
    """A graph that cannot be compiled as asked."""


@functools.lru_cache(maxsize=4096)
def is_internal(file: str) -> bool:
    """Whether a source file belongs to graphc (but for its demo), NumPy or Python itself, not to the user."""
    if file.startswith(_PACKAGE):
        return file != _DEMO
    if file.startswith(_STDLIB):
        return f"{os.sep}site-packages{os.sep}" not in file
    return file.startswith(("<frozen ", GENERATED_CALL)) or f"{os.sep}numpy{os.sep}" in file


def user_line() -> UserLine:
    """The innermost frame outside graphc and NumPy: the line the user wrote."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not is_internal(name) or frame.f_back is None:
            return UserLine(name, frame.f_lineno, _span(frame.f_code, frame.f_lasti // 2))
        frame = frame.f_back
    raise AssertionError("unreachable: a call always has a frame")


_spans: dict[int, tuple[CodeType, list[Span | None]]] = {}


def _span(code: CodeType, instruction: int) -> Span | None:
    """Where the expression that `instruction` evaluates stands; None where Python was told to forget it."""
    known = _spans.get(id(code))
    if known is None or known[0] is not code:
        spans: list[Any] = [None if None in p else (p[0], p[2], p[1], p[3]) for p in code.co_positions()]
        known = _spans[id(code)] = (code, spans)
    return known[1][instruction]


def message(
    failed: str,
    *,
    got: str = "",
    expected: str = "",
    at: UserLine | None = None,
    created: bool = True,
    hint: str = "",
) -> str:
    """Lay out an error text as all of graphc's errors are laid out.

    >>> print(message("cannot add", got="x: float32[3]", expected="equal sizes", at=UserLine("fit.py", 3)))
    cannot add: got x: float32[3], expected equal sizes
      created at fit.py:3
    """
    head = failed
    if got:
        head += f": got {got}"
    if expected:
        head += f", expected {expected}" if got else f": expected {expected}"
    lines = [head]
    if at is not None:
        text = at.text if len(at.text) <= _MAX_QUOTE else at.text[: _MAX_QUOTE - 4] + " ..."
        where = "created at" if created else "at"
        lines.append(f"  {where} {at.file}:{at.line}" + (f": {text}" if text else ""))
    if hint:
        lines.append(f"  hint: {hint}")
    return "\n".join(lines)
