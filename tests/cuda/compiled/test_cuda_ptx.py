"""What kernels compile to, for an old and a new device: it compiles, in registers, without fused multiply and add."""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from test_compiled_ops import calls, rows

import graphc as gc
from graphc.codegen.cuda import CudaText, print_cuda
from graphc.ir.graph import Graph
from graphc.passes.pipeline import optimise
from graphc.runtime.cuda import ptx
from graphc.schedule.launches import PRODUCTS
from graphc.schedule.plan import make_plan
from graphc.schedule.policy import CUDA

DEVICES = ((7, 5), (9, 0))
MOST_REGISTERS = 255
"""What a thread may have; 128 let a block of 256 have company on its processor."""
NAMES = [name for group in rows() for name in group]


_WHEELS = Path(sysconfig.get_path("purelib"))
PTXAS = shutil.which("ptxas") or next(map(str, _WHEELS.glob("nvidia/*/bin/ptxas")), None)
"""The assembler, of a toolkit or of a wheel; without one, registers are not looked at."""


def printed(inputs: list, outputs: list, updates: dict | None = None, by_cublas: bool = False) -> CudaText:
    """The file for a graph."""
    graph, _ = optimise(Graph(inputs, outputs, list((updates or {}).items())))
    return print_cuda(make_plan(graph, None, CUDA), by_cublas)


