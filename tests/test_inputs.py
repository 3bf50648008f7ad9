"""What a step takes as arguments: the right answer, or an error that names the input, and no param changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from messages import without_line

import graphc as gc
from graphc.runtime import calls


@pytest.fixture(scope="module")
def total() -> tuple[gc.Step, gc.Param]:
    """The sum of a float64[n] and a float64[], counting its calls."""
    x, c, calls = gc.input("x", ("n",)), gc.input("c"), gc.param(0, name="calls")
    return gc.compile([x, c], gc.sum(x) + c, {calls: calls + 1}), calls


@pytest.fixture(scope="module")
def table() -> gc.Step:
    """The row sums of a float32[n, 3]."""
    x = gc.input("x", ("n", 3), "float32")
    return gc.compile([x], gc.sum(x, axis=1))


class Duck:
    """Something NumPy can make an array of."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array([1.0, 2.0])


DATA = np.array([1.0, 2.0])
GOOD = {
    "array": DATA,
    "list": [1.0, 2.0],
    "tuple of ints": (1, 2),
    "range": range(1, 3),
    "strided": np.array([1.0, 9.0, 2.0, 9.0])[::2],
    "reversed": np.array([2.0, 1.0])[::-1],
    "column": np.array([[1.0, 5.0], [2.0, 6.0]])[:, 0],
    "broadcast": np.broadcast_to(1.5, (2,)),
    "byte-swapped": DATA.astype(">f8"),
    "memmap-like": DATA.view(np.memmap),
    "masked, nothing missing": np.ma.masked_array(DATA, mask=False),
    "unaligned": np.frombuffer(b"\0" + DATA.tobytes(), np.uint8)[1:].view("f8"),
    "duck": Duck(),
    "eager": gc.eager.tensor([1.0, 2.0], dtype=gc.eager.float64),
}


@pytest.mark.parametrize("value", GOOD.values(), ids=GOOD)
def test_what_is_taken(total: tuple[gc.Step, gc.Param], value: Any) -> None:
    step, _ = total
    assert step(value, 0.5) == 3.5
    assert step(value, 0.5) == 3.5  # and the quick way


def test_read_only_arrays_are_read_in_place(total: tuple[gc.Step, gc.Param]) -> None:
    data = DATA.copy()
    data.flags.writeable = False
    assert total[0](data, 0.0) == 3.0 and total[0](data, 0.0) == 3.0


@pytest.mark.parametrize("value", [0.5, np.float64(0.5), np.array(0.5), [0.5][0], True, 2], ids=repr)
def test_scalars(total: tuple[gc.Step, gc.Param], value: Any) -> None:
    assert total[0](DATA, value) == 3.0 + float(value)


def test_zero_size_nan_and_inf(total: tuple[gc.Step, gc.Param]) -> None:
    step, _ = total
    assert step([], 1.0) == 1.0 and step(np.zeros(0), 1.0) == 1.0 and step(np.zeros(8)[8::-2][:0], 1.0) == 1.0
    assert np.isnan(step([np.nan, 1.0], 1.0)) and step(DATA, np.inf) == np.inf and np.isnan(step(DATA, np.nan))
    assert step([np.inf], 0.0) == np.inf


def test_layouts_of_two_axes(table: gc.Step) -> None:
    data = np.arange(12, dtype="float32").reshape(4, 3)
    want = data.sum(axis=1)
    for value in (data, np.asfortranarray(data), np.repeat(data, 2, axis=0)[::2], data.view(np.matrix), data.tolist()):
        np.testing.assert_array_equal(np.ravel(table(value)), want)
    wide = np.zeros((1, 8), "float32")[:, :3]  # one row: contiguous whatever its stride
    assert table(wide) == 0 and table(np.zeros((0, 3), "float32")).shape == (0,)


