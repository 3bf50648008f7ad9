"""Where a nan or inf of a failed step came from: the graph evaluated again by the reference interpreter, with repairs.

An element is an origin if it is wrong (nan or inf) and stays so whichever of `FILLERS` replaces what is wrong in the
operands of its node. An origin is to blame if it makes a root wrong while all other origins are repaired. So one that
is masked on its way to the roots is not blamed; and since right elements stay as they were, neither is what a right
one was computed from, such as the inf in ``1 / inf``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from typing import Any, NamedTuple

import numpy as np

from ..ir import dims
from ..ir.evaluate import value_of
from ..ir.graph import Graph
from ..ir.leaves import DIM_VALUE, INPUT, PARAM
from ..ir.printer import section_of
from ..ir.tensor import Tensor
from ..ir.traversal import depends_on, users

FILLERS = (0.5, 2.0)
"""What repairs an element: one or the other is in the domain of every function."""
LARGEST = 1 << 32
"""Bytes of the largest value that is computed again: compiled code may never store what the interpreter must."""

Test = Callable[[np.ndarray], np.ndarray]
"""Which elements of an array are wrong."""


class Blamed(NamedTuple):
    """The origin of a nan or inf.

    node      the first node, in the order in which graphs are shown, that is to blame
    at        index of its first element that is
    shape     of its value
    value     that element
    operands  the values of its operands
    roots     the roots that this element makes wrong
    """

    node: Tensor
    at: tuple[int, ...]
    shape: tuple[int, ...]
    value: Any
    operands: tuple[Any, ...]
    roots: tuple[Tensor, ...]


def find(graph: Graph, values: Mapping[Tensor, np.ndarray], env: Mapping[str, int]) -> Blamed | None:
    """The origin of the nans and infs of the roots of `graph`; None where the interpreter finds none in them.

    values   inputs and params
    """
    search = Search(graph, values, env, not_finite)
    blamed = search.blamed()
    if blamed is not None and np.isinf(blamed.value) and _of_constants(search, blamed):
        nan = Search(graph, values, env, np.isnan).blamed()  # a constant inf is meant; what became nan is not
        return nan or blamed
    return blamed


def not_finite(array: np.ndarray) -> np.ndarray:
    return ~np.isfinite(array)


def _of_constants(search: Search, blamed: Blamed) -> bool:
    """Whether the origin only passes on an inf that the user wrote."""
    operands = zip(blamed.node.inputs, blamed.operands, strict=True)
    return any(node in search.fixed and search.wrong(node, value).any() for node, value in operands)


class Search:
    """The values of one run of a graph, as far as they are wrong, and what follows from repairs.

    order     the nodes that are wrong somewhere and depend on more than constants, as they are shown
    fixed     nodes that depend on constants only: never repaired, never blamed unless they are roots
    raw       values of the nodes in `order`, and of the operands of those
    bad       for each node of `order`, where it is wrong
    own       where it is an origin
    filler    which of `FILLERS` shows that an element is none: what its operands are repaired with
    place     of each node in `order`
    readers   for each node of `order`, the places of those that read it
    """

    def __init__(self, graph: Graph, values: Mapping[Tensor, np.ndarray], env: Mapping[str, int], test: Test):
        self.env, self.test = env, test
        self.roots = dict.fromkeys(graph.roots)
        leaves = [n for n in graph.nodes if n.op in (INPUT, PARAM, DIM_VALUE)]
        variable = depends_on(graph.nodes, leaves)
        self.fixed = {n for n in graph.nodes if n not in variable and n not in self.roots}
        self.raw: dict[Tensor, Any] = {}
        self.bad: dict[Tensor, np.ndarray] = {}
        self.own: dict[Tensor, np.ndarray] = {}
        self.filler: dict[Tensor, np.ndarray] = {}
        self.order: list[Tensor] = []
        with np.errstate(all="ignore"):
            self.evaluate(graph, values)
            for node in self.order:
                self.find_own(node)
        self.place = {node: k for k, node in enumerate(self.order)}
        self.readers: dict[Tensor, list[int]] = {node: [] for node in self.order}
        for k, node in enumerate(self.order):
            for operand in dict.fromkeys(node.inputs):
                if operand in self.readers:
                    self.readers[operand].append(k)

    def wrong(self, node: Tensor, value: Any) -> np.ndarray:
        """Which elements of a value of `node` are wrong."""
        if node.op.multi or node.dtype.kind != "f":
            return np.zeros((), bool)
        return self.test(value)

    def evaluate(self, graph: Graph, values: Mapping[Tensor, np.ndarray]) -> None:
        """Compute every node; forget values that nothing wrong was computed from."""
        part = section_of(graph)
        shown = sorted(graph.nodes, key=part.__getitem__)
        waiting = {node: len(readers) for node, readers in users(shown).items()}
        results: dict[Tensor, Any] = {}
        for node in shown:
            results[node] = self.value(node, values, results)
            bad = self.wrong(node, results[node])
            if bad.any() and node not in self.fixed:
                self.order.append(node)
                self.bad[node] = bad
                self.raw.update((i, results[i]) for i in (*node.inputs, node))
            for operand in node.inputs:
                waiting[operand] -= 1
                if not waiting[operand]:
                    results.pop(operand, None)

    def value(self, node: Tensor, values: Mapping[Tensor, np.ndarray], results: Mapping[Tensor, Any]) -> Any:
        if node in values:
            return np.asarray(values[node], dtype=node.dtype)
        return value_of(node, [results[i] for i in node.inputs], self.env)

    def repaired(self, node: Tensor, filler: float = FILLERS[0]) -> Any:
        """The value of a node with every wrong element replaced."""
        if node not in self.bad:
            return self.raw[node]
        return np.where(self.bad[node], node.dtype.type(filler), self.raw[node])

    def again(self, node: Tensor, changed: Mapping[Tensor, np.ndarray], filler: float) -> np.ndarray:
        """The value of `node` from operands as `changed` has them, else from repaired ones."""
        operands = []
        for i in node.inputs:
            value = self.repaired(i, filler)
            operands.append(np.where(self.wrong(i, changed[i]), changed[i], value) if i in changed else value)
        return value_of(node, operands, self.env)

    def find_own(self, node: Tensor) -> None:
        """Find out at which elements `node` is an origin."""
        own, chosen = self.bad[node], np.zeros(np.shape(self.bad[node]), np.int8)
        if any(i in self.bad for i in node.inputs):
            for k, filler in enumerate(FILLERS):
                right = ~self.wrong(node, self.again(node, {}, filler))
                chosen = np.where(own & right, k, chosen)
                own = own & ~right
                if not own.any():
                    break
        self.own[node], self.filler[node] = own, chosen

    def spread(self, restored: Mapping[Tensor, np.ndarray]) -> tuple[Tensor, ...]:
        """The roots that are wrong if only these elements of origins are."""
        changed: dict[Tensor, np.ndarray] = {}
        waiting = sorted(self.place[node] for node in restored)  # a heap of places in `order`
        last = -1
        while waiting:
            place = heappop(waiting)
            if place == last:
                continue
            last, node = place, self.order[place]
            value = self.repaired(node)
            if any(i in changed for i in node.inputs):
                follows = self.bad[node] & ~self.own[node]
                for k in np.unique(self.filler[node][follows]):
                    again = self.again(node, changed, FILLERS[k])
                    value = np.where(follows & (self.filler[node] == k), again, value)
            if node in restored:
                value = np.where(restored[node], self.raw[node], value)
            if self.wrong(node, value).any():
                changed[node] = value
                for reader in self.readers[node]:
                    heappush(waiting, reader)
        return tuple([root for root in self.roots if root in changed])

    def blamed(self) -> Blamed | None:
        """The first origin that makes a root wrong, alone or else with those before it; None where no root is wrong."""
        origins = [node for node in self.order if self.own[node].any()]
        if not any(root in self.bad for root in self.roots):
            return None
        with np.errstate(all="ignore"):
            before: dict[Tensor, np.ndarray] = {}
            reached = ((node, self.spread({node: self.own[node]})) for node in origins)
            found, roots = next(((node, roots) for node, roots in reached if roots), (origins[0], ()))
            if not roots:
                k, roots = first(len(origins), lambda count: self.spread({n: self.own[n] for n in origins[:count]}))
                found, before = origins[k], {n: self.own[n] for n in origins[:k]}
            places = np.flatnonzero(self.own[found])
            if len(places) > 1:
                k, roots = first(
                    len(places), lambda count: self.spread({**before, found: self.only(found, places[:count])})
                )
                places = places[k:]
        raw = np.asarray(self.raw[found])
        at = tuple(int(i) for i in np.unravel_index(places[0], raw.shape))
        return Blamed(found, at, raw.shape, raw[at], tuple(self.raw[i] for i in found.inputs), roots)

    def only(self, node: Tensor, places: np.ndarray) -> np.ndarray:
        """A mask of these elements, counted in C order."""
        mask = np.zeros(self.own[node].shape, bool)
        mask.reshape(-1)[places] = True
        return mask


def first(count: int, reached: Callable[[int], tuple[Tensor, ...]]) -> tuple[int, tuple[Tensor, ...]]:
    """The least k for which ``reached(k + 1)`` has roots, and those; ``reached(count)`` has. Often it is 0."""
    if roots := reached(1):
        return 0, roots
    low, high = 1, count
    found: tuple[Tensor, ...] = ()
    while high - low > 1:
        middle = (low + high) // 2
        if roots := reached(middle):
            high, found = middle, roots
        else:
            low = middle
    return high - 1, found or reached(high)


def too_large(graph: Graph, env: Mapping[str, int]) -> Tensor | None:
    """A node whose value is larger than `LARGEST`; None where there is none."""
    for node in graph.nodes:
        for aval in node.avals:
            size = math.prod(dims.evaluate(d, env) for d in aval.shape)
            if size * aval.dtype.itemsize > LARGEST:
                return node
    return None
