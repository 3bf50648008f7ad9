"""A straight line through eleven points by gradient descent, three times: by hand, eagerly, compiled.

Two thermometers: `T_X` is read in an unknown unit, `T_Y` in degrees Celsius. The model is ``w * x + b``, the loss the
mean squared error, the start ``w = 1, b = 0``. All three ways walk through the same numbers, in float32 and float64.

    python examples/line_fit.py --output line_fit.png
"""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

import numpy as np

import graphc as gc

T_Y = [0.5, 14.0, 15.0, 28.0, 11.0, 8.0, 3.0, -4.0, 6.0, 13.0, 21.0]
T_X = [35.7, 55.9, 58.2, 81.9, 56.3, 48.9, 33.9, 21.8, 48.4, 60.4, 68.4]
START_W, START_B = 1.0, 0.0
RATE, STEPS = 1e-2, 5000


class Fit(NamedTuple):
    """The loss before each step, and the line after the last one."""

    losses: np.ndarray
    w: float
    b: float


def by_hand(x: np.ndarray, y: np.ndarray, rate: float, steps: int) -> Fit:
    """The derivative written down: d/dw mean(r**2) = mean(2 r x), d/db mean(r**2) = mean(2 r), with r = w x + b - y."""
    w, b = x.dtype.type(START_W), x.dtype.type(START_B)
    losses = np.empty(steps, x.dtype)
    for k in range(steps):
        residual = w * x + b - y
        losses[k] = np.mean(residual**2)
        w -= x.dtype.type(rate) * np.mean(2 * residual * x)
        b -= x.dtype.type(rate) * np.mean(2 * residual)
    return Fit(losses, float(w), float(b))


def eagerly(x: np.ndarray, y: np.ndarray, rate: float, steps: int) -> Fit:
    """Every step builds a tape and walks back over it."""
    x, y = gc.eager.from_numpy(x), gc.eager.from_numpy(y)
    params = gc.eager.tensor([START_W, START_B], dtype=x.dtype, requires_grad=True)
    losses = np.empty(steps, x.dtype)
    for k in range(steps):
        w, b = params
        loss = ((w * x + b - y) ** 2).mean()
        losses[k] = loss.item()
        loss.backward()
        with gc.eager.no_grad():
            params -= rate * params.grad
        params.grad.zero_()
    w, b = params.tolist()
    return Fit(losses, w, b)


def line_step(dtype: Any, rate: float) -> tuple[gc.Step, gc.Param, gc.Param]:
    """The compiled step, for any number of points, and the two params that it updates."""
    x = gc.input("x", ("n",), dtype)
    y = gc.input("y", ("n",), dtype)
    w = gc.param(np.asarray(START_W, dtype), name="w")
    b = gc.param(np.asarray(START_B, dtype), name="b")
    residual = w * x + b - y
    loss = gc.mean(residual**2)
    dw, db = gc.grad(loss, [w, b])
    step = gc.compile([x, y], loss, {w: w - rate * dw, b: b - rate * db}, name="line fit")
    return step, w, b


def compiled(x: np.ndarray, y: np.ndarray, rate: float, steps: int) -> Fit:
    """One trace, one compiled step, and the loop itself in compiled code."""
    step, w, b = line_step(x.dtype, rate)
    losses = step.run(x, y, steps=steps)
    return Fit(losses, float(w.value), float(b.value))


WAYS = {"by hand": by_hand, "eagerly": eagerly, "compiled": compiled}


def fit_all(dtype: str) -> dict[str, Any]:
    """Every way in one dtype, checked: two rates on the raw readings, then the fit with readings scaled by 0.1."""
    x, y = np.array(T_X, dtype), np.array(T_Y, dtype)
    close = 1e-4 if dtype == "float32" else 1e-6
    fits = {}
    for name, fit in WAYS.items():
        np.testing.assert_allclose(fit(x, y, 1e-2, 2).losses, [1763.8846, 5802484], rtol=1e-5)  # diverges
        np.testing.assert_allclose(fit(x, y, 1e-4, 2).losses, [1763.8846, 323.0905], rtol=1e-5)
        found = fits[name] = fit(x * x.dtype.type(0.1), y, RATE, STEPS)
        np.testing.assert_allclose(found.losses[:2], [80.36434, 37.57492], rtol=1e-5)
        np.testing.assert_allclose(found.losses[-1], 2.927647, rtol=close)
        np.testing.assert_allclose([found.w, found.b], [5.367090, -17.301223], rtol=close)
    return fits


def plot(fit: Fit, output: str) -> None:
    """The loss over the steps, and the line among the points."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.loglog(np.arange(1, len(fit.losses) + 1), fit.losses, color="tab:blue")
    left.set(xlabel="step", ylabel="mean squared error (°C²)")
    left.set_title(f"loss: {fit.losses[0]:.4g} to {fit.losses[-1]:.4g}")
    ticks = [3, 5, 10, 20, 40, 80]
    left.set_yticks(ticks, [str(t) for t in ticks])
    left.minorticks_off()
    left.grid(True, alpha=0.3)
    ends = np.array([min(T_X) - 3, max(T_X) + 3])
    right.plot(ends, fit.w * 0.1 * ends + fit.b, color="tab:orange", label=f"{fit.w * 0.1:.4f} x − {-fit.b:.3f}")
    right.plot(T_X, T_Y, "o", color="tab:blue", label="readings")
    right.set(xlabel="reading in the unknown unit, x", ylabel="°C", title="fitted line")
    right.grid(True, alpha=0.3)
    right.legend()
    figure.savefig(output, dpi=120)
    plt.close(figure)


def main(output: str | None = None) -> dict[str, dict[str, Fit]]:
    """Fit in both dtypes, print the results, save the picture if `output` is given; returns fits[dtype][way]."""
    fits = {dtype: fit_all(dtype) for dtype in ("float32", "float64")}
    print(f"{'':18} {'first loss':>12} {'last loss':>12} {'w':>12} {'b':>12}")
    for dtype, ways in fits.items():
        for name, (losses, w, b) in ways.items():
            print(f"{dtype} {name:10} {losses[0]:12.6f} {losses[-1]:12.6f} {w:12.6f} {b:12.6f}")
    if output:
        plot(fits["float32"]["compiled"], output)
        print(f"picture: {output}")
    return fits


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", default="line_fit.png", help="where the picture goes (default: %(default)s)")
    main(parser.parse_args().output)
