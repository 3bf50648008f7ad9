"""Forward mode, Jacobians, Hessians and their products: against formulas, differences, NumPy, and reverse mode."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.autodiff import jacobian as matrices
from graphc.errors import GradientError, GraphcError, UnsupportedError
from graphc.ir.evaluate import bind_dims, evaluate
from graphc.testing import generate

X = np.array([0.5, -1.5, 2.0])
V = np.array([1.0, -2.0, 0.25])
A = np.array([[1.0, 2.0, -1.0], [0.5, -0.25, 3.0]])


def run(f: Callable[..., Any], *arrays: Any, named: bool = False) -> Any:
    """``f(*arrays)`` by the reference interpreter, with int sizes or with a named dim for each size."""
    given = [np.asarray(a) for a in arrays]
    inputs = [
        gc.input(f"x{k}", tuple(f"n{n}" for n in a.shape) if named else a.shape, a.dtype) for k, a in enumerate(given)
    ]
    result = f(*inputs)
    several = isinstance(result, (tuple, list))
    env = {f"n{n}": n for a in given for n in a.shape}
    values = evaluate(list(result) if several else [result], dict(zip(inputs, given, strict=True)), env)
    return values if several else values[0]


def differences(f: Callable[..., Any], x: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """The Jacobian of `f`, of shape ``f(x).shape + x.shape``, by central differences."""
    columns = []
    for place in np.ndindex(x.shape):
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved[place] += sign * step
            ends.append(run(f, moved))
        columns.append((ends[0] - ends[1]) / (2 * step))
    return np.stack(columns, axis=-1).reshape(*columns[0].shape, *x.shape)


def network(x: Any) -> Any:
    """Three numbers to two, through a product of matrices, a softmax and a running sum."""
    return gc.cumulative_sum(gc.tanh(gc.constant(A) @ gc.softmax(x)) * gc.exp(x[1]))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "network": network,
    "sort": lambda x: gc.sort(x) * gc.arange(3),
    "outer": lambda x: gc.outer(x, gc.sin(x)),
    "prod": lambda x: gc.prod(x) + gc.max(x) * gc.ones(2),
    "gather": lambda x: gc.take(x, [2, 2, 0]) ** 3,
    "write": lambda x: gc.stack([x.at[1].set(x[0] * x[2]), x]),
    "scalar": lambda x: gc.sum(x**3),
    "norms": lambda x: gc.logsumexp(x) + gc.vector_norm(x) * x[::-1],
}


# forward mode


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("named", [False, True], ids=["known", "named"])
def test_jvp_is_the_derivative_along_a_direction(name: str, named: bool) -> None:
    f = FUNCTIONS[name]
    found = run(
        lambda x, v: gc.jvp(f(x), x, v), X, V, named=named and name not in ("sort", "gather", "write", "network")
    )
    np.testing.assert_allclose(found, differences(f, X) @ V, rtol=1e-7, atol=1e-7)


def test_jvp_of_several_outputs_and_operands() -> None:
    x, y, v = gc.input("x"), gc.input("y"), gc.input("v")
    dots = gc.jvp({"product": x * y, "free": gc.constant(1.0)}, [x, y], [v, 10.0])
    given = {x: np.array(2.0), y: np.array(3.0), v: np.array(1.0)}
    assert [float(d) for d in evaluate([dots["product"], dots["free"]], given)] == [23.0, 0.0]


def test_jvp_by_a_computed_tensor_is_the_transpose_of_vjp() -> None:
    """What flows into `u` from `x` comes on top of the tangent of `u`."""
    x, a, b = gc.input("x"), gc.input("a"), gc.input("b")
    u = x * x
    given = {x: np.array(3.0), a: np.array(1.0), b: np.array(1.0)}
    (dot,) = evaluate([gc.jvp(5.0 * u, [x, u], [a, b])], given)
    bars = evaluate(gc.vjp(5.0 * u, [x, u], 1.0), given)
    assert float(dot) == float(bars[0] + bars[1]) == 35.0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_jvp_keeps_dtype_and_empty_shapes(dtype: str) -> None:
    x = np.zeros((0, 3), dtype)
    for named in (False, True):
        found = run(lambda x: gc.jvp(gc.sum(gc.exp(x), axis=0), x, gc.ones_like(x)), x, named=named)
        assert (found.shape, found.dtype) == ((3,), np.dtype(dtype))


def test_integers_on_the_way_carry_no_tangent() -> None:
    found = run(lambda x: gc.jvp(gc.constant(X)[gc.argsort(x)] + gc.floor(x) + x, x, gc.ones_like(x)), X)
    np.testing.assert_array_equal(found, np.ones(3))


def test_the_branch_not_taken_gives_nothing() -> None:
    """sqrt has an infinite slope at 0; what `where` leaves out stays out, in forward mode and forward over reverse."""
    x = np.array([0.0, 4.0])

    def f(x: Any) -> Any:
        return gc.where(x > 0, gc.sqrt(x), 0.0)

    np.testing.assert_allclose(run(lambda x: gc.jvp(f(x), x, gc.ones_like(x)), x), [0.0, 0.25])
    np.testing.assert_allclose(run(lambda x: gc.hvp(gc.sum(f(x)), x, gc.ones_like(x)), x), [0.0, -1 / 32])
    np.testing.assert_allclose(run(lambda x: gc.hessian(gc.sum(f(x)), x), x), [[0.0, 0.0], [0.0, -1 / 32]])


def dot_products(seed: int) -> tuple[float, float, str] | None:
    """<ct, J t> and <J' ct, t> of a random program, all its inputs as operands; None where it has no finite ones."""
    program = generate(random.Random(seed), dtypes=("float64",))
    traced = program.trace()
    outputs = [o for o in traced.outputs if o.dtype.kind == "f"]
    wrt = [x for x in traced.inputs if x.dtype.kind == "f"]
    given = dict(zip(traced.inputs, program.calls[0].values(), strict=True))
    env = bind_dims(traced.inputs, list(given.values()))
    rng = np.random.default_rng(seed)
    tangents = [gc.input("t", x.shape) for x in wrt]
    cts = [gc.input("ct", y.shape, y.dtype) for y in outputs]
    given.update({t: rng.uniform(-1, 1, given[x].shape) for t, x in zip(tangents, wrt, strict=True)})
    given.update({c: rng.uniform(-1, 1, v.shape) for c, v in zip(cts, evaluate(outputs, given, env), strict=True)})
    if "custom_gradient" in program.text:
        return None  # which has no forward rule
    pushed = gc.jvp(outputs, wrt, tangents)
    assert [d.aval for d in pushed] == [y.aval for y in outputs], program.text
    dots = evaluate(pushed, given, env)
    bars = evaluate(gc.vjp(outputs, wrt, cts), given, env)
    if not any(d.any() for d in dots) or not all(np.isfinite(a).all() for a in (*dots, *bars)):
        return None
    across = sum(np.sum(given[c] * d) for c, d in zip(cts, dots, strict=True))
    back = sum(np.sum(given[t] * b) for t, b in zip(tangents, bars, strict=True))
    return float(across), float(back), program.text


