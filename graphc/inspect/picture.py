"""A graph as a picture: Graphviz text, which any Graphviz turns into an image; none is needed to write it."""

from __future__ import annotations

import json

from ..errors import one_line
from ..ir.graph import Graph
from ..ir.leaves import CONSTANT, INPUT, PARAM
from ..ir.printer import SECTIONS, attrs_text, node_names, section_of
from ..ir.tensor import Tensor

_COLOURS = {"forward": "#dce9f7", "backward": "#f9e2d2", "update": "#dff0d8"}


def to_dot(graph: Graph) -> str:
    """`graph` in the DOT language: a box per op, coloured by section, an arrow per value with its type.

    >>> import graphc as gc
    >>> x = gc.input("x")
    >>> print(to_dot(gc.trace(lambda x: x + x, x)).splitlines()[0])
    digraph step {
    """
    names, part = node_names(graph), section_of(graph)
    number = {node: k for k, node in enumerate(graph.nodes)}
    shown = [node for node in graph.nodes if node.op is not CONSTANT or node.shape]
    lines = ["digraph step {", '  graph [rankdir="TB", label=' + _quoted(one_line(graph.name)) + "]"]
    lines.append('  node [shape="box", style="rounded,filled", fontname="monospace", fontsize=10]')
    lines.append('  edge [fontname="monospace", fontsize=8]')
    lines += [f"  n{number[node]} {_look(graph, node, names, SECTIONS[part[node]])}" for node in shown]
    for node in shown:
        for k, operand in enumerate(node.inputs):
            if operand.op is CONSTANT and not operand.shape:
                continue
            types = ", ".join(str(a) for a in operand.avals)
            lines.append(
                f"  n{number[operand]} -> n{number[node]} [label={_quoted(types)}, taillabel={_quoted(str(k))}]"
            )
    for k, node in enumerate(graph.outputs):
        lines.append(f'  out{k} [label="output {k}", shape="oval", fillcolor="#ffffff"]')
        lines.append(f"  n{number[node]} -> out{k} [label={_quoted(str(node.aval))}]")
    for k, (param, value) in enumerate(graph.updates):
        lines.append(f'  new{k} [label={_quoted(one_line(f"update {param.name}"))}, shape="oval", fillcolor="#ffffff"]')
        lines.append(f"  n{number[value]} -> new{k} [label={_quoted(str(value.aval))}]")
    return "\n".join([*lines, "}"]) + "\n"


def _look(graph: Graph, node: Tensor, names: dict[Tensor, str], section: str) -> str:
    """The attributes of a node's box."""
    if node.op in (INPUT, PARAM):
        return f'[label={_quoted(f"{names[node]}: {node.aval}")}, shape="oval", fillcolor="#eeeeee"]'
    scalars = [names[i] for i in node.inputs if i.op is CONSTANT and not i.shape]
    inner = ", ".join(filter(None, [", ".join(scalars), attrs_text(node)]))
    title = f"{names[node]} = {node.op.name}" + (f"({inner})" if inner else "")
    lines = graph.origin[node].lines
    where = str(lines[0]) if lines else ""
    label = "\n".join(filter(None, [title, where]))
    return f'[label={_quoted(label)}, fillcolor="{_COLOURS[section]}"]'


def _quoted(text: str) -> str:
    """A DOT string; quotes, backslashes and newlines are escaped as in JSON."""
    return json.dumps(text, ensure_ascii=False)
