"""One page on two engines: what a static graph buys, and what only define-by-run can do. Figures are measured here.

python examples/static_and_dynamic.py
"""

from __future__ import annotations

import math
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

import graphc as gc

POINTS, STEPS, RATE = 100, 1000, 0.5


def squared_error(w: Any, b: Any, x: Any, y: Any) -> Any:
    """One model for both engines: gc's functions and Python's operators take either kind of tensor."""
    return gc.mean((gc.tanh(w * x + b) - y) ** 2)


def data() -> tuple[np.ndarray, np.ndarray]:
    """Points on ``tanh(2 x - 0.5)``."""
    x = np.linspace(-2, 2, POINTS)
    return x, np.tanh(2 * x - 0.5)


def compiled_fit() -> tuple[gc.Step, list[gc.Param]]:
    """One step of gradient descent as a static graph, traced and compiled once; the params it updates."""
    x, y = gc.input("x", ("n",)), gc.input("y", ("n",))
    w, b = line = [gc.param(1.0, name="w"), gc.param(0.0, name="b")]
    loss = squared_error(w, b, x, y)
    dw, db = gc.grad(loss, line)
    return gc.compile([x, y], loss, {w: w - RATE * dw, b: b - RATE * db}, name="fit"), line


def eager_fit(x: np.ndarray, y: np.ndarray) -> Callable[[], None]:
    """The same step on the dynamic engine, which builds and walks a tape each time."""
    line = [gc.eager.tensor(v, dtype="float64", requires_grad=True) for v in (1.0, 0.0)]
    data = [gc.eager.from_numpy(x), gc.eager.from_numpy(y)]

    def step() -> None:
        squared_error(*line, *data).backward()
        with gc.eager.no_grad():
            for leaf in line:
                leaf -= RATE * leaf.grad
                leaf.grad = None

    return step


def best_time(run: Callable[[], Any], repeats: int) -> float:
    """Seconds of one `run`, the shortest of many."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def peak_bytes(run: Callable[[], Any]) -> int:
    """Bytes that one `run` has in use at the most, beyond what was there before."""
    tracemalloc.start()
    run()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    run()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak - before


def static_side() -> dict[str, Any]:
    """One trace, one step, no allocation, a source to read; against the same step on the dynamic engine."""
    x, y = data()
    print("-- value and gradients of one loss, both engines --------------------------")
    contrast = gc.contrast(squared_error, 1.0, 0.0, x, y)

    step, line = compiled_fit()
    bound, eager_step = step.bind(x, y), eager_fit(x, y)

    def loop() -> np.ndarray:
        return step.run(x, y, steps=STEPS)

    figures = {
        "eager": (best_time(eager_step, 200), peak_bytes(eager_step)),
        "compiled, one call a step": (best_time(bound, 2000), peak_bytes(bound)),
        "compiled, the loop too": (best_time(loop, 20) / STEPS, peak_bytes(loop) // STEPS),
    }
    print("\n-- one step of gradient descent --------------------------------------------")
    print(f"{'':28}{'time':>12}{'allocated':>14}")
    for way, (seconds, nbytes) in figures.items():
        print(f"{way:28}{seconds * 1e6:9.2f} us{nbytes:12} B")
    w, b = (float(p.value) for p in line)
    print(f"fitted: tanh({w:.4f} x {b:+.4f})")
    print("\n-- and the static step can be read -----------------------------------------")
    print(kernels_of(step.source))
    return {"contrast": contrast, "figures": figures, "w": w, "b": b}


def kernels_of(source: str) -> str:
    """The kernels alone: what stands between the inputs and the function that calls them."""
    start, stop = source.index("# ---- forward"), source.index("# ---- step")
    return source[start:stop].rstrip()


def newton_root(a: Any) -> Any:
    """The square root by Newton's method, until it is good enough: `if` and `while` look at values."""
    x = a if a > 1 else a * 0 + 1
    while abs(x * x - a) > 1e-12 * a:
        x = (x + a / x) / 2
    return x


def newton_steps(a: Any, steps: int = 20) -> Any:
    """The same for a static graph: a choice becomes `gc.where`, and the number of steps is fixed."""
    x = gc.where(a > 1, a, 1.0)
    for _ in range(steps):
        x = (x + a / x) / 2
    return x


def tape_length(result: gc.eager.Tensor) -> int:
    """How many ops were recorded, counted back from the result."""
    seen, todo = set(), [result.grad_fn]
    while todo:
        node = todo.pop()
        if node is not None and node not in seen:
            seen.add(node)
            todo += [other for other, _ in node.next_functions]
    return len(seen)


def dynamic_side() -> dict[float, tuple[float, float]]:
    """Control flow on values, differentiated along the way that was taken; what the static graph says to it."""
    print("\n-- a loop that ends when it is good enough: the square root, eagerly -------")
    print(f"{'a':>10} {'tape nodes':>12} {'root':>14} {'gradient':>14} {'1 / (2 root)':>14}")
    found = {}
    for value in (0.01, 2.0, 1e6):
        a = gc.eager.tensor(value, dtype="float64", requires_grad=True)
        root = newton_root(a)
        nodes = tape_length(root)
        root.backward()
        found[value] = root.item(), a.grad.item()
        print(f"{value:10g} {nodes:12} {root.item():14.9f} {a.grad.item():14.9f} {0.5 / math.sqrt(value):14.9f}")
    print("\n-- the same function as a static graph -------------------------------------")
    try:
        gc.trace(newton_root, 2.0)
    except gc.TraceError as error:
        print(f"gc.TraceError: {error}")
    print("\n-- what it can be instead: gc.where, and a number of steps -----------------")
    value_and_gradient = gc.value_and_grad(newton_steps)
    for value in found:
        root, gradient = value_and_gradient(value)
        print(f"{value:10g} {'':12} {root:14.9f} {gradient:14.9f}")
    return found


def main() -> dict[str, Any]:
    """Print the page; the measured figures and the fitted values."""
    return {"static": static_side(), "dynamic": dynamic_side()}


if __name__ == "__main__":
    main()
