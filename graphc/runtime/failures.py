"""What a code of compiled code means: found again, after the fact, by the reference interpreter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..codegen.statements import Printed
from ..errors import GraphcError, OutOfBoundsError, message
from ..ir import dims
from ..ir.evaluate import evaluate
from ..ir.graph import Graph
from ..ir.leaves import INPUT
from ..ir.tensor import Tensor
from ..ir.traversal import topological
from ..ops.indexing import range_texts
from .blame import Rows, non_finite


def failure(
    graph: Graph,
    text: Printed,
    code: int,
    arrays: Sequence[np.ndarray],
    env: Mapping[str, int],
    step: str = "",
    rows: Rows | None = None,
) -> GraphcError:
    """The error behind a step that ended with `code`, on inputs `arrays`; params are as they were before it.

    step  which step of many it was
    rows  of a run over datasets
    """
    given = dict(zip(graph.inputs, arrays, strict=True))
    if code not in text.finite:
        return out_of_range(graph, text.errors[code], given, env, step)
    for param in graph.params:
        given[param] = param.value
    return non_finite(graph, text.errors[code], given, env, step, rows)


def out_of_range(
    graph: Graph, node: Tensor, given: Mapping[Tensor, np.ndarray], env: Mapping[str, int], step: str
) -> OutOfBoundsError:
    """Which index of `node`, on which inputs, at which user line."""
    operands = node.inputs[2:] if node.op.name.startswith("scatter") else node.inputs[1:]
    lines = graph.origin[node].lines
    got, expected, hint = "an index out of range", "each index within its axis", ""
    try:
        indices = evaluate(operands, given, env)
    except OutOfBoundsError:  # the indices are themselves read at one that is out of range
        indices = []
    for axis, (operand, values) in enumerate(zip(operands, indices, strict=False)):
        size = dims.evaluate(node.inputs[0].shape[axis], env)
        bad = values[(values < -size) | (values >= size)]
        if bad.size:
            value, expected = range_texts(bad.flat[0], size)
            source = _input_with(int(value), operand, given)
            got = f"index {value}" + (f" in {source.name!r}" if source is not None else "")
            if source is not None and _is_label(operand, graph):
                hint = f"{source.name!r} holds numbers of classes, of which there are {size}: 0 to {size - 1}"
            break
    failed = f"index out of range in {node.op.name}{step}"
    return OutOfBoundsError(message(failed, got=got, expected=expected, at=lines[0] if lines else None, hint=hint))


def _input_with(value: int, index: Tensor, given: Mapping[Tensor, np.ndarray]) -> Tensor | None:
    """The one input of integers that `index` is made of, if the value comes from there."""
    found = [n for n in topological([index]) if n.op is INPUT and n.dtype.kind in "iu"]
    return found[0] if len(found) == 1 and np.any(given[found[0]] == value) else None


def _is_label(index: Tensor, graph: Graph) -> bool:
    """Whether `index` is made of the labels of a loss, see `nn.classes`."""
    lines = (line for node in topological([index]) for line in graph.origin[node].lines[:1])
    return any(line.noun == "label" for line in lines)
