"""One way of one workload in a process of its own: ``worker(options)`` prints one line of JSON.

Options: workload, way, threads, data (a file of arrays), results (a file to write, or None for a start only), seconds.
The line has either "missing", a module that is not installed, or:

import   seconds to import what the way needs
first    seconds from there to the first result: trace, differentiate, compile, one call
least, median   seconds of a step
memory   megabytes at the highest, beyond what was in use after the import and with the data loaded
version  of the library
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import time
from typing import Any

import numpy as np

from .measure import call_times, memory
from .workloads import WORKLOADS

MODULES = {
    "graphc": ("graphc", "numba"),
    "numpy": ("numpy",),
    "numba": ("numba",),
    "torch": ("torch",),
    "torch.compile": ("torch",),
    "jax": ("jax",),
    "jax scan": ("jax",),
    "pytensor": ("pytensor",),
    "casadi": ("casadi",),
    "casadi C": ("casadi",),
}
"""What each way imports; the first one is its library."""


def version(way: str) -> str:
    from importlib.metadata import version

    return version(MODULES[way][0])


def work(options: dict[str, Any]) -> dict[str, Any]:
    name = options["way"]
    missing = [m for m in MODULES[name] if importlib.util.find_spec(m) is None]
    if missing:
        return {"missing": missing[0]}
    start = time.perf_counter()
    for module in MODULES[name]:
        importlib.import_module(module)
    found: dict[str, Any] = {"import": time.perf_counter() - start, "version": version(name)}
    if name.startswith("torch"):
        importlib.import_module("torch").set_num_threads(options["threads"])
    workload = WORKLOADS[options["workload"]]
    with np.load(options["data"]) as arrays:
        data = dict(arrays)
    before = memory("VmRSS")

    start = time.perf_counter()
    run = workload.ways[name](data, options["threads"])
    result = run.call(*run.args)
    found["first"] = time.perf_counter() - start
    if not options["results"]:
        return found
    for _ in range(workload.calls - 1):
        result = run.call(*run.args)
    highest = memory("VmHWM")
    found["memory"] = None if before is None or highest is None else max(0.0, highest - before)
    np.savez(options["results"], *[np.asarray(a) for a in run.read(result)])
    times = call_times(run.call, run.args, options["seconds"])
    found["least"], found["median"] = (t / workload.per_call for t in times)
    return found


def worker(options: str) -> None:
    print(json.dumps(work(json.loads(options))))
