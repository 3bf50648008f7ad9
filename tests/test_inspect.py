"""Reading a step: its source as a document, its graph, kernels, memory and dump; deterministic to the byte."""

from __future__ import annotations

import ast
import json
import os
import pickle
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from messages import text_of
from readable import PROGRAMS, gather, line_fit, softmax_row

import graphc as gc
from graphc.inspect.picture import to_dot
from graphc.ir.printer import graph_text

GOLDEN = Path(__file__).parent / "golden"
HERE = Path(__file__).parent


def check_golden(request: pytest.FixtureRequest, name: str, text: str) -> None:
    path = GOLDEN / name
    if request.config.getoption("--update-goldens"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"run pytest --update-goldens if {name} is meant to change"


def document(step: gc.Step) -> str:
    """The source without what differs between machines, and without the helpers, which are not of this program."""
    text = re.sub(r"key      \w+", "key      ...", step.source)
    return text.split("\n\n\n# ---- helpers")[0] + "\n"


@pytest.fixture(scope="module")
def steps() -> dict[str, gc.Step]:
    return {name: make() for name, make in PROGRAMS.items()}


# goldens


@pytest.mark.parametrize("name", PROGRAMS)
def test_source_golden(name: str, steps: dict[str, gc.Step], request: pytest.FixtureRequest) -> None:
    check_golden(request, f"{name}.source.txt", document(steps[name]))


@pytest.mark.parametrize("name", PROGRAMS)
def test_graph_golden(name: str, steps: dict[str, gc.Step], request: pytest.FixtureRequest) -> None:
    check_golden(request, f"{name}.graph.txt", f"{steps[name].graph}\n")


# the document


@pytest.mark.parametrize("name", PROGRAMS)
def test_source_is_python(name: str, steps: dict[str, gc.Step]) -> None:
    tree = ast.parse(steps[name].source)
    functions = [n.name for n in tree.body if isinstance(n, ast.FunctionDef)]
    assert "step" in functions
    assert len(functions) == len(set(functions))


@pytest.mark.parametrize("name", PROGRAMS)
def test_source_shows_no_machinery(name: str, steps: dict[str, gc.Step]) -> None:
    text = document(steps[name])
    assert not re.search(r"#@|\b[vsaen]\d+\b|\bm\[", text)
    assert "carray" not in text and "pointer" not in text


def test_every_adjoint_says_what_it_is_the_gradient_of(steps: dict[str, gc.Step]) -> None:
    for line in document(steps["line_fit"]).splitlines():
        if re.match(r"\s+\w+_bar\w* \+?= ", line):
            assert "# grad of: " in line


def test_every_group_says_its_user_line(steps: dict[str, gc.Step]) -> None:
    for text in map(document, steps.values()):
        for kernel in re.split(r"\n(?=def k\d)", text)[1:]:
            assert "readable.py:" in kernel or "grad of: " in kernel
        for line in text.splitlines():
            if re.match(r"    for ", line):
                assert re.search(r"# (forward|backward|update|copies)( \+ \w+)*( of readable.py:[\d,-]+)?$", line), line


def test_source_runs_what_it_shows() -> None:
    """The rendered kernels of the line fit, executed as Python, give the step's loss."""
    step = line_fit()
    kernel = step.source.split("# ---- forward + backward")[1].split("# ---- ")[0]
    body = textwrap.dedent("\n".join(kernel.split("):\n", 1)[1].splitlines()))
    x, y = np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])
    values: dict[str, object] = {
        "x": x, "y": y, "a": 1.0, "b": 0.0, "n": 3, "float64": np.float64, "ct_mul": lambda ct, d: ct * d,
    }  # fmt: skip
    exec(body, values)
    (loss,) = step(x, y)
    assert values["loss_total"] / 3 == loss  # type: ignore[operator]
    assert values["a_bar"] == pytest.approx(-28 / 3)


def test_names_are_sanitised() -> None:
    nasty = ["class", 'a b"; import os', "x\ny", "def", "k0", "float64", "step", "range", "ünï", "i", "loss_total", "m"]
    inputs = [gc.input(name, "n") for name in nasty]
    total = inputs[0] * 1.5
    for x in inputs[1:]:
        total = total + gc.exp(x)
    step = gc.compile(inputs, [gc.sum(total), *gc.grad(gc.sum(total), inputs)], name='quote """ and \\ and\nnewline')
    tree = ast.parse(step.source)
    for node in ast.walk(tree):
        assert not isinstance(node, (ast.Import, ast.ImportFrom))
    kernel = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "k0")
    arguments = [a.arg for a in kernel.args.args]
    assert len(arguments) == len(set(arguments))
    assert not {"k0", "float64", "step", "range"} & set(arguments)
    assert "class_" in arguments


