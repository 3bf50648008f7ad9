"""Compile time against graph size: ``python tests/benchmarks/compile_time.py [nodes ...]``.

Each size runs in its own process with an empty cache folder, and once more with the folder it left (warm). `distinct`
chains draw their ops at random, so hardly two kernels are equal; `equal` chains repeat one block, so their kernels
compile once. MB are the most that the process had, beyond what it had when graphc and numba were imported.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

CASES = [f"{kind}:{nodes}" for kind in ("distinct", "equal") for nodes in (400, 4000, 40000)]
"""Of 1e3, 1e4 and 1e5 nodes, with the gradient."""


def chain(kind: str, nodes: int):
    """A 0-d chain of about `nodes` ops, and its input."""
    import random

    import graphc as gc

    draw = random.Random(0)
    x = gc.input("x")
    steps = [gc.tanh, gc.sin, lambda y: y * 0.9, lambda y: y + 0.1, lambda y: gc.exp(-y), lambda y: gc.sqrt(y * y + 1)]
    y = x
    for k in range(nodes):
        y = (draw.choice(steps) if kind == "distinct" else steps[k % 4])(y)
    return x, y


def measure(kind: str, nodes: int) -> dict[str, float]:
    """Seconds for building, differentiating, scheduling, compiling and the first call of one chain."""
    import graphc as gc

    gc.compile([], [gc.param(1.0) * 2.0])()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times, start = {}, time.perf_counter()

    def lap(name: str) -> None:
        nonlocal start
        now = time.perf_counter()
        times[name], start = now - start, now

    x, y = chain(kind, nodes)
    lap("build")
    dy = gc.grad(y, x)
    lap("grad")
    step = gc.compile([x], [y, dy])
    lap("compile")
    step(0.3)
    lap("first call")
    times["nodes"] = len(step.graph)
    times["kernels"] = len({name for name, _ in step.text.kernels})
    times["MB"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=CASES)
    parser.add_argument("--worker")
    options = parser.parse_args()
    if options.worker:
        kind, nodes = options.worker.split(":")
        print(json.dumps(measure(kind, int(nodes))))
        return
    columns = ("nodes", "kernels", "MB", "build", "grad", "compile", "first call")
    print(f"{'chain':<16} {'cache':<6}" + "".join(f"{c:>12}" for c in columns) + f"{'ms/node':>12}")
    for case in options.cases:
        with tempfile.TemporaryDirectory() as folder:
            for cache in ("cold", "warm"):
                environment = {**os.environ, "GRAPHC_CACHE_DIR": folder}
                command = [sys.executable, __file__, "--worker", case]
                run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                found = json.loads(run.stdout)
                cells = "".join(f"{found[c]:>12.0f}" if c in columns[:3] else f"{found[c]:>12.3f}" for c in columns)
                print(f"{case:<16} {cache:<6}{cells}{found['compile'] / found['nodes'] * 1e3:>12.3f}", flush=True)


if __name__ == "__main__":
    main()
