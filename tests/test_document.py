"""`Step.source` computes what the step computes: its kernels, run as plain Python in the order it shows."""

from __future__ import annotations

import ast
import math
from typing import Any

import numpy as np
import pytest
from test_compiled_ops import calls, rows, tolerance

import graphc as gc
from graphc.codegen.cpu import print_program
from graphc.inspect.views import Reading
from graphc.ir.evaluate import evaluate
from graphc.ir.graph import Graph
from graphc.ir.tensor import Tensor
from graphc.passes.pipeline import optimise
from graphc.schedule.plan import make_plan

_TYPES = ["bool_", "inf", "nan", "float32", "float64"]
_TYPES += [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]


def reading(graph: Graph) -> Reading:
    """What `Step` reads from, without compiling anything."""
    plan = make_plan(optimise(graph)[0])
    return Reading(plan, print_program(plan), graph)


class Document:
    """A rendered source, executed: arrays by name, 0-d ones as plain values."""

    def __init__(self, read: Reading, sizes: dict[str, int]):
        self.tree = ast.parse(read.source)
        self.functions = {n.name: n for n in self.tree.body if isinstance(n, ast.FunctionDef)}
        self.globals: dict[str, Any] = {"np": np, "math": math, **{t: getattr(np, t) for t in _TYPES}, **sizes}
        own = {"step", *read.views}
        helpers = [n for n in self.tree.body if isinstance(n, (ast.FunctionDef, ast.Assign))]
        helpers = [n for n in helpers if getattr(n, "name", "") not in own]
        exec(compile(ast.Module(helpers, []), "<helpers>", "exec"), self.globals)
        self.memory: dict[str, Any] = {}
        for b in read.plan.buffers:
            nbytes = b.nbytes(sizes)
            self.memory[read.names.buffers[b.number]] = np.zeros(nbytes // b.dtype.itemsize, b.dtype)

    def run(self, values: dict[str, np.ndarray], shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
        """Memory by name, after one step; `shapes` are those of the outputs."""
        for name, value in values.items():
            self.memory[name][...] = value.ravel()
        for statement in self.functions["step"].body:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
                self.call(statement.value)
        return {name: self.memory[name].reshape(shape) for name, shape in shapes.items()}

    def call(self, call: ast.Call) -> None:
        """Run the body of a kernel on the memory it is called with."""
        kernel = self.functions[call.func.id]  # type: ignore[attr-defined]
        space = dict(self.globals)
        written = []
        for parameter, argument in zip(kernel.args.args, call.args, strict=True):
            if isinstance(argument, ast.Constant):
                space[parameter.arg] = argument.value
                continue
            memory = self.memory[argument.id]  # type: ignore[attr-defined]
            text = ast.unparse(parameter.annotation)  # type: ignore[arg-type]
            inner = text.removeprefix("inout(").removeprefix("out(").removesuffix(")") if "out(" in text else text
            if "[" in inner:
                places = inner[inner.index("[") :]
                if places[1:-1].isidentifier() and places[1:-1] not in self.globals:  # a row of all elements
                    space[places[1:-1]] = memory.size
                shape = eval(places.replace("[", "(").replace("]", ",)"), space)
                space[parameter.arg] = memory.reshape(shape)
            else:
                if not text.startswith("out("):
                    space[parameter.arg] = memory[0]
                written.append((parameter.arg, memory))
        exec(compile(ast.Module(kernel.body, []), "<kernel>", "exec"), space)
        for name, memory in written:
            if name in space:
                memory[0] = space[name]


def check(inputs: list[Tensor], arrays: list[np.ndarray], outputs: list[Tensor], sizes: dict[str, int]) -> None:
    graph = Graph(inputs, outputs)
    read = reading(graph)
    document = Document(read, sizes)
    numbers = {k: [b.number for b in read.plan.buffers if b.kind == k] for k in ("input", "output")}
    names = {k: [read.names.buffers[n] for n in numbers[k]] for k in numbers}
    expected = evaluate(outputs, dict(zip(inputs, arrays, strict=True)))
    shapes = {name: want.shape for name, want in zip(names["output"], expected, strict=True)}
    with np.errstate(all="ignore"):
        found = document.run(dict(zip(names["input"], arrays, strict=True)), shapes)
    for name, want in zip(names["output"], expected, strict=True):
        loose = tolerance(want.dtype)
        np.testing.assert_allclose(found[name], want, rtol=loose, atol=loose, err_msg=read.source)


@pytest.mark.parametrize("names", rows(), ids=lambda names: f"{names[0]}..{names[-1]}")
def test_the_document_computes_what_the_step_does(names: list[str]) -> None:
    for _, inputs, arrays, outputs in calls(names):
        check(inputs, arrays, list(outputs), {})


def test_fused_loops_over_named_sizes(rng: np.random.Generator) -> None:
    x = gc.input("x", ("n", 4))
    w = gc.input("w", (4, 4))
    t = gc.input("t", "n", "int64")
    h = gc.tanh(x @ w)
    for _ in range(2):
        h = gc.tanh(h @ w)
    scores = h - gc.logsumexp(h, axis=1, keepdims=True)
    loss = -gc.mean(gc.take_along_axis(scores, gc.expand_dims(t, axis=1), axis=1))
    slope = gc.grad(loss, w)
    bent = gc.grad(gc.sum(slope * slope), w)
    order = gc.argsort(gc.sum(x, axis=1))
    running = gc.cumulative_sum(x, axis=0)
    outputs = [loss, slope, bent, order, running, gc.argmax(h, axis=1), gc.concat([t, t]), gc.max(h), gc.any(x > 0)]
    arrays = [rng.standard_normal((5, 4)), rng.standard_normal((4, 4)), np.array([0, 3, -1, 2, 1])]
    check([x, w, t], arrays, outputs, {"n": 5})


def test_a_kernel_called_with_several_sizes() -> None:
    """It is shown as one loop over all elements, which is right for each of them."""
    x, y = gc.input("x", (3, 4)), gc.input("y", (2, 2, 5))
    outputs = [gc.tanh(v) * 2.0 for v in (x, y)]
    arrays = [np.linspace(-1.0, 1.0, 12).reshape(3, 4), np.linspace(0.0, 2.0, 20).reshape(2, 2, 5)]
    check([x, y], arrays, outputs, {})
    read = reading(Graph([x, y], outputs))
    [view] = read.views.values()
    assert "called 2 times, with arrays as rows of `size` elements" in read.source
    assert view.signature()[0].count("float64[size]") == 2 and "for i in range(size):" in read.source