def test_a_name_used_twice_stays_unique() -> None:
    x = gc.input("h", "n")
    h = gc.sum(x, keepdims=True)
    h = h * gc.exp(x)
    h = gc.sum(h * h)
    tree = ast.parse(gc.compile([x], [h, gc.grad(h, x)]).source)
    for kernel in (n for n in tree.body if isinstance(n, ast.FunctionDef)):
        arguments = [a.arg for a in kernel.args.args]
        assert len(arguments) == len(set(arguments))


def test_second_derivatives_have_names_of_their_own() -> None:
    x = gc.input("x", "n")
    first = gc.grad(gc.sum(x**4), x)
    second = gc.grad(gc.sum(first), x)
    text = gc.compile([x], [first, second]).source
    assert "x_bar: float64[n], x_bar_bar: float64[n]" in text


def test_kernels_called_often_are_shown_once() -> None:
    h = x = gc.input("x", ("n", 4), "float32")
    w = gc.param(np.eye(4, dtype="float32"), name="w")
    for _ in range(40):  # of a few layers, all would be one kernel
        h = gc.tanh(h @ w)
    step = gc.compile([x], h)
    text = step.source
    assert "called 40 times" in text
    assert text.count("tanh_f32(") < 5
    assert step.kernels.launches == 80 and len(step.kernels) < 10


def test_a_value_is_not_shown_under_the_name_of_what_replaced_it() -> None:
    """After a param's element is written, its old value has a name of its own."""
    w, v = gc.param(1.0, name="w"), gc.param(2.0, name="v")
    step = gc.compile([], [], {w: w + v, v: w * v})
    step()
    assert (w.value, v.value) == (3.0, 2.0)
    body = step.source.split("def k", 1)[1].split("# ---- step")[0]
    assert not re.search(r"\bw = w \+ v.*\n.*v = w \* v", body)


# reports


def test_kernel_report(steps: dict[str, gc.Step]) -> None:
    kernels = steps["line_fit"].kernels
    first = kernels[0]
    assert first.name == "k0" and first.calls == 1 and first.space[0] == gc.input("q", "n").shape[0]
    assert [name for name, _ in first.writes] == ["a", "b", "loss"]
    assert kernels.at(n=1000)[0].bytes == 2 * 8000 + 2 * 8 + 3 * 8
    assert "16*n" in str(kernels)
    q = gc.input("q", "n")
    total = gc.sum(q)
    assert "it needs the whole of total first" in str(gc.compile([q], q / total).kernels)


def test_what_needs_no_loops_is_the_end_of_a_kernel() -> None:
    """Once, behind the last chunk; but nothing changes a param before every index is known to be right."""
    x, k = gc.input("x", "n"), gc.input("k", "n", "int64")
    w, seen = gc.param(0.5, name="w"), gc.param(0.0, name="seen")
    loss = gc.mean((w * x - 1) ** 2)
    step = gc.compile([x], loss, {w: w - 0.1 * gc.grad(loss, w), seen: seen + gc.max(x)})
    assert step.kernels.launches == 1
    values = np.random.default_rng(0).normal(size=100_000)
    slope = np.mean(2 * (0.5 * values - 1) * values)
    np.testing.assert_allclose(step(values), np.mean((0.5 * values - 1) ** 2), rtol=1e-12)
    np.testing.assert_allclose([w.value, seen.value], [0.5 - 0.1 * slope, values.max()], rtol=1e-12)
    picked = gc.compile([x, k], gc.mean(gc.take(x, k)), {seen: gc.sum(x * w)})
    before = seen.value
    with pytest.raises(gc.OutOfBoundsError):
        picked(values, np.full(100_000, 100_000))
    assert seen.value == before


def test_numbers_that_several_kernels_read_stay_in_memory() -> None:
    x, y = gc.input("x", "n"), gc.input("y", "m")
    total = gc.sum(x)
    half = total / 2
    step = gc.compile([x, y], [half * half, y * total, y + half, total > 3])
    values = [np.arange(50_000.0), np.arange(7.0)]
    total_ = values[0].sum()
    for found, wanted in zip(
        step(*values), [total_**2 / 4, values[1] * total_, values[1] + total_ / 2, total_ > 3], strict=True
    ):
        np.testing.assert_array_equal(found, wanted)


