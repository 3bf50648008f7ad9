"""The tape: nodes that remember how results were computed, and the walk back over them.

A node points at the nodes of its operands (`edges`), never at its results, so a tape is freed with the last result that
hangs on it. Nothing recurses: nodes are visited by falling creation number, which puts users before operands.
"""

from __future__ import annotations

import heapq
import itertools
import sys
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import errors
from ..autodiff.vjp import vjp_rules
from ..errors import GradientError, UserLine, message, user_line
from ..ir.op import Aval, Op
from ..ops.cotangent import ZERO, ct_add
from .core import Absent, Edge, Storage, Tensor, backward_name, edge_of
from .modes import set_grad_enabled
from .residuals import reads

_numbers = itertools.count()
_accumulating = threading.Lock()
_inside: dict[str, bool] = {}
_RETAIN_HINT = "pass retain_graph=True to the first backward, or compute the result again"


Saved = tuple[np.ndarray, Storage, int]
"""A value a rule may read: its array, memory, and the version it had."""


def save(tensor: Tensor) -> Saved:
    storage = tensor._storage
    return tensor._array, storage, storage.version


class Node:
    """One recorded call: where the gradients of its results go.

    next_functions   pairs (node, which of its outputs) of the operands, None where no gradient flows
    """

    __slots__ = ("__weakref__", "_where", "edges", "number", "outputs", "retained")

    def __init__(self, edges: tuple[Edge | None, ...], outputs: int):
        self.edges, self.outputs = edges, outputs
        self.number = next(_numbers)
        self.retained: dict[int, Any] | None = None
        self._where = _where()

    def name(self) -> str:
        raise NotImplementedError

    def pull(self, cts: list[Any], wanted: list[bool], create_graph: bool) -> Sequence[Any]:
        """Cotangents of the operands, given those of the results."""
        raise NotImplementedError

    def release(self) -> None:
        """Forget the saved values."""

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """The nodes of the operands, each with the number of the output that was used."""
        return tuple((None, 0) if e is None else e if type(e) is tuple else (AccumulateGrad(e), 0) for e in self.edges)  # type: ignore[arg-type]

    @property
    def lines(self) -> tuple[UserLine, ...]:
        """The user's line that made the node."""
        code, offset = self._where
        line = next((n for start, stop, n in code.co_lines() if start <= offset < stop and n), code.co_firstlineno)
        return (UserLine(code.co_filename, line),)

    def __repr__(self) -> str:
        return f"<{self.name()}>"


def _where() -> Any:
    """The innermost frame outside graphc and NumPy, as (code, offset): the line is worked out if an error needs it."""
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        file = code.co_filename
        inside = _inside.get(file)
        if inside is None:
            inside = _inside[file] = errors.is_internal(file)
        if not inside or frame.f_back is None:
            return code, frame.f_lasti
        frame = frame.f_back
    raise AssertionError("unreachable: a call always has a frame")


class AccumulateGrad:
    """The end of a walk over `next_functions`: the leaf whose `.grad` is added to."""

    __slots__ = ("variable",)
    next_functions: tuple[Any, ...] = ()

    def __init__(self, variable: Tensor):
        self.variable = variable

    def name(self) -> str:
        return "AccumulateGrad"

    def __repr__(self) -> str:
        return "<AccumulateGrad>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AccumulateGrad) and other.variable is self.variable

    def __hash__(self) -> int:
        return id(self.variable)


