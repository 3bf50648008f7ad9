"""The benchmark suite at tiny sizes: graphc and the hand-written NumPy agree on every workload. Nothing is timed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import run, worker
from benchmarks.tables import Line, cells, markdown
from benchmarks.workload import Workload, error, worst_error
from benchmarks.workloads import WORKLOADS

TWICE = {"black_scholes_f64"}
"""The same program as another workload, in another dtype."""
LONG = {"gmm", "transformer"}
"""Programs that take seconds to compile."""
NAMES = [pytest.param(n, marks=[pytest.mark.slow] * (n in LONG)) for n in WORKLOADS if n not in TWICE]


def results(workload: Workload, way: str, data: Any) -> list[Any]:
    run = workload.ways[way](data, 1)
    for _ in range(workload.calls):
        result = run.call(*run.args)
    return [np.asarray(a) for a in run.read(result)]


@pytest.mark.parametrize("name", NAMES)
def test_graphc_and_numpy_agree_on(name: str) -> None:
    workload = WORKLOADS[name]
    data = workload.data(**workload.tiny)
    expected = workload.reference(data)
    dtype = np.result_type(*(a for a in data.values() if a.dtype.kind == "f"))
    for way in ("graphc", "numpy"):
        if way in workload.ways:
            found = results(workload, way, data)
            assert [a.dtype for a in found] == [dtype] * len(expected), way
            assert worst_error(found, expected) <= workload.tolerance, way


def test_data_is_the_same_every_time() -> None:
    for workload in WORKLOADS.values():
        first, second = (workload.data(**workload.tiny) for _ in range(2))
        for name, array in first.items():
            np.testing.assert_array_equal(array, second[name])


def test_a_wrong_result_is_seen() -> None:
    right = [np.array([1.0, 2.0]), np.float64(3.0)]
    assert worst_error([np.array([1.0, 2.1]), 3.0], right) == pytest.approx(0.05)
    assert error(np.array([np.nan, 2.0]), right[0]) == float("inf")
    assert error(np.array([1.0, 2.0, 3.0]), right[0]) == float("inf")
    assert worst_error(right[:1], right) == float("inf")
    line = Line("w", "jax", 1, cold=1.0, least=1e-6, median=2e-6, error=0.5, wrong=True)
    assert cells(line)[-1].endswith("WRONG")
    assert "| w | 1 / 2 (wrong) |" in markdown([line])


def test_figures_are_kept_and_shown_together(tmp_path: Path) -> None:
    file = tmp_path / "measured.json"
    old = [Line("chain", "graphc", n, cold=1.0, warm=0.1, least=n * 1e-3, median=4e-3, memory=9.0) for n in (1, 2)]
    run.kept(file, [*old, Line("line_fit", "jax", 2, least=1e-3, median=1e-3)], {"graphc": "1", "jax": "2"})
    new = [
        Line("chain", "graphc", 2, least=5e-4, median=1e-3),
        Line("chain", "graphc", 2, least=2e-3, median=6e-3, busy=True),
    ]
    lines, versions = run.kept(file, new, {"graphc": "3"})
    assert [(line.workload, line.threads, line.busy) for line in lines] == [
        ("line_fit", 2, False), ("chain", 1, False), ("chain", 2, False), ("chain", 2, True)
    ]  # fmt: skip
    assert versions == {"graphc": "3", "jax": "2"}
    text = markdown(lines)
    assert "| chain | graphc | 1,000 / 4,000 | 500 / 1,000 | 2,000 / 6,000 | 2.00 / 1.50 |" in text
    assert "1 thread:\n\n| workload | graphc |" in text and "2 threads:\n\n| workload | jax | graphc |" in text


def test_a_peer_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(worker.MODULES, "jax", ("no_such_module_anywhere",))
    assert worker.work({"way": "jax", "workload": "line_fit"}) == {"missing": "no_such_module_anywhere"}
    assert "| w | not installed |" in markdown([Line("w", "jax", 1, note="not installed")])


def test_a_worker_measures_and_writes_results(tmp_path: Path) -> None:
    workload = WORKLOADS["rosenbrock"]
    data = workload.data(**workload.tiny)
    np.savez(tmp_path / "data.npz", **data)
    task = {"workload": "rosenbrock", "way": "numpy", "threads": 1, "seconds": 0.01}
    found = worker.work({**task, "data": tmp_path / "data.npz", "results": tmp_path / "results.npz"})
    assert 0 < found["least"] <= found["median"] and found["first"] > 0
    with np.load(tmp_path / "results.npz") as written:
        assert worst_error(list(written.values()), workload.reference(data)) <= workload.tolerance
