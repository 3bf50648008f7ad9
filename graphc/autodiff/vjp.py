"""Reverse mode: from a graph to its backward graph, by the `vjp` rules of the op table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import GradientError, message, user_line
from ..ir.lowering import Refused
from ..ir.op import Op
from ..ir.tensor import Origin, Tensor, latest, note_cotangent, tracing_origin
from ..ir.traversal import depends_on, topological
from ..ops.common import describe, labels
from ..ops.cotangent import ZERO, ct_add
from ..ops.creation import ones_like, zeros_like
from .records import note


def vjp_rules(op: Op, ct: Any, out: Any, inputs: Sequence[Any], attrs: dict[str, Any], wanted: Sequence[bool]) -> list:
    """The cotangents of the operands that are `wanted`: a tensor, `ZERO`, or None where none exists.

    `ct` and `out` are tuples for an op with several outputs. Raises `GradientError` where a rule is refused.
    """
    rules = op.vjp
    if isinstance(rules, Refused):
        raise _refused(op, out, rules)
    if callable(rules):
        everything = rules(ct, out, *inputs, **attrs)
        return [c if w else None for c, w in zip(everything, wanted, strict=True)]
    result: list[Any] = []
    for rule, want in zip(rules, wanted, strict=True):
        if not want or rule is None:
            result.append(None)
        elif isinstance(rule, Refused):
            raise _refused(op, out, rule)
        else:
            result.append(rule(ct, out, *inputs, **attrs))
    return result


def _refused(op: Op, out: Any, refusal: Refused) -> GradientError:
    origin = getattr(out, "origin", None)
    return GradientError(
        message(
            f"no gradient through {op.name}: {refusal.reason}",
            at=latest(origin.lines if origin else ()) or user_line(),
            hint="cut it with gc.stop_gradient, or give a rule with gc.custom_gradient",
        )
    )


def differentiable(node: Tensor) -> bool:
    """Whether some output of `node` is a float."""
    return any(a.dtype.kind == "f" for a in node.avals)


def pullback(outputs: Sequence[Tensor], cotangents: Sequence[Any], wrt: Sequence[Tensor]) -> list[Any]:
    """Cotangents of `wrt` given those of `outputs`: tensors, or `ZERO` where nothing flows."""
    order = topological(outputs)
    active = depends_on(order, [w for w in wrt if differentiable(w)])
    bars: dict[Tensor, Any] = {}
    for output, ct in zip(outputs, cotangents, strict=True):
        if ct is not ZERO:
            bars[output] = ct_add(bars.get(output, ZERO), ct)
    targets = set(wrt)
    level = 1 + max((node.origin.order for node in active), default=0)
    parts: dict[Tensor, dict[int, Any]] = {}  # cotangents of the items of a node with several outputs
    for node in reversed(order):
        if node not in active:
            continue
        ct = _total(node, bars, parts)
        note_cotangent(ct, node)
        if ct is None or (node in targets and not any(i in active for i in node.inputs)):
            continue
        _propagate(node, ct, active, bars, parts, level)
    return [bars.get(w, ZERO) for w in wrt]


def _total(node: Tensor, bars: dict[Tensor, Any], parts: dict[Tensor, dict[int, Any]]) -> Any:
    """The cotangent that reached `node` (a tuple if it has several outputs), or None."""
    if node.op.multi:
        found = parts.get(node)
        return None if found is None else tuple(found.get(k, ZERO) for k in range(len(node.avals)))
    ct = bars.get(node, ZERO)
    return None if ct is ZERO else ct


def _propagate(node: Tensor, ct: Any, active: set[Tensor], bars: dict, parts: dict, level: int) -> None:
    with tracing_origin(Origin("backward", node.origin.lines, node, order=level)):
        if node.op.name == "item":
            found = parts.setdefault(node.inputs[0], {})
            k = node.attrs["index"]
            found[k] = ct_add(found.get(k, ZERO), ct)
            return
        wanted = [i in active and differentiable(i) for i in node.inputs]
        out = node if not node.op.multi else items(node)
        for operand, bar in zip(node.inputs, vjp_rules(node.op, ct, out, node.inputs, node.attrs, wanted), strict=True):
            if bar is not None and bar is not ZERO:
                bars[operand] = ct_add(bars.get(operand, ZERO), bar)


def items(node: Tensor) -> tuple[Tensor, ...]:
    """The outputs of a node that has several."""
    from ..ops.structure import item

    return tuple(item(node, k) for k in range(len(node.avals)))


def vjp(
    outputs: Sequence[Tensor],
    wrt: Sequence[Tensor],
    cotangents: Sequence[Tensor],
    of: Sequence[Tensor] | None = None,
) -> list[Tensor]:
    """Cotangents of `wrt`, each of its shape and dtype; zeros where the outputs do not depend on it.

    of  what the record names as differentiated: the tensors that `outputs` are other forms of
    """
    found = pullback(outputs, cotangents, wrt)
    results = [zeros_like(w) if bar is ZERO else bar for w, bar in zip(wrt, found, strict=True)]
    note(outputs if of is None else of, wrt, cotangents, results)
    return results


def grad(y: Tensor, wrt: Sequence[Tensor]) -> list[Tensor]:
    """The gradient of a scalar `y` with respect to each of `wrt`; zeros where `y` does not depend on it."""
    check_scalar(y, wrt)
    return vjp([y], wrt, [ones_like(y)])


def check_scalar(y: Tensor, wrt: Sequence[Tensor]) -> None:
    """Refuse the gradient of what is no scalar, and of or with respect to integers and bools."""
    if y.shape != ():
        label = labels(y)[0] or "y"
        raise GradientError(
            message(
                "gradient of a non-scalar",
                got=describe(y),
                expected="a 0-d float tensor",
                at=user_line(),
                created=False,
                hint=f"reduce it first with gc.sum({label}), or give a cotangent with gc.vjp({label}, wrt, ct)",
            )
        )
    check_floats("gradient", [y], wrt)


def check_floats(what: str, outputs: Sequence[Tensor], wrt: Sequence[Tensor]) -> None:
    """Refuse the derivative (`what` is its name) of, and with respect to, integers and bools."""
    for y in outputs if all(w.dtype.kind == "f" for w in wrt) else ():
        if y.dtype.kind != "f":
            label = labels(y)[0] or "y"
            raise GradientError(
                message(
                    f"{what} of an integer",
                    got=describe(y),
                    expected="a 0-d float tensor" if what == "gradient" else "a float tensor",
                    at=user_line(),
                    created=False,
                    hint=f"convert it with gc.astype({label}, 'float64')",
                )
            )
    for w in wrt:
        if w.dtype.kind != "f":
            raise GradientError(
                message(
                    f"{what} with respect to {w.name or 'an integer tensor'}",
                    got=str(w.aval),
                    expected="a float tensor",
                    at=user_line(),
                    created=False,
                    hint="integers have no derivative; declare it as float64",
                )
            )
