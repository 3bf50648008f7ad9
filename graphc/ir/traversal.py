"""Walking graphs without recursion: a chain of 100,000 nodes is an ordinary graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .tensor import Tensor


def topological(outputs: Iterable[Tensor]) -> list[Tensor]:
    """Every node `outputs` depend on, operands before users, in an order fixed by the graph alone."""
    order: list[Tensor] = []
    done: set[int] = set()
    stack: list[tuple[Tensor, int]] = []
    for output in outputs:
        if output.serial in done:
            continue
        stack.append((output, 0))
        while stack:
            node, position = stack.pop()
            if position == 0 and node.serial in done:
                continue
            inputs = node.inputs
            while position < len(inputs) and inputs[position].serial in done:
                position += 1
            if position < len(inputs):
                stack.append((node, position + 1))
                stack.append((inputs[position], 0))
            else:
                done.add(node.serial)
                order.append(node)
    return order


def users(order: Iterable[Tensor]) -> dict[Tensor, list[Tensor]]:
    """For each node of `order`, the nodes that read it (once per reading), in order."""
    result: dict[Tensor, list[Tensor]] = {}
    for node in order:
        result.setdefault(node, [])
        for operand in node.inputs:
            result.setdefault(operand, []).append(node)
    return result


def depends_on(order: Iterable[Tensor], leaves: Iterable[Tensor]) -> set[Tensor]:
    """Which nodes of `order` (operands first) are among `leaves` or depend on one."""
    found = set(leaves)
    for node in order:
        if node not in found and any(i in found for i in node.inputs):
            found.add(node)
    return found


def rebuild(order: Iterable[Tensor], replace: Callable[[Tensor, tuple[Tensor, ...]], Tensor]) -> dict[Tensor, Tensor]:
    """Map each node, operands first, through ``replace(node, new inputs)``; returns old -> new."""
    mapped: dict[Tensor, Tensor] = {}
    for node in order:
        mapped[node] = replace(node, tuple([mapped[i] for i in node.inputs]))
    return mapped
