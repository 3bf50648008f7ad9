"""Updates that join the product of matrices which gives their gradient: when they do, when not, and what comes out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.ir.evaluate import evaluate
from graphc.ir.graph import Graph
from graphc.passes.pipeline import optimise
from graphc.schedule import chunks, products, updates
from graphc.schedule import cluster as clusters
from graphc.testing.plain import Runner

K, M = 80, 40  # so large that no chunk of the rows of x is worth a sum of its own
RATE, MOMENTUM = 0.1, 0.9


@pytest.fixture(autouse=True)
def small_sizes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Cut these small arrays as large ones are."""
    monkeypatch.setattr(chunks, "GRAIN", 20)
    monkeypatch.setattr(updates, "BLOCK", 4)
    monkeypatch.setattr(updates, "LEAST", K * M)
    yield


def data(n: int = 9) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    return draw.normal(size=(n, K)), draw.integers(0, M, n), draw.normal(size=(K, M)) / K


def descent(threads: int | None = None) -> tuple[gc.Step, gc.Param, gc.Param]:
    """A layer and its loss, with momentum: the gradient of its weights is a product that only the update reads."""
    x, t = gc.input("x", ("n", K), "float64"), gc.input("t", "n", "int64")
    w, speed = gc.param(data()[2], "w"), gc.param(np.zeros((K, M)), "speed")
    scores = gc.log_softmax(x @ w, axis=1)
    loss = -gc.mean(gc.take_along_axis(scores, t[:, None], axis=1))
    faster = MOMENTUM * speed + gc.grad(loss, w)
    return gc.compile([x, t], loss, {speed: faster, w: w - RATE * faster}, threads=threads), w, speed


def joined(step: gc.Step) -> list[set[str]]:
    """The ops of kernels behind the check for errors that multiply matrices."""
    kernels = step.plan.kernels[step.plan.commit :]
    found = [{node.op.name for node in kernel.nodes} for kernel in kernels]
    return [ops for ops in found if "contract" in ops]


def test_momentum_against_numpy() -> None:
    step, w, speed = descent()
    (ops,) = joined(step)
    assert {"contract", "subtract"} <= ops
    x, t, now = data()
    faster = np.zeros_like(now)
    for _ in range(3):
        z = x @ now
        share = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        want = -np.log(share[np.arange(len(t)), t]).mean()
        share[np.arange(len(t)), t] -= 1
        faster = MOMENTUM * faster + x.T @ share / len(t)
        now = now - RATE * faster
        np.testing.assert_allclose(step(x, t), want, rtol=1e-12)
        np.testing.assert_allclose(speed.value, faster, rtol=1e-11, atol=1e-14)
        np.testing.assert_allclose(w.value, now, rtol=1e-11, atol=1e-14)


def test_same_bits_for_any_number_of_threads() -> None:
    found = []
    for threads in (1, 2, 3):
        step, w, speed = descent(threads)
        x, t, _ = data(33)
        values = [step(x, t) for _ in range(3)]
        found.append([np.array(values).tobytes(), w.value.tobytes(), speed.value.tobytes()])
    assert found[0] == found[1] == found[2]


def test_an_index_out_of_range_changes_nothing() -> None:
    step, w, speed = descent()
    x, t, _ = data()
    step(x, t)
    before = w.value.tobytes(), speed.value.tobytes()
    t[3] = M
    with pytest.raises(IndexError):
        step(x, t)
    assert (w.value.tobytes(), speed.value.tobytes()) == before
    with pytest.raises(IndexError):
        step.run(x, t, steps=5)
    assert (w.value.tobytes(), speed.value.tobytes()) == before


def test_a_product_that_reads_a_changed_param_stays() -> None:
    """The gradient of each factor is a product with the other one, as it was before the step."""
    draw = np.random.default_rng(1)
    a, b = draw.normal(size=(K, M)), draw.normal(size=(M, K))
    u, v = gc.param(a, "u"), gc.param(b, "v")
    x = gc.input("x", (K, K), "float64")
    loss = gc.sum((u @ v - x) ** 2)
    du, dv = gc.grad(loss, [u, v])
    step = gc.compile([x], loss, {u: u - 1e-3 * du, v: v - 1e-3 * dv})
    assert not joined(step)
    given = draw.normal(size=(K, K))
    step(given)
    apart = 2 * (a @ b - given)
    np.testing.assert_allclose(u.value, a - 1e-3 * apart @ b.T, rtol=1e-11)
    np.testing.assert_allclose(v.value, b - 1e-3 * a.T @ apart, rtol=1e-11)


def test_a_gradient_that_others_read_stays() -> None:
    """A running sum is a kernel of its own that reads it; one that is returned is an output, which none reads."""
    x, y = gc.input("x", ("n", K), "float64"), gc.input("y", ("n", M), "float64")
    given = np.random.default_rng(2).normal(size=(9, K)), np.random.default_rng(3).normal(size=(9, M))
    start = data()[2]
    for running in (True, False):
        w = gc.param(start, "w")
        gradient = gc.grad(gc.mean((x @ w - y) ** 2), w)
        step = gc.compile([x, y], gc.cumulative_sum(gradient, axis=0) if running else gradient, {w: w - gradient})
        assert bool(joined(step)) is not running
        want = 2 * given[0].T @ (given[0] @ start - given[1]) / given[1].size
        np.testing.assert_allclose(step(*given), want.cumsum(axis=0) if running else want, rtol=1e-11, atol=1e-15)
        np.testing.assert_allclose(w.value, start - want, rtol=1e-11, atol=1e-15)


