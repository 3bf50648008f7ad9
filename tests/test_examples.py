"""The examples run, and find the numbers that were known before; so does the demo of the command line."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from graphc import __main__ as command_line

FOLDER = Path(__file__).parents[1] / "examples"
NAMES = ("expression_graph", "lenet_mnist", "line_fit", "orthogonal_fit", "small_network", "static_and_dynamic")
PNG = b"\x89PNG\r\n"


def example(name: str) -> ModuleType:
    """The module of an example."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_known_here() -> None:
    assert tuple(sorted(p.stem for p in FOLDER.glob("*.py"))) == NAMES


def test_line_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line_fit = example("line_fit")
    picture = tmp_path / "line.png"
    fits = line_fit.main(str(picture))
    assert picture.read_bytes().startswith(PNG)
    assert "float32 compiled" in capsys.readouterr().out
    for ways in fits.values():
        assert set(ways) == {"by hand", "eagerly", "compiled"}
    for losses, w, b in fits["float32"].values():
        assert losses.dtype == np.float32 and losses.shape == (5000,)
        np.testing.assert_allclose(losses[[0, 1, -1]], [80.36434, 37.57492, 2.927647], rtol=1e-4)
        np.testing.assert_allclose([w, b], [5.36708, -17.30119], rtol=1e-4)
    for losses, w, b in fits["float64"].values():
        assert losses.dtype == np.float64
        np.testing.assert_allclose(losses[[0, 1, -1]], [80.36434, 37.57492, 2.927647], rtol=1e-6)
        np.testing.assert_allclose([w, b], [5.367090, -17.301223], rtol=1e-6)


