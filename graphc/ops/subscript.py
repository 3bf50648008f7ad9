"""``x[key]`` and ``x.at[key]``: a key read into windows of axes and index arrays, and turned into primitives.

Reading is one `slice` (after a `flip` for negative steps), then one `gather` for the index arrays. Writing inverts
each: a window is written by ``where(mask, pad(values), x)``, which costs no more than the copy that any write to an
immutable tensor is, and fuses with what surrounds it; only index arrays cost a scatter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..errors import DTypeError, OutOfBoundsError, TraceError, UnsupportedError, count, message, user_line
from ..ir import dims
from ..ir.apply import apply, is_tensor, lift
from ..ir.dims import Dim, DimLike, Shape
from .common import broadcast_all, describe, labels, shape_error
from .creation import filled
from .elementwise import add, where
from .guarding import inside
from .indexing import GATHER, SCATTER_ADD, SCATTER_SET, fitting, index_tensor, out_of_range
from .movement import FLIP, SLICE, broadcast_to, pad_interior, permute_dims, reshape, span

_ARRAYS = "arrays"  # in a layout: where the axes of the index arrays go


class Window(NamedTuple):
    """What a key takes of one axis: every `step`-th position of start .. stop, counted from the end if `flipped`."""

    start: DimLike
    stop: DimLike
    step: int = 1
    flipped: bool = False
    dropped: bool = False  # an int: the axis is not in the result

    @property
    def size(self) -> DimLike:
        return dims.ceildiv(dims.max0(self.stop - self.start), self.step)


@dataclass(frozen=True)
class Selection:
    """A key, read against a tensor.

    x        the tensor, with the checks that the key asks of its named sizes
    windows  one for each axis; the whole of an axis that an array indexes
    arrays   axis -> integer tensor; all of one shape
    layout   where each axis of the result comes from: an axis of `x`, the arrays, or None (a new axis)
    """

    x: Any
    windows: tuple[Window, ...]
    arrays: dict[int, Any]
    layout: tuple[Any, ...]

    @property
    def index_shape(self) -> Shape:
        return tuple(next(iter(self.arrays.values())).shape) if self.arrays else ()

    @property
    def window_shape(self) -> Shape:
        return tuple(w.size for w in self.windows)

    @property
    def rest(self) -> tuple[int, ...]:
        """The axes of `x` that a slice takes, in order."""
        return tuple(k for k, w in enumerate(self.windows) if not w.dropped and k not in self.arrays)

    @property
    def shape(self) -> Shape:
        """The shape of the result."""
        parts = [
            (1,) if a is None else self.index_shape if a == _ARRAYS else (self.windows[a].size,) for a in self.layout
        ]
        return tuple(size for part in parts for size in part)

    @property
    def order(self) -> tuple[int, ...]:
        """The axes of a gather's result (arrays first, then `rest`) in the order of the layout."""
        m, real = len(self.index_shape), [a for a in self.layout if a is not None]
        places = [range(m) if a == _ARRAYS else [m + self.rest.index(a)] for a in real]
        return tuple(k for part in places for k in part)


# reading a key


def select(op: str, x: Any, key: Any) -> Selection:
    """`key` read against `x`; `op` is what errors call it."""
    entries = _entries(op, x, key)
    windows: list[Window] = []
    arrays: dict[int, Any] = {}
    layout: list[Any] = []  # axes, None, and for ints and arrays alike _ARRAYS: NumPy places them together
    for entry in entries:
        axis = len(windows)
        if entry is None:
            layout.append(None)
        elif entry is Ellipsis:
            layout.append(Ellipsis)
        elif isinstance(entry, slice):
            x, window = _slice_window(op, x, axis, entry)
            windows.append(window)
            layout.append(axis)
        else:
            layout.append(_ARRAYS)
            index = _int_index(entry)
            if index is None:
                arrays[axis] = index_tensor(op, x, entry, axis)
                windows.append(Window(0, x.shape[axis]))
            else:
                x, window = _int_window(op, x, axis, index)
                windows.append(window)
    if arrays:
        arrays = dict(zip(arrays, broadcast_all(op, *arrays.values()), strict=True))
    return Selection(x, tuple(windows), arrays, _placed(layout, bool(arrays)))


