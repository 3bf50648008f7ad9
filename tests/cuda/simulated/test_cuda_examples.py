"""The examples, a few steps of each, on the simulated device: what they give on the CPU."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from test_examples import example

import graphc as gc
from graphc.schedule.launches import Tiling


def both(step: gc.Step, params: list[gc.Param], *arrays: Any, steps: int, rtol: float) -> None:
    """Some steps on either target from the same values: equal outputs, equal params."""
    start = [p.value for p in params]
    found = []
    for one in (step, step.to("cuda")):
        for param, value in zip(params, start, strict=True):
            param.value = value
        history = one.run(*arrays, steps=steps)
        found.append([*(history if isinstance(history, list) else [history]), *[p.value for p in params]])
    assert not all(np.array_equal(p.value, value) for p, value in zip(params, start, strict=True))
    for here, there in zip(*found, strict=True):
        np.testing.assert_allclose(there, here, rtol=rtol, atol=rtol)


def test_line_fit() -> None:
    module = example("line_fit")
    step, w, b = module.line_step("float32", 1e-4)
    both(step, [w, b], np.array(module.T_X, "float32"), np.array(module.T_Y, "float32"), steps=20, rtol=1e-5)


def test_orthogonal_fit() -> None:
    module = example("orthogonal_fit")
    step, line, record = module.orthogonal_step()
    both(step, [*line, *record], *module.points(), steps=5, rtol=1e-12)


def test_static_and_dynamic() -> None:
    module = example("static_and_dynamic")
    step, line = module.compiled_fit()
    both(step, line, *module.data(), steps=3, rtol=1e-5)


def test_small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    module = example("small_network")
    here = module.compiled(*module.data())
    monkeypatch.setattr(gc, "compile", functools.partial(gc.compile, target="cuda"))
    there = module.compiled(*module.data())
    np.testing.assert_allclose(there[0], here[0], rtol=1e-12)
    for a, b in zip(there[1], here[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14)


def test_expression_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    module = example("expression_graph")
    here = module.main()
    monkeypatch.setattr(gc, "compile", functools.partial(gc.compile, target="cuda"))
    assert str(module.main()) == str(here)


def test_lenet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphc.schedule.parallel.WIDE", 32)  # else blocks share windows of five
    monkeypatch.setattr(
        "graphc.schedule.launches.PRODUCTS", dict.fromkeys(("float32", "float64"), (Tiling(2, 8, 8, 4),))
    )
    module = example("lenet_mnist")
    gc.nn.init.manual_seed(0)
    model = module.LeNet()
    x, t = gc.input("x", ("batch", 1, 32, 32), "float32"), gc.input("t", ("batch",), "int64")
    loss = gc.nn.cross_entropy(model(x), t)
    opt = gc.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    step = gc.compile([x, t], loss, updates=opt.minimize(loss), name="lenet")
    rng = np.random.default_rng(0)
    images = rng.normal(size=(1, 1, 32, 32)).astype("float32")
    both(step, list(step.graph.params), images, np.array([3]), steps=2, rtol=1e-5)
