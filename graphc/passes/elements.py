"""Small arrays of scalars and many known zeros as their elements, each a scalar expression.

The Jacobian of scalar expressions is a product with all vectors of a basis at once, and a gradient by ``x[0]``,
``x[1]``, ... is put into place among zeros and added up: most of what such arrays would compute is known. Their
elements are few scalars, which run as straight code together with the rest.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..ir.apply import apply
from ..ir.dims import Dim
from ..ir.graph import Graph
from ..ir.leaves import CONSTANT, constant, constant_value
from ..ir.lowering import Map
from ..ir.tensor import Tensor, tracing_origin
from ..ir.traversal import users
from ..ops.creation import IOTA
from ..ops.joining import concat
from ..ops.movement import SLICE, reshape

MOST_ELEMENTS = 256
"""Of an array: larger ones are loops."""
MOST_SCALARS = 1024
"""That arrays which read each other may become: straight code takes time to compile."""
LEAST_SAVED = 2
"""How many times fewer operations there must be: a loop has vectors."""
_MOST_ROUNDS = 4
_MOVES = frozenset({"broadcast_to", "reshape", "permute_dims", "slice", "flip", "pad", "concat"})


@dataclass
class Known:
    """Elements of an array that are the same in every call: where `mask` holds, `values`; else those say nothing."""

    values: np.ndarray
    mask: np.ndarray

    def zero(self) -> np.ndarray:
        """Where an element is known to be zero, of either sign."""
        return self.mask & (self.values == 0)


def elements(graph: Graph) -> tuple[Graph, Counter[str]]:
    """Replace arrays by stacks of their elements where that leaves half of the operations, or fewer."""
    fired: Counter[str] = Counter()
    for _ in range(_MOST_ROUNDS):  # what reads an array that was replaced is seen in the next round
        found = _replacements(graph)
        if not found:
            break
        fired["elements of an array"] += len(found)
        graph = graph.replace(found.get)
    return graph, fired


def _replacements(graph: Graph) -> dict[Tensor, Tensor]:
    """For arrays that others read, or that are returned: stacks of their elements."""
    result: dict[Tensor, Tensor] = {}
    parts, fixed = _parts(graph)
    parts = [part for part in parts if _reads_scalars(part)]
    known = _known(graph, parts, fixed) if parts else {}
    readers, roots = users(graph.nodes) if parts else {}, set(graph.roots)
    for part in parts:
        if _is_worth_it(part, known):
            inside = set(part)
            seen = {node for node in part if node in roots or not inside.issuperset(readers[node])}
            result.update(_stacks(graph, part, seen, known))
    return result


def _parts(graph: Graph) -> tuple[list[list[Tensor]], set[Tensor]]:
    """Nodes that are split together, since some read others, operands first; and those that are always the same."""
    fixed: set[Tensor] = set()
    parent: dict[Tensor, Tensor] = {}

    def root(node: Tensor) -> Tensor:
        while parent[node] is not node:
            parent[node] = node = parent[parent[node]]
        return node

    for node in graph.nodes:
        if node.op in (CONSTANT, IOTA):
            if _is_small(node):
                fixed.add(node)
        elif not _is_split(node):
            continue
        elif fixed.issuperset(node.inputs):
            fixed.add(node)
        else:
            parent[node] = node
            for i in node.inputs:
                if i in parent:
                    parent[root(i)] = node
    parts: dict[Tensor, list[Tensor]] = {}
    for node in parent:
        parts.setdefault(root(node), []).append(node)
    return list(parts.values()), fixed


def _reads_scalars(part: list[Tensor]) -> bool:
    """Whether arrays are computed from scalars that are computed; arrays of arrays have vectors."""
    computed = any(node.op.name not in _MOVES for node in part)
    return computed and any(i.shape == () and isinstance(i.op.lower, Map) for node in part for i in node.inputs)


def _known(graph: Graph, parts: list[list[Tensor]], fixed: set[Tensor]) -> dict[Tensor, Known]:
    """What is known of the arrays in `parts`, and of what they read; `fixed` are always the same."""
    split = {node for part in parts for node in part}
    read = {i for node in split for i in node.inputs}
    found: dict[Tensor, Known] = {}
    for node in graph.nodes:
        if node in fixed and not node.inputs:
            value = constant_value(node) if node.op is CONSTANT else node.op.numpy(**node.attrs)
            found[node] = Known(np.asarray(value), np.ones(node.shape, bool))
        elif node in fixed or node in split:
            found[node] = _moved(node, found) if node.op.name in _MOVES else _computed(node, found)
        elif node in read:
            found[node] = Known(np.zeros(node.shape, node.dtype), np.zeros(node.shape, bool))
    return found


def _is_small(node: Tensor) -> bool:
    size = node.size
    return not isinstance(size, Dim) and 0 < size <= MOST_ELEMENTS


def _is_split(node: Tensor) -> bool:
    """Whether the elements of `node` follow from elements of its operands, and all of them are few."""
    moved = node.op.name in _MOVES
    if not moved and (not isinstance(node.op.lower, Map) or node.shape == ()):
        return False
    return bool(node.inputs) and all(map(_is_small, (node, *node.inputs)))


def _moved(node: Tensor, known: dict[Tensor, Known]) -> Known:
    operands = [known[i] for i in node.inputs]
    masks = {**node.attrs, "value": True} if node.op.name == "pad" else node.attrs
    return Known(
        node.op.numpy(*[k.values for k in operands], **node.attrs), node.op.numpy(*[k.mask for k in operands], **masks)
    )


def _computed(node: Tensor, known: dict[Tensor, Known]) -> Known:
    operands = [known[i] for i in node.inputs]
    mask = np.logical_and.reduce([k.mask for k in operands])
    if node.op.name in ("ct_mul", "zero_mul"):
        mask = mask | operands[0].zero()
    if node.op.name == "zero_mul":
        mask = mask | operands[1].zero()
    with np.errstate(all="ignore"):
        values = node.op.numpy(*[k.values for k in operands], **node.attrs) if mask.any() else np.zeros(node.shape)
    return Known(np.asarray(values, node.dtype), mask)


def _same_as(node: Tensor, known: dict[Tensor, Known]) -> list[np.ndarray]:
    """For each operand, where the elements of `node` are its: those to which a known zero is added."""
    x = [known[i] for i in node.inputs]
    if node.op.name == "add":
        return [x[1].zero(), x[0].zero()]
    return [x[1].zero()] if node.op.name == "subtract" else []


def _is_worth_it(part: list[Tensor], known: dict[Tensor, Known]) -> bool:
    """Whether few elements are left to compute."""
    before = after = 0
    for node in part:
        if node.op.name not in _MOVES:
            given = np.logical_or.reduce([known[node].mask, *_same_as(node, known)])
            before, after = before + given.size, after + given.size - int(given.sum())
    return after <= MOST_SCALARS and after * LEAST_SAVED < before


def _stacks(graph: Graph, part: list[Tensor], seen: set[Tensor], known: dict[Tensor, Known]) -> dict[Tensor, Tensor]:
    """Stacks of the elements of those nodes of `part` that are `seen` outside of it."""
    found: dict[Tensor, np.ndarray] = {}
    result: dict[Tensor, Tensor] = {}
    for node in part:
        with tracing_origin(graph.origin[node]._replace(bars=())):
            for operand in node.inputs:
                if operand not in found:
                    found[operand] = _read(operand, known[operand])
            found[node] = _split(node, found, known)
            if node in seen:
                new = _stacked(found[node])
                if new is not node:
                    result[node] = new
    return result


def _read(node: Tensor, known: Known) -> np.ndarray:
    """The elements of an array that stays one."""
    read = np.empty(node.shape, object)
    for at in np.ndindex(*node.shape):
        stop = tuple(k + 1 for k in at)
        read[at] = (
            constant(known.values[at])
            if known.mask[at]
            else node
            if at == ()
            else reshape(apply(SLICE, node, start=at, stop=stop, step=(1,) * len(at)), ())
        )
    return read


def _split(node: Tensor, found: dict[Tensor, np.ndarray], known: dict[Tensor, Known]) -> np.ndarray:
    """The elements of `node`, of which its operands have been `found`."""
    operands = [found[i] for i in node.inputs]
    if node.op.name == "pad":
        filled = np.empty((), object)
        filled[()] = constant(np.asarray(node.attrs["value"], node.dtype))  # itself, and not what it is as an array
        return node.op.numpy(*operands, **{**node.attrs, "value": filled})
    if node.op.name in _MOVES:
        return node.op.numpy(*operands, **node.attrs)
    same = _same_as(node, known)
    split = np.empty(node.shape, object)
    for at in np.ndindex(*node.shape):
        one = next((x for x, where in zip(operands, same, strict=False) if where[at]), None)
        if known[node].mask[at]:
            split[at] = constant(known[node].values[at])
        else:
            split[at] = apply(node.op, *[x[at] for x in operands], **node.attrs) if one is None else one[at]
    return split


def _stacked(found: np.ndarray) -> Tensor:
    """The array of these elements."""
    return reshape(concat([reshape(x, (1,)) for x in found.ravel()]), found.shape)
