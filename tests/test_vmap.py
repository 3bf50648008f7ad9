"""`gc.vmap`: many samples at once against one after another, its axes, and its compositions with derivatives."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.autodiff.batching import batch
from graphc.errors import GraphcError, ShapeError, UnsupportedError
from graphc.ir.evaluate import bind_dims, evaluate
from graphc.testing import generate

XS = np.array([[0.5, -1.5, 2.0], [1.0, 1.0, -0.25], [3.0, 0.0, 1.0], [-2.0, -2.0, 0.75]])
YS = np.array([[1.0, 2.0, 3.0], [0.5, 0.25, -1.0], [2.0, -2.0, 2.0], [1.0, 4.0, -3.0]])
A = np.array([[1.0, 2.0, -1.0], [0.5, -0.25, 3.0]])


def run(f: Callable[..., Any], *arrays: Any, named: bool = False) -> Any:
    """``f(*arrays)`` by the reference interpreter, with int sizes or with a named dim for each size."""
    given = [np.asarray(a) for a in arrays]
    inputs = [
        gc.input(f"x{k}", tuple(f"n{n}" for n in a.shape) if named else a.shape, a.dtype) for k, a in enumerate(given)
    ]
    env = {f"n{n}": n for a in given for n in a.shape}
    return evaluate([f(*inputs)], dict(zip(inputs, given, strict=True)), env)[0]


def looped(f: Callable[..., Any], in_axes: tuple[int | None, ...], *arrays: np.ndarray) -> np.ndarray:
    """The results of samples one by one, stacked."""
    count = next(a.shape[k] for a, k in zip(arrays, in_axes, strict=True) if k is not None)
    return np.stack(
        [
            run(f, *[a if k is None else np.take(a, i, k) for a, k in zip(arrays, in_axes, strict=True)])
            for i in range(count)
        ]
    )


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "arithmetic": lambda x, y: gc.sin(x) * y + x**2 / (1.0 + y**2),
    "where": lambda x, y: gc.where(x > y, x, gc.sum(y)),
    "dot": lambda x, y: gc.dot(x, y),
    "outer": lambda x, y: gc.outer(x, y),
    "matmul": lambda x, y: gc.constant(A) @ (x + y),
    "softmax": lambda x, y: gc.softmax(x) * gc.max(y) + gc.argmin(y),
    "sort": lambda x, y: gc.sort(x) + gc.take(y, gc.argsort(x)),
    "cumulative": lambda x, y: gc.cumulative_prod(x) + gc.cumulative_sum(y[::-1]),
    "moves": lambda x, y: gc.concat([x[1:], gc.roll(y, 1), gc.flip(x), gc.pad(y, (1, 0))]),
    "tables": lambda x, y: gc.stack([x, y])[:, [2, 0]].T @ gc.stack([x, y]),
    "write": lambda x, y: x.at[[0, 2, 0]].set(y).at[1:].add(y[0]),
    "constant": lambda x, y: gc.tril(gc.ones((2, 2))) * gc.var(x) * gc.prod(y),
}
PATTERNS = [(0, 0), (0, None), (None, 0), (1, 0), (-1, None)]


@pytest.mark.parametrize("in_axes", PATTERNS, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_vmap_is_the_loop(name: str, in_axes: tuple[int | None, ...]) -> None:
    f = FUNCTIONS[name]
    arrays = [a[0] if k is None else np.moveaxis(a, 0, k) for a, k in zip((XS, YS), in_axes, strict=True)]
    found = run(gc.vmap(f, in_axes=in_axes), *arrays)
    np.testing.assert_allclose(found, looped(f, in_axes, *arrays), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("count", [4, 1, 0])
@pytest.mark.parametrize("name", ["arithmetic", "where", "dot", "outer"])
def test_named_and_few_samples(name: str, count: int) -> None:
    f = FUNCTIONS[name]
    x, y = gc.input("x", ("samples", "n")), gc.input("y", ("samples", "n"))
    many = gc.vmap(f)(x, y)
    found = evaluate([many], {x: XS[:count], y: YS[:count]})[0]
    want = [run(f, a, b) for a, b in zip(XS[:count], YS[:count], strict=True)]
    np.testing.assert_allclose(found, np.reshape(want, (count, *found.shape[1:])), rtol=1e-12)


def samples_of(seed: int, count: int = 3) -> tuple[list[np.ndarray], list[np.ndarray], str] | None:
    """The outputs of a random program batched over some of its inputs, and of its samples stacked."""
    program = generate(random.Random(seed))
    traced = program.trace()
    rng = np.random.default_rng(seed)
    first = [np.asarray(a) for a in program.calls[0].values()]
    env = bind_dims(traced.inputs, first)
    chosen = [k for k in range(len(first)) if rng.random() < 0.6]
    if not chosen:
        return None
    leaves = {leaf.name: leaf for leaf in program.leaves}
    others = {k: [leaves[traced.inputs[k].name].sample(rng, env) for _ in range(count)] for k in chosen}
    calls = [[others[k][i] if k in others else a for k, a in enumerate(first)] for i in range(count)]
    over = {traced.inputs[k]: gc.input("many", ("samples", *traced.inputs[k].shape), first[k].dtype) for k in chosen}
    given = {over.get(x, x): np.stack(others[k]) if k in others else first[k] for k, x in enumerate(traced.inputs)}
    try:
        each = [evaluate(traced.outputs, dict(zip(traced.inputs, call, strict=True)), env) for call in calls]
    except GraphcError:
        return None  # an index out of range for one of these values
    many = batch(traced.outputs, over)
    assert [(m.shape[1:], m.dtype) for m in many] == [o.aval for o in traced.outputs], program.text
    found = evaluate(many, given, {**env, "samples": count})
    return found, [np.stack(values) for values in zip(*each, strict=True)], program.text


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_random_programs() -> None:
    compared = [found for found in map(samples_of, range(150)) if found is not None]
    assert len(compared) > 80
    for found, want, text in compared:
        for a, b in zip(found, want, strict=True):
            assert (a.shape, a.dtype) == (b.shape, b.dtype), text
            tolerance = 1e-5 if a.dtype == np.float32 or "float32" in text else 1e-12
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=text)


# axes and nestings


def test_in_and_out_axes() -> None:
    def f(p: dict[str, Any], s: Any, *, shift: Any) -> Any:
        return p["a"] * s + shift, [gc.outer(p["a"], p["b"])], s + 1.0

    p = {"a": gc.input("a", (3, 4)), "b": gc.input("b", (2,))}
    s, shift = gc.input("s"), gc.input("shift", (4,))
    mapped = gc.vmap(f, in_axes=({"a": 1, "b": None}, None), out_axes=(0, [-1], None))
    first, (second,), third = mapped(p, s, shift=shift)
    assert (first.shape, second.shape, third.shape) == ((4, 3), (3, 2, 4), ())
    given = {p["a"]: XS.T, p["b"]: np.array([1.0, -1.0]), s: np.array(2.0), shift: np.arange(4.0)}
    found = evaluate([first, second, third], given)
    np.testing.assert_allclose(found[0], 2 * XS + np.arange(4.0)[:, None])
    np.testing.assert_allclose(found[1], np.stack([np.outer(x, [1.0, -1.0]) for x in XS], axis=-1))
    assert float(found[2]) == 3.0


def test_results_that_do_not_depend_are_repeated() -> None:
    x = gc.input("x", ("n", 2))
    many = gc.vmap(lambda x: (gc.constant([1.0, 2.0]), 3.0))(x)
    assert [m.shape for m in many] == [(x.shape[0], 2), (x.shape[0],)]
    np.testing.assert_array_equal(evaluate([many[1]], env={"n": 3})[0], [3.0, 3.0, 3.0])


def test_params_and_constants_are_the_same_for_all() -> None:
    w = gc.param(np.array([1.0, 2.0, 3.0]), name="w")
    found = run(gc.vmap(lambda x: gc.dot(w, x) + gc.constant(1.0)), XS)
    np.testing.assert_allclose(found, XS @ [1.0, 2.0, 3.0] + 1.0)


def test_over_new_axes_of_tensors() -> None:
    """For tensors already built: over an input, a param, a computed tensor, and several together."""
    x, w = gc.input("x", (3,)), gc.param(np.ones(3), name="w")
    u = gc.sin(x)
    y = {"dot": gc.dot(u, w), "x": x}
    xs, ws = gc.input("xs", ("n", 3)), gc.input("ws", ("n", 3))
    given = {x: XS[0], xs: XS, ws: YS}
    cases = [
        ({x: xs}, np.sin(XS) @ np.ones(3), XS),
        ({w: ws}, YS @ np.sin(XS[0]), np.tile(XS[0], (4, 1))),
        ({u: ws}, YS @ np.ones(3), np.tile(XS[0], (4, 1))),
        ({x: xs, w: YS}, np.sum(np.sin(XS) * YS, axis=1), XS),
    ]
    for over, dots, same in cases:
        many = gc.vmap(y, over=over)
        found = evaluate([many["dot"], many["x"]], given, {"n": 4})
        np.testing.assert_allclose(found[0], dots)
        np.testing.assert_allclose(found[1], same)
    assert gc.vmap(gc.outer(x, x), over={x: xs}, out_axes=1).shape == (3, xs.shape[0], 3)


def test_a_long_chain_does_not_recurse() -> None:
    x = y = gc.input("x")
    for _ in range(5000):
        y = y + x * 0.001
    xs = np.array([1.0, 2.0])
    np.testing.assert_allclose(evaluate([gc.vmap(y, over={x: xs})], {})[0], 6.0 * xs)


# with derivatives, and with itself


def energy(x: Any, y: Any) -> Any:
    return gc.sum(gc.exp(x * 0.3) * gc.sort(y)) + gc.prod(x) * gc.logsumexp(y)


@pytest.mark.parametrize("in_axes", [(0, 0), (0, None), (None, 0)], ids=str)
def test_gradients_of_each_sample(in_axes: tuple[int | None, ...]) -> None:
    arrays = [a[0] if k is None else a for a, k in zip((XS, YS), in_axes, strict=True)]
    for argnums in (0, 1):
        f = gc.grad(energy, argnums=argnums)
        np.testing.assert_allclose(run(gc.vmap(f, in_axes=in_axes), *arrays), looped(f, in_axes, *arrays), rtol=1e-12)


def test_gradient_of_a_mean_over_samples() -> None:
    """grad of vmap: what all samples share collects the gradients of all."""
    found = run(lambda x, ys: gc.grad(gc.mean(gc.vmap(energy, in_axes=(None, 0))(x, ys)), x), XS[1], YS)
    want = looped(gc.grad(energy), (None, 0), XS[1], YS).mean(axis=0)
    np.testing.assert_allclose(found, want, rtol=1e-12)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_jacobian_of_vmap_and_vmap_of_jacobian(mode: str) -> None:
    def f(x: Any) -> Any:
        return gc.softmax(x) * x[0]

    each = run(gc.vmap(gc.jacobian(f, mode=mode)), XS)
    np.testing.assert_allclose(each, looped(gc.jacobian(f), (0,), XS), rtol=1e-12)
    whole = run(lambda xs: gc.jacobian(gc.vmap(f)(xs), xs, mode=mode), XS)
    np.testing.assert_allclose(whole, np.einsum("ikl,ij->ikjl", each, np.eye(4)), rtol=1e-12, atol=1e-15)


def test_second_derivatives_of_each_sample() -> None:
    hessian = gc.hessian(energy)
    np.testing.assert_allclose(run(gc.vmap(hessian), XS, YS), looped(hessian, (0, 0), XS, YS), rtol=1e-11)

    def product(x: Any, y: Any, v: Any) -> Any:
        return gc.hvp(energy)(x, y, v=v)

    found = run(gc.vmap(product, in_axes=(0, 0, None)), XS, YS, XS[0])
    np.testing.assert_allclose(found, looped(hessian, (0, 0), XS, YS) @ XS[0], rtol=1e-11)


def test_tangents_of_each_sample() -> None:
    def along(x: Any, v: Any) -> Any:
        return gc.jvp(gc.cumulative_prod(x), x, v)

    np.testing.assert_allclose(run(gc.vmap(along), XS, YS), looped(along, (0, 0), XS, YS), rtol=1e-12)
    through = run(lambda xs, vs: gc.jvp(gc.vmap(gc.cumulative_prod)(xs), xs, vs), XS, YS)
    np.testing.assert_allclose(through, looped(along, (0, 0), XS, YS), rtol=1e-12)


@pytest.mark.parametrize("named", [False, True], ids=["known", "named"])
def test_vmap_of_vmap(named: bool) -> None:
    """All pairs of rows, and the gradient of each pair."""
    table = gc.vmap(gc.vmap(gc.dot, in_axes=(None, 0)), in_axes=(0, None))
    np.testing.assert_allclose(run(table, XS, YS, named=named), XS @ YS.T)

    def distance(x: Any, y: Any) -> Any:
        return gc.sum((x - y) ** 2)

    pairs = gc.vmap(gc.vmap(gc.grad(distance), in_axes=(None, 0)), in_axes=(0, None), out_axes=1)
    want = 2 * (XS[None] - YS[:, None])
    np.testing.assert_allclose(run(pairs, XS, YS, named=named), want)


def test_custom_gradients_keep_their_rule() -> None:
    """The rule of one sample, for all: in grad of vmap, with an operand that all share, and to second order."""
    scaled = gc.custom_gradient(
        lambda x, w: gc.sum(gc.sin(x) * w), lambda ct, x, w: (ct * gc.cos(x) * w * 10.0, ct * gc.sin(x))
    )
    each = run(gc.vmap(gc.grad(scaled), in_axes=(0, None)), XS, YS[0])
    np.testing.assert_allclose(each, 10 * np.cos(XS) * YS[0])

    def total(xs: Any, w: Any) -> Any:
        return gc.sum(gc.vmap(scaled, in_axes=(0, None))(xs, w))

    np.testing.assert_allclose(run(gc.grad(total), XS, YS[0]), 10 * np.cos(XS) * YS[0])
    np.testing.assert_allclose(run(gc.grad(total, argnums=1), XS, YS[0]), np.sin(XS).sum(axis=0))

    def squares(xs: Any, w: Any) -> Any:
        return gc.sum(gc.grad(total)(xs, w) ** 2)

    want = -2 * (10 * YS[0]) ** 2 * np.cos(XS) * np.sin(XS)
    np.testing.assert_allclose(run(gc.grad(squares), XS, YS[0]), want)
    nested = gc.vmap(gc.vmap(scaled, in_axes=(0, None)), in_axes=(None, 0))
    found = run(lambda xs, ws: gc.grad(gc.sum(nested(xs, ws)), xs), XS, YS)
    np.testing.assert_allclose(found, 10 * np.cos(XS) * YS.sum(axis=0))


def test_batched_rules_are_shared() -> None:
    f = gc.custom_gradient(lambda x: gc.sin(x), lambda ct, x: ct)
    x, xs = gc.input("x"), gc.input("xs", ("n",))
    assert gc.vmap(f(x), over={x: xs}) is gc.vmap(f(x), over={x: xs})


# compiled


def test_arrays_compile_once() -> None:
    per_example = gc.vmap(gc.value_and_grad(lambda w, x, t: (gc.dot(w, x) - t) ** 2), in_axes=(None, 0, 0))
    w, t = np.array([1.0, -1.0, 0.5]), np.array([1.0, 2.0, 3.0, 4.0])
    for count in (4, 2):
        values, bars = per_example(w, XS[:count], t[:count])
        residual = XS[:count] @ w - t[:count]
        np.testing.assert_allclose(values, residual**2)
        np.testing.assert_allclose(bars, 2 * residual[:, None] * XS[:count])
    assert len(per_example.steps) == 1


def test_compiled_gather_scatter_and_sort() -> None:
    """One step with the rules that move elements by index, for all samples, against the reference."""
    x, i = gc.input("x", ("s", "n")), gc.input("i", ("s", 2), "int64")

    def f(x: Any, i: Any) -> Any:
        return gc.sum(gc.sort(x) * gc.cumulative_sum(x)) + gc.sum(gc.take(x, i) * x.at[i].add(1.0)[:2])

    outputs = [gc.vmap(f)(x, i), gc.grad(gc.sum(gc.vmap(f)(x, i)), x)]
    step = gc.compile([x, i], outputs)
    given = {x: XS, i: np.array([[0, 1], [2, 2], [-1, 0], [1, 1]])}
    for found, want in zip(step(*given.values()), evaluate(outputs, given), strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-12)


# errors


def failing(call: Callable[[], Any], kind: type[GraphcError] = ShapeError) -> str:
    with pytest.raises(kind) as error:
        call()
    return str(error.value)


def test_error_texts() -> None:
    x, y, s = gc.input("x", (3, 2)), gc.input("y", (4, 2)), gc.input("s")
    cases = [
        (lambda: gc.vmap(gc.add)(x, y), "cannot vmap: got x1: 3 samples, x2: 4 samples, expected as many of each"),
        (lambda: gc.vmap(lambda a, b: a * b)(x, 2.0), "cannot vmap over axis 0 of b: got x: float64[], expected"),
        (lambda: gc.vmap(lambda a, b: a * b)(x, 2.0), "hint: give None in in_axes for what is the same for all"),
        (lambda: gc.vmap(gc.sin, in_axes=2)(x), "cannot vmap over axis 2"),
        (lambda: gc.vmap(gc.sin, in_axes=None)(x), "vmap over nothing: got None, expected an axis of some argument"),
        (lambda: gc.vmap(gc.add, in_axes=(0,))(x, x), "bad in_axes in vmap: got (0,), expected one for each of 2"),
        (
            lambda: gc.vmap(gc.sin, in_axes=([0],))(x),
            "bad in_axes in vmap: got [0], expected ints and None, nested as *",
        ),
        (lambda: gc.vmap(gc.sin, out_axes=(0, 0))(x), "bad out_axes in vmap: got (0, 0), expected ints and None"),
        (lambda: gc.vmap(gc.sin, out_axes=None)(x), "out_axes is None for a result that depends on the sample: got"),
        (lambda: gc.vmap(gc.sin, out_axes=2)(x), "axis out of range in vmap: got 2, expected -2 <= axis < 2"),
        (lambda: gc.vmap(1.0), "cannot vmap: got 1.0, expected a function, or tensors with over={x: xs}"),
        (lambda: gc.vmap(s, over={}), "vmap over nothing: got {}, expected an axis of some argument, or a tensor"),
        (
            lambda: gc.vmap(s, over={1.0: x}),
            "vmap over nothing: got 1.0, expected an axis of some argument, or a tensor",
        ),
        (lambda: gc.vmap(s, over={s: x}), "cannot vmap over s: got float64[3, 2], expected float64[] with one more"),
    ]
    for call, want in cases:
        text = failing(call)
        assert want in text, text
        assert "test_vmap.py" in text


def test_numbers_of_samples_that_only_a_call_knows() -> None:
    x, y = gc.input("x", ("n",)), gc.input("y", ("m",))
    many = gc.vmap(gc.add)(x, y)
    np.testing.assert_array_equal(evaluate([many], {x: np.ones(3), y: np.ones(3)})[0], 2 * np.ones(3))
    assert "got m is 2 and n is 3" in failing(lambda: evaluate([many], {x: np.ones(3), y: np.ones(2)}))
    known = gc.vmap(gc.add)(y, gc.input("z", (1,)))
    assert known.shape == (1,), "a size of 1 does not stretch"
    assert "got m is 3 and 1 is 1" in failing(lambda: evaluate([known], {y: np.ones(3)}))


def test_eager_tensors_are_refused_by_name() -> None:
    text = failing(lambda: gc.vmap(gc.eager.sin)(gc.eager.tensor([1.0])), UnsupportedError)
    assert "gc.vmap of eager tensors: expected symbolic tensors, or a function called with arrays" in text
    assert "hint: call it with arrays (x.numpy()): it is then traced and compiled" in text
