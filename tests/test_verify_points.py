"""Where certificates look: at all gradients, at whole values before they blame, not at bends, within their time."""

from __future__ import annotations

import gc as collector
import pickle
import weakref
from typing import Any

import numpy as np
import pytest
import sympy as sp

import graphc as gc
from graphc.autodiff import records
from graphc.verify import calculus
from graphc.verify.calculus import expanded_sizes, is_zero
from graphc.verify.points import choose_point

RNG = np.random.default_rng(0)
Q = np.linalg.qr(RNG.normal(size=(6, 6)))[0]
BENDS = "at the point the loss jumps or bends"


def skipped(certificate: gc.Certificate) -> dict[str, str]:
    return {c.what: c.how for c in certificate.skipped}


def compared(certificate: gc.Certificate) -> bool:
    """Whether all users' rules were compared with both."""
    return {c.compared for c in certificate.custom} == {"compared with SymPy, compared with differences"}


# gradients that are older nodes


def squared(v: Any) -> Any:
    return v * v


def passed_on(ct: Any, v: Any) -> Any:
    return ct


square = gc.custom_gradient(squared, passed_on)
product = gc.custom_gradient(lambda a, b: gc.sum(a * b * 2.0), lambda ct, a, b: (b, a))
right_product = gc.custom_gradient(lambda a, b: gc.sum(a * b), lambda ct, a, b: (b, a))


def test_a_gradient_that_is_the_constant_1() -> None:
    w = gc.param(1.3, name="w")
    loss = square(w)
    gradient = gc.grad(loss, w)
    assert gradient.op.name == "constant"
    for outputs in ([loss, gradient], gradient):
        with pytest.raises(gc.VerificationError, match="of custom_gradient is wrong for argument 0"):
            gc.compile([], outputs).verify()
    step = gc.compile([], [], {w: w - gradient})
    with pytest.raises(gc.VerificationError, match="of custom_gradient is wrong for argument 0"):
        step.verify()


def test_a_gradient_that_is_an_input() -> None:
    x, w = gc.input("x", (3,)), gc.param(np.array([1.0, 2.0, 3.0]), name="w")
    for rule, fits in ((product, False), (right_product, True)):
        loss = rule(w, x)
        gradient = gc.grad(loss, w)
        assert gradient is x
        step = gc.compile([x], loss, {w: w - 0.1 * gradient})
        if fits:
            found = step.verify()
            assert found.subject.endswith(" by w") and compared(found)
            assert set(skipped(found)) == {"forward mode against reverse mode"}
        else:
            with pytest.raises(gc.VerificationError, match="of custom_gradient is wrong for argument 0"):
                step.verify()


def test_a_gradient_of_what_is_gone_is_said_to_be_unchecked() -> None:
    x, w = gc.input("x", (3,)), gc.param(np.ones(3), name="w")
    step = gc.compile([x], [], {w: w - 0.1 * gc.grad(product(w, x), w)})
    collector.collect()
    (found,) = step.verify().skipped
    assert found.what == "other derivatives"
    assert found.how.startswith("the gradient by w of what was made at test_verify_points.py:")
    assert found.how.endswith(", of which nothing is left: no recorded gradient")


def test_an_unpickled_step_knows_of_no_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    w = gc.param(1.3, name="w")
    loss = square(w)
    packed = pickle.dumps(gc.compile([], [loss, gc.grad(loss, w)]))
    monkeypatch.setattr(records, "_records", {})  # as in another process
    monkeypatch.setattr(records, "_traces", {})
    (found,) = pickle.loads(packed).verify().skipped
    assert found.how == "an unpickled step has no recorded gradient"


def test_a_step_without_the_tensors_of_a_gradient_has_nothing_to_check() -> None:
    """The constant 1 may be in it for another reason."""
    w, v = gc.param(1.3, name="w"), gc.param(0.5, name="v")
    loss = square(w)
    one = gc.grad(loss, w)
    found = gc.compile([], [], {v: v - one * 0.5}).verify()
    assert found.subject == "step step: no recorded gradients" and found.skipped == ()


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda p: gc.jvp(gc.sin(p), p, np.ones(2)), "tangent"),
        (lambda p: gc.jacobian(square(p), p, mode="reverse"), "Jacobian"),
        (lambda p: gc.hessian(gc.sum(gc.sin(p)), p), "Hessian"),
        (lambda p: gc.hvp(gc.sum(gc.sin(p)), p, np.ones(2)), "product of the Hessian"),
    ],
)
def test_derivatives_of_other_kinds_are_said_to_be_unchecked(make: Any, what: str) -> None:
    collector.collect()  # derivatives of other tests leave a trace for as long as they live
    p = gc.param(np.array([0.3, 0.4]), name="p")
    found = gc.compile([], make(p)).verify()
    assert [c.how.split(" by p ")[0] for c in found.skipped if c.what == "other derivatives"] == [f"the {what}"]


