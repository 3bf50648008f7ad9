"""Batching: from the graph of one sample to the graph of many, by the `batch` rules of the op table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import ShapeError, UnsupportedError, count, message, user_line
from ..ir import dims
from ..ir.dims import DimLike
from ..ir.lowering import Refused
from ..ir.op import Batching
from ..ir.tensor import Origin, Tensor, tracing_origin
from ..ir.traversal import depends_on, topological
from ..ops.movement import broadcast_to, with_shape


def batch(outputs: Sequence[Tensor], batched: Mapping[Tensor, Tensor]) -> list[Tensor]:
    """`outputs` for many samples at once, each with a new leading axis.

    `batched` gives, for tensors of the graph, their values in all samples, which stand along a leading axis. Outputs
    that depend on none of them are repeated.
    """
    size = common_size({x.name or f"tensor {k}": xs for k, (x, xs) in enumerate(batched.items())})
    found = propagate(outputs, batched, size)
    return [found[o] if o in found else broadcast_to(o, (size, *o.shape)) for o in outputs]


def common_size(batched: Mapping[str, Tensor]) -> DimLike:
    """The size of the leading axis of all; `ShapeError` naming them where sizes differ. An int says more than a dim."""
    sizes = [xs.shape[0] for xs in batched.values()]
    size = next((n for n in sizes if isinstance(n, int)), sizes[0])
    if any(dims.equal(n, size) is False for n in sizes):
        raise ShapeError(
            message(
                "cannot vmap",
                got=", ".join(f"{name}: {count(n, 'sample')}" for name, n in zip(batched, sizes, strict=True)),
                expected="as many of each",
                at=user_line(),
                created=False,
            )
        )
    return size


def propagate(outputs: Sequence[Tensor], batched: Mapping[Tensor, Tensor], size: DimLike) -> dict[Tensor, Tensor]:
    """Every node that depends on a key of `batched`, for all samples; a key stands for itself, whatever made it."""
    order = topological(outputs)
    active = depends_on(order, batched)
    found = {x: with_shape(xs, (size, *x.shape)) for x, xs in batched.items()}
    for node in order:
        if node not in active or node in found:
            continue
        rule = node.op.batch
        if isinstance(rule, Refused):
            raise _refused(node, rule)
        how = Batching(node.op, size, tuple(i in found for i in node.inputs), batch)
        with tracing_origin(_origin(node, found)):
            found[node] = rule(how, *[found.get(i, i) for i in node.inputs], **node.attrs)
    return found


def _origin(node: Tensor, found: Mapping[Tensor, Tensor]) -> Origin:
    """The provenance of the node of one sample, about the nodes of many."""
    origin = node.origin
    of = None if origin.of is None else found.get(origin.of, origin.of)
    return origin._replace(of=of, bars=tuple(found.get(b, b) for b in origin.bars))


def _refused(node: Tensor, refusal: Refused) -> UnsupportedError:
    at = node.origin.latest or user_line()
    return UnsupportedError(message(f"cannot vmap {node.op.name}: {refusal.reason}", at=at))