def _entries(op: str, x: Any, key: Any) -> list[Any]:
    """One entry for each axis of `x`, and None for new axes; an Ellipsis stays in front of what it stands for."""
    listed = list(key) if isinstance(key, tuple) else [key]
    for entry in listed:
        _refuse(op, x, entry)
    dots = [k for k, entry in enumerate(listed) if entry is Ellipsis]
    if len(dots) > 1:
        raise _bad_key(op, x, "two Ellipses", "at most one ...")
    missing = len(x.shape) - sum(entry is not None and entry is not Ellipsis for entry in listed)
    if missing < 0:
        given = len(x.shape) - missing
        raise OutOfBoundsError(
            message(
                f"too many indices in {op}",
                got=f"{describe(x)}, {count(given, 'index', 'indices')}",
                expected=f"at most {len(x.shape)}",
                at=user_line(),
                created=False,
            )
        )
    where_to = dots[0] + 1 if dots else len(listed)
    return [*listed[:where_to], *[slice(None)] * missing, *listed[where_to:]]


def _refuse(op: str, x: Any, entry: Any) -> None:
    """Refuse what NumPy takes for a mask, or does not take."""
    if isinstance(entry, (bool, np.bool_)):
        raise UnsupportedError(
            message(
                f"a bool index in {op}",
                got=f"{describe(x)}, index {entry}",
                expected="ints, slices, ..., None or integer arrays",
                at=user_line(),
                created=False,
                hint="the size of a result must not depend on data; use gc.where(mask, x, other)",
            )
        )
    if isinstance(entry, (float, np.floating, str, complex)):
        raise _bad_key(op, x, f"index {entry!r}", "ints, slices, ..., None or integer arrays")


def _bad_key(op: str, x: Any, got: str, expected: str) -> DTypeError:
    return DTypeError(
        message(f"bad index in {op}", got=f"{describe(x)}, {got}", expected=expected, at=user_line(), created=False)
    )


def _int_index(entry: Any) -> DimLike | None:
    """An int or dim; None for what is an array (a 0-d integer tensor included)."""
    if isinstance(entry, Dim):
        return entry
    if is_tensor(entry) or isinstance(entry, (list, tuple)) or np.ndim(entry):
        return None
    return entry.__index__() if hasattr(entry, "__index__") and np.asarray(entry).dtype.kind in "iu" else None


def _int_window(op: str, x: Any, axis: int, index: DimLike) -> tuple[Any, Window]:
    size = x.shape[axis]
    if isinstance(size, int) and isinstance(index, int) and not -size <= index < size:
        raise out_of_range(op, x, axis, index)
    place = index if not isinstance(index, int) or index >= 0 else size + index
    if not isinstance(index, int) and dims.nonnegative(-index):
        place = size + index  # a negated dim counts from the end
    x = inside(x, axis, place if isinstance(index, Dim) else index)
    return x, Window(place, place + 1, dropped=True)


def _slice_window(op: str, x: Any, axis: int, key: slice) -> tuple[Any, Window]:
    start, stop, step = (_bound(op, x, v) for v in (key.start, key.stop, key.step))
    step = 1 if step is None else step
    if not isinstance(step, int) or step == 0:
        raise _bad_key(op, x, f"a slice with step {step}", "an int step other than 0")
    size = x.shape[axis]
    for bound in (start, stop):
        if isinstance(bound, Dim) and not dims.nonnegative(bound) and not dims.nonnegative(-bound):
            x = inside(x, axis, bound, past=True)
    flipped = step < 0
    first = 0 if start is None else _position(start, size, flipped)
    last = size if stop is None else _position(stop, size, flipped)
    if isinstance(size, int) and isinstance(first, int):
        first = min(first, size)
    return x, Window(first, size - dims.max0(size - last), abs(step), flipped)


def _bound(op: str, x: Any, bound: Any) -> DimLike | None:
    if bound is None or isinstance(bound, Dim):
        return bound
    if is_tensor(bound) or not hasattr(bound, "__index__"):
        what = f"{bound.dtype} tensor" if is_tensor(bound) else repr(bound)
        raise _bad_key(op, x, f"a slice with bound {what}", "ints or dims as bounds: sizes must not depend on data")
    return bound.__index__()


