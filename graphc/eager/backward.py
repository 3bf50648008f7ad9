"""`backward` and `grad`: the walk back over the tape.

Nothing recurses: nodes are visited by falling creation number, which puts users before operands.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import GradientError, count, message, user_line
from ..ops.cotangent import ZERO, ct_add
from .core import Edge, Tensor, edge_of
from .modes import set_grad_enabled
from .params import as_leaf
from .tape import Node

_accumulating = threading.Lock()


class Walk:
    """One pass back over the tape.

    leaves    cotangents that reached leaves
    captured  cotangents that reached the outputs asked for in `capture`, pairs (node, index)
    path      if given, the nodes to go through: the others lead nowhere that was asked for
    """

    def __init__(self, create_graph: bool, retain_graph: bool):
        self.create_graph, self.retain_graph = create_graph, retain_graph
        self.leaves: dict[Tensor, Any] = {}
        self.captured: dict[tuple[Node, int], Any] = {}
        self.capture: frozenset[tuple[Node, int]] = frozenset()
        self.path: set[Any] | None = None
        self._pending: dict[Node, list[Any]] = {}
        self._heap: list[tuple[int, Node]] = []

    def deposit(self, edge: Edge, ct: Any) -> None:
        """Add `ct` to what has reached `edge`."""
        if type(edge) is not tuple:
            self.leaves[edge] = ct_add(self.leaves.get(edge, ZERO), ct)  # type: ignore[index, arg-type]
            return
        node, index = edge
        cts = self._pending.get(node)
        if cts is None:
            cts = self._pending[node] = [ZERO] * node.outputs
            heapq.heappush(self._heap, (-node.number, node))
        cts[index] = ct_add(cts[index], ct)

    def run(self) -> None:
        """Go back from what was deposited to the leaves."""
        with set_grad_enabled(self.create_graph):
            while self._heap:
                node = heapq.heappop(self._heap)[1]
                self._visit(node, self._pending.pop(node))

    def _visit(self, node: Node, cts: list[Any]) -> None:
        if self.capture:
            self.captured.update({(node, k): ct for k, ct in enumerate(cts) if (node, k) in self.capture})
        if node.retained:
            _keep_retained(node, cts)
        path = self.path
        wanted = [e is not None and (path is None or (e[0] if type(e) is tuple else e) in path) for e in node.edges]
        if not any(wanted):
            return
        if all(ct is ZERO for ct in cts):
            bars: Sequence[Any] = [ZERO] * len(wanted)
        else:
            bars = node.pull(cts, wanted, self.create_graph)
        if not self.retain_graph:
            node.release()
        for edge, want, bar in zip(node.edges, wanted, bars, strict=True):
            if want and bar is not None:
                self.deposit(edge, bar)  # type: ignore[arg-type]


def _keep_retained(node: Node, cts: list[Any]) -> None:
    assert node.retained is not None
    for k, reference in node.retained.items():
        tensor = reference()
        if tensor is not None and cts[k] is not ZERO:
            _accumulate(tensor, cts[k], False)


def backward(
    outputs: Sequence[Tensor], gradients: Sequence[Any], retain_graph: bool | None = None, create_graph: bool = False
) -> None:
    """Accumulate the gradients of `outputs`, given their cotangents, in the leaves they depend on."""
    walk = Walk(create_graph, create_graph if retain_graph is None else bool(retain_graph))
    for output, gradient in zip(outputs, gradients, strict=True):
        ct = start(output, gradient)
        walk.deposit(edge_of(output), ct)
    walk.run()
    for leaf, ct in walk.leaves.items():
        _accumulate(leaf, ct, create_graph)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> tuple[Tensor, ...]:
    """The gradients of `outputs` with respect to `inputs`, leaves or not; adds nothing to any `.grad`.

    outputs, inputs   a tensor or a sequence of them; an input may be a `gc.param`
    grad_outputs      cotangents of the outputs (may be left out, or None, for one-element outputs)
    retain_graph      keep the saved values, for another pass (default: as `create_graph`)
    create_graph      record this pass too: the results can be differentiated again

    Returns a tuple, one gradient for each of `inputs`; zeros where the outputs do not depend on it.

    >>> from graphc import eager
    >>> x = eager.tensor(2.0, requires_grad=True)
    >>> (g,) = eager.grad(x**3, x, create_graph=True)
    >>> g, eager.grad(g, x)
    (tensor(12., grad_fn=<CloneBackward>), (tensor(12.),))
    """
    ys, xs = _listed(outputs), [as_leaf(x) for x in _listed(inputs)]
    cts = [None] * len(ys) if grad_outputs is None else _listed(grad_outputs)
    if len(cts) != len(ys):
        raise _bad_gradient(f"{len(cts)} grad_outputs", f"one for each of {count(len(ys), 'output')}")
    for k, x in enumerate(xs):
        if not x.requires_grad:
            raise GradientError(
                message(
                    f"input {k} of eager.grad does not require a gradient",
                    got=x._describe(),
                    at=user_line(),
                    created=False,
                    hint="make it with requires_grad=True, before the outputs are computed from it",
                )
            )
    walk = Walk(create_graph, create_graph if retain_graph is None else bool(retain_graph))
    starts = [(y, start(y, ct)) for y, ct in zip(ys, cts, strict=True)]
    targets = [edge_of(x) for x in xs]
    walk.capture = frozenset(t for t in targets if type(t) is tuple)
    walk.path = _path([edge_of(y) for y in ys], targets)
    for y, ct in starts:
        walk.deposit(edge_of(y), ct)
    walk.run()
    found = [walk.captured.get(t, ZERO) if isinstance(t, tuple) else walk.leaves.get(t, ZERO) for t in targets]
    return tuple(_own(bar, x, create_graph) for bar, x in zip(found, xs, strict=True))


def _path(starts: list[Edge], targets: list[Edge]) -> set[Any]:
    """The nodes from which one of `targets` can be reached, and the targets."""
    path: set[Any] = {t[0] if type(t) is tuple else t for t in targets}
    seen: set[Node] = set()
    stack = [e[0] for e in starts if type(e) is tuple]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack.extend(e[0] for e in node.edges if type(e) is tuple)
    for node in sorted(seen, key=lambda n: n.number):
        if any(e is not None and (e[0] if type(e) is tuple else e) in path for e in node.edges):
            path.add(node)
    return path


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list)) else [value]


def _own(bar: Any, like: Tensor, create_graph: bool) -> Tensor:
    """A cotangent as the caller may keep and change it: memory of its own."""
    if bar is ZERO:
        return Tensor(np.zeros(like.shape, like.dtype))
    return bar.clone() if create_graph else Tensor(bar._array.copy())


def start(output: Tensor, gradient: Any) -> Tensor:
    """The cotangent that a backward pass starts from, checked."""
    if not output.requires_grad:
        raise GradientError(
            message(
                "backward of a tensor that does not require a gradient",
                got=output._describe(),
                expected="one computed from a leaf with requires_grad=True",
                at=user_line(),
                created=False,
                hint="set requires_grad=True on the leaves before computing, and not under no_grad()",
            )
        )
    if gradient is None:
        if output._array.size != 1:
            raise _bad_gradient(
                f"a tensor of {output._array.size} elements, {output._describe()}, and no gradient",
                "one element",
                "reduce it first, loss.sum().backward(), or pass gradient= with the shape of the tensor",
            )
        return Tensor(np.ones(output.shape, output.dtype))
    ct = gradient if isinstance(gradient, Tensor) else Tensor(np.array(gradient, output.dtype))
    if ct.shape != output.shape or ct.dtype != output.dtype:
        raise _bad_gradient(f"gradient {ct._describe()}", f"the shape and dtype of the tensor, {output._describe()}")
    return ct


def _bad_gradient(got: str, expected: str, hint: str = "") -> GradientError:
    return GradientError(message("backward", got=got, expected=expected, at=user_line(), created=False, hint=hint))


def _accumulate(leaf: Tensor, ct: Any, create_graph: bool) -> None:
    """Add `ct` to ``leaf.grad``: in place, in memory of its own, unless the pass is itself recorded."""
    with _accumulating:
        old = leaf._grad
        if old is None:
            leaf._grad = _own(ct, leaf, create_graph)
        elif ct is not ZERO and (create_graph or old.requires_grad or not old._array.flags.writeable):
            with set_grad_enabled(create_graph):
                leaf._grad = ct_add(old, ct)
        elif ct is not ZERO:
            np.add(old._array, ct._array, out=old._array)
            old._storage.version += 1
