"""Differences in 50 digits: of a whole graph along a direction, and of one node, to find the op whose rule is wrong."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..autodiff.vjp import vjp_rules
from ..errors import GraphcError
from ..ir.leaves import input as symbolic_input
from ..ir.tensor import Tensor, build
from ..ir.traversal import depends_on
from ..ops.cotangent import ZERO
from .custom import arguments, held, outside
from .domains import Digits
from .symbolic import elements, evaluate_elements

STEP = "1e-15"
"""Of the differences: their own error is its square, 1e-30, and cancellation leaves 35 of 50 digits."""
_TOLERANCE, _SMOOTH = 1e-11, 1e-9


class Directional(NamedTuple):
    """A derivative along a direction by the backward graph and by differences, and what to compare them by."""

    found: Any
    wanted: Any
    scale: Any

    @property
    def error(self) -> float:
        return float(abs(self.found - self.wanted) / self.scale) if self.scale else 0.0


def random_elements(shape: Any, domain: Digits, rng: random.Random) -> np.ndarray:
    result = np.empty(shape, object)
    for place in np.ndindex(shape):
        result[place] = domain.mp.mpf(rng.uniform(-1.0, 1.0))
    return result


def along(
    loss: Tensor,
    wrt: Sequence[Tensor],
    results: Sequence[Tensor],
    point: Mapping[Tensor, np.ndarray],
    domain: Digits,
    rng: random.Random,
    deadline: float,
) -> Directional:
    """The derivative of `loss` along a random direction of `wrt`, by `results` and by central differences.

    What passes through ``stop_gradient`` is held at its value, but for that inside a user's own function.
    """
    base = evaluate_elements([loss, *results, *wrt], point, domain, point=point, deadline=deadline)
    fixed = {n: base[n] for n in held(loss)}
    directions = [random_elements(base[w].shape, domain, rng) for w in wrt]
    terms = [
        g * v for r, d in zip(results, directions, strict=True) for g, v in zip(base[r].ravel(), d.ravel(), strict=True)
    ]

    def at(step: Any) -> Any:
        moved = {w: base[w] + step * d for w, d in zip(wrt, directions, strict=True)}
        value = evaluate_elements([loss], {**point, **fixed, **moved}, domain, point=point, deadline=deadline)
        return value[loss][()]

    found, wanted = domain.mp.fsum(terms), slope(at, domain)
    least = domain.mp.mpf(STEP) * (1 + abs(base[loss][()]))
    return Directional(found, wanted, domain.mp.fsum([abs(t) for t in terms]) + abs(wanted) + least)


def slope(at: Callable[[Any], Any], domain: Digits) -> Any:
    """The central difference of ``at(step)`` around 0; nan where it jumps or bends there.

    At a jump two steps disagree. At a bend they may agree (|x| has the slope 0), but the slopes to the left and to the
    right do not, and come no nearer to each other as the step gets smaller.
    """
    steps = [domain.mp.mpf(STEP), domain.mp.mpf(STEP) / 8]
    middle = at(domain.mp.mpf(0))
    sides = [((at(h) - middle) / h, (middle - at(-h)) / h) for h in steps]
    (coarse, fine), (wide, narrow) = [(r + l) / 2 for r, l in sides], [abs(r - l) for r, l in sides]
    allowed = _SMOOTH * (1 + abs(fine))
    smooth = abs(coarse - fine) <= allowed and (narrow <= allowed or narrow <= wide / 2)
    return fine if smooth else domain.mp.nan


class Culprit(NamedTuple):
    """A node whose own rule is wrong: by its operand number `operand`, along a direction.

    Operands of a custom node, and their `values`, are those of the user's function.
    """

    node: Tensor
    operand: int
    found: str
    wanted: str
    values: tuple[str, ...]


def find_culprit(loss: Tensor, wrt: Sequence[Tensor], point: Mapping[Tensor, np.ndarray]) -> Culprit | None:
    """The first node, operands first, whose rule disagrees with differences of what the node itself computes."""
    domain = Digits()
    base = evaluate_elements([loss], point, domain, point=point)
    order = outside(loss)
    active = depends_on(order, wrt)
    rng = random.Random(1)
    for node in order:
        if node.op.name == "custom":
            culprit = _custom(node, active, base, point, domain, rng)
            if culprit is not None:
                return culprit
        if node not in active or not node.inputs or node.op.multi or node.op.name in ("item", "stop_gradient"):
            continue
        for k, operand in enumerate(node.inputs):
            if operand in active and operand.dtype.kind == "f" and node.dtype.kind == "f":
                culprit = _local(node, k, [base[i] for i in node.inputs], domain, rng)
                if culprit is not None:
                    return culprit
    return None


def _local(node: Tensor, k: int, arrays: list[np.ndarray], domain: Digits, rng: random.Random) -> Culprit | None:
    """The rule of `node` for operand `k` against differences, at the values it had."""
    inputs = [symbolic_input(f"x{j}", i.shape, i.dtype) for j, i in enumerate(node.inputs)]
    out = build(node.op, tuple(inputs), node.attrs)
    ct = symbolic_input("ct", out.shape, out.dtype)
    flags = [j == k for j in range(len(inputs))]
    try:
        bar = vjp_rules(node.op, ct, out, inputs, node.attrs, flags)[k]
    except GraphcError:
        return None
    given = {**dict(zip(inputs, arrays, strict=True)), ct: random_elements(out.shape, domain, rng)}
    at = {x: np.asarray(a, dtype=x.dtype) for x, a in given.items()}
    direction = random_elements(arrays[k].shape, domain, rng)
    if bar is ZERO or bar is None:
        found = domain.mp.mpf(0)
    else:
        values = evaluate_elements([bar], given, domain, point=at)[bar]
        found = domain.mp.fsum([g * v for g, v in zip(values.ravel(), direction.ravel(), strict=True)])

    def projected(step: Any) -> Any:
        moved = {**given, inputs[k]: elements(arrays[k], domain) + step * direction}
        value = evaluate_elements([out], moved, domain, point=at)[out]
        return domain.mp.fsum([c * v for c, v in zip(given[ct].ravel(), value.ravel(), strict=True)])

    return _judged(node, k, found, slope(projected, domain), arrays, domain)


def _judged(
    node: Tensor, k: int, found: Any, wanted: Any, arrays: Sequence[np.ndarray], domain: Digits
) -> Culprit | None:
    if not domain.mp.isfinite(found + wanted) or abs(found - wanted) <= _TOLERANCE * (1 + abs(wanted)):
        return None
    texts = tuple(_text(a) for a in arrays)
    return Culprit(node, k, domain.mp.nstr(found, 10), domain.mp.nstr(wanted, 10), texts)


def _custom(
    node: Tensor,
    active: Collection[Tensor],
    base: Mapping[Tensor, np.ndarray],
    point: Mapping[Tensor, np.ndarray],
    domain: Digits,
    rng: random.Random,
) -> Culprit | None:
    """A user's rule against differences of the user's function; None too where the rule cannot be asked again."""
    outs, xs = node.inputs[: node.attrs["count"]], arguments(node)
    seeds = {k: symbolic_input(f"ct{k}", o.shape, o.dtype) for k, o in enumerate(outs) if o.dtype.kind == "f"}
    given = {**point, **{x: base[x] for x in xs}}
    weights = {ct: random_elements(ct.shape, domain, rng) for ct in seeds.values()}
    at = {**point, **{ct: np.asarray(w, dtype=ct.dtype) for ct, w in weights.items()}}
    pairs = [(outs[k], weights[ct]) for k, ct in seeds.items()]
    try:
        bars = node.attrs["rule"](tuple(seeds.get(k, ZERO) for k in range(len(outs))), outs, xs)
        flowing = [bar for bar in bars if bar is not ZERO]
        values = evaluate_elements(flowing, {**given, **weights}, domain, point=at)
    except GraphcError:
        return None
    for k, x in enumerate(xs):
        if x not in active or x.dtype.kind != "f" or any(x is other for other in xs[:k]):
            continue
        direction = random_elements(x.shape, domain, rng)
        mine = [values[bar].ravel() for a, bar in zip(xs, bars, strict=True) if a is x and bar is not ZERO]
        found = domain.mp.fsum([g * v for bar in mine for g, v in zip(bar, direction.ravel(), strict=True)])

        def projected(step: Any, x: Tensor = x, direction: np.ndarray = direction) -> Any:
            moved = {**given, x: base[x] + step * direction}
            value = evaluate_elements([o for o, _ in pairs], moved, domain, point=point)
            return domain.mp.fsum([c * v for o, w in pairs for c, v in zip(w.ravel(), value[o].ravel(), strict=True)])

        culprit = _judged(node, k, found, slope(projected, domain), [base[a] for a in xs], domain)
        if culprit is not None:
            return culprit
    return None


def _text(array: np.ndarray) -> str:
    """The first few values of an operand."""
    shown = ", ".join(f"{float(v):.6g}" for v in array.ravel()[:4])
    return shown if array.ndim == 0 else f"[{shown}{', ...' if array.size > 4 else ''}]"
