"""`Tensor`: the symbolic value a user holds, and the node of the graph. Immutable and hash-consed.

Two tensors built from the same op, inputs and attrs are the same object, so common subexpressions never exist
twice and a rewrite is tested with ``is``. The node table is weak: what nobody holds is forgotten.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import Layer, TraceError, UserLine, message, user_line
from .dims import Dim, DimLike, Shape
from .dtypes import DType
from .op import Aval, Check, Op, Require
from .owed import Owed

if TYPE_CHECKING:
    from .installed import Installed
else:
    Installed = object

_serials = itertools.count()
_builds = itertools.count(1)
_lock = threading.RLock()
_table: weakref.WeakValueDictionary[Any, Tensor] = weakref.WeakValueDictionary()


class Origin(NamedTuple):
    """Where a node comes from.

    section  the part of the step it belongs to: forward, backward, update
    lines    the user's lines, that which made it first in front
    of       the node whose derivative rule made it
    bars     the nodes it is the cotangent of
    order    of the derivative: 1 in a backward pass, 2 in that of a graph with a backward pass in it
    also     further nodes whose derivative rules made it, held weakly: equal expressions are one node, perhaps of
             several graphs, which should not keep each other alive
    """

    section: str = "forward"
    lines: tuple[UserLine, ...] = ()
    of: Tensor | None = None
    bars: tuple[Tensor, ...] = ()
    order: int = 0
    also: tuple[weakref.ref[Tensor], ...] = ()

    @property
    def made_for(self) -> tuple[Tensor, ...]:
        """The nodes whose derivative rules made it."""
        alive = [node for ref in self.also if (node := ref()) is not None]
        return tuple(alive) if self.of is None else (self.of, *alive)

    @property
    def latest(self) -> UserLine | None:
        """The line that made the node last: equal expressions are one node, and the user means the newer one."""
        return latest(self.lines)


_origin: ContextVar[Origin | None] = ContextVar("origin", default=None)
layer_under_way: ContextVar[Layer | None] = ContextVar("layer_under_way", default=None)
"""The innermost module that is being called."""
_noun: ContextVar[str] = ContextVar("noun", default="")
_MAX_LINES = 8


class tracing_origin:  # noqa: N801 - a context manager, used as a verb
    """``with tracing_origin(Origin(...)):`` nodes made inside get that origin instead of the user's line."""

    def __init__(self, origin: Origin):
        self.origin = origin

    def __enter__(self) -> None:
        self._token = _origin.set(self.origin)

    def __exit__(self, *exc: object) -> None:
        _origin.reset(self._token)


class meaning:  # noqa: N801 - a context manager, used as a verb
    """``with meaning("ignored"):`` what is made inside is called so in generated code, after the user's expression."""

    def __init__(self, noun: str):
        self.noun = noun

    def __enter__(self) -> None:
        self._token = _noun.set(self.noun)

    def __exit__(self, *exc: object) -> None:
        _noun.reset(self._token)


class Tensor(Installed):
    """A symbolic array. Build one with `gc.input`, `gc.param`, `gc.constant`, or from others by expressions.

    op, inputs, attrs   what computes it; inputs are tensors
    avals               shape and dtype of each output (one, unless `op.multi`)
    checks              conditions on runtime sizes that it adds
    serial              creation number: hashable identity, since ``==`` builds a node
    origin              provenance, see `Origin`; not part of the node's identity
    owes                of what a layer in train mode returned: the state that is to follow, see `Owed`; likewise

    >>> import graphc as gc
    >>> x = gc.input("x", ("n", 3), "float32")
    >>> y = gc.tanh(x) * 2
    >>> y, y.shape, y.op.name, gc.tanh(x) * 2 is y
    (<Tensor multiply float32[n, 3]>, (n, 3), 'multiply', True)
    """

    __slots__ = ("__weakref__", "attrs", "avals", "checks", "inputs", "op", "origin", "owes", "serial")
    op: Op
    inputs: tuple[Tensor, ...]
    attrs: dict[str, Any]
    avals: tuple[Aval, ...]
    checks: tuple[Check, ...]
    serial: int
    origin: Origin
    owes: Owed | None

    def __init__(self, *args: Any, **named: Any):
        raise TypeError(
            message(
                f"{type(self).__name__}(...)",
                got=", ".join(type(a).__name__ for a in args),
                expected="gc.input, gc.param or gc.constant, which make tensors",
            )
        )

    @property
    def aval(self) -> Aval:
        if len(self.avals) != 1:
            raise TraceError(message(f"{self.op.name} has {len(self.avals)} outputs; take one with item(i)"))
        return self.avals[0]

    @property
    def shape(self) -> Shape:
        return self.aval.shape

    @property
    def dtype(self) -> DType:
        return self.aval.dtype

    @property
    def ndim(self) -> int:
        return len(self.aval.shape)

    @property
    def size(self) -> DimLike:
        """Number of elements: an int, or a dim expression."""
        size: DimLike = 1
        for dim in self.shape:
            size = size * dim
        return size

    @property
    def name(self) -> str | None:
        """The name of an input or param; None for anything computed."""
        return self.attrs.get("name") if self.op.name in ("input", "param") else None

    def __hash__(self) -> int:
        return self.serial

    def __reduce__(self) -> Any:
        from .graph import pack, unpack  # a graph travels as one flat list: pickle must not recurse over inputs

        return unpack, (pack([self]), 0)

    def __repr__(self) -> str:
        label = f" {self.name!r}" if self.name else ""
        known = ""
        if self.inputs and _of_constants(self):
            known = f", of constants: {'np.asarray' if self.shape else 'float'}(t) evaluates it"
        return f"<Tensor{label} {self.op.name} {', '.join(map(str, self.avals))}{known}>"