def test_a_gradient_of_another_size_or_form_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too small, so large that its tiles are, or of too few rows."""
    limits = ((updates, "LEAST", K * M + 1), (chunks, "LARGE", K * M), (updates, "LEAST_CHUNKS", K // 4 + 1))
    for module, name, limit in limits:
        with monkeypatch.context() as patch:
            patch.setattr(module, name, limit)
            assert not joined(descent()[0])


def test_joined_updates_stay_apart_and_the_report_says_why() -> None:
    """Two updates over equally many rows, each with the product of its gradient: they read the same, and stay apart."""
    x, y = gc.input("x", ("n", K), "float64"), gc.input("y", ("n", 2 * M + 10), "float64")
    u, v = gc.param(np.zeros((K, M)), "u"), gc.param(np.zeros((K, M + 10)), "v")
    loss = gc.mean((gc.concat([x @ u, x @ v], axis=1) - y) ** 2)
    du, dv = gc.grad(loss, [u, v])
    step = gc.compile([x, y], loss, {u: u - du, v: v - dv})
    assert [ops >= {"contract", "subtract"} for ops in joined(step)] == [True, True]
    assert step.kernels[-1].space == step.kernels[-2].space == (K,)
    assert step.kernels[-1].reason == "an update is joined by the product of its gradient, and by nothing else"


class Shuffled(Runner):
    """Chunks in any order, as threads may run them; what combines them behind the last."""

    def _run_plain(self, m: list[Any]) -> int:
        with np.errstate(all="ignore"):
            for position, (name, row, chunks_at) in enumerate(self.text.calls):
                if position == self.text.commit and m[0]:
                    break
                kernel, count = getattr(self.module, name), m[chunks_at] if chunks_at else 0
                if count > 1:
                    for c in np.random.default_rng(count).permutation(count):
                        kernel(m, row, int(c), 0, 0)
                kernel(m, row, count if count > 1 else 0, 1, 0)
        return int(m[0])


def layers(draw: np.random.Generator) -> tuple[gc.Tensor, gc.Tensor, list[gc.Param]]:
    """The input and the loss of a few layers, and their weights: as they are, tied, cut out, or seen otherwise."""
    weights: list[gc.Param] = []

    def new(*shape: int) -> gc.Param:
        weights.append(gc.param(draw.normal(size=shape) / 3))
        return weights[-1]

    d = int(draw.integers(2, 12))
    x = h = gc.input("x", ("n", d), "float64")
    for _ in range(draw.integers(1, 4)):
        m = int(draw.integers(2, 12))
        kind = draw.integers(5)
        if kind == 0:
            h = h @ new(d, m) + new(m)
        elif kind == 1:
            h = h @ new(m, d).T
        elif kind == 2:
            h = h @ gc.reshape(new(d * m), (d, m))
        elif kind == 3:
            h, m = gc.tanh(h @ new(d, m)) @ weights[-1].T, d
        else:
            h = h @ new(d, m + 2)[:, 1:-1]
        h, d = draw.choice([gc.tanh, gc.relu, gc.sin])(h), m
    return x, gc.mean(h * h), weights


def new_values(
    draw: np.random.Generator, w: gc.Param, g: gc.Tensor
) -> tuple[dict[gc.Param, gc.Tensor], list[gc.Tensor]]:
    """Updates with a gradient, and what of them is returned."""
    s = gc.param(draw.random(w.shape), "s")
    faster = MOMENTUM * s + g
    found: list[tuple[dict[gc.Param, gc.Tensor], list[gc.Tensor]]] = [
        ({w: w - RATE * g}, []),
        ({s: faster, w: w - RATE * faster}, []),
        ({s: w, w: w - RATE * (g + w)}, []),
        ({s: g, w: w - RATE * s}, []),
        ({s: w - RATE * g, w: s}, []),
        ({w: w - RATE * g, s: s + (w - RATE * g)}, [w - RATE * g]),
        ({w: w - RATE * g}, [g, w]),
        ({w: w - RATE * g}, [g, gc.flip(g, axis=0)]),
        ({w: gc.flip(w, axis=0) - RATE * g}, []),
    ]
    return found[draw.integers(len(found))]


def test_random_layers_in_chunks_of_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, limit in (
        *((updates, "LEAST", 1), (chunks, "GRAIN", 12), (updates, "BLOCK", 3), (clusters, "WORTH", 0)),
        *((products, "SMALL", 4), (updates, "LEAST_CHUNKS", 0)),
    ):
        monkeypatch.setattr(module, name, limit)
    joins = 0
    for seed in range(40):
        draw = np.random.default_rng(seed)
        x, loss, weights = layers(draw)
        changes: dict[gc.Param, gc.Tensor] = {}
        outputs = [loss]
        for w, g in zip(weights, gc.grad(loss, weights), strict=True):
            updated, returned = new_values(draw, w, g)
            changes |= updated
            outputs += returned
        traced = Graph([x], outputs, list(changes.items()), "step")
        run = Shuffled(optimise(traced)[0], plain=True)
        behind = run.plan.groups[run.plan.commit :]
        joins += sum(unit.kind == "dot" for group in behind for unit in group.units)
        given = draw.normal(size=(draw.choice([1, 2, 9]), x.shape[1]))
        before = {p: p.value for p in traced.params}
        wanted = evaluate([*outputs, *changes.values()], {x: given, **before}, {"n": len(given)})
        found = [*run([given]), *[p.value for p in changes]]
        for value, want in zip(found, wanted, strict=True):
            np.testing.assert_allclose(value, want, rtol=1e-10, atol=1e-12, err_msg=f"seed {seed}")
    assert joins > 10
