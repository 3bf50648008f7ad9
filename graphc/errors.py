"""Errors written for the reader: what failed, where in the user's code, what was expected, what to do."""

from __future__ import annotations

import functools
import linecache
import os
import sys
import warnings
from collections.abc import Sequence
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


_MOST_SHOWN = 80


def shown(value: Any) -> str:
    """A value as errors show it, on one line: of what is long the beginning, of a large array what it is.

    >>> shown([1.5, "a"]), shown("a" * 100)[-8:]
    ("[1.5, 'a']", 'aaaaa...')
    """
    text = repr(value)
    if len(text) <= _MOST_SHOWN and "\n" not in text:
        return text
    if type(value).__module__ == "numpy" and hasattr(value, "dtype"):
        return f"an array, {value.dtype}[{', '.join(map(str, value.shape))}]"
    text = one_line(text)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."


def one_line(text: str) -> str:
    """A user's text as it may stand in a comment: on one line, nothing in it that does not print.

    >>> one_line("a \\n b\\0")
    'a b?'
    """
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


class Layer(NamedTuple):
    """A module of a model, in whose call a node was created.

    path   where the module is in the one that was called first, as Python writes it: ``[1]``, ``.encoder.layers[0]``
    kind   the name of its class
    own    whether the user wrote its `forward`, whose lines say more than the module does
    whole  the name of the class of the one called first
    call   the user's line that called that, where it was the user who did
    """

    path: str
    kind: str
    own: bool
    whole: str
    call: UserLine | None = None


class UserLine(NamedTuple):
    """A line of the user's program: where a node was created, and by which expression. One line is one `UserLine`.

    when   the number of the build: of two lines that made one node, the later one has the higher number
    layer  the innermost module whose call was under way
    noun   what the library calls the value, where it says: "ignored", for labels that count for nothing; of
           ``a, b = x`` the number of the part
    """

    file: str
    line: int
    span: Span | None = None
    when: int = 0
    layer: Layer | None = None
    noun: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UserLine) and (self.file, self.line) == (other.file, other.line)

    def __ne__(self, other: object) -> bool:
        return not self == other

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
    """Python asked a symbolic tensor for something only data can answer (a truth value, an int, an iterator).

    sizes   names of the dims whose value would have been an answer
    """

    sizes: tuple[str, ...] = ()


class MissingAttributeError(GraphcError, AttributeError):
    """A name that a symbolic tensor does not have, such as a method of PyTorch's."""


class GradientError(GraphcError, TypeError):
    """A derivative that does not exist, or was asked for in a way that has no answer."""


class InputError(GraphcError, ValueError):
    """A step was called with arguments that do not match its inputs."""


class ArgumentError(InputError, TypeError):
    """A call with arguments that a function, or a class, does not take."""


class OutOfBoundsError(GraphcError, IndexError):
    """An index outside its axis, found while building or by a running step."""


class NonFiniteError(GraphcError, FloatingPointError):
    """A step compiled with ``check="nan"`` computed a nan or inf."""


class UnsupportedError(GraphcError, NotImplementedError):
    """Something graphc does not do; never a slow path instead."""


class DataError(GraphcError, RuntimeError):
    """A dataset that failed to give an item, or items that cannot be one batch. The cause is the first error."""


class FileError(GraphcError, OSError):
    """A file that is damaged, or is not what it should be."""


class MissingFileError(FileError, FileNotFoundError):
    """A file that is not there, or cannot be downloaded."""


class CompileError(GraphcError, RuntimeError):
    """A graph that cannot be compiled as asked."""


class GraphcWarning(UserWarning):
    """What runs as it is written, and is hardly meant so. ``warnings.simplefilter`` hides it, or makes it an error."""


def warn(text: str) -> None:
    """Show a `GraphcWarning` as one of the user's line under way."""
    line = user_line()
    warnings.warn_explicit(text, GraphcWarning, line.file, line.line)


@functools.lru_cache(maxsize=4096)
def is_internal(file: str) -> bool:
    """Whether a source file belongs to graphc (but for its demo), NumPy, SciPy or Python itself, not to the user."""
    if file.startswith(_PACKAGE):
        return file != _DEMO
    if any(folder and file.startswith(folder) for folder in map(_folder, ("numpy", "scipy"))):
        return True
    if file.startswith(_STDLIB):
        return f"{os.sep}site-packages{os.sep}" not in file
    return file.startswith(("<frozen ", GENERATED_CALL))


def _folder(module: str) -> str:
    """Where the files of a library are; "" if it has not been imported, for then none of its lines is running."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return os.path.dirname(os.path.abspath(file)) + os.sep if file else ""


def user_line(when: int = 0, layer: Layer | None = None, noun: str = "") -> UserLine:
    """The innermost frame outside graphc and NumPy: the line the user wrote."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not is_internal(name) or frame.f_back is None:
            return UserLine(name, frame.f_lineno, _span(frame.f_code, frame.f_lasti // 2), when, layer, noun)
        frame = frame.f_back
    raise AssertionError("unreachable: a call always has a frame")


def line_of(error: BaseException) -> UserLine:
    """The user's line that raised `error`, where a traceback tells; else the line under way."""
    found, step = None, error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        if not is_internal(code.co_filename):
            found = UserLine(code.co_filename, step.tb_lineno, _span(code, step.tb_lasti // 2))
        step = step.tb_next
    return found or user_line()


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
    made: UserLine | None = None,
    notes: Sequence[str] = (),
    hint: str = "",
) -> str:
    """Lay out an error text as all of graphc's errors are laid out.

    at        the user's line: where what failed was created, or (not `created`) what failed
    made      beside a line that failed, the one that created what did
    notes     further lines, before the hint

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
        lines.append(f"  {'created at' if created else 'at'} {_quoted(at)}")
    if made is not None and made != at:
        lines.append(f"  created at {_quoted(made)}")
    lines += [f"  {note}" for note in notes]
    if hint:
        lines.append(f"  hint: {hint}")
    return "\n".join(lines)


def _quoted(line: UserLine) -> str:
    """``fit.py:3: r = a * x - y``"""
    text = line.text if len(line.text) <= _MAX_QUOTE else line.text[: _MAX_QUOTE - 4] + " ..."
    return f"{line.file}:{line.line}" + (f": {text}" if text else "")


def count(number: object, one: str, many: str = "") -> str:
    """A number of things: ``3 kernels``, ``1 kernel``; `many` where the plural is not that of `one` with an s.

    >>> count(1, "call"), count(0, "call"), count(2, "axis", "axes")
    ('1 call', '0 calls', '2 axes')
    """
    return f"{number} {one}" if number == 1 else f"{number} {many or one + 's'}"


def check_folder(path: str | os.PathLike[str]) -> None:
    """Raise `MissingFileError` where the folder of a file that is to be written is not there, `FileError` where `path`
    is itself a folder."""
    folder, _ = os.path.split(os.path.realpath(path))
    if not os.path.isdir(folder):
        raise MissingFileError(
            message(
                f"cannot write {os.fspath(path)}",
                got=f"no folder {folder!r}",
                expected="a folder that is there",
                at=user_line(),
                created=False,
                hint="pathlib.Path(folder).mkdir(parents=True)",
            )
        )
    if os.path.isdir(path):
        raise FileError(
            message(
                f"cannot write {os.fspath(path)}",
                got="a folder",
                expected="the name of a file",
                at=user_line(),
                created=False,
            )
        )
