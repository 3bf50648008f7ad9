"""Whole steps on a device: launch-bound ones, LeNet, and three beside JAX, too; data, params and results stay there.

The workloads are those of the suite for the CPU. Each step is called and waited for, which is what its user waits; and
called many times before it is waited for, which is what a loop costs where nothing is read.
"""

from __future__ import annotations

import functools
import importlib.util
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

import graphc as gc

from .workload import Data, Workload, in_float64, worst_error
from .workloads import WORKLOADS

QUEUED = 200
"""Steps that are called before they are waited for."""
PEERS = ("torch", "torch.compile", "jax")


class Row(NamedTuple):
    """One line: a workload in some size."""

    title: str
    workload: Workload
    sizes: dict[str, Any]


def rows(small: bool) -> list[Row]:
    """What is measured; `small`: in sizes for the simulator."""
    wanted: list[tuple[str, str, dict[str, Any]]] = [
        ("line fit, 11 points", "line_fit", {}),
        ("4-5-3-1 network, 16 points", "small_network", {}),
        ("784-128-64-10 network, batch 128", "mlp", {}),
        ("LeNet-5, batch 100", "lenet", {"batch": 100}),
        ("LeNet-5, batch 1000", "lenet", {"batch": 1000}),
        ("elementwise chain, 4e6 elements, 3 gradients", "chain", {}),
        ("Black-Scholes, 1e7 options, 5 gradients", "black_scholes", {"options": 10_000_000}),
        ("softmax cross-entropy, 16384 x 4096", "softmax", {"rows": 16384, "classes": 4096}),
    ]
    found = [Row(title, WORKLOADS[name], sizes) for title, name, sizes in wanted]
    if not small:
        return found
    return [row._replace(sizes=dict(row.workload.tiny)) for row in found if row.sizes.get("batch") != 1000]


def made(row: Row, data: Data) -> tuple[Callable[[], Any], Callable[[], list[np.ndarray]]]:
    """The step on the device, whose arguments are there; and a call of it whose results are read here."""
    run = row.workload.ways["graphc"](data, 1)
    step = run.call.to("cuda", device_outputs=True)
    there = [gc.to_device(a) for a in run.args]
    return functools.partial(step, *there), lambda: [np.asarray(a) for a in run.read(step(*there))]


def correct(row: Row) -> None:
    """Raise `AssertionError` where the device's results are not the reference's."""
    data = row.workload.data(**row.sizes)
    step, read = made(row, data)
    for _ in range(row.workload.calls - 1):
        step()
    error = worst_error(read(), row.workload.reference(in_float64(data)))
    assert error <= row.workload.tolerance, f"{row.title}: off by {error:.1e}"


def seconds(call: Callable[[], Any], wait: Callable[[], Any], repeats: int = 50) -> tuple[float, float]:
    """The least time of a step that is waited for, and of one among many."""
    for _ in range(5):
        call()
    wait()
    single, many = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        wait()
        single.append(time.perf_counter() - start)
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(QUEUED):
            call()
        wait()
        many.append((time.perf_counter() - start) / QUEUED)
    return min(single), min(many)


def on_device(row: Row) -> tuple[float, float]:
    step, _ = made(row, row.workload.data(**row.sizes))
    last = step()
    return seconds(step, last.synchronize)


def by_peer(row: Row, peer: str) -> tuple[float, float] | None:
    """The same on torch (eager, or compiled with mode="reduce-overhead") or JAX; None where it has no device."""
    if importlib.util.find_spec(peer.split(".")[0]) is None or peer not in row.workload.ways:
        return None
    data = row.workload.data(**row.sizes)
    if peer == "jax":
        import jax

        if jax.default_backend() != "gpu":
            return None
        return seconds(row.workload.ways[peer](data, 1).call, lambda: None)
    import torch

    if not torch.cuda.is_available():
        return None
    reduced = functools.partial(torch.compile, mode="reduce-overhead")
    with torch.device("cuda"), mock.patch.object(torch, "compile", reduced):
        return seconds(row.workload.ways[peer](data, 1).call, torch.cuda.synchronize)


def table() -> None:
    """Check and measure all; print a table. (JAX's steps wait for themselves, so it has one figure.)"""
    print("\n| step, waited for / among many | graphc | torch eager | torch.compile | jax |\n|---|---|---|---|---|")
    for row in rows(False):
        correct(row)
        found = [on_device(row), *[by_peer(row, peer) for peer in PEERS]]
        texts = ["-" if t is None else f"{t[0] * 1e6:.1f} / {t[1] * 1e6:.1f} us" for t in found]
        print(f"| {row.title} | {' | '.join(texts)} |", flush=True)