def assembled(code: str, device: tuple[int, int], folder: Path) -> dict[str, int]:
    """What `ptxas` says of a kernel: registers, bytes of the stack, bytes spilled."""
    (folder / "kernel.ptx").write_text(code)
    arch = f"-arch=sm_{device[0]}{device[1]}"
    assert PTXAS
    command = [PTXAS, "-v", arch, str(folder / "kernel.ptx"), "-o", str(folder / "kernel.cubin")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (registers,) = re.findall(r"Used (\d+) registers", done.stderr)
    (stack,) = re.findall(r"(\d+) bytes stack frame", done.stderr)
    return {
        "registers": int(registers),
        "stack": int(stack),
        "spilled": sum(map(int, re.findall(r"(\d+) bytes spill", done.stderr))),
    }


def examined(text: CudaText, device: tuple[int, int], folder: Path, aside: int = 0) -> dict[str, str]:
    """The PTX of a file's kernels, each of which must fit into the registers, up to some bytes put aside."""
    found = ptx(text.source, text.names, device)
    assert list(found) == text.names
    for name, code in found.items():
        assert f".target sm_{device[0]}{device[1]}" in code
        if PTXAS:
            used = assembled(code, device, folder)
            assert max(used["stack"], used["spilled"]) <= aside and used["registers"] <= MOST_REGISTERS, (name, used)
    return found


@pytest.mark.parametrize("device", DEVICES, ids=lambda d: f"sm_{d[0]}{d[1]}")
@pytest.mark.parametrize("name", NAMES)
def test_every_row_compiles(name: str, device: tuple[int, int], tmp_path: Path) -> None:
    cases = list(calls([name]))
    text = printed([i for _, ins, _, _ in cases for i in ins], [o for *_, outs in cases for o in outs])
    examined(text, device, tmp_path)


@pytest.mark.parametrize("device", DEVICES, ids=lambda d: f"sm_{d[0]}{d[1]}")
def test_scalar_arithmetic_is_not_contracted(device: tuple[int, int], tmp_path: Path) -> None:
    x, y = gc.input("x", ("n", "m"), "float32"), gc.input("y", ("n", "m"), "float32")
    (code,) = examined(printed([x, y], [x * y + y]), device, tmp_path).values()
    assert "div.u64" not in code and "rem.u64" not in code  # an element's number is enough
    assert "fma" not in code and "mul.rn.f32" in code and "add.rn.f32" in code
    assert "ld.global.f32" in code and "st.global.f32" in code  # not by generic addresses


@pytest.mark.parametrize(("dtype", "vector"), [("float32", "v4.f32"), ("float64", "v2.f64"), ("int32", "v4.u32")])
@pytest.mark.parametrize("device", DEVICES, ids=lambda d: f"sm_{d[0]}{d[1]}")
def test_memory_moves_by_vectors(device: tuple[int, int], dtype: str, vector: str, tmp_path: Path) -> None:
    x, y = gc.input("x", ("n",), dtype), gc.input("y", ("n",), dtype)
    (code,) = examined(printed([x, y], [x * y + y, x - y]), device, tmp_path).values()
    assert code.count(f"ld.global.{vector}") >= 2 and code.count(f"st.global.{vector}") >= 2
    assert "__local_depot" not in code


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_transposes_go_along_memory_both_ways(dtype: str, tmp_path: Path) -> None:
    x = gc.input("x", ("b", "n", "m"), dtype)
    text = printed([x], [gc.permute_dims(x, (2, 0, 1)) * 2.0])
    (code,) = examined(text, (9, 0), tmp_path).values()
    assert f"ld.shared.f{dtype[5:]}" in code and f"st.shared.f{dtype[5:]}" in code and code.count("bar.sync") == 2
    assert "cuda.shared.array((32, 33)" in text.source


def test_much_work_stays_in_registers(tmp_path: Path) -> None:
    x = gc.input("x", ("n",), "float32")
    y = gc.sum(gc.tanh(x) * gc.sigmoid(x) + gc.exp(-x * x))
    (code,) = examined(printed([x], gc.grad(y, [x])), (9, 0), tmp_path).values()
    assert "ld.global.v4.f32" in code and "__local_depot" not in code


def test_rows_and_sums_are_read_by_vectors(tmp_path: Path) -> None:
    x, t = gc.input("x", ("n", 4096), "float32"), gc.input("t", ("n",), "int64")
    loss = gc.nn.cross_entropy(x, t)
    for outputs in ([gc.softmax(x, axis=-1)], [gc.nn.layer_norm(x, 4096)], [gc.sum(x)], [loss, gc.grad(loss, x)]):
        found = "".join(examined(printed([x, t], outputs), (9, 0), tmp_path).values())
        assert "ld.global.v4.f32" in found and "__local_depot" not in found


@pytest.mark.parametrize("spec", ["mk,kn->mn", "km,kn->mn", "mk,nk->mn", "km,nk->mn"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("device", DEVICES, ids=lambda d: f"sm_{d[0]}{d[1]}")
def test_products_stay_in_registers(device: tuple[int, int], dtype: str, spec: str, tmp_path: Path) -> None:
    sizes = [tuple(operand) for operand in spec.split("->")[0].split(",")]
    x, y = gc.input("x", sizes[0], dtype), gc.input("y", sizes[1], dtype)
    aside = 8 if (dtype, spec) == ("float64", "km,nk->mn") else 0  # outside the loop over terms
    found = examined(printed([x, y], [gc.einsum(spec, x, y)]), device, tmp_path, aside).values()
    vector = "v4.f32" if dtype == "float32" else "v2.f64"
    for code, tiling in zip(found, PRODUCTS[dtype], strict=True):
        assert code.count(f"fma.rn.f{dtype[5:]}") >= tiling.per**2
        assert f"ld.shared.{vector}" in code and f"ld.global.{vector}" in code and f"st.global.{vector}" in code
        assert "__local_depot" not in code and ".minnctapersm 2" in code


def test_epilogues_work_on_registers(tmp_path: Path) -> None:
    x, w = gc.input("x", ("n", 784), "float32"), gc.input("w", (784, 256), "float32")
    b, r = gc.input("b", (256,), "float32"), gc.input("r", ("n", 256), "float32")
    y = gc.nn.relu(x @ w + b)
    text = printed([x, w, b, r], [y + r, y > 0])
    found = examined(text, (9, 0), tmp_path).values()
    assert "pick(sums, 8, i, " in text.source and not any("__local_depot" in code for code in found)
    assert len(text.calls) == 2  # in large tiles, or in small ones
    assert len([e for e in text.entries if e[0] == "buffer"]) == 2 * 6  # not the product itself


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("device", DEVICES, ids=lambda d: f"sm_{d[0]}{d[1]}")
def test_what_stands_behind_cublas(device: tuple[int, int], dtype: str, tmp_path: Path) -> None:
    x, w = gc.input("x", (8, 512, 1024), dtype), gc.param(np.zeros((1024, 256), dtype), name="w")
    y = gc.tanh(gc.tanh(x) @ w)
    loss = gc.sum(gc.where(gc.isfinite(y), y, 0.0))
    text = printed([x], [gc.exp(gc.einsum("bij,bkj->bik", gc.tanh(x), y @ w.T))], {w: w - gc.grad(loss, w)}, True)
    assert len(text.products) == 4 and "product_float" not in text.source and "def guarded_" in text.source
    vector = "v4.f32" if dtype == "float32" else "v2.f64"
    assert any(f"ld.global.{vector}" in code for code in examined(text, device, tmp_path).values())


def test_warps_exchange_and_rows_have_blocks(tmp_path: Path) -> None:
    x = gc.input("x", ("n", "m"), "float32")
    text = printed([x], [gc.softmax(x, axis=-1)])
    found = examined(text, (9, 0), tmp_path)
    assert len(found) == 1 and "shfl.sync" in "".join(found.values())


def test_a_training_step_compiles(tmp_path: Path) -> None:
    x, t = gc.input("x", ("n", 1, 8, 8), "float32"), gc.input("t", ("n",), "int64")
    model = gc.nn.Sequential(
        gc.nn.Conv2d(1, 3, 3), gc.nn.ReLU(), gc.nn.MaxPool2d(2), gc.nn.Flatten(), gc.nn.Linear(27, 4)
    )
    loss = gc.nn.cross_entropy(model(x), t)
    params = list(model.parameters())
    gradients = dict(zip(params, gc.grad(loss, params), strict=True))
    updates = gc.optim.SGD(params, lr=0.1, momentum=0.9).updates(gradients)
    examined(printed([x, t], [loss], updates), (9, 0), tmp_path)
