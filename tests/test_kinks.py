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
    """Along each axis, by itself. A tangent of 0 is no zero cotangent: 0 * sqrt(x) is nan there."""
    if row.code.startswith("0 *"):
        pytest.skip("the rule is one of cotangents")
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
