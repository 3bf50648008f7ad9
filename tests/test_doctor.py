"""``python -m graphc doctor``: it finds what is here, and says what to do about what is not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from graphc import __main__ as command_line
from graphc import config, doctor
from graphc.runtime import cublas, cuda, cuda_hardware, threads


def found() -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in doctor.examine()}


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["doctor"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["numpy"] == np.__version__ and "by SciPy" in lines["BLAS"]


def test_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(tmp_path / "cache"))
    assert found()["cache"].found == f"{tmp_path / 'cache'}, 0 generated files"


def test_what_is_missing_comes_with_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "layer", lambda: "")
    monkeypatch.setattr(config, "cores", lambda: 4)
    monkeypatch.setattr(cuda, "missing", lambda: ("the package numba-cuda", "no such package", cuda.INSTALL))
    assert found()["threads"] == doctor.Finding("threads", "none: steps run on one thread", "pip install tbb")
    gap = found()["target='cuda'"]
    assert gap.found == "no: looked for the package numba-cuda, found: no such package"
    assert doctor.report([gap]).split("\n")[1].strip() == "-> pip install 'graphc[cuda]'"


@pytest.mark.parametrize("chosen", ["1", "0"])
def test_whether_steps_are_recorded(monkeypatch: pytest.MonkeyPatch, chosen: str) -> None:
    monkeypatch.setattr(cuda, "missing", lambda: None)
    monkeypatch.setattr(cuda, "simulated", lambda: False)
    monkeypatch.setattr(cuda, "devices", lambda: ["0: a device"])
    monkeypatch.setenv("GRAPHC_CUDA_GRAPHS", chosen)
    assert found()["device"].found == "0: a device"
    on = ("on: a step is recorded at its second call, and one launch from then on", "")
    off = ("off: steps are launched kernel by kernel", "unset GRAPHC_CUDA_GRAPHS")
    assert (found()["CUDA graphs"].found, found()["CUDA graphs"].fix) == (on if chosen == "1" else off)


@pytest.mark.parametrize(
    ("chosen", "gap", "text", "fix"),
    [
        ("1", None, "13.1.2, for large products of matrices", ""),
        ("0", None, "off: graphc's own kernels multiply", "unset GRAPHC_CUBLAS"),
        (
            "1",
            ("the package nvmath-python", "no such package", cuda.INSTALL),
            "none: graphc's own kernels multiply; looked for the package nvmath-python, found: no such package",
            "pip install 'graphc[cuda]'",
        ),
    ],
)
def test_what_multiplies(
    monkeypatch: pytest.MonkeyPatch, chosen: str, gap: tuple[str, str, str] | None, text: str, fix: str
) -> None:
    monkeypatch.setattr(cuda, "missing", lambda: None)
    monkeypatch.setattr(cuda, "simulated", lambda: False)
    monkeypatch.setattr(cuda, "devices", lambda: [])
    monkeypatch.setattr(cublas, "missing", lambda: gap)
    monkeypatch.setattr(cublas, "version", lambda: "13.1.2")
    monkeypatch.setenv("GRAPHC_CUBLAS", chosen)
    assert found()["cuBLAS"] == doctor.Finding("cuBLAS", text, fix)


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_folder_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(tmp_path / place))
    assert found()["cache"].fix == "set GRAPHC_CACHE_DIR to a folder that can be written"


def test_settings_and_packages_that_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_COMPILERS", "two")
    assert found()["compilers"].fix == "unset GRAPHC_COMPILERS, or set it to a number"
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda package: None if package == "numba" else version(package))
    assert found()["numba"] == doctor.Finding("numba", "not installed", "pip install numba")
    assert "BLAS" not in found(), "what needs numba was not asked"


def test_cublas_may_be_turned_off_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = SimpleNamespace(library=object(), allocate=None)
    monkeypatch.setattr(cublas, "missing", lambda: None)
    assert cuda_hardware.Hardware.multiplier(made) is made.library  # type: ignore[arg-type]
    monkeypatch.setenv("GRAPHC_CUBLAS", "0")
    assert cuda_hardware.Hardware.multiplier(made) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("chosen", ["0", "1"])
def test_subnormals_taken_for_zero_are_told(monkeypatch: pytest.MonkeyPatch, chosen: str) -> None:
    monkeypatch.setenv("GRAPHC_FLUSH_SUBNORMALS", chosen)
    assert ("subnormals" in found()) == (chosen == "1")