@pytest.mark.parametrize("way", ["by hand", "eagerly", "compiled"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_line_fit_on_raw_readings(way: str, dtype: str) -> None:
    line_fit = example("line_fit")
    x, y = np.array(line_fit.T_X, dtype), np.array(line_fit.T_Y, dtype)
    np.testing.assert_allclose(line_fit.WAYS[way](x, y, 1e-2, 2).losses, [1763.8846, 5802484], rtol=1e-6)
    np.testing.assert_allclose(line_fit.WAYS[way](x, y, 1e-4, 2).losses, [1763.8846, 323.0905], rtol=1e-6)


def test_expression_graph(capsys: pytest.CaptureFixture[str]) -> None:
    found = example("expression_graph").main()
    assert found["leaves"] == {"j": 129.0, "a": 3.0, "b": 24.0, "c": 15.0}
    assert found["error"] < 1e-14
    assert found["paths"] == {"products": [-21.0, -55.0], "gradient": -76.0}
    printed = capsys.readouterr().out
    assert "of u, v, j: None, None, None" in printed
    assert "sum over the paths -76, gradient from the graph -76" in printed


def test_paths_through_a_square() -> None:
    """A node that is both operands of another one is reached over two edges."""
    import graphc as gc

    module = example("expression_graph")
    x = gc.input("x")
    assert [len(p) for p in module.paths(x * x, x)] == [1, 1]
    edges = [module.derivative(*path[0]) for path in module.paths(x * x, x)]
    assert gc.compile([x], edges)(3.0) == [3.0, 3.0]


def test_orthogonal_fit(tmp_path: Path) -> None:
    module = example("orthogonal_fit")
    picture = tmp_path / "orthogonal.png"
    fits = module.main(str(picture))
    assert picture.read_bytes().startswith(PNG)
    compiled, eagerly, best = fits["compiled"], fits["eagerly"], fits["closed form"]
    assert compiled.losses.shape == (1000,) and compiled.best == compiled.losses.min()
    np.testing.assert_allclose(compiled.losses, eagerly.losses, rtol=1e-9)
    np.testing.assert_allclose(compiled[1:], eagerly[1:], rtol=1e-9)
    assert best.best < compiled.best < 1.1 * best.best
    assert compiled.a == pytest.approx(best.a, rel=0.01)
    x, y = module.points()
    centred = np.stack([x - x.mean(), y - y.mean()])
    direction = np.linalg.svd(centred)[0][:, 0]
    assert best.a == pytest.approx(direction[1] / direction[0], rel=1e-12)
    assert best.best == pytest.approx(np.linalg.svd(centred, compute_uv=False)[1] ** 2 / len(x), rel=1e-12)


README = FOLDER.parent / "README.md"
SHOWN = re.compile(r"(<!-- step\.source of lenet_mnist\.py.*?-->\n```python\n)(.*?)(```\n)", re.DOTALL)


def loops_that_give(name: str, source: str) -> str:
    """The outermost loop of a kernel in which the array `name` gets its values, without the indentation."""
    lines = source.splitlines()
    last = max(k for k, line in enumerate(lines) if line.strip().startswith(f"{name}["))
    first = max(k for k, line in enumerate(lines[:last]) if line.startswith("    for "))
    return textwrap.dedent("\n".join(lines[first : last + 1])) + "\n"


def test_lenet_mnist(tmp_path: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> None:
    """On the digits, in fewer epochs than the script takes; and README shows a piece of its step."""
    written = tmp_path / "step.py"
    found = example("lenet_mnist").main(epochs=8, source=str(written))
    assert [losses.shape for losses in found["losses"]] == [(15,)] * 8
    assert found["losses"][-1].mean() < 0.2 and found["accuracies"][-1] > 0.85
    printed = capsys.readouterr().out
    assert "  (conv1): Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1))\n" in printed and "61706 parameters" in printed
    source = written.read_text(encoding="utf-8")
    assert source == found["step"].source and "conv1_weight_bar" in source
    readme = README.read_text(encoding="utf-8")
    shown, piece = SHOWN.search(readme), loops_that_give("conv1_weight_bar", source)
    assert shown
    if request.config.getoption("--update-goldens"):
        README.write_text(readme.replace(shown[0], f"{shown[1]}{piece}{shown[3]}"), encoding="utf-8")
    else:
        assert shown[2] == piece, "run pytest tests/test_examples.py --update-goldens if it is meant to change"


def test_small_network() -> None:
    found = example("small_network").main()
    assert [g.shape for g in found["gradients"]] == [(4, 5), (5,), (5, 3), (3,), (3, 1), (1,)]
    assert found["to eager"] < 1e-14 and found["to differences"] < 1e-9
    assert all(np.any(g != 0) for g in found["gradients"])


def test_static_and_dynamic(capsys: pytest.CaptureFixture[str]) -> None:
    found = example("static_and_dynamic").main()
    static = found["static"]
    assert (static["w"], static["b"]) == pytest.approx((2.0, -0.5), rel=1e-4)
    assert static["contrast"].compiled.kernels < static["contrast"].eager.kernels
    assert static["figures"]["compiled, one call a step"][1] < static["figures"]["eager"][1] / 10
    for value, (root, gradient) in found["dynamic"].items():
        assert (root, gradient) == pytest.approx((value**0.5, 0.5 * value**-0.5), rel=1e-9)
    printed = capsys.readouterr().out
    assert "def k0(" in printed and "gc.TraceError: a symbolic tensor has no truth value" in printed


def test_lenet_is_a_script(tmp_path: Path) -> None:
    program = [sys.executable, str(FOLDER / "lenet_mnist.py"), "--root", "none", "--epochs", "1"]
    done = subprocess.run(program, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1 and "MNIST: files are missing" in done.stderr
    assert len((FOLDER / "lenet_mnist.py").read_text(encoding="utf-8").splitlines()) < 100


@pytest.mark.parametrize("name", ["line_fit", "orthogonal_fit"])
def test_examples_are_scripts(name: str, tmp_path: Path) -> None:
    """``--help`` is quick; the picture's default place is where the script was started."""
    program = [sys.executable, str(FOLDER / f"{name}.py"), "--help"]
    done = subprocess.run(program, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "--output" in done.stdout and f"{name}.png" in done.stdout


def test_importing_examples_imports_no_matplotlib() -> None:
    program = f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import {', '.join(NAMES)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "line_fit" in done.stdout and "matplotlib" not in done.stdout


def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "demo.png"
    assert command_line.main(["demo", "--output", str(picture)]) == 0
    assert picture.read_bytes().startswith(PNG)
    printed = capsys.readouterr().out
    assert "loss     80.36434 at first, 2.92765 at last\nw, b     5.3671, -17.3012\n" in printed
    assert f"picture  {picture}\n" in printed
    assert "us a step in step.run" in printed and "def k0(" in printed
    assert "# grad of: w * x" in printed and "__main__.py:" in printed


def test_demo_without_matplotlib(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    command_line.main(["demo"])
    assert "picture  none: matplotlib is not installed (pip install matplotlib)\n" in capsys.readouterr().out


def test_demo_without_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command_line.main(["demo", "--no-plot"])
    assert "picture" not in capsys.readouterr().out and not list(tmp_path.iterdir())


def test_no_command_prints_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main([]) == 0
    assert "demo" in capsys.readouterr().out


def test_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        command_line.main(["fly"])
    assert stopped.value.code == 2 and "invalid choice: 'fly'" in capsys.readouterr().err