def test_traces_keep_nothing_alive() -> None:
    x, w = gc.input("x", (3,)), gc.param(np.ones(3), name="w")
    losses = []
    for k in range(200):
        loss = gc.custom_gradient(lambda a, b, k=k: gc.sum(a * b * (k + 2.0)), lambda ct, a, b: (b, a))(w, x)
        assert gc.grad(loss, w) is x
        losses.append(weakref.ref(loss))
    del loss
    collector.collect()
    assert all(ref() is None for ref in losses)
    assert 0 < len(records.traces_of(x)) < 100
    serial = x.serial
    del x
    collector.collect()
    assert serial not in records._traces


# whole values

rotated = gc.custom_gradient(lambda v, q: gc.sum((q @ v) ** 2), lambda ct, v, q: (ct * 2.0 * v, None))


def test_constants_are_taken_whole_before_a_rule_is_blamed() -> None:
    a = RNG.normal(size=(5, 5))
    inverse = np.linalg.inv(a)
    y, z = gc.input("y", (6,)), gc.input("z", (5,))
    fixed = gc.custom_gradient(lambda v: gc.sum((Q @ v) ** 2), lambda ct, v: ct * 2.0 * v)
    assert compared(gc.verify(fixed(y), y))
    for factor, fits in ((1.0, True), (1.0001, False)):
        undone = gc.custom_gradient(lambda v: inverse @ (a @ v), lambda ct, v, c=factor: ct * c)
        if fits:
            assert compared(gc.verify(undone(z), z))
        else:
            with pytest.raises(gc.VerificationError, match="of custom_gradient is wrong for argument 0"):
                gc.verify(undone(z), z)


def test_params_are_taken_as_they_are_before_a_rule_is_blamed() -> None:
    y = gc.input("y", (6,))
    assert compared(gc.verify(rotated(y, gc.param(Q, name="q")), y))
    with pytest.raises(gc.VerificationError, match="of custom_gradient is wrong for argument 0"):
        gc.verify(rotated(y, gc.param(1.01 * Q, name="q")), y)


def test_given_values_are_taken_whole_before_a_rule_is_blamed() -> None:
    q, y = gc.input("q", ("n", "n")), gc.input("y", ("n",))
    found = gc.verify(rotated(y, q), y, values={q: Q})
    assert compared(found) and found.sizes == {"n": 6}
    with pytest.raises(gc.VerificationError, match="of custom_gradient is wrong for argument 0"):
        gc.verify(rotated(y, q), y)


def test_a_wrong_rule_among_arrays_too_large_for_digits_is_found() -> None:
    w, x = gc.param(RNG.normal(size=(784, 100)), name="w"), gc.input("x", ("n", 784))
    sine = gc.custom_gradient(gc.sin, lambda ct, a: ct * gc.cos(a) * 1.01)
    with pytest.raises(gc.VerificationError, match="of custom_gradient is wrong for argument 0"):
        gc.verify(gc.mean(sine(x @ w)), w, seconds=3.0)


# bends


@pytest.mark.parametrize(
    ("make", "at"),
    [
        (lambda x: 2.0 * gc.max(x), np.ones(3)),
        (lambda x: gc.sum(gc.relu(x)), np.zeros(3)),
        (lambda x: gc.sum(gc.relu(x) ** 2 + 3.0 * gc.relu(x)), np.array([0.0, 1.0, 2.0])),
        (lambda x: gc.sum(gc.maximum(x, 1.0)), np.ones(3)),
        (lambda x: gc.sum(gc.sort(x) * np.array([1.0, 2.0, 3.0])), np.ones(3)),
    ],
)
def test_a_bend_at_the_point_is_no_failure(make: Any, at: np.ndarray) -> None:
    x = gc.input("x", (3,))
    found = skipped(gc.verify(make(x), x, values={x: at}))
    assert any(how.startswith(BENDS) for how in found.values())
    assert all(how.startswith(BENDS) for how in found.values())


def test_a_wrong_rule_beside_a_bend_is_found() -> None:
    """Where another element is at its kink, and at a point where the function only bends strongly."""
    x = gc.input("x", (3,))
    wrong = gc.custom_gradient(lambda v: v**3, lambda ct, v: ct * 3.0 * v)
    with pytest.raises(gc.VerificationError, match="of custom_gradient is wrong for argument 0"):
        gc.verify(gc.sum(wrong(x) + gc.abs(x - 5.0)), x, values={x: np.array([0.5, 0.7, 2.0])})
    steep = gc.custom_gradient(lambda v: gc.cosh(1e3 * v), lambda ct, v: ct * 1001.0 * gc.sinh(1e3 * v))
    with pytest.raises(gc.VerificationError, match="of custom_gradient is wrong for argument 0"):
        gc.verify(gc.sum(steep(x)), x, values={x: np.array([0.01, 0.02, 0.03])})


