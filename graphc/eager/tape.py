"""The tape: nodes that remember how results were computed, with the values that their derivative rules will read.

A node points at the nodes of its operands (`edges`), never at its results, so a tape is freed with the last result that
hangs on it.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import errors
from ..autodiff.vjp import vjp_rules
from ..errors import GradientError, UserLine, message
from ..ir.op import Aval, Op
from .core import Absent, Edge, Storage, Tensor, backward_name
from .residuals import reads

_numbers = itertools.count()
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
        outs[0].origin = self
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
