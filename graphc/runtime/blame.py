"""The error of a step that computed a nan or inf: which statement, on which values, at which of the user's lines."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..codegen.scalar import Printer
from ..errors import NonFiniteError, message
from ..ir.dims import DimLike
from ..ir.evaluate import concrete
from ..ir.expr import Var
from ..ir.graph import Graph
from ..ir.leaves import CONSTANT, DIM_VALUE, INPUT
from ..ir.lowering import Contract, Map, Reduce, Scan
from ..ir.naming import UserNames, expression_text
from ..ir.printer import SECTIONS, attrs_text, node_names, node_text, section_of
from ..ir.tensor import Tensor
from .nonfinite import Blamed, find, too_large

Rows = tuple[DimLike, np.ndarray]
"""The batch dim of datasets, and the rows of them that a batch consists of."""
_LINE = 88
_SHORT = 40
_DEPTHS = (3, 2)
"""How many ops deep an expression is written from the graph: as deep as there is room for."""
_ARGUMENT = re.compile(r"(\(|, )\(([^()]*)\)(?=[,)])")
_SUFFIX = re.compile(r"_f(32|64)\(")
_VIEWS = frozenset({"broadcast_to", "reshape", "expand_dims"})


def non_finite(
    graph: Graph,
    root: Tensor,
    values: Mapping[Tensor, np.ndarray],
    env: Mapping[str, int],
    step: str = "",
    rows: Rows | None = None,
) -> NonFiniteError:
    """The error behind a nan or inf that compiled code found in `root`.

    values  inputs and params
    step    which step of many it was
    rows    of a run over datasets
    """
    words = Words(graph)
    large = too_large(graph, env)
    blamed = None if large is not None else find(graph, values, env)
    node = root if blamed is None else blamed.node
    at = None if node.op is CONSTANT else graph.origin[node].latest  # a constant may be of another graph, too
    notes, hint = [], "no param has been changed"
    if step:
        hint = "the params are those of the last whole step"
    if blamed is None:
        failed, got, expected = f"nan or inf in {words.roots((root,))}{step}", "", "finite values"
        why = "the reference interpreter computes finite values from the same arrays"
        if large is not None:
            why = f"a value is too large for the reference interpreter to compute again: {words.line(large)}"
        notes += [f"statement: {words.line(root)}", f"origin: unknown; {why}"]
    elif node.inputs:
        failed, expected = f"{_kind(blamed.value)} in {node.op.name}{step}", "a finite result"
        got = ", ".join(dict.fromkeys(_operands(blamed, words, env)))
        notes += _statement(graph, blamed, words)
    else:
        leaf = f"{node.op.name} {node.name!r}" if node.name else "a constant"
        failed, expected = f"{_kind(blamed.value)} in {leaf}{step}", "finite values"
        got = str(blamed.value) + (f" at {list(blamed.at)}" if blamed.at else "")
    if blamed is not None:
        notes += _row(blamed, rows)
        notes.append(f"reaches: {words.roots(blamed.roots)}")
    return NonFiniteError(
        message(
            failed,
            got=got,
            expected=expected,
            at=at,
            created=False,
            notes=notes,
            hint=hint if graph.updates else "",
        )
    )


def _kind(value: Any) -> str:
    return "nan" if np.isnan(value) else "inf"


class Words:
    """What the nodes of a graph are called in an error."""

    def __init__(self, graph: Graph):
        self.graph, self.names = graph, node_names(graph)
        self.user = UserNames(graph.nodes, graph.updates, graph.origin)

    def of(self, node: Tensor) -> str:
        """The node's name, or the user's expression for it; of a view that has neither, what it shows.

        Where the user's line cannot be read, as at a bare prompt, it is written from the graph.
        """
        return self.known(node) or self.built(node) or self.names[self.behind(node)]

    def known(self, node: Tensor) -> str:
        """What the user calls the node; "" where nothing says it."""
        node = self.behind(node)
        if node.op is DIM_VALUE:
            return str(node.attrs["dim"])
        name = self.names[node]
        return (self.user.written(node) or "") if name.startswith("%") else name

    def built(self, node: Tensor) -> str:
        """What computes the node, as the graph has it: ``sqrt(a - 1.0)``, ``exp(...) / sum(...)``; "" if that is long.

        >>> import graphc as gc
        >>> x = gc.input("x")
        >>> Words(Graph([x], [gc.sqrt(x)])).built(gc.sqrt(x))
        'sqrt(x)'
        """
        texts = (self._built(node, depth) for depth in _DEPTHS)
        return next((text for text in texts if len(text) <= _SHORT), "")

    def _built(self, node: Tensor, depth: int) -> str:
        node = self.behind(node)
        if depth == 0:
            return "..."
        operands = [self.known(i) or self._built(i, depth - 1) for i in node.inputs]
        if isinstance(node.op.lower, Map):
            return _applied(node.op.lower, node, operands)
        return f"{node.op.name}({', '.join(filter(None, [*operands, attrs_text(node)]))})"

    def behind(self, node: Tensor) -> Tensor:
        while self.names[node].startswith("%") and node.op.name in _VIEWS:
            node = node.inputs[0]
        return node

    def line(self, node: Tensor) -> str:
        """The node as `Graph` prints it."""
        return node_text(node, self.names)

    def roots(self, nodes: Iterable[Tensor]) -> str:
        """What the step does with these roots: ``output 0 (loss), the new value of 'w'``."""
        found, texts = set(nodes), []
        for k, node in enumerate(self.graph.outputs):
            if node in found:
                known = self.names[node].isidentifier() and node.op is not CONSTANT
                texts.append(f"output {k} ({self.names[node]})" if known else f"output {k}")
        texts += [f"the new value of {p.name!r}" for p, node in self.graph.updates if node in found]
        return ", ".join(texts)


def _statement(graph: Graph, blamed: Blamed, words: Words) -> list[str]:
    """The blamed statement, its section and element; for an adjoint, what it is the gradient of."""
    node, origin = blamed.node, graph.origin[blamed.node]
    section = SECTIONS[section_of(graph)[node]]
    element = f", element {list(blamed.at)} of {node.dtype}{list(blamed.shape)}" if blamed.at else ""
    notes = [f"statement: {_written(node, words)} ({section}{element})"]
    if origin.section == "backward" and origin.of is not None:
        line = graph.origin.get(origin.of, origin.of.origin).latest
        text = expression_text(line) if line else ""
        of = f"{origin.of.op.name} in {text}" if text else (words.built(origin.of) if origin.of in words.names else "")
        of = of or origin.of.op.name
        notes.insert(0, f"gradient of: {of}")
    return notes


def _written(node: Tensor, words: Words) -> str:
    """``y = log(x - 1)`` for an elementwise op, as the readable source has it; else its line of the graph."""
    if not isinstance(node.op.lower, Map):
        return words.line(node)
    text = _applied(node.op.lower, node, [words.of(i) for i in node.inputs])
    name = words.names[node]
    text = text if name.startswith("%") else f"{name} = {text}"
    return text if len(text) <= _LINE else words.line(node)


def _applied(lower: Map, node: Tensor, operands: Sequence[str]) -> str:
    """What an elementwise node computes, of operands that are written so."""
    variables = [Var(_atom(text), i.dtype) for text, i in zip(operands, node.inputs, strict=True)]
    attrs = {**node.attrs, **({"dtype": node.dtype} if lower.wants_dtype else {})}
    return _ARGUMENT.sub(r"\1\2", _SUFFIX.sub("(", Printer(str).text(lower.expr(*variables, **attrs))))


def _atom(text: str) -> str:
    """An expression as it may stand anywhere in another one."""
    try:
        parsed = ast.parse(text, mode="eval").body
    except SyntaxError:  # %3
        return text
    return text if isinstance(parsed, (ast.Name, ast.Call, ast.Attribute, ast.Subscript, ast.Constant)) else f"({text})"


def _operands(blamed: Blamed, words: Words, env: Mapping[str, int]) -> Iterator[str]:
    """``x - 1 = -1.0`` for each operand: the elements that the blamed one is computed from."""
    for k, (operand, value) in enumerate(zip(blamed.node.inputs, blamed.operands, strict=True)):
        if operand.op.multi:
            continue
        part = np.asarray(value)[_part(blamed, k, env)]
        text = str(part) if part.ndim == 0 else _summary(part)
        if words.behind(operand).op is not CONSTANT:
            yield f"{words.of(operand)} = {text}"
        elif part.ndim or not np.isfinite(part):  # any other number stands in the statement
            yield f"constant {text}"


def _part(blamed: Blamed, k: int, env: Mapping[str, int]) -> Any:
    """Where the blamed element reads operand `k`: an element, or what is combined there."""
    node, index = blamed.node, blamed.at
    lower = node.op.lower
    attrs = {name: concrete(value, env) for name, value in node.attrs.items()}
    if isinstance(lower, Map):
        return index
    if isinstance(lower, Reduce):
        kept = iter(index)
        return tuple(slice(None) if axis in attrs["axes"] else next(kept) for axis in range(node.inputs[k].ndim))
    if isinstance(lower, Scan):
        axis, reverse = attrs["axis"], attrs.get("reverse", False)
        run = slice(index[axis], None) if reverse else slice(index[axis] + 1)
        return (*index[:axis], run, *index[axis + 1 :])
    if isinstance(lower, Contract):
        operands, out = attrs["spec"].split("->")
        at = dict(zip(out, index, strict=True))
        return tuple(at.get(label, slice(None)) for label in operands.split(",")[k])
    return ...


def _summary(part: np.ndarray) -> str:
    """``float64[1000] from 1.0 to 1e+308``: what an array holds."""
    head = f"{part.dtype}{list(part.shape)}"
    if part.size == 0:
        return head
    if part.dtype.kind != "f":
        return f"{head} from {part.min()} to {part.max()}"
    finite = part[np.isfinite(part)]
    wrong = part.size - finite.size
    extent = f" from {finite.min()} to {finite.max()}" if finite.size else ""
    return head + extent + (f", {wrong} of {part.size} not finite" if wrong else "")


def _row(blamed: Blamed, rows: Rows | None) -> list[str]:
    """Which row of the datasets an element of a batch belongs to."""
    node = blamed.node
    if rows is None or not node.shape or node.shape[0] != rows[0]:
        return []
    if isinstance(rows[0], int) and node.op is not INPUT:  # another axis may have that size too
        return []
    return [f"row of the datasets: {rows[1][blamed.at[0]]}"]
