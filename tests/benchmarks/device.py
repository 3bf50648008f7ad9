"""Standard workloads on an NVIDIA GPU, by one command: correct first, then how long the device takes.

    python tests/benchmarks/device.py             the sizes of the table, on a device
    NUMBA_ENABLE_CUDASIM=1 python tests/benchmarks/device.py --small     only whether it is correct, in the simulator

Each workload is compiled for the CPU and for the device and must give the same, within the rounding of its dtype. Then
its launches are timed by the device's events, without copies to and from the host: results stay there. The yardstick is
a copy on the same device: what a workload has to read and write, over its time, as a part of the copy's rate. torch
(eager, and compiled with mode="reduce-overhead") stands beside it where it is installed and finds the device. Then
products of matrices, by own kernels and by cuBLAS: see `device_products`. At last whole steps by the clock, one launch
each, beside torch and JAX (`pip install 'jax[cuda13]'`): see `device_steps`.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import graphc as gc
from graphc.runtime import cuda, cuda_devices
from graphc.testing.ways import small_launches

sys.path.insert(0, str(Path(__file__).parents[1]))  # this file is run by itself, and the suite is a package
from benchmarks import device_products, device_steps

REPEATS = 30
TOLERANCE = 2e-4
"""Of float32: sums of many terms in another order."""


class Workload(NamedTuple):
    """A graph and data for it.

    outputs  of symbolic inputs, one for each array
    arrays   what it runs on
    moved    bytes it has to read and write; 0 where arithmetic is the limit, not memory
    torch    the same in torch, of tensors
    """

    name: str
    outputs: Callable[..., Any]
    arrays: list[np.ndarray]
    moved: int
    torch: Callable[..., Any] | None = None


def chain(x: Any) -> list[Any]:
    y = gc.sum(gc.tanh(x) * gc.sigmoid(x) + gc.exp(-x * x))
    return gc.grad(y, [x])


def black_scholes(s: Any, k: Any, t: Any) -> list[Any]:
    rate, sigma = np.float32(0.02), np.float32(0.3)
    root = sigma * gc.sqrt(t)
    d1 = (gc.log(s / k) + (rate + sigma * sigma / 2) * t) / root
    normal = lambda d: 0.5 * (1 + gc.erf(d / np.float32(np.sqrt(2.0))))
    value = s * normal(d1) - k * gc.exp(-rate * t) * normal(d1 - root)
    return [value, *gc.grad(gc.sum(value), [s, k, t])]


def cross_entropy(x: Any, t: Any) -> list[Any]:
    loss = gc.nn.cross_entropy(x, t)
    return [loss, gc.grad(loss, x)]


def torch_cross_entropy(x: Any, t: Any) -> Any:
    import torch

    x = x.detach().requires_grad_()
    loss = torch.nn.functional.cross_entropy(x, t)
    return torch.autograd.grad(loss, x)


def workloads(small: bool) -> list[Workload]:
    """Everything that is measured; `small`: in sizes for the simulator."""
    rng = np.random.default_rng(0)
    n, rows, classes, side = (200, 7, 40, 9) if small else (50_000_000, 16384, 4096, 4096)

    def floats(*shape: int, low: float = -1.0, high: float = 1.0) -> np.ndarray:
        return rng.uniform(low, high, shape).astype("float32")

    x, matrix, labels = floats(n), floats(rows, classes), rng.integers(0, classes, rows)
    market = [floats(n, low=50, high=150), floats(n, low=50, high=150), floats(n, low=0.1, high=2)]
    a, b = floats(side, side), floats(side, side)
    return [
        Workload("chain with gradient", chain, [x], 2 * x.nbytes),
        Workload("chain with gradient, a fifth of that", chain, [x[: n // 5]], 2 * x.nbytes // 5),
        Workload("Black-Scholes with gradients", black_scholes, market, 7 * x.nbytes),
        Workload(
            "cross-entropy with gradient", cross_entropy, [matrix, labels], 3 * matrix.nbytes, torch_cross_entropy
        ),
        Workload("softmax", lambda x: gc.softmax(x, axis=-1), [matrix], 2 * matrix.nbytes, lambda x: x.softmax(-1)),
        Workload("layer norm", lambda x: gc.nn.layer_norm(x, classes), [matrix], 2 * matrix.nbytes),
        Workload("sum", gc.sum, [x], x.nbytes, lambda x: x.sum()),
        Workload("sum of columns", lambda x: gc.sum(x, axis=0), [matrix], matrix.nbytes, lambda x: x.sum(0)),
        Workload("matrix product", lambda a, b: a @ b, [a, b], 0, lambda a, b: a @ b),
    ]


def compiled(workload: Workload, target: str) -> gc.Step:
    """The workload's step; its first size is a runtime dim."""
    product = workload.name == "matrix product"
    shapes = [("m", "k"), ("k", "n")] if product else [("n", *a.shape[1:]) for a in workload.arrays]
    inputs = [gc.input(f"x{k}", s, a.dtype) for k, (s, a) in enumerate(zip(shapes, workload.arrays, strict=True))]
    outputs = workload.outputs(*inputs)
    return gc.compile(inputs, outputs, target=target, name=workload.name, device_outputs=target != "cpu")


