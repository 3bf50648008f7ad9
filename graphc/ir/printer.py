"""Graphs as text: one typed line per node, in an order fixed by the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .leaves import CONSTANT, INPUT, PARAM, ArrayData, ParamState, Uid, identifier
from .naming import Unique, UserNames, expression_text
from .tensor import Tensor
from .traversal import depends_on

if TYPE_CHECKING:
    from .graph import Graph

SECTIONS = ("forward", "backward", "update")
_WIDTH = 88
_HIDDEN = ("name", "uid", "state", "shape", "dtype")


def variable_nodes(graph: Graph) -> set[Tensor]:
    """The nodes that depend on inputs or params."""
    return depends_on(graph.nodes, [n for n in graph.nodes if n.op is INPUT or n.op is PARAM])


def section_of(graph: Graph) -> dict[Tensor, int]:
    """The section (a position in `SECTIONS`) under which each node is shown: its own, or that of a later operand.

    What depends on constants only may be shared with other graphs, and its provenance with it: it goes first.
    """
    found: dict[Tensor, int] = {}
    variable = variable_nodes(graph)
    for node in graph.nodes:
        own = SECTIONS.index(graph.origin[node].section) if node in variable else 0
        found[node] = max([own, *[found[i] for i in node.inputs]])
    return found


def node_names(graph: Graph) -> dict[Tensor, str]:
    """A unique short name for each node: the user's where there is one, %1, %2 ... for the rest; numbers as such."""
    names: dict[Tensor, str] = {}
    users, unique = UserNames(graph.nodes, graph.updates, graph.origin), Unique()
    for node in graph.nodes:  # leaves first: what the user named outright keeps its name
        if node.name is not None:
            names[node] = unique(identifier(node.name))
    count, part = 0, section_of(graph)
    for node in sorted(graph.nodes, key=part.__getitem__):  # as they are shown
        if node in names:
            continue
        if node.op is CONSTANT and not node.shape:
            names[node] = str(node.attrs["data"].array[()])
            continue
        name = users.of(node)
        if name is None:
            count += 1
        names[node] = f"%{count}" if name is None else unique(name)
    return names


def _attr_text(value: Any) -> str:
    if isinstance(value, ArrayData):
        array = value.array
        return np.array2string(array, separator=", ", threshold=8, edgeitems=2).replace("\n", "")
    if isinstance(value, np.dtype):
        return str(value)
    if isinstance(value, (Uid, ParamState)):
        return "..."
    if isinstance(value, tuple):
        return "(" + ", ".join(_attr_text(v) for v in value) + ("," if len(value) == 1 else "") + ")"
    return str(value)


def attrs_text(node: Tensor) -> str:
    """The attrs of a node as ``k=v, ...``; leaves show only what is not in their type."""
    hidden = _HIDDEN if node.op in (INPUT, PARAM) else ()
    return ", ".join(f"{k}={_attr_text(v)}" for k, v in sorted(node.attrs.items()) if k not in hidden)


def node_text(node: Tensor, names: dict[Tensor, str]) -> str:
    """``r: float32[batch] = subtract(%1, y)``; a leaf has no right-hand side."""
    types = ", ".join(str(a) for a in node.avals)
    if node.op in (INPUT, PARAM):
        return f"{names[node]}: {types}"
    arguments = ", ".join(filter(None, [", ".join(names[i] for i in node.inputs), attrs_text(node)]))
    return f"{names[node]}: {types} = {node.op.name}({arguments})"


def provenance_text(graph: Graph, node: Tensor) -> str:
    """The user's lines, and for an adjoint the expression that it is the gradient of."""
    origin = graph.origin[node]
    where = ", ".join(str(line) for line in origin.lines[:2])
    if origin.section != "backward" or origin.of is None:
        return where
    of = graph.origin.get(origin.of, origin.of.origin).lines
    return f"{where}  grad of: {expression_text(of[0]) or origin.of.op.name}" if of else where


def graph_text(graph: Graph) -> str:
    """The whole graph: inputs and params, one line per node with its user line by section, outputs and updates."""
    names = node_names(graph)
    params = [node for node in graph.nodes if node.op is PARAM]
    rows: list[tuple[str, str]] = []
    for title, leaves in (("inputs", graph.inputs), ("params", params)):
        if leaves:
            rows.append((f"  # {title}", ""))
            rows += [("  " + node_text(node, names), provenance_text(graph, node)) for node in leaves]
    parts: list[list[Tensor]] = [[] for _ in SECTIONS]
    variable = variable_nodes(graph)
    for node, part in section_of(graph).items():
        parts[part].append(node)
    for title, nodes in zip(SECTIONS, parts, strict=True):
        shown = [n for n in nodes if n.op not in (INPUT, PARAM) and (n.op is not CONSTANT or n.shape)]
        if shown:
            rows.append((f"  # {title}", ""))
        for node in shown:
            rows.append(("  " + node_text(node, names), provenance_text(graph, node) if node in variable else ""))
    width = min(max((len(text) for text, where in rows if where), default=0), _WIDTH)
    lines = [f"graph {identifier(graph.name)}:"]
    lines += [f"{text:<{width}}  # {where}" if where else text for text, where in rows]
    lines.append("  return " + (", ".join(names[o] for o in graph.outputs) or "nothing"))
    lines += [f"  update {names.get(p, p.name)} <- {names[v]}" for p, v in graph.updates]
    return "\n".join(lines)
