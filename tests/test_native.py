"""Calls of steps by their built-in functions: what is taken there, what it leaves behind, and the language it is in."""

from __future__ import annotations

import ctypes
import functools
import gc as garbage
import inspect
import itertools
import operator
import signal
import sys
import threading
import weakref
from collections import deque, namedtuple
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import types
from numba.extending import intrinsic

import graphc as gc
from graphc.errors import InputError
from graphc.ir.guard import Guard
from graphc.runtime import native, words
from graphc.runtime.program import Frame

pytestmark = pytest.mark.skipif(not native.available(), reason="calls go through Python here")


def quickly(step: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The step, whose calls may not go the careful way any more."""

    def careful(self: Any, values: Any) -> Any:
        raise AssertionError(f"the careful way, for {values}")

    monkeypatch.setattr(type(step._caller), "careful", careful)
    return step


# what is taken

DTYPES = ("float64", "float32", "int64", "int32", "uint8", "int8", "bool")


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_and_numbers_of_all_dtypes_are_taken_at_once(dtype, monkeypatch) -> None:
    x, s = gc.input("x", ("n", 3), dtype), gc.input("s", (), dtype)
    step = gc.compile([x, s], [x[:, 0], s, gc.where(s == s, x, x)])
    array = (np.arange(12).reshape(4, 3) % 2).astype(dtype)
    python = {"f": float, "i": int, "u": int, "b": bool}[np.dtype(dtype).kind](1)
    step(array, python)
    quickly(step, monkeypatch)
    readonly = array.copy()
    readonly.flags.writeable = False
    for number in (python, np.dtype(dtype).type(1), np.ones((), dtype)):
        for values in (array, readonly):
            column, same, whole = step(values, number)
            np.testing.assert_array_equal(column, array[:, 0])
            np.testing.assert_array_equal(whole, array)
            assert same == number and type(same) is np.dtype(dtype).type
            assert column.dtype == whole.dtype == dtype and column.base is None


def test_what_is_not_as_the_kernels_need_it_goes_the_careful_way() -> None:
    x, s = gc.input("x", (3,), "float32"), gc.input("s", (), "int8")
    step = gc.compile([x, s], [x * 2, s])
    array = np.arange(3, dtype="float32")
    step(array, 1)

    class Own(np.ndarray):
        pass

    same = [
        [0, 1, 2],
        np.arange(6, dtype="float32")[::2] / np.float32(2),
        np.repeat(array, 2)[::2],
        array.astype(">f4"),
        array.view(Own),
        np.frombuffer(b"\0" + array.tobytes(), np.uint8)[1:].view(np.float32),
    ]
    for values in same:
        np.testing.assert_array_equal(step(values, np.array(1, ">i1"))[0], [0, 2, 4])
    for wrong in (array.astype("float64"), array[:2], array[None], None, "text", array.astype(complex)):
        with pytest.raises(InputError, match="'x'"):
            step(wrong, 1)
    for wrong in (128, -129, 2**70, 1.0, np.int16(1), array, None):
        with pytest.raises(InputError, match="'s'"):
            step(array, wrong)
    with pytest.raises(InputError, match="missing"):
        step(array)
    with pytest.raises(InputError, match="too many"):
        step(array, 1, 2)
    with pytest.raises(InputError, match="unknown"):
        step(array, t=1)
    assert step(s=1, x=array)[1] == 1


@pytest.mark.parametrize("number", [3.5e38, -3.5e38, np.inf, np.nan, 1e-46, -0.0])
def test_a_float_for_float32_is_rounded_or_refused(number) -> None:
    s = gc.input("s", (), "float32")
    step = gc.compile([s], s)
    step(1.0)
    with np.errstate(over="ignore"):
        rounded = np.float32(number)
    if np.isfinite(number) and np.isinf(rounded):
        with pytest.raises(InputError, match="not all numbers of float32"):
            step(number)
    else:
        assert step(number).tobytes() == rounded.tobytes()


Pair = namedtuple("Pair", "a b")
STRUCTURES = [
    lambda a, b: a,
    lambda a, b: (a, b),
    lambda a, b: [a, b],
    lambda a, b: [a],
    lambda a, b: (),
    lambda a, b: {"a": a, 0: b},
    lambda a, b: {"a": [a, {"b": b}]},
    lambda a, b: Pair(a, b),
    lambda a, b: {},
]


@pytest.mark.parametrize("build", STRUCTURES)
def test_outputs_come_in_their_structure(build, monkeypatch) -> None:
    x = gc.input("x", ("n",))
    step = gc.compile([x], build(gc.sum(x), x * 2))
    careful = step(np.ones(3))
    quick = quickly(step, monkeypatch)(np.ones(3))
    assert type(quick) is type(careful) and repr(quick) == repr(careful)
    assert repr(quick) == repr(build(np.float64(3.0), np.full(3, 2.0)))


def test_a_bound_step_says_that_it_takes_no_arguments() -> None:
    x = gc.input("x", ("n",))
    bound = gc.compile([x], gc.sum(x)).bind(np.ones(3))
    for call in (lambda: bound(1), lambda: bound(x=np.ones(3))):
        with pytest.raises(InputError, match="a bound step is called without arguments: got 1 argument"):
            call()
    assert bound() == 3.0


def test_nested_inputs_and_names_come_to_the_built_in_function_in_order() -> None:
    x, y, z = (gc.input(name, ("n",)) for name in "xyz")
    a, b, c = np.ones(2), np.full(2, 2.0), np.full(2, 3.0)
    step = gc.compile([[x, y], z], x + 10 * y + 100 * z)
    for _ in range(2):
        assert step([a, b], c)[0] == 321.0
    with pytest.raises(InputError):
        step(a, c)
    named = gc.compile({"left": x, "right": y}, x - y)
    for _ in range(2):
        assert named(right=a, left=c)[0] == named(c, a)[0] == 2.0


# what it leaves behind


def test_a_call_leaves_nothing_behind() -> None:
    x, w = gc.input("x", ("n",)), gc.param(np.ones(3))
    read, write = gc.compile([x], {"total": gc.sum(x * w), "twice": x * 2}), gc.compile([x], (x,), {w: w + x})
    array = np.ones(3)
    things = (array, None, True, False, np.ndarray, np.dtype("float64"), "total", read._caller.hot, write._caller.hot)
    for step in (read, write, read.bind(array), write.bind(array)):
        args = () if step not in (read, write) else (array,)
        for _ in range(3):
            step(*args)
        before = [sys.getrefcount(t) for t in things]
        for _ in range(200):
            step(*args)
        after = [sys.getrefcount(t) for t in things]
        assert max(abs(m - n) for m, n in zip(before, after, strict=True)) < 20
    assert len(read._caller.hot[0]) == len(write._caller.hot[0]) == 1


def test_a_failed_call_leaves_nothing_behind_and_gives_its_frame_back() -> None:
    x, k, w = gc.input("x", ("n",)), gc.input("k", (), "int64"), gc.param(1.0)
    step = gc.compile([x, k], [x[k], x * 2], {w: w + 1})
    array = np.ones(3)
    step(array, 0)
    before = sys.getrefcount(array)
    for _ in range(50):
        with pytest.raises(gc.OutOfBoundsError, match="5"):
            step(array, 5)
    garbage.collect()
    assert sys.getrefcount(array) <= before + 1 and w.value == 2.0
    assert step(array, 1)[0] == 1.0 and len(step._caller.hot[0]) == 1


def test_a_step_that_nobody_holds_is_free_at_once() -> None:
    x = gc.input("x", ("n",))
    garbage.collect()
    garbage.disable()
    try:
        step = gc.compile([x], gc.sum(x))
        bound = step.bind(np.ones(3))
        step(np.ones(3)), bound()
        arenas = [weakref.ref(step), weakref.ref(step._caller), weakref.ref(bound), weakref.ref(bound.work)]
        del step, bound
        assert [a() for a in arenas] == [None] * 4
    finally:
        garbage.enable()


def test_results_are_the_caller_s_own() -> None:
    x = gc.input("x", ("n",))
    step = gc.compile([x], [x * 2])
    for size in (3, 100_000):
        kept = [step(np.full(size, float(k)))[0] for k in range(6)]
        assert [a[0] for a in kept] == [0, 2, 4, 6, 8, 10]
        assert all(a.flags.writeable for a in kept)


@pytest.mark.parametrize("name", ["drain", "give_way", "enter"])
def test_an_interrupt_while_it_waits_for_params_leaves_them_free(name, monkeypatch) -> None:
    def interrupted(self: Guard, *args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Guard, name, interrupted)
        x, w = gc.input("x", ("n",)), gc.param(0.0)
        step = gc.compile([x], [x * w], {} if name == "enter" else {w: w + 1})
        guard = step._caller.guards[0][0]
        token = object()
        if name == "drain":
            guard.readers[token] = -1
        elif name == "give_way":
            guard.waiting[token] = None
        else:
            guard.away[token] = None  # type: ignore[index]
        frames = len(step._caller.hot[0])
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                step(np.ones(2))
        guard.readers.pop(token, None), guard.waiting.pop(token, None), guard.away.pop(token, None)  # type: ignore
        assert not guard.readers and len(step._caller.hot[0]) >= frames
        free = []
        thread = threading.Thread(target=lambda: free.append(guard.turn.acquire(timeout=5)))
        thread.start(), thread.join()
        assert free == [True]


def test_a_signature_says_what_a_step_takes() -> None:
    x, y = gc.input("x", ("n",)), gc.input("y", ("n",))
    assert str(inspect.signature(gc.compile([x, y], x + y))) == "(x, y)"
    assert str(inspect.signature(gc.compile([[x, y]], x + y))) == "(*args, **named)"
    assert "NonFiniteError" in (inspect.getdoc(gc.Step.__call__) or "")
    alone = gc.compile([x], x).__call__
    assert str(inspect.signature(alone)) == "(*inputs, **named)" and "One step" in (alone.__doc__ or "")
    assert str(inspect.signature(gc.compile([x], x).bind(np.ones(3)))) == "()"


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX signals")
def test_calls_in_a_loop_of_c_can_be_interrupted() -> None:
    x = gc.input("x", ("n",))
    step, array = gc.compile([x], gc.sum(x)), np.ones(3)
    step(array)
    calls = itertools.repeat(array, 5_000_000)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)  # a signal: no thread has to get a turn
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            deque(map(step, calls), maxlen=0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert operator.length_hint(calls) > 0 and len(step._caller.hot[0]) == 1


def test_threads_may_make_the_first_functions_at_once(monkeypatch) -> None:
    x = gc.input("x", ("n",))
    monkeypatch.setattr(native, "_method", native._method.__wrapped__)  # each makes its own; a cache keeps one
    step, array = gc.compile([x], gc.sum(x)), np.ones(3)
    garbage.collect()
    others = [native._method(Frame) for _ in range(100)]
    for other in others:
        ctypes.memset(ctypes.byref(other), 0, ctypes.sizeof(other))
    assert step(array) == step(array) == 3.0


def test_a_subclass_may_have_a_call_of_its_own() -> None:
    class Tenfold(gc.Step):
        def __call__(self, *args: Any, **named: Any) -> Any:  # type: ignore[override]
            return 10 * super().__call__(*args, **named)

    x = gc.input("x", ("n",))
    step = gc.compile([x], gc.sum(x))
    assert Tenfold(step.traced, step._in, step._out, "tenfold")(np.ones(3)) == 30.0


# the language


def compiled(text: str, count: int, constants: dict[str, int] | None = None) -> Any:
    """Function `f` of a text of words."""
    word = types.int64

    @intrinsic
    def inner(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return words.emit(builder, text, constants or {}, "f", args[:count])

        return word(word, word, word), codegen

    return numba.njit("int64(int64, int64, int64)")(lambda a, b, c: inner(a, b, c))


EXPRESSIONS = """
def g(a, b):
    if a > b:
        return a - b
    return b - a


def f(a, b, c):
    # what the language has
    total, last = 0, K
    for i in range(c):
        if i & 1 == 0:
            continue
        total += g(i, a) * (2 if a < b else 3)
        last = i
    if a == b or (b != 0 and not c):
        return 0 - last if K == 8 else last
    elif a >= 5 and b <= 5:
        total = total | 8
    return total + last if a > 0 or b > 0 else g(total, last)
"""


@functools.cache
def language() -> tuple[Any, Any]:
    """Function `f` of words, and in Python."""
    space: dict[str, Any] = {"K": 7}
    exec(EXPRESSIONS, space)
    return compiled(EXPRESSIONS, 3, {"K": 7}), space["f"]


@settings(deadline=None)  # the first compiles
@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(-2, 9))
def test_words_mean_what_they_mean_in_python(a, b, c) -> None:
    of_words, of_python = language()
    assert of_words(a, b, c) == of_python(a, b, c)


def test_words_that_are_not_to_be_computed_are_not() -> None:
    text = "def f(address, k, c):\n    return load(address, k) if k != 0 and load(address, k) else c\n"
    assert compiled(text, 3)(0, 0, 5) == 5  # address 0 cannot be read
    memory = np.array([3, 4], np.int64)
    assert compiled(text, 3)(memory.ctypes.data, 1, 5) == 4


def test_words_read_write_copy_and_narrow() -> None:
    text = """
def f(target, source, bits):
    store(target, 1, load(source, 0) + 1)
    copy(target, source + 8, 3)
    return narrowed(bits)
"""
    target, source = np.zeros(2, np.int64), np.array([41, 0x01020304], np.int64)
    bits = int(np.float64(0.1).view(np.int64))
    assert compiled(text, 3)(target.ctypes.data, source.ctypes.data, bits) == np.float32(0.1).view(np.int32)
    assert target.tolist() == [0x020304, 42]


# functions that are traced


def test_a_traced_function_finds_its_step_by_what_it_is_called_with(monkeypatch) -> None:
    @gc.compile
    def f(p, x, k):
        a, *rest = p
        return a * gc.sum(x) * k + gc.sum(gc.stack(rest))

    def expected(p, x, k):
        return p[0] * np.sum(x) * k + np.sum(p[1:])

    calls = [
        (np.arange(n, dtype=d), np.full(m, 2, e), k)
        for n in (2, 3)
        for m in (1, 2, 4)
        for d, e in (("f8", "f8"), ("f4", "f4"), ("f8", "i4"))
        for k in (0.5, 2.0)
    ]
    for _ in range(3):
        for call in calls:
            found = f(*call)
            assert found == expected(*call) and found.dtype == np.float64
    with monkeypatch.context() as patch:
        patch.setattr(type(f), "_find", None)
        assert f(*calls[0]) == expected(*calls[0])
    assert f(p=calls[0][0], x=calls[0][1], k=0.5) == f(*calls[0])


def test_a_traced_function_forgets_shapes_in_the_end() -> None:
    @gc.compile
    def f(x):
        return gc.sum(x)

    for n in range(2, 600):
        assert f(np.ones(n)) == n
    assert len(f.steps) == 1 and len(f._last) <= 256