def _of_constants(tensor: Tensor, at_most: int = 50) -> bool:
    """Whether `tensor` depends on constants only; False, too, where it takes more than `at_most` nodes to see it."""
    seen, waiting = {tensor}, [tensor]
    while waiting:
        node = waiting.pop()
        if len(seen) > at_most or not (node.inputs or node.op.name == "constant"):
            return False
        if any(isinstance(size, Dim) for aval in node.avals for size in aval.shape):
            return False
        waiting += [i for i in node.inputs if i not in seen]
        seen.update(node.inputs)
    return not tensor.op.multi


def intern_key(value: Any) -> Any:
    """A hashable key in which 0.0, -0.0, 0 and False differ and equal bits agree."""
    if value is None or isinstance(value, (str, Dim)):
        return value
    if isinstance(value, (bool, int)):
        return (type(value).__name__, value)
    if isinstance(value, (float, np.floating)):
        return ("float", np.float64(value).tobytes())
    if isinstance(value, np.integer):
        return ("int", int(value))
    if isinstance(value, np.dtype):
        return ("dtype", value.str)
    if isinstance(value, tuple):
        return tuple([intern_key(v) for v in value])
    key = getattr(value, "intern_key", None)
    if key is None:
        raise TypeError(f"attr {value!r} of type {type(value).__name__} cannot be part of a node")
    return key


def _current_origin() -> Origin:
    chosen = _origin.get()
    return (
        chosen
        if chosen is not None
        else Origin("forward", (user_line(next(_builds), layer_under_way.get(), _noun.get()),))
    )


def build(op: Op, inputs: tuple[Tensor, ...], attrs: dict[str, Any], cls: type[Tensor] = Tensor) -> Tensor:
    """The node for `op` of `inputs`: the existing one, or a new one."""
    key = (op.name, tuple([i.serial for i in inputs]), tuple([(k, intern_key(attrs[k])) for k in sorted(attrs)]))
    with _lock:
        found = _table.get(key)
    if found is not None:
        _remember_line(found)
        return found
    require = Require(op.name)
    inferred = op.infer(require, *[i.avals if i.op.multi else i.aval for i in inputs], **attrs)
    node = object.__new__(cls)
    node.op, node.inputs, node.attrs = op, inputs, attrs
    node.avals = inferred if op.multi else (inferred,)
    node.checks = tuple(require.checks)
    node.origin = _current_origin()
    node.owes = None
    with _lock:
        found = _table.get(key)
        if found is not None:
            return found
        node.serial = next(_serials)
        _table[key] = node
    return node


def rebuilt(node: Tensor, inputs: tuple[Tensor, ...]) -> Tensor:
    """The node that is `node` with other operands; if a layer returned `node`, it stands for that."""
    new = build(node.op, inputs, node.attrs)
    new.owes = new.owes or node.owes
    return new


def _remember_line(node: Tensor) -> None:
    origin = node.origin
    section, new, of, *_ = _current_origin()
    if section == "forward" != origin.section:  # a constant that another graph's backward part made first
        node.origin = Origin(section, new)
    elif new:
        lines, also = union(origin.lines, new)[-_MAX_LINES:], origin.also
        if of is not None and all(other is not of for other in origin.made_for):
            also = (*also, weakref.ref(of))[-_MAX_LINES:]
        node.origin = Origin(origin.section, lines, origin.of, origin.bars, origin.order, also)


def latest(lines: Iterable[UserLine]) -> UserLine | None:
    """The line that was run last."""
    return max(lines, key=lambda line: line.when, default=None)


def union(lines: tuple[UserLine, ...], more: tuple[UserLine, ...]) -> tuple[UserLine, ...]:
    """The lines of both, each once, as of when it was last used."""
    if len(lines) == len(more) == 1 and lines == more:
        return max(lines, more, key=lambda one: one[0].when)
    found = {line: line for line in lines}
    for line in more:
        known = found.get(line, line)
        found[line] = known if known.when > line.when else line
    return tuple(found.values())


def note_cotangent(ct: Any, node: Tensor) -> None:
    """Remember that `ct` is the cotangent of `node`."""
    if not isinstance(ct, Tensor) or ct.origin.section != "backward":
        return
    bars = ct.origin.bars
    if len(bars) < _MAX_LINES and all(other is not node for other in bars):
        ct.origin = ct.origin._replace(bars=(*bars, node))


def clone_origin(node: Tensor, origin: Origin) -> None:
    """Give a node that a rewrite made the provenance of what it replaces."""
    node.origin = origin
