"""A line through points that are noisy in both directions: the mean squared distance to the line, minimised.

A hundred points of ``y = 2.5 x + 1``, with Gaussian noise in x and in y. The distance of (x, y) from the line
``y = a x + b`` is ``|a x - y + b| / sqrt(a**2 + 1)``. The best loss and its line are params of the same step.

    python examples/orthogonal_fit.py --output orthogonal_fit.png
"""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

import numpy as np

import graphc as gc

SLOPE, INTERCEPT, NOISE, POINTS = 2.5, 1.0, 2.0, 100
SEED, RATE, STEPS = 0, 1e-5, 1000


class Fit(NamedTuple):
    """The loss before each step; the best of them, and the line that had it."""

    losses: np.ndarray
    best: float
    a: float
    b: float


def points() -> tuple[np.ndarray, np.ndarray]:
    """The noisy points; the same ones every time."""
    rng = np.random.default_rng(SEED)
    x = np.linspace(0, 100, POINTS)
    y = SLOPE * x + INTERCEPT
    return x + rng.normal(0, NOISE, POINTS), y + rng.normal(0, NOISE, POINTS)


def squared_distance(a: Any, b: Any, x: Any, y: Any) -> Any:
    """The loss, for symbolic tensors, eager tensors and arrays alike."""
    return gc.mean((a * x - y + b) ** 2 / (a**2 + 1))


def orthogonal_step() -> tuple[gc.Step, list[gc.Param], list[gc.Param]]:
    """A step of descent that also remembers the best line so far: all reads come before all writes.

    Returns the step, whose outputs are the loss and its derivatives by a and b; the params a, b; the params with the
    best loss, and the a and b that had it.
    """
    x, y = gc.input("x", ("n",)), gc.input("y", ("n",))
    a, b = line = [gc.param(0.0, name=name) for name in ("a", "b")]
    best, best_a, best_b = record = [gc.param(0.0, name=name) for name in ("best", "best_a", "best_b")]
    best.value = np.inf
    loss = squared_distance(a, b, x, y)
    da, db = gc.grad(loss, line)
    better = loss < best
    updates = {
        a: a - RATE * da,
        b: b - RATE * db,
        best: gc.where(better, loss, best),
        best_a: gc.where(better, a, best_a),
        best_b: gc.where(better, b, best_b),
    }
    return gc.compile([x, y], [loss, da, db], updates, name="orthogonal fit"), line, record


def compiled(x: np.ndarray, y: np.ndarray) -> Fit:
    """All steps in one call."""
    step, _, record = orthogonal_step()
    losses, _, _ = step.run(x, y, steps=STEPS)
    return Fit(losses, *[float(p.value) for p in record])


def eagerly(x: np.ndarray, y: np.ndarray) -> Fit:
    """The same walk on the dynamic engine, the bookkeeping in Python."""
    xs, ys = gc.eager.from_numpy(x), gc.eager.from_numpy(y)
    line = gc.eager.zeros(2, dtype="float64", requires_grad=True)
    losses, best = np.empty(STEPS), (np.inf, 0.0, 0.0)
    for k in range(STEPS):
        a, b = line
        loss = squared_distance(a, b, xs, ys)
        losses[k] = loss.item()
        best = min(best, (loss.item(), a.item(), b.item()))
        loss.backward()
        with gc.eager.no_grad():
            line -= RATE * line.grad
        line.grad = None
    return Fit(losses, *best)


def closed_form(x: np.ndarray, y: np.ndarray, b: float | None = None) -> tuple[float, float]:
    """Orthogonal regression: the best line, or the best one with intercept b, from three second moments.

    Deming regression with equal variances; the moments are taken about the mean, or about (0, b).
    """
    u, v = (x - x.mean(), y - y.mean()) if b is None else (x, y - b)
    uu, uv, vv = np.mean(u * u), np.mean(u * v), np.mean(v * v)
    a = (vv - uu + np.sqrt((vv - uu) ** 2 + 4 * uv**2)) / (2 * uv)
    return float(a), float(y.mean() - a * x.mean()) if b is None else b


def check(fit: Fit, x: np.ndarray, y: np.ndarray) -> Fit:
    """Hold the fit against the closed forms; returns the best line there is, as a fit.

    A rate of 1e-5 is as large as the slope allows, and the intercept hardly moves in 1000 steps. So the slope is
    compared with the best one for that intercept, and the loss may be a little above the least possible one.
    """
    a, b = closed_form(x, y)
    step, line, _ = orthogonal_step()
    for p, value in zip(line, (a, b), strict=True):
        p.value = value
    least, da, db = (float(v) for v in step(x, y))
    assert abs(da) < 1e-9 and abs(db) < 1e-9, "the closed form is where the compiled gradient vanishes"
    assert least < fit.best < 1.1 * least
    assert abs(fit.a - a) < 0.01 * a
    np.testing.assert_allclose(fit.a, closed_form(x, y, fit.b)[0], rtol=1e-3)
    return Fit(np.array([least]), least, a, b)


def plot(fit: Fit, best: Fit, x: np.ndarray, y: np.ndarray, output: str) -> None:
    """The points with both lines, and the loss over the steps above the least possible one."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    ends = np.array([x.min(), x.max()])
    left.plot(x, y, ".", color="tab:blue", label=f"{POINTS} points")
    left.plot(ends, fit.a * ends + fit.b, color="tab:orange", label=f"descent: {fit.a:.3f} x + {fit.b:.3f}")
    label = f"closed form: {best.a:.3f} x + {best.b:.3f}"
    left.plot(ends, best.a * ends + best.b, "--", color="black", lw=1, label=label)
    left.set(xlabel="x", ylabel="y", title="orthogonal fit")
    left.legend()
    right.semilogy(fit.losses, color="tab:orange", label="descent")
    right.axhline(best.best, color="black", ls="--", lw=1, label="least possible")
    right.set(xlabel="step", ylabel="mean squared distance", title=f"loss: {fit.losses[0]:.4g} to {fit.best:.4g}")
    right.legend()
    for axes in (left, right):
        axes.grid(True, alpha=0.3)
    figure.savefig(output, dpi=120)
    plt.close(figure)


def main(output: str | None = None) -> dict[str, Fit]:
    """Fit, check, print, and save the picture if `output` is given; the fit of each way and the best line."""
    x, y = points()
    fits = {"compiled": compiled(x, y), "eagerly": eagerly(x, y)}
    np.testing.assert_allclose(fits["compiled"].losses, fits["eagerly"].losses, rtol=1e-9)
    np.testing.assert_allclose(fits["compiled"][1:], fits["eagerly"][1:], rtol=1e-9)
    fits["closed form"] = check(fits["compiled"], x, y)
    for name, fit in fits.items():
        print(f"{name:12} loss {fit.best:.6f}, y = {fit.a:.6f} x + {fit.b:.6f}")
    print("The rate suits the slope; the intercept would need far more steps. The slope is the best for its intercept.")
    if output:
        plot(fits["compiled"], fits["closed form"], x, y, output)
        print(f"picture: {output}")
    return fits


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", default="orthogonal_fit.png", help="where the picture goes (default: %(default)s)")
    main(parser.parse_args().output)
