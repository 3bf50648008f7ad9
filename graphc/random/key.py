"""`Key`: where random numbers come from: a seed, a stream and a step counter, held in params; and numbers for draws."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import InputError, UnsupportedError, message, shown, user_line
from ..ir.apply import SYMBOLIC, cast, engine_of
from ..ir.draws import in_one_sample, number
from ..ir.leaves import Param, param

_WORD = 2**32
MOST_DRAWS = 2**16
"""Draws from one key at one value of its counter."""
UINT64 = np.dtype("uint64")
_lock = threading.Lock()


class Key:
    """A source of random numbers: the functions of `gc.random` draw from it.

    seed     0 <= seed < 2**32
    stream   0 <= stream < 2**32: keys of one seed and different streams give unrelated numbers
    name     what generated code calls its params

    What a draw gives depends on the seed, the stream, the value of the counter, the number of the draw and the shape,
    and on nothing else: it is the same compiled and eager, for any number of threads, and after resuming. No two
    elements that differ in one of these share random bits.

    `counter`, an int64 param, is the step; it starts at 0. A compiled step advances it where ``updates`` has
    ``**key.updates()``, eager code by ``key.advance()``; without that, a step draws the same numbers at every call.
    Setting ``key.counter.value`` replays from there, also if that is its value already. `words`, a uint64 param, is
    seed + 2**32 * stream.

    The number of a draw counts the symbolic draws from this key since it was made; a function that is traced again,
    for arguments of another kind, gets the numbers it got at its first trace. Eager draws are counted from 0 at each
    value of the counter: so a step written once draws the same numbers in both modes. ``draw=`` of the functions gives
    the number itself.

    Raises `InputError` for a seed or stream out of range.

    >>> import graphc as gc
    >>> key = gc.random.Key(0)
    >>> step = gc.compile([], gc.random.randint(key, 0, 100, (4,)), key.updates())
    >>> step(), step(), key
    (array([88, 36, 31, 41]), array([93, 85, 74, 62]), <Key seed 0, stream 0, counter 2>)
    >>> key.counter.value = 0
    >>> step()
    array([88, 36, 31, 41])
    """

    words: Param
    counter: Param

    def __init__(self, seed: int, stream: int = 0, name: str = "key"):
        words = _word("seed", seed) + _WORD * _word("stream", stream)
        self.words = param(np.asarray(words, UINT64), f"{name}_words", trainable=False)
        self.counter = param(np.asarray(0, np.int64), f"{name}_counter", trainable=False)
        self._made = 0  # symbolic draws so far
        self._eager = (0, 0, 0)  # the counter at the last eager draw, how often it had been set, the draws made there

    @property
    def seed(self) -> int:
        """The seed, 0 <= seed < 2**32."""
        return int(self.words.value) % _WORD

    @property
    def stream(self) -> int:
        """The stream, 0 <= stream < 2**32."""
        return int(self.words.value) // _WORD

    def updates(self) -> dict[Any, Any]:
        """For ``updates`` of `gc.compile`: the counter goes up by one with each call of the step.

        >>> import graphc as gc
        >>> key = gc.random.Key(7)
        >>> step = gc.compile([], [], key.updates())
        >>> step(), step(), int(key.counter.value)
        ([], [], 2)
        """
        return {self.counter: self.counter + 1}

    def advance(self, steps: int = 1) -> None:
        """The end of a step in eager mode: the counter goes up, and draws are numbered from 0 again.

        >>> import graphc as gc
        >>> key = gc.random.Key(7)
        >>> key.advance()
        >>> key
        <Key seed 7, stream 0, counter 1>
        """
        with _lock:
            self.counter.value = int(self.counter.value) + steps  # being set, it numbers draws from 0

    def state_dict(self) -> dict[str, np.ndarray]:
        """All there is to know for drawing the same numbers again: copies of `words` and `counter`, and ``draws``.

        ``draws`` (int64) is how many eager draws were made at this value of the counter. Symbolic draws have their
        numbers in the graph.
        """
        with _lock:
            counter, _, draws = self._now()
            return {
                "words": self.words.value,
                "counter": np.array(counter, np.int64),
                "draws": np.array(draws, np.int64),
            }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` of a key gave; without ``draws``, eager draws are numbered from 0.

        Raises `InputError` where `state` has other entries, or is of no key; then nothing has been changed.

        >>> import graphc as gc
        >>> key, other = gc.random.Key(7), gc.random.Key(8)
        >>> key.advance()
        >>> other.load_state_dict(key.state_dict())
        >>> other
        <Key seed 7, stream 0, counter 1>
        """
        if not isinstance(state, Mapping) or {"words", "counter"} != set(state) - {"draws"}:
            got = ", ".join(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
            raise _bad_state(got or "nothing", "words, counter, draws")
        words = _entry(state, "words", 0, 64)
        counter = _entry(state, "counter", -(2**63), 63)
        draws = _entry(state, "draws", 0, 63) if "draws" in state else 0
        with _lock:
            self.words.value, self.counter.value = np.asarray(words, UINT64), counter
            self._eager = (counter, self.counter.state.set, draws)

    def __getstate__(self) -> dict[str, Any]:
        with _lock:
            return {**vars(self), "_eager": self._now()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        counter, _, draws = self._eager
        self._eager = (counter, self.counter.state.set, draws)  # a copy of the counter has been set as often as it was

    def operands(self, engine: Any) -> tuple[Any, Any]:
        """`words` and `counter` as uint64 tensors of `engine`."""
        if engine is SYMBOLIC:
            return self.words, cast(self.counter, UINT64)
        return engine.constant(self.words.value), cast(engine.constant(self.counter.value), UINT64)

    def number(self, like: tuple[Any, ...]) -> int:
        """The number of a new draw that is symbolic, or eager where one of the tensors `like` is."""
        if engine_of(*like) is not SYMBOLIC:
            return self._checked(self._number_eager())
        if in_one_sample():
            raise UnsupportedError(
                message(
                    "cannot draw random numbers inside gc.vmap",
                    got=repr(self),
                    at=user_line(),
                    created=False,
                    hint="draw outside: with an axis of samples, as one more argument to map over, "
                    "if each sample is to have its own; else without, for all the same",
                )
            )
        return self._checked(number(self, self._number_symbolic))

    def _number_symbolic(self) -> int:
        with _lock:
            made, self._made = self._made, self._made + 1
            return made

    def _number_eager(self) -> int:
        with _lock:
            counter, times, made = self._now()
            self._eager = (counter, times, made + 1)
            return made

    def _now(self) -> tuple[int, int, int]:
        """The counter, how often it was set, and the eager draws made since it has been what it is."""
        counter, times = int(self.counter.value), self.counter.state.set
        return counter, times, self._eager[2] if self._eager[:2] == (counter, times) else 0

    def _checked(self, made: int) -> int:
        if made >= MOST_DRAWS:
            raise InputError(
                message(
                    "too many draws from one key",
                    got=f"draw number {made}",
                    expected=f"at most {MOST_DRAWS} draws at one value of its counter",
                    at=user_line(),
                    created=False,
                    hint="draw one larger array; eager code ends a step with key.advance(); "
                    "a new graph may use a new key, with a stream of its own",
                )
            )
        return made

    def __repr__(self) -> str:
        return f"<Key seed {self.seed}, stream {self.stream}, counter {int(self.counter.value)}>"


def _word(what: str, value: Any) -> int:
    if hasattr(value, "__index__") and not isinstance(value, bool) and 0 <= value.__index__() < _WORD:
        return value.__index__()
    whole = hasattr(value, "__index__") and value.__index__() >= 0
    raise InputError(
        message(
            f"bad {what} of a random key",
            got=shown(value),
            expected="an int from 0 to 2**32 - 1",
            at=user_line(),
            created=False,
            hint="a seed of 64 bits: gc.random.Key(seed % 2**32, seed // 2**32)" if whole and what == "seed" else "",
        )
    )


def _entry(state: Mapping[str, Any], name: str, least: int, bits: int) -> int:
    """A whole number of a state, ``least <= number < 2**bits``: an int, or an array of one."""
    array = np.asarray(state[name])
    if array.shape == () and array.dtype.kind in "iu" and least <= int(array) < 2**bits:
        return int(array)
    shown = f"{array.dtype}{list(array.shape)}" if array.ndim else str(array)[:40]
    raise _bad_state(f"{name}: {shown}", f"an int >= {'-2**63' if least else 0} and < 2**{bits}")


def _bad_state(got: str, expected: str) -> InputError:
    return InputError(
        message("cannot load the state of a Key", got=got, expected=expected, at=user_line(), created=False)
    )
