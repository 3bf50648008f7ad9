"""Graphs as text: one typed line per node, in an order fixed by the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .leaves import CONSTANT, INPUT, PARAM, ArrayData, ParamState, Uid, identifier
from .tensor import Tensor

if TYPE_CHECKING:
    from .graph import Graph

_HIDDEN = ("name", "uid", "state", "shape", "dtype")


def node_names(nodes: tuple[Tensor, ...]) -> dict[Tensor, str]:
    """A unique short name for each node: the user's for inputs and params, %1, %2 ... for the rest."""
    names: dict[Tensor, str] = {}
    taken: set[str] = set()
    count = 0
    for node in nodes:
        if node.name is not None:
            base = name = identifier(node.name)
            k = 2
            while name in taken:
                name = f"{base}_{k}"
                k += 1
            taken.add(name)
            names[node] = name
        else:
            count += 1
            names[node] = f"%{count}"
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
    """``%3: float32[batch] = mul(x, %2)``"""
    types = ", ".join(str(a) for a in node.avals)
    arguments = ", ".join(filter(None, [", ".join(names[i] for i in node.inputs), attrs_text(node)]))
    if node.op is CONSTANT and not node.shape:
        arguments = str(node.attrs["data"].array[()])
    return f"{names[node]}: {types} = {node.op.name}({arguments})"


def graph_text(graph: Graph) -> str:
    """The whole graph: header, one line per node with its user line, outputs and updates."""
    names = node_names(graph.nodes)
    head = ", ".join(f"{names[i]}: {i.aval}" for i in graph.inputs)
    lines = [f"graph {identifier(graph.name)}({head}):"]
    section = ""
    width = 0
    body: list[tuple[str, str]] = []
    for node in graph.nodes:
        if node.op is INPUT:
            continue
        origin = graph.origin[node]
        part = "params" if node.op is PARAM else origin.section
        if part != section:
            body.append((f"  # {part}", ""))
            section = part
        text = "  " + node_text(node, names)
        where = ", ".join(str(line) for line in origin.lines[:2])
        if origin.of is not None and origin.of in names:
            where += f"  grad of {names[origin.of]}"
        body.append((text, where))
        width = max(width, min(len(text), 88))
    lines += [f"{text:<{width}}  # {where}" if where else text for text, where in body]
    lines.append("  return " + (", ".join(names[o] for o in graph.outputs) or "nothing"))
    lines += [f"  update {names.get(p, p.name)} <- {names[v]}" for p, v in graph.updates]
    return "\n".join(lines)
