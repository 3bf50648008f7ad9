"""`gc.save` and `gc.load`: models, optimisers, counters and random states in one file, whole or not at all.

A checkpoint is a tree of dicts, lists, numbers and texts whose leaves may be arrays. Arrays are stored by name in an
npz or safetensors file, the tree beside them as JSON, with a checksum of everything. There is no pickle in it.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from .archive import DEEPEST, read, write
from .eager.core import Tensor
from .errors import FileError, GraphcError, InputError, message, user_line
from .ir.leaves import Param

_EXPECTED = "objects with state_dict(), params, arrays, numbers, texts, or dicts, lists, tuples of them"


def save(path: str | os.PathLike[str], /, *unnamed: Any, **content: Any) -> None:
    """Write a checkpoint: ``gc.save("run.npz", model=model, opt=opt, key=key, epoch=3)``.

    path      ends in ``.npz`` (NumPy's format) or ``.safetensors``
    content   by name: anything with ``state_dict()``, params, arrays of numbers, numbers, texts, None,
              `numpy.random.Generator`, and dicts (with texts as keys), lists and tuples of all these

    The file is written under another name, flushed to the disk, and renamed: after a crash there is the old one or the
    new one. Save between two steps; a step that runs in another thread meanwhile may fall between two params.
    Raises InputError for what has no name or cannot be saved, and OSError where the file cannot be written; the old
    one stays then.

    >>> import pathlib, tempfile
    >>> import graphc as gc
    >>> w = gc.param([1.0, 2.0], name="w")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "run.npz")
    ...     gc.save(file, params={"w": w}, epoch=3)
    ...     w.value = [0.0, 0.0]
    ...     gc.load(file, params={"w": w})["epoch"], w.value
    (3, array([1., 2.]))
    """
    _named("save", unnamed)
    write(path, {name: _plain(value, name) for name, value in content.items()})


def load(path: str | os.PathLike[str], /, *unnamed: Any, **into: Any) -> dict[str, Any]:
    """Read a checkpoint, and restore objects from it: ``epoch = gc.load("run.npz", model=model, opt=opt)["epoch"]``.

    into   by the names that `save` was given: objects with ``load_state_dict()``, params, arrays (filled in place),
           `numpy.random.Generator`, and dicts and lists of these

    Returns all that was saved, by name; states as dicts of arrays. What `into` does not name is only returned.
    Names, shapes and dtypes of params and arrays must be those that were saved; ``load_state_dict()`` decides what it
    takes. Raises MissingFileError where there is no file, FileError where it is cut off, damaged, not written by
    `save`, or does not fit `into`; then nothing has been changed.

    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> import graphc as gc
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "best.safetensors")
    ...     gc.save(file, weights={"w": np.ones(2)}, accuracy=0.98, sizes=(3, 4))
    ...     gc.load(file)
    {'weights': {'w': array([1., 1.])}, 'accuracy': 0.98, 'sizes': (3, 4)}
    """
    _named("load", unnamed)
    content = read(path)
    misfits = [text for name, target in into.items() for text in _misfits(target, content.get(name, _NOTHING), name)]
    if misfits:
        held = ", ".join(content) or "nothing"
        raise FileError(
            message(
                f"{os.fspath(path)} does not fit, nothing has been changed",
                at=user_line(),
                created=False,
                notes=misfits,
                hint=f"it holds {held}; gc.load(path) without names returns all of it",
            )
        )
    _commit([change for name, target in into.items() for change in _changes(target, content[name], name)], path)
    return content


def _named(function: str, unnamed: tuple[Any, ...]) -> None:
    if unnamed:
        kinds = ", ".join(type(x).__name__ for x in unnamed)
        raise InputError(
            message(
                f"cannot {function} what has no name",
                got=kinds,
                expected="each part by name",
                at=user_line(),
                created=False,
                hint=f"gc.{function}(path, model=model)",
            )
        )


# saving: objects to a tree of plain values


def _plain(value: Any, place: str, depth: int = 1) -> Any:
    """`value` as dicts, lists, tuples, arrays, numbers, texts and None."""
    if depth > DEEPEST:
        raise InputError(
            message(
                f"cannot save {place[:40] + ' ...'!r}",
                got=f"more than {DEEPEST} dicts, lists and tuples inside each other",
                expected="fewer, and none that contains itself",
                at=user_line(),
                created=False,
            )
        )
    if isinstance(value, np.random.Generator):
        return _plain(dict(value.bit_generator.state), place, depth)
    if isinstance(value, Param):
        return value.value
    if isinstance(value, Tensor):
        return np.array(value.detach().numpy())
    if hasattr(value, "state_dict"):
        return _plain(dict(value.state_dict()), place, depth)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
        return np.array(value, value.dtype.newbyteorder("="), order="C", subok=False)
    if isinstance(value, np.generic) and value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
        return value.item()
    if isinstance(value, int) and not _has_digits(value):
        kind = "an int of more digits than Python writes and reads (see sys.set_int_max_str_digits)"
        raise InputError(message(f"cannot save {place!r}", got=kind, at=user_line(), created=False))
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(part, f"{place}/{key}", depth + 1) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(part, f"{place}/{k}", depth + 1) for k, part in enumerate(value))
    shown = f"array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
    if isinstance(value, Mapping):
        shown += " with keys that are no texts"
    raise InputError(message(f"cannot save {place!r}", got=shown, expected=_EXPECTED, at=user_line(), created=False))


def _has_digits(value: int) -> bool:
    """Whether Python turns an int into digits: for long ones it refuses."""
    try:
        return bool(int.__repr__(value))
    except ValueError:
        return False


# loading: all checks, then all changes

_NOTHING = object()


def _misfits(target: Any, value: Any, place: str) -> Iterator[str]:
    """Why `value` cannot be restored into `target`, as far as that can be known without changing it."""
    if value is _NOTHING:
        yield f"{place}: not in the file"
    elif isinstance(target, (Param, np.ndarray)):
        want = target.state.array if isinstance(target, Param) else target
        # A file has no byte order: arrays come back in the machine's.
        wanted = (want.dtype.newbyteorder("="), want.shape)
        same = isinstance(value, np.ndarray) and (value.dtype, value.shape) == wanted
        if not same:
            yield f"{place}: {_shown(value)} in the file, {_shown(want)} expected"
        elif isinstance(target, np.ndarray) and not target.flags.writeable:
            yield f"{place}: the array to fill is read-only"
    elif isinstance(target, np.random.Generator):
        kind, found = type(target.bit_generator).__name__, value.get("bit_generator") if _is_dict(value) else None
        if found != kind:
            yield f"{place}: {found or _shown(value)} in the file, a generator {kind} expected"
    elif hasattr(target, "load_state_dict"):
        if not _is_dict(value):
            yield f"{place}: {_shown(value)} in the file, a state expected"
    elif (parts := _parts(target)) is not None:
        saved = _parts(value)
        if saved is None or _is_dict(value) != _is_dict(target):
            yield f"{place}: {_shown(value)} in the file, a {type(target).__name__} expected"
            return
        for key, part in parts.items():
            yield from _misfits(part, saved.get(key, _NOTHING), f"{place}/{key}")
        yield from (f"{place}/{key}: in the file, not expected" for key in saved if key not in parts)
    else:
        yield f"{place}: a {type(target).__name__} cannot be restored into; load returns the value"


class _Change(NamedTuple):
    """One thing to restore: how, and how to take it back."""

    place: str
    do: Callable[[], None]
    undo: Callable[[], None]


def _changes(target: Any, value: Any, place: str) -> Iterator[_Change]:
    if isinstance(target, Param):
        old = target.value
        yield _Change(place, lambda: setattr(target, "value", value), lambda: setattr(target, "value", old))
    elif isinstance(target, np.ndarray):
        before = target.copy()
        yield _Change(place, lambda: np.copyto(target, value), lambda: np.copyto(target, before))
    elif isinstance(target, np.random.Generator):
        bits = target.bit_generator
        known = bits.state
        yield _Change(place, lambda: setattr(bits, "state", value), lambda: setattr(bits, "state", known))
    elif hasattr(target, "load_state_dict"):
        state, saved = copy.deepcopy(dict(target.state_dict())), copy.deepcopy(value)
        yield _Change(place, lambda: target.load_state_dict(saved), lambda: target.load_state_dict(state))
    else:
        values = _parts(value) or {}
        for key, part in (_parts(target) or {}).items():
            yield from _changes(part, values[key], f"{place}/{key}")


def _commit(changes: list[_Change], path: Any) -> None:
    """Make all changes, or none: what was done is taken back where one fails or is interrupted."""
    done: list[_Change] = []
    try:
        for change in changes:
            done.append(change)
            change.do()
    except BaseException as error:
        for change in reversed(done):
            change.undo()
        if not isinstance(error, Exception):
            raise
        first, *more = str(error).splitlines() or [""]
        raise FileError(
            message(
                f"{os.fspath(path)} does not fit {done[-1].place!r}, nothing has been changed",
                got=first if isinstance(error, GraphcError) else f"{type(error).__name__}: {first}",
                at=user_line(),
                created=False,
                notes=[line.strip() for line in more if not line.startswith("  at ")],
            )
        ) from error


def _is_dict(value: Any) -> bool:
    return isinstance(value, Mapping)


def _parts(value: Any) -> dict[Any, Any] | None:
    if isinstance(value, Mapping):
        return dict(value)
    return dict(enumerate(value)) if isinstance(value, (list, tuple)) else None


def _shown(value: Any) -> str:
    """A value in a few words: ``float32[3, 4]``, ``dict``, ``3``."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    return repr(value)[:40] if isinstance(value, (bool, int, float, str)) or value is None else type(value).__name__
