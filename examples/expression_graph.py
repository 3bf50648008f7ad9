"""What a gradient is on a graph: three small expressions, and the sum over all paths of the products of their edges.

python examples/expression_graph.py
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import graphc as gc

Path = list[tuple[gc.Tensor, int]]


def leaves_keep_gradients() -> dict[str, float]:
    """``j = 3 (a + b c)`` on the dynamic engine: gradients arrive at the leaves and are kept nowhere else."""
    a, b, c = (gc.eager.tensor(v, requires_grad=True) for v in (3.0, 5.0, 8.0))
    u = b * c
    v = a + u
    j = 3 * v
    j.backward()
    print(f"j = 3 (a + b c) at a=3, b=5, c=8: {j}")
    print(f"  gradients of a, b, c: {a.grad}, {b.grad}, {c.grad}; of u, v, j: {u.grad}, {v.grad}, {j.grad}")
    assert (u.grad, v.grad, j.grad) == (None, None, None)
    found = {"j": j.item(), "a": a.grad.item(), "b": b.grad.item(), "c": c.grad.item()}
    assert found == {"j": 129.0, "a": 3.0, "b": 24.0, "c": 15.0}
    return found


def against_numpy() -> float:
    """``c = sum(x y + z)`` compiled with its three gradients; by hand they are y, x and ones. The largest error."""
    x, y, z = (gc.input(name, ("n", "m")) for name in "xyz")
    c = gc.sum(x * y + z)
    step = gc.compile([x, y, z], [c, *gc.grad(c, [x, y, z])], name="product and sum")
    rng = np.random.default_rng(0)
    xv, yv, zv = rng.standard_normal((3, 3, 4))
    got = step(xv, yv, zv)
    expected = [np.sum(xv * yv + zv), yv, xv, np.ones_like(zv)]
    error = max(float(np.max(np.abs(g - e))) for g, e in zip(got, expected, strict=True))
    print(f"c = sum(x y + z): compiled value and gradients differ from NumPy's by at most {error:.1e}")
    assert error < 1e-14
    return error


def paths(start: gc.Tensor, end: gc.Tensor) -> Iterator[Path]:
    """Every way from `start` down to `end`, as the edges it takes: pairs of a node and the number of an operand."""
    unfinished: list[tuple[gc.Tensor, Path]] = [(start, [])]
    while unfinished:
        node, path = unfinished.pop()
        if node is end:
            yield path
        for k in reversed(range(len(node.inputs))):
            unfinished.append((node.inputs[k], [*path, (node, k)]))


def derivative(node: gc.Tensor, k: int) -> gc.Tensor:
    """Of a node by its operand `k` alone: the rule in the node's row of the op table, for a cotangent of one."""
    return node.op.vjp[k](gc.constant(1.0), node, *node.inputs, **node.attrs)


def sum_over_paths() -> dict[str, Any]:
    """``b = w1 a, c = w2 a, d = w3 b + w4 c, L = 10 - d``: dL/da from the graph, and path by path."""
    a, w1, w2, w3, w4 = leaves = [gc.input(name) for name in ("a", "w1", "w2", "w3", "w4")]
    b = w1 * a
    c = w2 * a
    d = w3 * b + w4 * c
    L = 10 - d
    found = list(paths(L, a))
    outputs = {"gradient": gc.grad(L, a), "edges": [[derivative(*edge) for edge in path] for path in found]}
    got = gc.compile(leaves, outputs, name="paths")(a=2.0, w1=3.0, w2=5.0, w3=7.0, w4=11.0)
    names = {L: "L", d: "d", b: "b", c: "c", w3 * b: "w3 b", w4 * c: "w4 c"}
    print("b = w1 a, c = w2 a, d = w3 b + w4 c, L = 10 - d at a=2, w = 3, 5, 7, 11: the derivative of L by a")
    products = [float(np.prod(edges)) for edges in got["edges"]]
    for path, edges, value in zip(found, got["edges"], products, strict=True):
        way = " <- ".join(names[node] for node, _ in path)
        print(f"  {way} <- a:  {' * '.join(f'{edge:g}' for edge in edges)} = {value:g}")
    print(f"  sum over the paths {sum(products):g}, gradient from the graph {got['gradient']:g}")
    assert sum(products) == got["gradient"] == -(7 * 3 + 11 * 5)
    return {"products": products, "gradient": float(got["gradient"])}


def main() -> dict[str, Any]:
    """All three; what they found."""
    return {"leaves": leaves_keep_gradients(), "error": against_numpy(), "paths": sum_over_paths()}


if __name__ == "__main__":
    main()