def correct(workload: Workload, step: gc.Step) -> None:
    """Raise `AssertionError` where the device's results are not the CPU's."""
    for here, there in zip(*[_listed(s(*workload.arrays)) for s in (compiled(workload, "cpu"), step)], strict=True):
        scale = max(float(np.abs(here).max()), 1e-30)
        np.testing.assert_allclose(
            np.asarray(there) / scale, here / scale, rtol=0, atol=TOLERANCE, err_msg=workload.name
        )


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def on_device(workload: Workload, step: gc.Step) -> float:
    """Seconds of the step's launches."""
    program: Any = step._caller.program
    frames: Any = next(iter(step._caller.frames.values()))
    return program.seconds(frames[0], REPEATS)


def by_torch(workload: Workload) -> list[float | None]:
    """Seconds of torch, eager and compiled; None where there is none."""
    if workload.torch is None or importlib.util.find_spec("torch") is None:
        return [None, None]
    import torch

    if not torch.cuda.is_available():
        return [None, None]
    tensors = [torch.from_numpy(a).cuda() for a in workload.arrays]
    return [_torch_seconds(f, tensors) for f in (workload.torch, torch.compile(workload.torch, mode="reduce-overhead"))]


def _torch_seconds(function: Callable[..., Any], tensors: Sequence[Any]) -> float:
    import torch

    for _ in range(3):
        function(*tensors)
    times = []
    for _ in range(REPEATS):
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        function(*tensors)
        last.record()
        last.synchronize()
        times.append(first.elapsed_time(last) / 1e3)
    return min(times)


def copy_rate(nbytes: int) -> float:
    """Bytes per second that a copy on the device reads and writes."""
    device = cuda_devices.device(0)
    numba = cuda.toolkit()
    source, target = (numba.device_array(nbytes, np.uint8) for _ in range(2))
    stream = numba.external_stream(device.handle)
    with device.here():
        return (
            2
            * nbytes
            / min(device.seconds(lambda: target.copy_to_device(source, stream=stream)) for _ in range(REPEATS))
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, measure, print; the process's exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--small", action="store_true", help="small sizes, and no times: for the simulator")
    chosen = parser.parse_args(arguments)
    if chosen.small:
        with small_launches():
            for workload in workloads(True):
                correct(workload, compiled(workload, "cuda"))
                print(f"{workload.name}: the device gives what the CPU gives")
            for row in device_steps.rows(True):
                device_steps.correct(row)
                print(f"{row.title}: the device gives what the reference gives")
        return 0
    if (gap := cuda.missing()) is not None or cuda.simulated():
        parser.error(
            "no device: looked for {}, found: {}; {}".format(*gap) if gap else "the simulator has no times: --small"
        )
    rate = copy_rate(1 << 29)
    print(f"{'; '.join(cuda.devices())}; copy {rate / 1e9:.0f} GB/s; Python {platform.python_version()}")
    print("| workload | graphc | of the copy's rate | torch eager | torch.compile |\n|---|---|---|---|---|")
    for workload in workloads(False):
        step = compiled(workload, "cuda")
        correct(workload, step)
        taken = on_device(workload, step)
        part = f"{100 * workload.moved / taken / rate:.0f} %" if workload.moved else "-"
        others = [f"{t * 1e3:.3f} ms" if t is not None else "-" for t in by_torch(workload)]
        print(f"| {workload.name} | {taken * 1e3:.3f} ms | {part} | {' | '.join(others)} |", flush=True)
    device_products.table()
    device_steps.table()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
