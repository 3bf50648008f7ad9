"""Derivatives that users wrote: which of them a gradient goes through, and what is a constant for it.

A rule of `gc.custom_gradient` claims to be the derivative of its forward function, unless it is declared a surrogate.
Reverse mode never looks inside the forward function; what is said of a graph here is about the graph outside of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.tensor import Tensor
from ..ir.traversal import depends_on, topological


def arguments(node: Tensor) -> tuple[Tensor, ...]:
    """The operands of a node that a cotangent may reach: of a custom one, the arguments of its forward function."""
    return node.inputs[node.attrs["count"] :] if node.op.name == "custom" else node.inputs


def outside(loss: Tensor) -> list[Tensor]:
    """The nodes that cotangents of `loss` may reach, operands first: none inside a user's forward function."""
    reached, waiting = {loss}, [loss]
    while waiting:
        node = waiting.pop()
        for operand in arguments(node) if node.op.name != "stop_gradient" else ():
            if operand not in reached:
                reached.add(operand)
                waiting.append(operand)
    return [node for node in topological([loss]) if node in reached]


def held(loss: Tensor) -> list[Tensor]:
    """What is a constant for derivatives of `loss`: every ``stop_gradient`` that is not inside a user's function."""
    return [n for n in outside(loss) if n.op.name == "stop_gradient"]


def customs(loss: Tensor, wrt: Sequence[Tensor]) -> list[Tensor]:
    """The custom nodes whose rule the gradient of `loss` by `wrt` goes through."""
    order = outside(loss)
    active = depends_on(order, wrt)
    return [n for n in order if n.op.name == "custom" and any(x in active for x in arguments(n))]


def holds_inside(node: Tensor) -> bool:
    """Whether the forward function of a custom node has a ``stop_gradient`` of its own."""
    below = set(topological(arguments(node)))
    return any(n.op.name == "stop_gradient" and n not in below for n in topological(node.inputs))


def title(node: Tensor) -> str:
    """The rule of a custom node and the line where it is used, as certificates and errors name them."""
    return f"{node.attrs['rule']} (custom_gradient) at {node.origin.latest or '?'}"
