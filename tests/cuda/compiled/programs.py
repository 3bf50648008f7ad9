"""Compiles programs to PTX: ``programs.py MAJOR MINOR FOLDER random FIRST LAST``, or ``... FOLDER examples``.

Each kernel must compile and fit into the registers, but for a few bytes put aside: the functions of an epilogue may
need some while a product's sums stay where they are. The last line says how many kernels there were.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parent), str(HERE.parents[2])]

from test_cuda_ptx import examined  # noqa: E402 - found by the line above
from test_examples import example  # noqa: E402

import graphc as gc  # noqa: E402
from graphc.codegen.cuda import CudaText, print_cuda  # noqa: E402
from graphc.ir.graph import Graph  # noqa: E402
from graphc.passes.pipeline import optimise  # noqa: E402
from graphc.schedule.plan import make_plan  # noqa: E402
from graphc.schedule.policy import CUDA  # noqa: E402
from graphc.testing.targets import TARGETS  # noqa: E402

ASIDE = 64
"""Bytes."""


def printed(graph: Graph) -> CudaText:
    return print_cuda(make_plan(optimise(graph)[0], None, CUDA))


def random_graphs(first: int, last: int) -> Iterator[tuple[str, Graph]]:
    for seed in range(first, last):
        traced = TARGETS["eager"].program(seed).trace()
        yield f"seed {seed}", Graph(traced.inputs, traced.outputs, list(traced.updates.items()))


def examples() -> Iterator[tuple[str, Graph]]:
    yield "line_fit", example("line_fit").line_step("float32", 1e-4)[0].traced
    yield "orthogonal_fit", example("orthogonal_fit").orthogonal_step()[0].traced
    yield "static_and_dynamic", example("static_and_dynamic").compiled_fit()[0].traced
    model = gc.nn.Sequential(gc.nn.Linear(4, 5), gc.nn.ReLU(), gc.nn.Linear(5, 3), gc.nn.GELU(), gc.nn.Linear(3, 1))
    x, t = gc.input("x", ("n", 4), "float32"), gc.input("t", ("n", 1), "float32")
    loss = gc.nn.mse_loss(gc.sigmoid(model(x)), t)
    yield "small_network", Graph([x, t], [loss], list(gc.optim.AdamW(model.parameters()).minimize(loss).items()))
    lenet = example("lenet_mnist").LeNet()
    x, t = gc.input("x", ("batch", 1, 32, 32), "float32"), gc.input("t", ("batch",), "int64")
    loss = gc.nn.cross_entropy(lenet(x), t)
    sgd = gc.optim.SGD(lenet.parameters(), lr=0.05, momentum=0.9)
    yield "lenet", Graph([x, t], [loss], list(sgd.minimize(loss).items()))


def main(major: str, minor: str, folder: str, what: str, *seeds: str) -> None:
    programs = kernels = 0
    for name, graph in random_graphs(*map(int, seeds)) if what == "random" else examples():
        try:
            kernels += len(examined(printed(graph), (int(major), int(minor)), Path(folder), ASIDE))
        except Exception as error:
            error.add_note(f"in {name}")
            raise
        programs += 1
    print(f"{programs} programs, {kernels} kernels")


if __name__ == "__main__":
    np.seterr(all="ignore")
    main(*sys.argv[1:])
