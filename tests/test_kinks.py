"""The README's table of gradients at kinks is true: compiled, eagerly, and in forward mode."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import graphc as gc
from graphc.ir.evaluate import evaluate
from graphc.ir.graph import Graph
from graphc.passes.pipeline import optimise
from graphc.passes.stable import stable_outputs
from graphc.testing import check
from graphc.verify.kinks import kinks_of

README = Path(__file__).parents[1] / "README.md"
_ROW = re.compile(r"^\| `([^`]+)` \| `([^`]+)` \| `([^`]+)` \|(.*)\|$", re.M)
_NUMBERS = {"inf": np.inf, "nan": np.nan}


class Row(NamedTuple):
    """An expression of x, or of x and y, their values, and the gradient by each."""

    code: str
    at: tuple[np.ndarray, ...]
    gradient: tuple[np.ndarray, ...]
    eagerly: tuple[np.ndarray, ...]

    def build(self, *operands: Any) -> Any:
        return eval(self.code, dict(vars(gc)), dict(zip("xy", operands, strict=False)))


def arrays(text: str) -> tuple[np.ndarray, ...]:
    found = eval(text, _NUMBERS)
    return tuple(np.asarray(v, float) for v in (found if isinstance(found, tuple) else (found,)))


def table() -> list[Row]:
    section = README.read_text(encoding="utf-8").split("## Gradients at kinks")[1].split("\n## ")[0]
    rows = []
    for code, at, gradient, remark in _ROW.findall(section):
        eagerly = re.search(r"in eager mode `([^`]+)`", remark)
        rows.append(Row(code, arrays(at), arrays(gradient), arrays(eagerly[1] if eagerly else gradient)))
    assert len(rows) == section.count("\n|") - 2, "every row is read"
    return rows


ROWS = table()
NAMED = pytest.mark.parametrize("row", ROWS, ids=[f"{r.code} at {r.at}" for r in ROWS])


def inputs_of(row: Row) -> list[Any]:
    return [gc.input(name, a.shape) for name, a in zip("xy", row.at, strict=False)]


def test_compiled() -> None:
    """All rows in one step."""
    inputs, outputs, values = [], [], []
    for row in ROWS:
        operands = inputs_of(row)
        inputs += [gc.input(f"in{len(inputs) + k}", x.shape) for k, x in enumerate(operands)]
        operands = inputs[-len(operands) :]
        outputs += gc.grad(gc.sum(row.build(*operands)), operands)
        values += row.at
    assert check(inputs, outputs, calls=[values], modes=["plain", "step"]) == 2
    wanted = [g for row in ROWS for g in row.gradient]
    graph, _ = optimise(Graph(inputs, outputs))
    for got, want in zip(evaluate(graph.outputs, dict(zip(inputs, values, strict=True))), wanted, strict=True):
        np.testing.assert_array_equal(got, want)


@NAMED
def test_eagerly(row: Row) -> None:
    operands = [gc.eager.tensor(a, requires_grad=True) for a in row.at]
    with np.errstate(all="ignore"):
        gc.sum(row.build(*operands)).backward()
    for x, want in zip(operands, row.eagerly, strict=True):
        np.testing.assert_array_equal(x.grad.numpy(), want)


@NAMED
def test_forward_mode(row: Row) -> None:
    """Along each axis, by itself."""
    operands = inputs_of(row)
    y = gc.sum(row.build(*operands))
    given = dict(zip(operands, row.at, strict=True))
    for x, want in zip(operands, row.gradient, strict=True):
        basis = np.eye(max(x.size, 1)).reshape(-1, *x.shape)
        graph, _ = optimise(Graph(operands, [gc.jvp(y, x, b) for b in basis]))
        np.testing.assert_array_equal(np.reshape(evaluate(graph.outputs, given), want.shape), want)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_whole_powers_at_zero(n: int) -> None:
    x = gc.input("x")
    first = gc.grad(x**n, x)
    second = gc.grad(first, x)
    found = evaluate([first, second, gc.grad(second, x)], {x: np.array(0.0)})
    assert found == [float(n == 1), 2.0 * (n == 2), 6.0 * (n == 3)]


def test_second_derivatives_of_powers_by_the_exponent_at_zero() -> None:
    """x**y at y = 0, where the derivative by x is 0 though that by y of it is 1 / x; compiled too."""
    x, y = gc.input("x"), gc.input("y")
    first = gc.grad(x**y, [x, y])
    along = (2 + y) ** y
    outputs = [*first, *[s for f in first for s in gc.grad(f, [x, y])], gc.grad(gc.grad(along, y), y)]
    found = evaluate(outputs, {x: np.array(2.0), y: np.array(0.0)})
    log2 = np.log(2)
    np.testing.assert_allclose(found, [0, log2, 0, 0.5, 0.5, log2**2, 1 + log2**2], rtol=1e-15)
    (xx, xy), (yx, yy) = gc.hessian(x**y, [x, y])
    hessian = evaluate([xx, xy, yx, yy], {x: np.array(2.0), y: np.array(0.0)})
    np.testing.assert_allclose(hessian, found[2:6], rtol=1e-15)
    assert check([x, y], outputs, calls=[[2.0, 0.0], [0.7, -0.0], [3.0, 1.0]], modes=["plain", "step"]) == 6
    assert evaluate(first, {x: np.array(0.0), y: np.array(0.0)}) == [0.0, 0.0]


def test_third_derivatives_of_powers_by_the_exponent_at_zero() -> None:
    """d3/dx dy2 of x**y is 2 log(x) / x for y = 0, d3/dx2 dy is -1 / x**2."""
    x, y = gc.input("x"), gc.input("y")
    by_y = gc.grad(gc.grad(x**y, x), y)
    found = evaluate(gc.grad(by_y, [x, y]), {x: np.array(2.0), y: np.array(0.0)})
    np.testing.assert_allclose(found, [-0.25, np.log(2)], rtol=1e-15)


INFINITE: dict[str, tuple[Any, np.ndarray, list[float]]] = {
    "x log x": (lambda x: x * gc.log(x), np.array([0.0, 1.0]), [np.inf, 1.0]),
    "sqrt": (gc.sqrt, np.array([0.0, 1.0]), [-np.inf, -0.25]),
    "cbrt": (gc.cbrt, np.array([0.0, 1.0]), [np.nan, -2 / 9]),
    "acos": (gc.acos, np.array([1.0, 0.0]), [-np.inf, 0.0]),
    "x**1.5": (lambda x: x**1.5, np.array([0.0, 1.0]), [np.inf, 0.75]),
    "divergence": (lambda x: x * (gc.log(x) - gc.log(2 * gc.ones_like(x))), np.array([0.0, 1.0]), [np.inf, 1.0]),
    "xlogy": (lambda x: gc.xlogy(x, x), np.array([0.0, 1.0]), [np.inf, 1.0]),
    "1 / x": (lambda x: 1 / x, np.array([0.0, 1.0]), [np.inf, 2.0]),
}
"""Functions with an infinite derivative in one element, and the diagonal of the Hessian of their sum."""


@pytest.mark.parametrize("name", INFINITE)
def test_what_is_infinite_in_one_element_stays_there(name: str) -> None:
    """The tangent of the others is 0 and stays it: Hessians and their products, both modes over both.

    The infinite element itself is inf forward over reverse, as `gc.hessian` goes; the other ways it may be nan.
    """
    f, at, diagonal = INFINITE[name]
    x = gc.input("x", at.shape)
    y, unit = gc.sum(f(x)), np.array([0.0, 1.0])
    slope = gc.grad(y, x)
    matrices = [gc.hessian(y, x), *[gc.jacobian(slope, x, mode=m) for m in ("forward", "reverse")]]
    matrices += [gc.jacobian(gc.jacobian(y, x, mode="forward"), x, mode=m) for m in ("forward", "reverse")]
    *found, product = evaluate([*matrices, gc.hvp(y, x, unit)], {x: at})
    np.testing.assert_equal(found[0][0, 0], diagonal[0])
    for matrix in found:
        np.testing.assert_allclose(np.ravel(matrix)[1:], [0.0, 0.0, diagonal[1]], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(product, [0.0, diagonal[1]], rtol=1e-12, atol=1e-15)


def test_what_is_infinite_in_one_element_stays_there_compiled() -> None:
    inputs = [gc.input(f"x{k}", at.shape) for k, (_, at, _) in enumerate(INFINITE.values())]
    outputs = [gc.hessian(gc.sum(f(x)), x) for (f, _, _), x in zip(INFINITE.values(), inputs, strict=True)]
    assert check(inputs, outputs, calls=[[at for _, at, _ in INFINITE.values()]], modes=["plain", "step"]) == 2


@pytest.mark.parametrize(
    "f,at,want",
    [
        (gc.sqrt, [0.0, 1.0], [[np.inf, 0.0], [0.0, 0.5]]),
        (lambda x: 0.0 * gc.sqrt(x), [0.0, 1.0], [[0.0, 0.0], [0.0, 0.0]]),
        (lambda x: x / gc.vector_norm(x), [0.0, 0.0], [[np.inf, 0.0], [0.0, np.inf]]),
        (lambda x: gc.atan2(x[0], x[1]), [0.0, 0.0], [np.nan, np.nan]),
        (lambda x: gc.max(gc.sqrt(x)) + gc.prod(gc.sqrt(x)), [0.0, 4.0], [np.inf, 0.25]),
        (lambda x: gc.abs(gc.sqrt(x)) * 2.0, [0.0, 1.0], [[0.0, 0.0], [0.0, 1.0]]),
    ],
)
def test_both_modes_say_the_same(f: Any, at: list[float], want: Any) -> None:
    x = gc.input("x", (2,))
    for mode in ("forward", "reverse"):
        np.testing.assert_array_equal(evaluate([gc.jacobian(f(x), x, mode=mode)], {x: np.array(at)})[0], want)


def kinks(y: Any, x: Any) -> list[tuple[str, str]]:
    (form,), _ = stable_outputs([y], [x])
    return [(k.op, k.rule) for k in kinks_of(form, [x])]


def test_certificates_say_the_same() -> None:
    """Of what is differentiated: norms by the gradient they have, and nothing about what stop_gradient cuts off."""
    x, y = gc.input("x", ("n",)), gc.input("y", ("n",))
    assert kinks(gc.sqrt(gc.sum(x * x)), x) == [("sqrt", "0 at 0, as that of a norm")]
    assert kinks(gc.sqrt(x * x), x) == [("abs", "0 at 0")]
    assert kinks(gc.sqrt(x * x + y * y), x) == [("hypot", "0 at the origin")]
    assert kinks(gc.log(gc.sum(gc.exp(x))), x) == []
    assert kinks(gc.where(x > 0, gc.sqrt(x), 0.0), x) == [
        ("sqrt", "infinite at 0 (a cotangent of 0 stays 0)"),
        ("where", "that of the branch taken"),
    ]
    assert kinks(gc.maximum(x, 0.0), x) == [
        ("maximum", "half to each where they are equal, all to both where one is nan")
    ]
