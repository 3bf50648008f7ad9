"""Graphs as Python text that builds them again, node by node: to the bit, and where leaves are given, to the object.

The text holds no name of a user but as a quoted string or through `identifier`, and nests nothing, so that it is safe
to run and may be as long as it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import dims
from .dims import Atom, Dim, DimLike
from .leaves import CONSTANT, INPUT, PARAM, ArrayData, ParamState, Uid, identifier
from .naming import Unique, UserNames
from .tensor import Tensor

if TYPE_CHECKING:
    from .graph import Graph

_TAKEN = ("__debug__", "Atom", "Check", "Dim", "Graph", "OPS", "apply", "array", "bits", "build", "ceildiv", "constant",
          "floordiv", "fresh_inputs", "fresh_params", "inputs", "make_input", "max0", "node", "np", "param", "params",
          "rules", "symbol")  # fmt: skip
_READABLE = 16
"""Arrays of up to this many elements are written as numbers, larger ones and those with nan as their bytes."""

HEAD = '''\
"""A graph of graphc as Python. `build()` makes it with fresh leaves.

``build(inputs, params, rules)`` makes it on given leaves: those that `Graph.leaves` lists, in that order. With the
leaves of the original every node is the original's own. Imports reach below the public names: `OPS` is the op table by
name, `apply` builds a node of a row, `symbol` and its arithmetic are sizes.
"""

import numpy as np

from graphc.ir.apply import apply
from graphc.ir.dims import Atom, Dim, ceildiv, floordiv, max0, symbol
from graphc.ir.graph import Graph
from graphc.ir.leaves import constant, param
from graphc.ir.leaves import input as make_input
from graphc.ir.op import Check
from graphc.ops.table import OPS


def node(op, *operands, **attrs):
    """The node of a row of the op table."""
    return apply(OPS[op], *operands, **attrs)


def array(dtype, shape, text):
    """An array from its bytes in hexadecimal."""
    return np.frombuffer(bytes.fromhex(text), dtype).reshape(shape)


def bits(text):
    """A float from its bytes in hexadecimal."""
    return float(np.frombuffer(bytes.fromhex(text), "<f8")[0])
'''


class Leaves(NamedTuple):
    """What no text can make again: each is itself and nothing else.

    inputs  those of the graph, in order, then others that its nodes read
    params  in order of first use
    rules   the users' functions in nodes (custom gradients), in order of first use
    """

    inputs: tuple[Tensor, ...]
    params: tuple[Tensor, ...]
    rules: tuple[Any, ...]


def leaves_of(graph: Graph) -> Leaves:
    """The leaves of a graph."""
    inputs = dict.fromkeys((*graph.inputs, *[n for n in graph.nodes if n.op is INPUT]))
    rules: dict[int, Any] = {}
    for node in graph.nodes:
        if node.op is not INPUT and node.op is not PARAM:
            for value in node.attrs.values():
                if _is_opaque(value):
                    rules.setdefault(id(value), value)
    return Leaves(tuple(inputs), graph.params, tuple(rules.values()))


def _is_opaque(value: Any) -> bool:
    """Whether an attr is an object with an identity of its own."""
    return hasattr(value, "intern_key") and not isinstance(value, (ArrayData, Uid, ParamState))


def python_text(graph: Graph, user_names: bool) -> str:
    """See `Graph.to_python`."""
    return _Writer(graph, user_names).text()


class _Writer:
    """The names of what is written so far, and the statements.

    sizes  named dims and expressions of them -> the name of a variable of the text
    nodes  nodes -> theirs
    """

    def __init__(self, graph: Graph, user_names: bool):
        self.graph, self.leaves = graph, leaves_of(graph)
        self.unique = Unique(_TAKEN)
        self.sizes: dict[DimLike, str] = {}
        self.size_lines: list[str] = []
        self.nodes: dict[Tensor, str] = {}
        for leaf in (*self.leaves.inputs, *self.leaves.params):
            self.nodes[leaf] = self.unique(identifier(leaf.name or ""))
        self.rules = {id(rule): f"rules[{k}]" for k, rule in enumerate(self.leaves.rules)}
        users = UserNames(graph.nodes, graph.updates, graph.origin) if user_names else None
        self.user_name: Callable[[Tensor], str | None] = users.of if users else lambda node: None

    def text(self) -> str:
        statements = [self.statement(n) for n in self.graph.nodes if n not in self.nodes]
        result = self.result()
        fresh = [self.fresh("inputs", self.leaves.inputs), self.fresh("params", self.leaves.params)]
        sizes = "\n".join(["", "# sizes", *self.size_lines, ""]) if self.size_lines else ""
        return "\n".join([HEAD + sizes, "", *fresh[0], "", "", *fresh[1], "", "", *self.build(statements, result)])

    # functions

    def fresh(self, kind: str, leaves: Iterable[Tensor]) -> list[str]:
        """The function that makes new leaves; params start at zero, for values are no part of a graph."""
        about = "as the graph has them, but all zero" if kind == "params" else "as the graph has them"
        lines = [f"def fresh_{kind}():", f'    """New {kind}, {about}."""']
        calls = [f"        {self.leaf(leaf)}," for leaf in leaves]
        return [*lines, "    return [", *calls, "    ]"] if calls else [*lines, "    return []"]

    def leaf(self, leaf: Tensor) -> str:
        name = ascii(leaf.name)
        if leaf.op is INPUT:
            return f"make_input({name}, {self.value(leaf.shape)}, {leaf.dtype.name!r})"
        zeros = f"np.zeros({leaf.shape!r}, {leaf.dtype.name!r})"
        return f"param({zeros}, {name}, trainable={leaf.attrs['state'].trainable!r})"

    def build(self, statements: list[tuple[str, str]], result: list[str]) -> list[str]:
        """The function that makes the nodes, a line each."""
        head = [
            "def build(inputs=None, params=None, rules=()):",
            '    """The graph, on these leaves or on fresh ones."""',
            "    inputs = fresh_inputs() if inputs is None else inputs",
            "    params = fresh_params() if params is None else params",
        ]
        leaves = [
            f"    [{', '.join(self.nodes[leaf] for leaf in group)}] = {kind}"
            for kind, group in (("inputs", self.leaves.inputs), ("params", self.leaves.params))
            if group
        ]
        body = [f"    {name} = {value}" for name, value in statements]
        return [*head, *leaves, *body, *result, ""]

    # nodes

    def statement(self, node: Tensor) -> tuple[str, str]:
        name = self.user_name(node)
        if name is None:
            name = f"{'c' if node.op is CONSTANT else 'n'}{len(self.nodes)}"
        operands = [self.nodes[i] for i in node.inputs]
        self.nodes[node] = self.unique(name)
        if node.op is CONSTANT:
            return self.nodes[node], f"constant({_array_text(node.attrs['data'].array)})"
        attrs = [f"{k}={self.value(v)}" for k, v in sorted(node.attrs.items())]
        return self.nodes[node], f"node({', '.join([repr(node.op.name), *operands, *attrs])})"

    def result(self) -> list[str]:
        graph = self.graph

        def listed(items: Iterable[Tensor]) -> str:
            return "[" + ", ".join(self.nodes[n] for n in items) + "]"

        updates = ", ".join(f"({self.nodes[p]}, {self.nodes[v]})" for p, v in graph.updates)
        own = {check for node in graph.nodes for check in node.checks}
        checks = [
            f"            Check({', '.join(map(self.value, (c.left, c.right)))}, {', '.join(map(ascii, c[2:]))}): (),"
            for c in graph.checks
            if c not in own
        ]
        lines = [
            "    return Graph(",
            f"        {listed(graph.inputs)},",
            f"        {listed(graph.outputs)},",
            f"        [{updates}],",
            f"        name={graph.name!a},",
        ]
        return [*lines, *(["        checks={", *checks, "        },"] if checks else []), "    )"]

    # values

    def value(self, value: Any) -> str:
        """An attr, or a part of one."""
        if value is None or isinstance(value, (bool, np.bool_)):
            return str(value)
        if isinstance(value, Dim):
            return self.size(value)
        if isinstance(value, (int, np.integer)):
            return repr(int(value))
        if isinstance(value, (float, np.floating)):
            return _float_text(np.float64(value))
        if isinstance(value, str):
            return ascii(value)
        if isinstance(value, np.dtype):
            return f"np.dtype({value.name!r})"
        if isinstance(value, tuple):
            return "(" + ", ".join([self.value(v) for v in value]) + ("," if len(value) == 1 else "") + ")"
        return self.rules[id(value)]

    def size(self, dim: Dim) -> str:
        """The variable that holds a size; it is made where it is first asked for."""
        if dim not in self.sizes:
            text = self.arithmetic(dim) if dims.substitute(dim, {}) == dim else self.structure(dim)
            names = dims.symbols(dim)
            is_name = len(names) == 1 and dim == dims.symbol(names[0])
            self.sizes[dim] = self.unique(identifier(f"size_{names[0]}") if is_name else f"size{len(self.sizes)}")
            self.size_lines.append(f"{self.sizes[dim]} = {text}")
        return self.sizes[dim]

    def arithmetic(self, dim: Dim) -> str:
        """The polynomial as an expression; of a symbol, its name."""
        parts = []
        for monomial, coefficient in dim.terms:
            if dim == Dim(((monomial, 1),)) and len(monomial) == 1:
                return self.atom(monomial[0])
            factors = [self.size(Dim((((atom,), 1),))) for atom in monomial]
            parts.append(" * ".join([*factors, str(coefficient)] if coefficient != 1 or not factors else factors))
        return " + ".join(parts)

    def atom(self, atom: Atom) -> str:
        if atom.kind == "symbol":
            return f"symbol({atom.args[0]!r})"
        return f"{atom.kind}({', '.join(self.value(a) for a in atom.args)})"

    def structure(self, dim: Dim) -> str:
        """The polynomial as the object it is: some do not come out of arithmetic again as they went in."""
        terms = []
        for monomial, coefficient in dim.terms:
            atoms = "".join(f"Atom({a.kind!r}, {self.value(a.args)}), " for a in monomial)
            terms.append(f"(({atoms.rstrip()}), {coefficient}),")
        return f"Dim(({' '.join(terms)}))"


def _float_text(value: np.float64) -> str:
    return repr(float(value)) if np.isfinite(value) else f"bits({value.astype('<f8').tobytes().hex()!r})"


def _array_text(array: np.ndarray) -> str:
    """An expression for the array, exact to the bit."""
    name = array.dtype.name
    if array.size <= _READABLE and (array.dtype.kind != "f" or np.isfinite(array).all()):
        shape = "" if array.size else f".reshape({array.shape!r})"
        return f"np.array({array.tolist()!r}, {name!r}){shape}"
    data = array.astype(array.dtype.newbyteorder("<")).tobytes().hex()
    return f"array({array.dtype.newbyteorder('<').str!r}, {array.shape!r}, {data!r})"


__all__ = ["Leaves", "leaves_of", "python_text"]
