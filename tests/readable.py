"""Small programs whose graph and source are kept as goldens: what a reader of generated code sees."""

from __future__ import annotations

import numpy as np

import graphc as gc


def line_fit() -> gc.Step:
    x = gc.input("x", "n")
    y = gc.input("y", "n")
    a = gc.param(1.0, name="a")
    b = gc.param(0.0, name="b")
    r = a * x - y + b
    loss = gc.mean(r * r)
    da, db = gc.grad(loss, [a, b])
    return gc.compile([x, y], [loss], {a: a - 0.1 * da, b: b - 0.1 * db}, name="line fit")


def softmax_row() -> gc.Step:
    scores = gc.input("scores", ("batch", 5), "float32")
    weights = gc.softmax(scores)
    loss = gc.sum(weights * weights)
    return gc.compile([scores], {"weights": weights, "slope": gc.grad(loss, scores)}, name="softmax row")


def gather() -> gc.Step:
    index = gc.input("index", "n", "int64")
    table = gc.param(np.arange(12.0).reshape(4, 3), name="table")
    rows = gc.take(table, index, axis=0)
    loss = gc.sum(gc.tanh(rows))
    return gc.compile([index], loss, {table: table - 0.5 * gc.grad(loss, table)}, name="gather")


PROGRAMS = {"line_fit": line_fit, "softmax_row": softmax_row, "gather": gather}