# time


def test_what_would_have_too_many_terms_is_not_multiplied_out(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, c = sp.symbols("a b c")
    assert expanded_sizes((a + b + c) ** 60) == {a + b + c: 3, (a + b + c) ** 60: 1891}
    assert max(expanded_sizes((a + b) ** 3 * (a + c) ** 2 * sp.exp(a)).values()) == 12
    assert max(expanded_sizes(1 / (a + b) ** 9).values()) == 10
    assert max(expanded_sizes(a**1000 * b).values(), default=1) == 1
    assert is_zero((a + b) ** 3, a**3 + 3 * a**2 * b + 3 * a * b**2 + b**3)

    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("this would take minutes")

    for name in ("expand", "simplify", "piecewise_fold"):
        monkeypatch.setattr(sp, name, forbidden)
    assert not is_zero((a + b + c) ** 60 * sp.exp(a), (a + b) ** 60)
    assert not is_zero(a * (b + c), a * b + a * c, deadline=0.0)


def test_a_power_of_a_sum_is_compared_in_digits() -> None:
    x = gc.input("x", (3,))
    total = gc.sum(x)
    found = gc.verify(gc.sigmoid(total) * (1.0 + total) ** 60, x)
    assert found.skipped == () and found.checks[0].how == "0 by algebra, 3 at 50 digits"
    assert calculus._TERMS_LIMIT < 10_000


# integers


def test_integers_tell_a_number_from_its_square() -> None:
    x = gc.input("x", (3,))
    rule = gc.custom_gradient(
        lambda v, i: v**2 * gc.astype(i * i, "float64"), lambda ct, v, i: (ct * 2.0 * v * gc.astype(i, "float64"), None)
    )
    for shape, dtype in (((3,), "int64"), ((), "int64"), ((), "uint8")):
        with pytest.raises(gc.VerificationError, match="of custom_gradient is wrong for argument 0"):
            gc.verify(gc.sum(rule(x, gc.input("k", shape, dtype))), x)


def test_integers_that_are_indices_stay_in_range_and_repeat() -> None:
    k = gc.input("k", (3,), "int64")
    for size, distinct in ((2, 2), (3, 2), (20, 2)):
        w = gc.param(np.arange(1.0, 1.0 + size), name="w")
        point = choose_point([gc.take(w, k)], [k], {}, {})
        assert point is not None
        values = point[k].tolist()
        assert len(set(values)) == distinct and values[0] == values[2]
    assert choose_point([gc.take(gc.param(np.ones(1)), k)], [k], {}, {}) is not None
    free = choose_point([k * 2], [k], {}, {})
    assert free is not None and len(set(free[k].tolist()) - {0, 1}) == 2


# what is given


def test_a_tensor_listed_twice() -> None:
    x = gc.input("x", (3,))
    found = gc.verify(gc.sum(x**2), [x, x])
    assert found.skipped == () and found.checks[0].count == 3


def test_a_named_dim_of_nothing_but_what_it_is_differentiated_by() -> None:
    found = gc.verify(gc.input("q") ** 2, gc.input("n", ("n",)))
    assert found.skipped == () and found.error == 0.0


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (lambda x: {"x": np.ones(3)}, "bad values=: got a value for 'x', expected values for inputs and params: {x: "),
        (lambda x: {x + 1: np.ones(3)}, "bad values=: got a value for <Tensor add "),
        (lambda x: [np.ones(3)], "bad values=: got [array([1., 1., 1.])], expected {input or param: array}"),
        (lambda x: {x: np.ones(5)}, "input 'x' has the wrong size on axis 0: got float64[5], expected float64[3]"),
        (lambda x: {x: ["a", "b", "c"]}, "bad values=: got <U1[3] for x, expected float64[3]"),
        (lambda x: {gc.input("k", (), "int64"): 0.5}, "bad values=: got float64[] for k, expected int64[]"),
    ],
)
def test_bad_values(values: Any, text: str) -> None:
    x = gc.input("x", (3,))
    step = gc.compile([x], gc.sum(x**2))
    for check in (lambda: gc.verify(gc.sum(x**2), x, values=values(x)), lambda: step.verify(values(x))):
        with pytest.raises(gc.InputError) as caught:
            check()
        assert str(caught.value).startswith(text)
        assert "test_verify_points.py:" in str(caught.value)


def test_given_values_at_which_the_gradient_is_infinite() -> None:
    x = gc.input("x", (3,))
    found = skipped(gc.verify(gc.sum(gc.sqrt(x)), x, values={x: np.zeros(3)}))
    assert set(found.values()) == {"no point with the given values was found at which everything is finite"}
