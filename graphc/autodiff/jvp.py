"""Forward mode: from a graph to the graph of its tangents, by the `jvp` rules of the op table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import GradientError, message, user_line
from ..ir.lowering import Refused
from ..ir.op import Op
from ..ir.tensor import Origin, Tensor, tracing_origin
from ..ir.traversal import depends_on, topological
from ..ops.cotangent import ZERO, ct_add
from ..ops.creation import zeros_like
from .vjp import differentiable, items


def jvp_rules(op: Op, tangents: Sequence[Any], out: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    """The tangent of the result, or `ZERO`, given those of the operands, some of which are `ZERO`.

    A tuple for an op with several outputs. Raises `GradientError` where a rule is refused.
    """
    rules = op.jvp
    if isinstance(rules, Refused):
        raise _refused(op, out, rules)
    if callable(rules):
        return rules(tuple(tangents), out, *inputs, **attrs)
    total: Any = ZERO
    for rule, tangent in zip(rules, tangents, strict=True):
        if rule is None or tangent is ZERO:
            continue
        if isinstance(rule, Refused):
            raise _refused(op, out, rule)
        total = ct_add(total, rule(tangent, out, *inputs, **attrs))
    return total


def _refused(op: Op, out: Any, refusal: Refused) -> GradientError:
    node = out[0] if isinstance(out, tuple) else out
    return GradientError(
        message(
            f"no forward derivative through {op.name}: {refusal.reason}",
            at=node.origin.latest or user_line(),
            hint="use reverse mode (gc.grad, gc.vjp, gc.jacobian with mode='reverse'), or cut it with gc.stop_gradient",
        )
    )


def pushforward(outputs: Sequence[Tensor], wrt: Sequence[Tensor], tangents: Sequence[Any]) -> list[Any]:
    """Tangents of `outputs` given those of `wrt`: tensors, or `ZERO` where nothing flows.

    One of `wrt` that depends on another gets what flows into it besides its own, so that this is the transpose of
    reverse mode.
    """
    order = topological(outputs)
    active = depends_on(order, [w for w in wrt if differentiable(w)])
    given: dict[Tensor, Any] = {}
    for w, tangent in zip(wrt, tangents, strict=True):
        given[w] = ct_add(given.get(w, ZERO), tangent)
    dots: dict[Tensor, Any] = {}
    for node in order:
        if node in active and differentiable(node):
            flowing = _push(node, dots) if any(_flows(dots.get(i, ZERO)) for i in node.inputs) else ZERO
            dots[node] = ct_add(flowing, given.get(node, ZERO))
    return [dots.get(o, ZERO) for o in outputs]


def _flows(dot: Any) -> bool:
    """Whether a tangent (or one of a tuple) is not zero by construction."""
    return any(map(_flows, dot)) if isinstance(dot, tuple) else dot is not ZERO


def _push(node: Tensor, dots: dict[Tensor, Any]) -> Any:
    """The tangent of `node` from those of its operands."""
    with tracing_origin(_origin(node)):
        out = items(node) if node.op.multi else node
        return jvp_rules(node.op, [dots.get(i, ZERO) for i in node.inputs], out, node.inputs, node.attrs)


def _origin(node: Tensor) -> Origin:
    """A tangent comes from the lines of its node, but is not the value of the expression there."""
    lines = tuple(line._replace(span=None) for line in node.origin.lines)
    return node.origin._replace(lines=lines, bars=())


def jvp(outputs: Sequence[Tensor], wrt: Sequence[Tensor], tangents: Sequence[Tensor]) -> list[Tensor]:
    """Tangents of `outputs`, each of its shape and dtype; zeros where it does not depend on `wrt`."""
    found = pushforward(outputs, wrt, tangents)
    return [zeros_like(o) if dot is ZERO else dot for o, dot in zip(outputs, found, strict=True)]