def test_new_sizes_keep_their_frames_and_old_ones_go(table: gc.Step, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in (*range(1, 40), 3, 3, 39):
        data = np.ones((n, 3), "float32")
        np.testing.assert_array_equal(table(data), np.full(n, 3))
    assert len(table._caller.frames) == calls.MAX_SIZES
    monkeypatch.setattr(calls, "MAX_BYTES", 1)
    table(np.ones((40, 3), "float32"))
    assert len(table._caller.frames) == 1


BAD = {
    "wrong dtype": (np.ones(2, "float32"), "input 'x' has the wrong dtype: got float32[2], expected float64[n]\n"
                    "  hint: convert it with .astype('float64')"),
    "int array": (np.ones(2, "int64"), "input 'x' has the wrong dtype: got int64[2], expected float64[n]\n"
                  "  hint: convert it with .astype('float64')"),
    "complex": ([1j], "input 'x' has the wrong dtype: got complex128[1], expected float64[n]"),
    "text": ("abc", "input 'x' is not an array: got a str, expected float64[n]"),
    "objects": ([object()], "input 'x' has the wrong dtype: got object[1], expected float64[n]"),
    "none": (None, "input 'x' is not an array: got None, expected float64[n]"),
    "structured": (np.zeros(2, [("a", "f8")]),
                   "input 'x' has the wrong dtype: got [('a', '<f8')][2], expected float64[n]"),
    "rank": (np.ones((2, 2)), "input 'x' has the wrong rank: got float64[2, 2], expected float64[n]"),
    "scalar": (1.0, "input 'x' has the wrong rank: got float64[], expected float64[n]"),
    "ragged": ([[1.0], [2.0, 3.0]], None),
    "masked": (np.ma.masked_array(DATA, mask=[True, False]),
               "input 'x' has masked elements: got masked float64[2], expected float64[n]\n"
               "  hint: give the elements a value: x.filled(0)"),
    "list of float32": ([np.float32(1), np.float32(2)],
                        "input 'x' has the wrong dtype: got float32[2], expected float64[n]\n"
                        "  hint: convert it with .astype('float64')"),
}  # fmt: skip


@pytest.mark.parametrize(("value", "text"), BAD.values(), ids=BAD)
def test_what_is_refused(total: tuple[gc.Step, gc.Param], value: Any, text: str | None) -> None:
    step, count = total
    step(DATA, 0.0)
    before = count.value
    with pytest.raises(gc.InputError) as caught:
        step(value, 0.0)
    assert text is None or without_line(caught.value) == text
    assert count.value == before
    with pytest.raises(gc.InputError, match="'x'"):
        step.run(value, 0.0, steps=3)
    assert count.value == before


def test_ragged_lists(total: tuple[gc.Step, gc.Param]) -> None:
    with pytest.raises(gc.InputError, match=r"input 'x' is not an array: got list \(.*\), expected float64\[n\]"):
        total[0]([[1.0], [2.0, 3.0]], 0.0)


def test_symbolic_tensors_are_no_data(total: tuple[gc.Step, gc.Param]) -> None:
    with pytest.raises(gc.InputError) as caught:
        total[0](gc.input("z", (2,)), 0.0)
    assert without_line(caught.value) == (
        "input 'x' needs data: got <Tensor 'z' input float64[2]>, expected float64[n]\n"
        "  hint: a step is called with arrays; symbolic tensors belong in the graph"
    )


def test_scalars_of_another_kind(total: tuple[gc.Step, gc.Param]) -> None:
    step, count = total
    before = count.value
    for value in (np.float32(1), np.int64(1), np.array(1), 1j, "1", None, [1.0]):
        with pytest.raises(gc.InputError, match="input 'c'"):
            step(DATA, value)
    assert count.value == before


def test_numbers_fit_their_input_or_are_refused() -> None:
    def one(dtype: str) -> gc.Step:
        c = gc.input("c", (), dtype)
        return gc.compile([c], [c])

    small = one("uint8")
    assert small(255) == [255] and small(np.uint8(7)) == [7] and small(True) == [1]
    for value in (256, -1, 1.0, np.int64(1), 10**30, np.nan):
        with pytest.raises(gc.InputError):
            small(value)
    with pytest.raises(gc.InputError) as caught:
        small(256)
    assert without_line(caught.value) == (
        "input 'c' has the wrong dtype: got int64[], expected uint8[]\n  hint: its values are not all numbers of uint8"
    )
    single = one("float32")
    assert single(0.1) == [np.float32(0.1)] and single(np.inf) == [np.inf] and single(3) == [3]
    for value in (np.float64(0.1), 1e39, -1e39, 10**400):
        with pytest.raises(gc.InputError):
            single(value)
    flag = one("bool")
    assert flag(True) == [True] and flag(np.bool_(False)) == [False]
    for value in (1, 0.0, np.int8(1)):
        with pytest.raises(gc.InputError):
            flag(value)


def test_sizes_that_disagree() -> None:
    x, y = gc.input("x", ("n", 3)), gc.input("y", ("n",))
    step = gc.compile([x, y], gc.sum(x) + gc.sum(y))
    assert step(np.ones((2, 3)), np.ones(2)) == 8
    with pytest.raises(gc.InputError) as caught:
        step(np.ones((2, 3)), np.ones(4))
    assert without_line(caught.value) == (
        "input 'y' has the wrong size on axis 0: got float64[4], expected float64[n] (n is 2 from axis 0 of 'x')"
    )
    with pytest.raises(gc.InputError) as caught:
        step(np.ones((2, 4)), np.ones(2))
    assert (
        without_line(caught.value)
        == "input 'x' has the wrong size on axis 1: got float64[2, 4], expected float64[n, 3]"
    )


def test_sizes_that_must_be_equal_for_an_op() -> None:
    step = gc.compile([x := gc.input("x", ("n",)), y := gc.input("y", ("k",))], x + y)
    assert step([1.0], [2.0]) == 3
    with pytest.raises(
        gc.ShapeError, match=r"sizes do not fit: got k = 1 \(axis 0 of 'y'\), n = 2 \(axis 0 of 'x'\), exp"
    ):
        step([1.0, 2.0], [2.0])


HOW = "\n  hint: compiled with inputs=[x, c]: call step(x, c)"


def test_names_and_counts(total: tuple[gc.Step, gc.Param]) -> None:
    step, _ = total
    assert step(DATA, c=1.0) == step(c=1.0, x=DATA) == 4
    for args, named, text in (
        ((), {}, f"missing input: got 0 of 2, expected a value for 'x', 'c'{HOW}"),
        ((DATA,), {}, f"missing input: got 1 of 2, expected a value for 'c'{HOW}"),
        ((DATA, 1.0, 2.0), {}, f"too many inputs: got 3, expected 2: x, c{HOW}"),
        ((DATA,), {"d": 1.0}, f"unknown input: got 'd', expected one of x, c{HOW}"),
        (({"x": DATA, "c": 1.0},), {}, "missing input: got 1 of 2, expected a value for 'c'\n"
         "  hint: inputs are given one by one: step(**inputs) of a dict"),
        (([DATA, 1.0],), {}, "missing input: got 1 of 2, expected a value for 'c'\n"
         "  hint: inputs are given one by one: step(*inputs) of a list or tuple"),
        ((DATA,), {"x": 1.0}, "input 'x' given twice: got by position and by name"),
    ):  # fmt: skip
        with pytest.raises(gc.InputError) as caught:
            step(*args, **named)
        assert without_line(caught.value) == text


def test_nested_inputs() -> None:
    a, b, c = gc.input("a"), gc.input("b"), gc.input("c")
    step = gc.compile({"p": [a, b], "q": c}, (a + b, {"r": c}))
    assert step(p=[1.0, 2.0], q=3.0) == (3, {"r": 3}) == step([1.0, 2.0], 3.0)
    with pytest.raises(gc.InputError) as caught:
        step(p=[1.0], q=3.0)
    assert without_line(caught.value) == "p has the wrong structure: got [*], expected [*, *]"
    with pytest.raises(gc.InputError) as caught:
        step(a=1.0, b=2.0, q=3.0)
    assert without_line(caught.value) == (
        "unknown input: got 'a', expected one of p, q\n"
        "  hint: compiled with inputs={'p': [a, b], 'q': c}: call step(p=[a, b], q=c)"
    )
    whole = gc.compile([a], a * 2)
    with pytest.raises(gc.InputError) as caught:
        whole({"a": 1.0})
    assert without_line(caught.value) == (
        "input 'a' is not an array: got a dict, expected float64[]\n"
        "  hint: inputs are given one by one: step(**inputs) of a dict"
    )


def test_a_step_without_inputs_or_outputs() -> None:
    n = gc.param(0, name="n")
    step = gc.compile([], [], {n: n + 1})
    assert step() == [] and step.bind()() == [] and n.value == 2
    with pytest.raises(gc.InputError, match="too many inputs: got 1"):
        step(1.0)
