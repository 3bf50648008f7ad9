"""The command line: ``python -m graphc demo`` fits a line to built-in data and shows the gradient code that ran.

``python -m graphc train`` trains a network on images, ``python -m graphc ops`` lists the functions there are, and
``python -m graphc doctor`` says what graphc runs on here.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

import graphc as gc
from graphc.doctor import examine, report
from graphc.listing import listing
from graphc.train.options import add_arguments

CELSIUS = np.array([0.5, 14.0, 15.0, 28.0, 11.0, 8.0, 3.0, -4.0, 6.0, 13.0, 21.0], np.float32)
READING = np.array([35.7, 55.9, 58.2, 81.9, 56.3, 48.9, 33.9, 21.8, 48.4, 60.4, 68.4], np.float32) * np.float32(0.1)
STEPS, RATE = 5000, 0.01


def line_step() -> tuple[gc.Step, gc.Param, gc.Param]:
    """One step of gradient descent on ``w * x + b``, compiled; it updates `w` and `b`."""
    x = gc.input("x", ("n",), "float32")
    y = gc.input("y", ("n",), "float32")
    w = gc.param(np.float32(1), name="w")
    b = gc.param(np.float32(0), name="b")
    residual = w * x + b - y
    loss = gc.mean(residual**2)
    dw, db = gc.grad(loss, [w, b])
    step = gc.compile([x, y], loss, {w: w - RATE * dw, b: b - RATE * db}, name="line fit")
    return step, w, b


def demo(output: str | None) -> None:
    """Fit the line, print the fit, the times and the generated source; save the picture to `output`."""
    start = time.perf_counter()
    step, w, b = line_step()
    built = time.perf_counter() - start
    losses = step.run(READING, CELSIUS, steps=STEPS)
    slope, intercept = float(w.value), float(b.value)
    loop = _seconds(lambda: step.run(READING, CELSIUS, steps=STEPS), 1) / STEPS
    call = _seconds(lambda: step(READING, CELSIUS), 500)
    print(f"{len(CELSIUS)} points, w * x + b, mean squared error, {STEPS} steps at rate {RATE}")
    print(f"loss     {losses[0]:.5f} at first, {losses[-1]:.5f} at last")
    print(f"w, b     {slope:.4f}, {intercept:.4f}")
    print(f"time     {built:.2f} s to trace and compile (less when it is in the cache), then")
    print(f"         {loop * 1e6:.2f} us a step in step.run, {call * 1e6:.2f} us a call")
    if output is not None:
        print(f"picture  {_picture(losses, slope, intercept, output)}")
    print("\nThe code that ran (step.source):\n")
    print(step.source)


def _seconds(run: Callable[[], object], often: int) -> float:
    """The time of one `run`: the shortest of some averages over `often`, after a first one, which may compile."""
    run()
    times = []
    for _ in range(10):
        start = time.perf_counter()
        for _ in range(often):
            run()
        times.append((time.perf_counter() - start) / often)
    return min(times)


def _picture(losses: np.ndarray, w: float, b: float, output: str) -> str:
    """Draw the loss and the line into a file; says where it is, or why there is none."""
    if importlib.util.find_spec("matplotlib") is None:
        return "none: matplotlib is not installed (pip install matplotlib)"
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.loglog(np.arange(1, len(losses) + 1), losses, color="tab:blue")
    ticks = [3, 5, 10, 20, 40, 80]
    left.set_yticks(ticks, [str(t) for t in ticks])
    left.minorticks_off()
    left.set(xlabel="step", ylabel="mean squared error", title=f"loss: {losses[0]:.4g} to {losses[-1]:.4g}")
    ends = np.array([READING.min() - 0.3, READING.max() + 0.3])
    right.plot(ends, w * ends + b, color="tab:orange", label=f"{w:.3f} x − {-b:.3f}")
    right.plot(READING, CELSIUS, "o", color="tab:blue", label="data")
    right.set(xlabel="x", ylabel="y", title="fitted line")
    right.legend()
    for axes in (left, right):
        axes.grid(True, alpha=0.3)
    figure.savefig(output, dpi=120)
    plt.close(figure)
    return output


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the process's exit status."""
    parser = argparse.ArgumentParser(prog="python -m graphc", description="a compiler for differentiable expressions")
    commands = parser.add_subparsers(dest="command", title="commands")
    about = "fit a line to built-in data; print the fit, its times and the generated gradient code"
    show = commands.add_parser("demo", help=about, description=about)
    show.add_argument("--output", default="graphc_demo.png", help="file of the picture (default: %(default)s)")
    show.add_argument("--no-plot", action="store_true", help="draw no picture")
    about = "train a network on images of digits or clothes by one compiled step; test it after every epoch"
    add_arguments(commands.add_parser("train", help=about, description=about))
    about = "list the functions, with their other names and whether they have a derivative"
    functions = commands.add_parser("ops", help=about, description=about)
    functions.add_argument("part", nargs="?", default="", help="only those with this in a name")
    about = "say which versions, threads, vectors and devices there are, and what is missing"
    commands.add_parser("doctor", help=about, description=about)
    chosen = parser.parse_args(arguments)
    if chosen.command == "demo":
        demo(None if chosen.no_plot else chosen.output)
    elif chosen.command == "train":
        from graphc.train.command import train

        return train(chosen)
    elif chosen.command == "doctor":
        print(report(examine()))
    elif chosen.command == "ops":
        found = listing(chosen.part)
        if "\n\n" not in found:
            print(f"no function has {chosen.part!r} in its name; python -m graphc ops lists them all", file=sys.stderr)
            return 1
        with contextlib.suppress(BrokenPipeError):  # piped into head
            print(found, flush=True)
            return 0
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python says so once more as it ends
    else:
        parser.print_help()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