def _position(bound: DimLike, size: DimLike, flipped: bool) -> DimLike:
    """A bound as a position >= 0, by Python's rules; counted from the end of the axis if `flipped`.

    Counted from the end, position k is -1 - k: then "from the start" and "from the end" change roles.
    """
    from_start = bound >= 0 if isinstance(bound, int) else not dims.nonnegative(-bound)
    if flipped:
        bound, from_start = -1 - bound, not from_start
    return bound if from_start else dims.max0(size + bound)


def _placed(layout: list[Any], has_arrays: bool) -> tuple[Any, ...]:
    """NumPy's rule: ints and arrays side by side are replaced where they stand; apart, the arrays' axes come first."""
    if not has_arrays:
        return tuple(a for a in layout if a is not Ellipsis and a != _ARRAYS)
    found = [k for k, a in enumerate(layout) if a == _ARRAYS]
    place = found[0] if found[-1] - found[0] == len(found) - 1 else 0
    kept = [(k, a) for k, a in enumerate(layout) if a is not Ellipsis and a != _ARRAYS]
    before, after = [a for k, a in kept if k < place], [a for k, a in kept if k >= place]
    return (*before, _ARRAYS, *after)


# reading


def getitem(x: Any, key: Any, /) -> Any:
    """``x[key]``, as NumPy has it: ints, slices, ``...``, None and integer arrays, alone or in a tuple.

    Slices clamp, whatever the size turns out to be; their bounds may be dims (a negated dim counts from the end). An
    int beyond a named size is an error of the call. Index arrays broadcast; their axes come first where a slice, None
    or ``...`` stands between them. Raises `OutOfBoundsError` for a bad int or array index and too many indices,
    `UnsupportedError` for masks, `DTypeError` for anything else.

    >>> import graphc as gc
    >>> x = gc.input("x", ("n", 4))
    >>> x[1:, ::-2].shape, x[0].shape, x[:, [0, 1, 0]].shape
    ((max(0, n - 1), 2), (4,), (n, 3))
    """
    (x,) = lift(x, beside=key if isinstance(key, tuple) else (key,))
    return _read(select("x[...]", x, key))


def _read(s: Selection) -> Any:
    taken = _window(s)
    if s.arrays:
        taken = apply(GATHER, permute_dims(taken, _arrays_first(s)), *s.arrays.values())
        taken = permute_dims(taken, s.order)
    return reshape(taken, s.shape)


def _window(s: Selection) -> Any:
    """What the windows take, without the axes that ints drop."""
    x, windows = s.x, s.windows
    flips = tuple(k for k, w in enumerate(windows) if w.flipped)
    if flips:
        x = apply(FLIP, x, axes=flips)
    if s.window_shape != tuple(x.shape):
        start, stop, step = zip(*[w[:3] for w in windows], strict=True)
        x = apply(SLICE, x, start=start, stop=stop, step=step)
    return reshape(x, tuple(w.size for w in windows if not w.dropped))


def _arrays_first(s: Selection) -> tuple[int, ...]:
    kept = [k for k, w in enumerate(s.windows) if not w.dropped]
    return tuple(kept.index(k) for k in (*s.arrays, *s.rest))


# writing