def test_memory_report() -> None:
    step = softmax_row()
    assert step.memory.arena is None
    assert "memory.at(batch=...)" in str(step.memory)
    step(np.ones((7, 5), "float32"))
    report = step.memory
    assert report.sizes == {"batch": 7}
    assert report.arena is not None and report.without_reuse is not None and report.arena <= report.without_reuse
    assert {b.name for b in report.buffers} >= {"scores", "weights"}
    bigger = report.at(batch=700)
    assert bigger.arena is not None and bigger.arena >= report.arena
    by_name = {b.name: b for b in bigger.buffers}
    assert by_name["scores"].nbytes == 700 * 5 * 4
    for of, expected in (
        (report, "dims of the step, batch"),
        (gc.compile([], gc.param(1.0, name="w")).memory, "no dims: all sizes are known"),
    ):
        with pytest.raises(gc.InputError) as info:
            of.at(m=3)
        assert text_of(info.value) == (
            f"memory.at of a dim that the step does not have: got m, expected {expected}\n  at LINE"
        )


def test_buffers_that_live_together_do_not_overlap(steps: dict[str, gc.Step]) -> None:
    for step in steps.values():
        temps = [b for b in step.memory.at(**dict.fromkeys(step.graph.symbols, 100)).buffers if b.kind == "temp"]
        for one in temps:
            for other in temps:
                together = one is not other and one.first <= other.last and other.first <= one.last
                assert one.offset is not None and other.offset is not None
                if together and one.offset <= other.offset:
                    assert one.offset + int(one.nbytes) <= other.offset


def test_dump(tmp_path: Path, steps: dict[str, gc.Step]) -> None:
    step = steps["gather"]
    paths = step.dump(tmp_path / "stages")
    assert [int(p.name[:2]) for p in paths] == list(range(len(paths)))
    texts = {p.name[3:]: p.read_text() for p in paths}
    assert texts["program.py"] == step.text.source
    assert texts["source.py"] == step.source
    assert texts["traced.txt"] == f"{step.traced}\n"
    assert "after_axes_of_size_1.txt" in texts  # the names of passes, whole
    assert {"passes.txt", "graph.dot", "plan.txt", "kernels.txt", "memory.txt"} <= set(texts)
    assert "for i0 in n" in texts["plan.txt"]
    assert step.dump(tmp_path / "stages") == paths  # again, over the old ones


def test_dot(steps: dict[str, gc.Step]) -> None:
    text = to_dot(steps["line_fit"].graph)
    assert text.startswith("digraph step {") and text.endswith("}\n")
    for label in re.findall(r"label=(\"(?:[^\"\\]|\\.)*\")", text):
        json.loads(label)
    boxes = re.findall(r"^  (\w+) \[", text, re.MULTILINE)
    for a, b in re.findall(r"^  (\w+) -> (\w+)", text, re.MULTILINE):
        assert a in boxes and b in boxes


def test_graph_of_a_long_chain_prints() -> None:
    x = y = gc.input("x", "n")
    for _ in range(2000):
        y = y + x
    assert graph_text(gc.trace(lambda x: y, x)).count("\n") > 2000


def test_a_function_without_a_file_still_reads() -> None:
    f = eval("lambda gc, x: gc.sum(gc.exp(x) * x)")
    x = gc.input("x", "n")
    y = f(gc, x)
    ast.parse(gc.compile([x], [y, gc.grad(y, x)]).source)


# determinism


_SHOW = """
import sys
sys.path.insert(0, {here!r})
from readable import PROGRAMS
sized = lambda step: step.memory.at(**dict.fromkeys(step.graph.symbols, 3))
for make in PROGRAMS.values():
    step = make()
    print(step.text.source, step.source, step.graph, step.kernels, sized(step), step.traced)
"""


def run(code: str, **env: str) -> str:
    found = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_two_processes_write_identical_bytes() -> None:
    code = _SHOW.format(here=str(HERE))
    one, other = run(code, PYTHONHASHSEED="1"), run(code, PYTHONHASHSEED="2")
    assert one == other and "def k0" in one


def test_a_blank_line_in_the_users_file_changes_no_generated_byte(tmp_path: Path) -> None:
    text = (HERE / "readable.py").read_text()
    (tmp_path / "readable.py").write_text("\n\n" + text.replace("    r = ", "\n    r = "))
    code = "import sys; sys.path.insert(0, {!r}); import readable; print(readable.line_fit().text.source)"
    assert run(code.format(str(tmp_path))) == run(code.format(str(HERE)))


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_pickled_step_reads_the_same(name: str, steps: dict[str, gc.Step]) -> None:
    again = pickle.loads(pickle.dumps(steps[name]))
    assert again.text.source == steps[name].text.source
    assert again.source == steps[name].source


def test_gather_out_of_range_is_said_in_the_source() -> None:
    text = gather().source
    assert "an index out of range ends the step here" in text
    assert "def wrap(k, n):" in text


def test_a_bare_sum_computes():
    x = gc.input("x", ("n",))
    source = gc.compile([x], gc.sum(x)).source
    assert "for i in range(n):" in source and "copies" not in source