def test_forward_against_reverse_on_random_programs() -> None:
    compared = [found for found in map(dot_products, range(160)) if found is not None]
    assert len(compared) > 50
    for across, back, text in compared:
        tolerance = 1e-4 if "float32" in text else 1e-9
        np.testing.assert_allclose(across, back, rtol=tolerance, atol=tolerance, err_msg=text)


def test_a_long_chain_does_not_recurse() -> None:
    x = y = gc.input("x", ())
    for _ in range(5000):
        y = y + x * 0.001
    dot = gc.jvp(y, x, 1.0)
    np.testing.assert_allclose(evaluate([dot], {x: np.array(1.0)})[0], 6.0)


# jacobians


@pytest.mark.parametrize("mode", ["forward", "reverse", None])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_jacobian_against_differences(name: str, mode: str | None) -> None:
    f = FUNCTIONS[name]
    found = run(lambda x: gc.jacobian(f(x), x, mode=mode), X)
    np.testing.assert_allclose(found, differences(f, X), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
@pytest.mark.parametrize("shape", [(2, 3), (0, 3), (1, 1), (4,), (0,), ()])
@pytest.mark.parametrize("named", [False, True], ids=["known", "named"])
def test_jacobian_shapes(shape: tuple[int, ...], mode: str, named: bool) -> None:
    x = np.arange(np.prod(shape, dtype=int)).reshape(shape) + 1.0
    found = run(lambda x: gc.jacobian(gc.stack([x**2, 3.0 * x], axis=-1), x, mode=mode), x, named=named)
    assert found.shape == (*shape, 2, *shape)
    eye = np.eye(x.size)
    want = np.stack([eye * (2 * x).reshape(-1, 1), 3 * eye], axis=1).reshape(found.shape)
    np.testing.assert_array_equal(found, want)


@pytest.mark.parametrize("mode", ["forward", "reverse", None])
@pytest.mark.parametrize("shape", [(), (3,)])
def test_a_jacobian_has_the_dtype_of_wrt(shape: tuple[int, ...], mode: str | None) -> None:
    for by, of in (("float64", "float32"), ("float32", "float64"), ("float32", "float32")):
        x = gc.input("x", shape, by)
        found = gc.jacobian([gc.astype(x, of) ** 2, gc.sum(gc.astype(x, of))], x, mode=mode)
        assert [j.dtype for j in found] == [by, by]


def test_jacobian_nestings() -> None:
    """Of a nesting by a nesting: rows by the outputs, in each the nesting of `wrt`."""
    x, y = gc.input("x", (3,)), gc.input("y")
    given = {x: X, y: np.array(2.0)}
    blocks = gc.jacobian({"p": x * y, "q": y**3}, (x, [y]))
    found = evaluate([blocks["p"][0], blocks["p"][1][0], blocks["q"][0], blocks["q"][1][0]], given)
    for value, want in zip(found, (2 * np.eye(3), X, np.zeros(3), 12.0), strict=True):
        np.testing.assert_allclose(value, want)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_jacobian_does_not_grow_with_the_size(mode: str) -> None:
    counts = []
    for n in (3, 500, "n"):
        x = gc.input("x", (n,))
        counts.append(len(gc.Graph([x], [gc.jacobian(gc.sin(x) * gc.sum(x), x, mode=mode)])))
    assert counts[0] == counts[1] and abs(counts[2] - counts[1]) <= 2


CHOICES = [((3,), (4,), "forward"), ((4,), (3,), "reverse"), ((3,), (3,), "reverse")]


@pytest.mark.parametrize(("x", "y", "want"), [*CHOICES, (("n",), (99,), "reverse"), ((99,), ("n",), "forward")])
def test_the_mode_of_fewer_passes(x: Any, y: Any, want: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[str] = []
    for mode in ("forward", "reverse"):
        monkeypatch.setattr(matrices, f"{mode}_jacobian", lambda *a, mode=mode: chosen.append(mode) or [[a[1][0]]])
    source = gc.input("x", x)
    gc.jacobian(gc.broadcast_to(gc.sum(source), gc.input("y", y).shape), source)
    assert chosen == [want]


# second and higher orders


def quartic(x: Any) -> Any:
    return gc.sum(gc.exp(x * 0.5) * gc.constant(A) @ x) + x[0] ** 3 * x[1] * x[2]


@pytest.mark.parametrize("named", [False, True], ids=["known", "named"])
def test_hessian_and_its_product(named: bool) -> None:
    def f(x: Any) -> Any:
        return gc.sum(gc.sin(x) * gc.sum(x**2))

    s, c, q = np.sin(X), np.cos(X), np.sum(X**2)
    want = -np.diag(s * q) + 2 * np.outer(c, X) + 2 * np.outer(X, c) + 2 * np.sum(s) * np.eye(3)
    np.testing.assert_allclose(run(lambda x: gc.hessian(f(x), x), X, named=named), want, rtol=1e-12)
    np.testing.assert_allclose(run(lambda x, v: gc.hvp(f(x), x, v), X, V, named=named), want @ V, rtol=1e-12)


def test_hessian_against_differences_of_the_gradient() -> None:
    found = run(lambda x: gc.hessian(quartic(x), x), X)
    np.testing.assert_allclose(found, differences(lambda x: gc.grad(quartic(x), x), X), rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(found, found.T, rtol=1e-12)
    np.testing.assert_allclose(run(lambda x: gc.jacobian(gc.grad(quartic(x), x), x, mode="reverse"), X), found)


def test_hessian_of_a_nesting() -> None:
    x, y = gc.input("x", (3,)), gc.input("y", (2,))
    blocks = gc.hessian(gc.sum(x) ** 2 * gc.sum(y**2), {"x": x, "y": y})
    given = {x: X, y: np.array([1.0, 3.0])}
    found = evaluate([blocks[a][b] for a in "xy" for b in "xy"], given)
    want = (np.full((3, 3), 20.0), np.outer(np.ones(3), [4.0, 12.0]), np.outer([4.0, 12.0], np.ones(3)), 2 * np.eye(2))
    for value, block in zip(found, want, strict=True):
        np.testing.assert_allclose(value, block)


def test_hvp_forms_no_hessian() -> None:
    x, v = gc.input("x", ("n",)), gc.input("v", ("n",))
    graph = gc.Graph([x, v], [gc.hvp(gc.sum(gc.tanh(x) * gc.sum(x)), x, v)])
    assert max(len(node.shape) for node in graph.nodes) == 1


def test_third_and_fourth_derivatives() -> None:
    """Every way to nest gives the derivatives of x**5: 60 x**2, then 120 x."""
    x, one = gc.input("x"), np.array(1.5)
    y = x**5
    thirds = [
        gc.grad(gc.hessian(y, x), x),
        gc.hessian(gc.grad(y, x), x),
        gc.jacobian(gc.hvp(y, x, 1.0), x, mode="forward"),
        gc.jvp(gc.jvp(gc.grad(y, x), x, 1.0), x, 1.0),
        gc.hvp(gc.jvp(y, x, 1.0), x, 1.0),
    ]
    for value in evaluate(thirds, {x: one}):
        np.testing.assert_allclose(value, 60 * 1.5**2)
    for value in evaluate([gc.grad(t, x) for t in thirds], {x: one}):
        np.testing.assert_allclose(value, 120 * 1.5)


def test_third_derivative_of_a_vector_function() -> None:
    """d3/dx3 of prod(x), by nested Jacobians: 1 where all three indices differ."""
    found = run(lambda x: gc.jacobian(gc.hessian(gc.prod(x), x), x), X)
    want = np.array([[[float(len({i, j, k}) == 3) for k in range(3)] for j in range(3)] for i in range(3)])
    np.testing.assert_allclose(found, want, atol=1e-12)


# a rule of one's own has reverse mode only

doubled = gc.custom_gradient(lambda x: gc.sin(x), lambda ct, x: ct * gc.cos(x))


def test_custom_gradient_has_no_forward_mode() -> None:
    x = gc.input("x", (3,))
    y = doubled(x)
    with pytest.raises(GradientError) as error:
        gc.jvp(y, x, V)
    text = str(error.value)
    assert "no forward derivative through custom: a custom gradient is a reverse rule only" in text
    assert "created at" in text and "y = doubled(x)" in text
    assert "hint: use reverse mode (gc.grad, gc.vjp, gc.jacobian with mode='reverse')" in text
    with pytest.raises(GradientError, match="no forward derivative"):
        gc.jacobian(y, x, mode="forward")


def test_jacobian_and_hessian_through_custom_gradient_go_back() -> None:
    jacobian = run(lambda x: gc.jacobian(gc.concat([doubled(x), x]), x), X)
    np.testing.assert_allclose(jacobian, np.concatenate([np.diag(np.cos(X)), np.eye(3)]))
    np.testing.assert_allclose(run(lambda x: gc.hessian(gc.sum(doubled(x)), x), X), -np.diag(np.sin(X)))


# functions


def test_functions_of_arrays_are_compiled() -> None:
    def f(w: Any, p: dict[str, Any]) -> Any:
        return gc.sum(gc.tanh(w * p["x"]) + p["b"] ** 2)

    w, p = np.array([0.5, 1.0]), {"x": np.array([1.0, 2.0]), "b": np.array([3.0, 4.0])}
    slope = 1 - np.tanh(w * p["x"]) ** 2
    bars = gc.grad(f, argnums=(0, -1))(w, p)
    np.testing.assert_allclose(bars[0], slope * p["x"])
    np.testing.assert_allclose(bars[1]["b"], 2 * p["b"])
    second = gc.hessian(f, argnums=1)(w, p)
    np.testing.assert_allclose(second["b"]["b"], 2 * np.eye(2))
    np.testing.assert_allclose(second["x"]["b"], np.zeros((2, 2)))


def test_functions_of_tensors_build_graphs() -> None:
    x, v = gc.input("x", (3,)), gc.input("v", (3,))

    def f(x: Any) -> Any:
        return gc.sin(x) * x[0]

    def scalar(x: Any) -> Any:
        return gc.sum(f(x))

    assert gc.jvp(f)(x, tangents=v) is gc.jvp(f(x), x, v)
    assert gc.vjp(f)(x, ct=v) is gc.vjp(f(x), x, v)
    assert gc.hvp(scalar)(x, v=v) is gc.hvp(scalar(x), x, v)
    assert gc.grad(scalar)(x) is gc.grad(scalar(x), x)
    found = evaluate([gc.jacobian(f)(x), gc.jacobian(f(x), x), gc.hessian(scalar)(x), gc.hessian(scalar(x), x)], {x: X})
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[2], found[3])


def test_several_argnums_take_tuples_of_tangents() -> None:
    product = gc.jvp(lambda x, k, y: x * y * k, argnums=(0, 2))
    np.testing.assert_allclose(product(2.0, 10.0, 3.0, tangents=(1.0, 0.5)), 40.0)


def test_one_step_for_all_orders() -> None:
    """Value, gradient, products, Jacobian and Hessian in one step, against the reference, sharing the forward part."""
    x, v = gc.input("x", ("n",)), gc.input("v", ("n",))
    y = gc.sum(gc.exp(gc.sin(x)) * gc.sum(x))
    g = gc.grad(y, x)
    outputs = [y, g, gc.hvp(y, x, v), gc.hessian(y, x), gc.jacobian(gc.cos(x) * x[0], x)]
    step = gc.compile([x, v], outputs)
    for n in (3, 1):
        given = {x: X[:n], v: V[:n]}
        for found, want in zip(step(X[:n], V[:n]), evaluate(outputs, given), strict=True):
            np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-14)
    ops = [node.op.name for node in gc.Graph([x, v], [y, g, outputs[2]]).nodes]
    assert (ops.count("exp"), ops.count("sin")) == (1, 1)


# errors


def failing(call: Callable[[], Any], kind: type[GraphcError] = GradientError) -> str:
    with pytest.raises(kind) as error:
        call()
    return str(error.value)


def test_error_texts() -> None:
    x, k = gc.input("x", (3,)), gc.input("k", (3,), "int64")
    v = gc.input("v", (2,))
    cases: Sequence[tuple[Callable[[], Any], str]] = [
        (lambda: gc.jvp(x, k, V), "derivative with respect to k: got int64[3], expected a float tensor"),
        (lambda: gc.jacobian(k, x), "derivative of an integer: got y: int64[3], expected a float tensor"),
        (lambda: gc.jvp(x, x, v), "tangent does not match its tensor: got float64[2], expected float64[3]"),
        (lambda: gc.jvp(x, x, [V, V]), "wrong number of tangents: got 2, expected 1, one for each tensor"),
        (lambda: gc.jvp(x, x), "wrong number of tangents: got none, expected 1, one for each tensor"),
        (lambda: gc.vjp(x, x, v), "cotangent does not match its output: got float64[2], expected float64[3]"),
        (lambda: gc.hvp(gc.sum(x), x, v), "vector does not match its tensor: got float64[2], expected float64[3]"),
        (lambda: gc.jvp(x, x, gc.input("f", (3,), "float32")), "got float32[3], expected float64[3]"),
        (lambda: gc.jvp(x, 1.0, 1.0), "cannot differentiate with respect to: got 1.0, expected a tensor, or a nesting"),
        (lambda: gc.grad(None, x), "cannot differentiate: got None, expected a tensor or a function"),
        (lambda: gc.jacobian(x, x, mode="fast"), "unknown mode of jacobian: got 'fast', expected 'forward', 'reverse'"),
        (lambda: gc.hessian(x, x), "gradient of a non-scalar: got y: float64[3], expected a 0-d float tensor"),
        (lambda: gc.hessian([x, x], x), "gc.hessian is of one tensor: got 2 tensors, expected a 0-d float tensor"),
        (lambda: gc.jvp(gc.sin)(x), "gc.jvp of a function needs tangents: expected a call f(x, tangents=...)"),
        (lambda: gc.jacobian(gc.sin, argnums=1)(x), "argnums out of range: got 1, expected one of 1 positional"),
    ]
    for call, want in cases:
        text = failing(call)
        assert want in text, text
        assert "test_derivatives.py" in text


def test_eager_tensors_are_refused_by_name() -> None:
    x = gc.eager.tensor([1.0, 2.0], requires_grad=True)
    text = failing(lambda: gc.jvp(gc.eager.sin)(x, tangents=x), UnsupportedError)
    assert "gc.jvp of eager tensors: expected symbolic tensors, or a function called with arrays" in text
    assert "hint: call gc.jvp(f) with arrays (x.numpy()): it is then traced and compiled" in text
    np.testing.assert_allclose(gc.grad(lambda x: gc.eager.sum(x * x))(x).numpy(), [2.0, 4.0])


def test_positions_in_the_place_of_wrt():
    f = lambda a, b: a * b
    assert gc.grad(f, 1)(3.0, 2.0) == 3.0
    assert gc.grad(f, (0, 1))(3.0, 2.0) == (2.0, 3.0)
    assert gc.value_and_grad(f, 1)(3.0, 2.0) == (6.0, 3.0)
    assert gc.hessian(lambda a, b: a**2 * b**3, 1)(1.0, 2.0) == 12.0


def test_what_does_not_go_together():
    x = gc.input("x")
    with pytest.raises(
        gc.GradientError, match=r"gc\.grad of a function is a function of the same arguments: got wrt='a'"
    ):
        gc.grad(lambda a: a, "a")
    with pytest.raises(gc.GradientError, match=r"of a function is a function of the same arguments"):
        gc.vjp(lambda a: a, None, 1.0)
    with pytest.raises(gc.GradientError, match=r"argnums goes with a function in gc\.grad"):
        gc.grad(x * x, x, argnums=3)