class At:
    """``x.at``: ``x.at[key]`` names places of `x`, and its `set` and `add` give a tensor changed there.

    >>> import graphc as gc
    >>> x = gc.input("x", ("n", 3))
    >>> x.at[0].set(1.0).shape
    (n, 3)
    """

    __slots__ = ("_x",)

    def __init__(self, x: Any):
        self._x = x

    def __getitem__(self, key: Any) -> Places:
        return Places(self._x, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise self._misused("cannot assign to places of a tensor", key, value)

    def __call__(self, *args: Any, **named: Any) -> Any:
        raise self._misused("x.at is not called: it takes an index in square brackets", *args[:1])

    def _misused(self, failed: str, key: Any = "index", value: Any = "value") -> TraceError:
        """The error for another way to write ``x.at[key].set(value)``, which stands in its hint."""
        name = labels(self._x, inside=False)[0] or "x"
        written = [str(v) if isinstance(v, (int, float, str)) else of for v, of in ((key, "index"), (value, "value"))]
        return TraceError(
            message(
                failed,
                got=describe(self._x, inside=False),
                at=user_line(),
                created=False,
                hint=f"{name} = {name}.at[{written[0]}].set({written[1]}) gives a changed copy, .add(...) adds",
            )
        )

    def __repr__(self) -> str:
        return f"{self._x!r}.at"


class Places:
    """``x.at[key]``: the places of `x` that `key` selects, as `getitem` reads it."""

    __slots__ = ("_key", "_x")

    def __init__(self, x: Any, key: Any):
        self._x, self._key = x, key

    def set(self, values: Any) -> Any:
        """A copy of `x` with `values` at these places; of places named twice, the last in row-major order counts.

        `values` broadcasts to the shape of ``x[key]``, and must fit the dtype of `x` (Python scalars are weak): a
        value that would narrow raises `DTypeError`. The gradient of `x` is zero at these places; `values` gets that
        of what was kept of it.
        """
        return self._write("set", values)

    def add(self, values: Any) -> Any:
        """A copy of `x` with `values` added at these places, in row-major order: a place named twice gets both."""
        return self._write("add", values)

    def __repr__(self) -> str:
        return f"{self._x!r}.at[{self._key!r}]"

    def _write(self, mode: str, values: Any) -> Any:
        key = self._key if isinstance(self._key, tuple) else (self._key,)
        (x,) = lift(self._x, beside=(values, *key))
        s = select(f"x.at[...].{mode}", x, self._key)
        values = fitting(f"x.at[...].{mode}", x, values)
        offset = len(s.shape) - len(values.shape)
        if offset < 0 or any(
            n != 1 and dims.equal(n, m) is False for n, m in zip(values.shape, s.shape[offset:], strict=True)
        ):
            places = dims.shape_text(s.shape)
            raise shape_error(
                f"x.at[...].{mode}", (x, values), f"values that broadcast to the {places} places selected"
            )
        return _written(s, mode, broadcast_to(values, s.shape))


def _written(s: Selection, mode: str, values: Any) -> Any:
    """The tensor with `values`, of the shape of the selection, in place: each step of `_read` undone."""
    sizes = {k: w.size for k, w in enumerate(s.windows)}
    if s.arrays:
        real = tuple(n for a in s.layout if a is not None for n in (s.index_shape if a == _ARRAYS else (sizes[a],)))
        updates = permute_dims(reshape(values, real), _inverse(s.order))
        first = _arrays_first(s)
        op = SCATTER_SET if mode == "set" else SCATTER_ADD
        written = apply(op, permute_dims(_window(s), first), updates, *s.arrays.values())
        values, mode = permute_dims(written, _inverse(first)), "set"
    return _placed_back(s, mode, reshape(values, s.window_shape))


def _inverse(order: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(range(len(order)), key=order.__getitem__))


def _placed_back(s: Selection, mode: str, values: Any) -> Any:
    """The windows of `x` replaced by `values`, or with them added.

    What is added elsewhere is -0.0, the one number that changes no float, not even a zero's sign.
    """
    x = s.x
    if mode == "add":
        return add(x, _spread(s, values, -0.0 if x.dtype.kind == "f" else 0))
    if s.window_shape == tuple(x.shape):
        return _spread(s, values, 0)
    return where(_spread(s, filled(s.window_shape, True, beside=(x,)), False), _spread(s, values, 0), x)


def _spread(s: Selection, values: Any, elsewhere: Any) -> Any:
    """`values` where the windows are, in the shape of `x`, and `elsewhere` around them."""
    interior = tuple(w.step - 1 for w in s.windows)
    low = tuple(w.start for w in s.windows)
    high = tuple(n - w.start - span(w.size, i) for n, w, i in zip(s.x.shape, s.windows, interior, strict=True))
    spread = pad_interior(values, low, high, interior, elsewhere)
    flips = tuple(k for k, w in enumerate(s.windows) if w.flipped)
    return apply(FLIP, spread, axes=flips) if flips else spread


__all__ = ["At", "getitem"]