class OpNode(Node):
    """A recorded op. Of the values that its rules cannot read only shape and dtype are kept, see `residuals`."""

    __slots__ = ("attrs", "op", "saved", "saved_outputs")

    def __init__(
        self,
        op: Op,
        inputs: Sequence[Tensor],
        outs: Sequence[Tensor],
        attrs: dict[str, Any],
        edges: tuple[Edge | None, ...],
    ):
        super().__init__(edges, len(outs))
        self.op, self.attrs = op, attrs
        out_is_read, is_read = reads(op, tuple([e is not None for e in edges]))
        self.saved: list[Saved | Aval] | None = [
            save(i) if read or i._array.dtype.kind != "f" else Aval(i._array.shape, i._array.dtype)
            for i, read in zip(inputs, is_read, strict=True)
        ]
        self.saved_outputs = [save(o) if out_is_read else Aval(o._array.shape, o._array.dtype) for o in outs]

    def name(self) -> str:
        return backward_name(self.op, self.attrs)

    def pull(self, cts: list[Any], wanted: list[bool], create_graph: bool) -> Sequence[Any]:
        if self.saved is None:
            raise freed(self)
        inputs = [self._restored(s, f"operand {k}") for k, s in enumerate(self.saved)]
        outs = [self._restored(s, "result") for s in self.saved_outputs]
        if create_graph:
            for k, out in enumerate(outs):
                attach(out, (self, k))
            for i, edge in zip(inputs, self.edges, strict=True):
                attach(i, edge)
        if self.op.multi:
            return vjp_rules(self.op, tuple(cts), tuple(outs), inputs, self.attrs, wanted)
        outs[0].origin = self  # type: ignore[attr-defined] - `lines`, for the error of a refused rule
        return vjp_rules(self.op, cts[0], outs[0], inputs, self.attrs, wanted)

    def release(self) -> None:
        if self.saved is not None and any(type(s) is tuple for s in (*self.saved, *self.saved_outputs)):
            self.saved, self.saved_outputs = None, []

    def _restored(self, saved: Saved | Aval, what: str) -> Tensor:
        if type(saved) is Aval:
            return Absent(saved.shape, saved.dtype, lambda: unkept(self, what))
        return restored(saved, self, f"its {what}")  # type: ignore[arg-type]


def restored(saved: Saved, node: Node, what: str) -> Tensor:
    """The value that was saved; where it was changed since, a stand-in that raises when it is read."""
    array, storage, version = saved
    if storage.version == version:
        return Tensor(array, storage)
    return Absent(array.shape, array.dtype, lambda: changed(node, saved, what))


def attach(tensor: Tensor, edge: Edge | None) -> None:
    """Give a restored value its place on the tape, so that the backward pass can itself be differentiated."""
    if edge is not None and tensor.dtype.kind == "f":
        tensor._edge, tensor._requires = edge, True


def changed(node: Node, saved: Saved, what: str) -> GradientError:
    array, storage, version = saved
    return GradientError(
        message(
            f"a value that {node.name()} needs was changed in place after it was used",
            got=f"{what}, {array.dtype}{list(array.shape)}, at version {storage.version}",
            expected=f"version {version}",
            at=node.lines[0],
            hint="change a copy instead (y = y + 1, or y.clone()), or change it after backward()",
        )
    )


def unkept(node: Node, what: str) -> GradientError:
    return GradientError(
        message(
            f"the derivative rule of {node.name()} reads its {what}, which was not kept",
            expected="a rule that reads sizes only, as the op's trait 'linear' and the rule's own code say",
            at=node.lines[0],
            hint="this is an error in the op's row in graphc",
        )
    )


def freed(node: Node) -> GradientError:
    return GradientError(
        message(
            f"backward a second time through {node.name()}, whose saved values were freed by the first",
            at=node.lines[0],
            hint=_RETAIN_HINT,
        )
    )


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

    outputs, inputs   a tensor or a sequence of them
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
    ys, xs = _listed(outputs), _listed(inputs)
    cts = [None] * len(ys) if grad_outputs is None else _listed(grad_outputs)
    if len(cts) != len(ys):
        raise _bad_gradient(f"{len(cts)} grad_outputs", f"one for each of the {len(ys)} outputs")
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
    found = [walk.captured.get(t, ZERO) if type(t) is tuple else walk.leaves.get(t, ZERO) for t in targets]  # type: ignore
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
        elif ct is not ZERO and (create_graph or old.requires_grad):
            with set_grad_enabled(create_graph):
                leaf._grad = ct_add(old, ct)
        elif ct is not ZERO:
            np.add(old._array, ct._array, out=old._array)
            old._storage.version += 1
