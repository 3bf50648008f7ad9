"""Logarithms of sums and products of exponentials, computed from the exponents: no overflow, no underflow.

Exponentials are positive, so that ``log(a * b) = log(a) + log(b)`` holds for all their values, and so does what follows
from it. Factors that may be negative are left alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Context, Decimal

import numpy as np

from ..ir.leaves import constant
from ..ir.tensor import Tensor
from ..ops.elementwise import add, greater, multiply, negative, subtract, where
from ..ops.exponential import log, log1p, xlogy
from ..ops.movement import reshape
from ..ops.reduction import reduced_shape
from ..ops.special import log1mexp, logaddexp, softplus
from ..ops.statistics import log_softmax, log_total, logsumexp
from .patterns import (
    behind_views,
    either,
    is_spread_back,
    minus,
    operand_of,
    plus_one,
    review,
    unview,
    without_sign,
)
from .rules import Match, Rule, is_scalar, number

_DEEPEST, _MOST_TERMS = 4, 32
_DIGITS = Context(prec=40)
_TOPS = frozenset({"max", "supremum"})


# the logarithm of a positive expression


def log_of(node: Tensor, depth: int = _DEEPEST) -> Tensor | None:
    """log(node) from the exponents of what it is made of; None where some of it is no exponential."""
    inner, views = unview(node)
    found = _FORMS.get(inner.op.name, _no_form)(inner, depth) if depth else None
    return None if found is None else review(found, views)


def _no_form(node: Tensor, depth: int) -> None:
    return None


def _exponent(node: Tensor, depth: int) -> Tensor:
    return node.inputs[0]


def _of_sigmoid(node: Tensor, depth: int) -> Tensor:
    return negative(softplus(minus(node.inputs[0])))


def _of_sum(node: Tensor, depth: int) -> Tensor | None:
    terms = log_of(node.inputs[0], depth - 1)
    axes = node.attrs["axes"]
    return None if terms is None or is_shifted(terms) else logsumexp(terms, axis=axes)


def _of_added(node: Tensor, depth: int) -> Tensor | None:
    """Terms are exponentials and positive numbers."""
    logs = []
    constant_part = 0.0
    waiting = list(node.inputs[::-1])
    while waiting:
        term = waiting.pop()
        if term.op.name == "add" and len(waiting) < _MOST_TERMS:
            waiting += term.inputs[::-1]
            continue
        value = number(term)
        if value is not None:
            constant_part += value
            continue
        found = log_of(term, depth - 1)
        if found is None:
            return None
        logs.append(found)
    if not logs or not 0.0 <= constant_part < np.inf or len(logs) > _MOST_TERMS:
        return None
    total = logs[0]
    for found in logs[1:]:
        total = logaddexp(total, found)
    if constant_part == 1.0:
        return softplus(total)
    return total if constant_part == 0.0 else logaddexp(total, _number(np.log(constant_part), node))


def _number(value: float, like: Tensor) -> Tensor:
    return constant(np.asarray(value, like.dtype))


def _of_product(node: Tensor, depth: int) -> Tensor | None:
    """The sum of the logarithms of the factors; that of the constant ones in two parts, where the sum may cancel."""
    found = _of_factors(node, depth)
    if found is None:
        return None
    x, value = found
    if x is None or unview(x)[0].op.name == "log":  # a shifted sum, and numbers: well as it is
        return None
    return _with_number(x, value)


def _of_quotient(node: Tensor, depth: int) -> Tensor | None:
    found = _of_softmax(node)
    return _of_product(node, depth) if found is None else found


def _of_factors(node: Tensor, depth: int) -> tuple[Tensor | None, Decimal] | None:
    """log(node) as a tensor (None where there is none) and a number; products and quotients are opened."""
    value = number(node)
    if value is not None:
        return (None, Decimal(value).ln(_DIGITS)) if 0 < value < np.inf else None
    if not depth:
        return None
    if node.op.name not in ("multiply", "divide") or _logits(node) is not None:
        found = _of_shifted_sum(node)
        found = log_of(node, depth) if found is None else found
        return None if found is None else (found, Decimal(0))
    left, right = (_of_factors(x, depth - 1) for x in node.inputs)
    if left is None or right is None:
        return None
    (x, a), (y, b) = left, right
    if node.op.name == "multiply":
        return add(x, y) if x is not None and y is not None else x if y is None else y, _DIGITS.add(a, b)
    return (x if y is None else minus(y) if x is None else subtract(x, y)), _DIGITS.subtract(a, b)


def _of_shifted_sum(node: Tensor) -> Tensor | None:
    """log(node) as written for a sum of exponentials, of which the greatest is 1."""
    inner, views = unview(node)
    x = operand_of("exp", inner.inputs[0]) if inner.op.name == "sum" else None
    return review(log(inner), views) if x is not None and is_shifted(x) else None


def _with_number(x: Tensor, value: Decimal) -> Tensor:
    """``x + value``, with the error of `value` as `x` has it added too: right to the last place where they cancel."""
    scalar = x.dtype.type
    high = scalar(value)
    low = scalar(_DIGITS.subtract(value, Decimal(float(high))))
    for part in (high, low):
        x = add(x, _number(part, x)) if part else x
    return x


def _of_power(node: Tensor, depth: int) -> Tensor | None:
    found = log_of(node.inputs[0], depth - 1)
    exponent = node.attrs["exponent"]
    return None if found is None or exponent == 0 else multiply(exponent, found)


def _of_softmax(node: Tensor) -> Tensor | None:
    """log_softmax(x) for ``exp(x) / sum(exp(x))``; one that is shifted by its maximum already stays so."""
    x = _logits(node)
    if x is None:
        return None
    total, views = unview(node.inputs[1])
    return subtract(x, review(log(total), views)) if is_shifted(x) else log_softmax(x, axis=total.attrs["axes"])


def _logits(node: Tensor) -> Tensor | None:
    """x where `node` is ``exp(x) / sum(exp(x))``."""
    if node.op.name != "divide":
        return None
    powers, spread = node.inputs
    total, _ = unview(spread)
    if total.op.name != "sum" or total.inputs[0] is not powers or not is_spread_back(spread, total, powers):
        return None
    return operand_of("exp", powers)


_FORMS: dict[str, Callable[[Tensor, int], Tensor | None]] = {
    "exp": _exponent,
    "sigmoid": _of_sigmoid,
    "sum": _of_sum,
    "add": _of_added,
    "multiply": _of_product,
    "divide": _of_quotient,
    "integer_pow": _of_power,
}


def is_shifted(x: Tensor) -> bool:
    """Whether `x` is a difference to a maximum of its own: its exponentials do not overflow as it is."""
    if x.op.name != "subtract":
        return False
    whole, waiting = x.inputs[0], [x.inputs[1]]
    for _ in range(8):
        if not waiting:
            return False
        top, _ = unview(waiting.pop())
        if top.op.name in _TOPS:
            return unview(top.inputs[0])[0] is unview(whole)[0]
        if top.op.name in ("stop_gradient", "where"):
            waiting += top.inputs[-2:]
    return False


# rules


def _when(op: str) -> Match:
    """The rule of log for operands of one op."""
    return behind_views(lambda inner: log_of(inner) if inner.op.name == op else None)


def _log_one_plus_exp(inner: Tensor) -> Tensor | None:
    return log_of(inner) if plus_one(inner) is not None else None


def _log_mean_exp(inner: Tensor) -> Tensor | None:
    """The number of elements divides inside the logarithm, where the result may cancel to near 0."""
    if inner.op.name != "divide":
        return None
    total, views = unview(inner.inputs[0])
    count = _count(inner.inputs[1])
    terms = log_of(total.inputs[0]) if total.op.name == "sum" and count is not None else None
    if terms is None or is_shifted(terms):
        return None
    axes = total.attrs["axes"]
    return review(reshape(log_total(terms, axes, count), reduced_shape(terms.shape, axes)), views)


def _count(node: Tensor) -> Tensor | float | None:
    """A positive number, or a runtime size, that `node` is everywhere."""
    value = number(node)
    if value is not None:
        return value if 0 < value < np.inf else None
    behind, _ = unview(node)
    return behind if behind.op.name == "dim_value" else None


def _log_one_minus_exp(inner: Tensor) -> Tensor | None:
    """``1 - exp(x)`` has become ``0 - expm1(x)`` before its logarithm is looked at."""
    if inner.op.name == "subtract" and is_scalar(inner.inputs[0], 0):
        x = operand_of("expm1", inner.inputs[1])
    else:
        value, flipped = without_sign(inner)
        x = operand_of("expm1", value) if flipped else None
    return None if x is None else log1mexp(x)


def _log_exp_less_one(inner: Tensor) -> Tensor | None:
    """``exp(x) - 1`` has become ``expm1(x)``, which overflows; it is exp(x) * (1 - exp(-x))."""
    return add(inner.inputs[0], log1mexp(minus(inner.inputs[0]))) if inner.op.name == "expm1" else None


def _log_one_plus(inner: Tensor) -> Tensor | None:
    x = plus_one(inner)
    return None if x is None or number(x) is not None else log1p(x)


def _log_one_minus(inner: Tensor) -> Tensor | None:
    if inner.op.name != "subtract" or not is_scalar(inner.inputs[0], 1) or number(inner.inputs[1]) is not None:
        return None
    return log1p(minus(inner.inputs[1]))


def _log1p_exp(inner: Tensor) -> Tensor | None:
    found = log_of(inner)
    return None if found is None else softplus(found)


def _log1p_minus_exp(inner: Tensor) -> Tensor | None:
    value, flipped = without_sign(inner)
    if not flipped:
        return None
    x = operand_of("sigmoid", value)
    if x is not None:
        return negative(softplus(x))
    found = log_of(value)
    return None if found is None else log1mexp(found)


# x * log(x)


def _times_log(scale: float | None = None, name: str = "log") -> Match:
    """x * log(y) for a y that is 0 with x; `scale` is what divides log(y) in another base."""

    def match(x: Tensor, logarithm: Tensor) -> Tensor | None:
        if logarithm.op.name != name:
            return None
        x, flipped = without_sign(x)
        y = logarithm.inputs[0]
        if y is not x and not (y.op.name == "divide" and y.inputs[0] is x):
            return None
        found = xlogy(x, y) if scale is None else multiply(scale, xlogy(x, y))
        return negative(found) if flipped else found

    return lambda node: either(node, match)


def _times_log_ratio(node: Tensor) -> Tensor | None:
    """x * (log(x) - y), and x * (y - log(x)), as x * log(x) - x * y: 0 at 0, and so safe are its derivatives.

    Where x is so large that these products overflow, or all but overflow, before their difference does: as written.
    """

    def match(x: Tensor, difference: Tensor) -> Tensor | None:
        if difference.op.name != "subtract":
            return None
        x, flipped = without_sign(x)
        a, b = difference.inputs[::-1] if flipped else difference.inputs
        if not any(part.op.name == "log" and part.inputs[0] is x for part in (a, b)):
            return None
        parted = subtract(*(xlogy(x, y.inputs[0]) if y.op.name == "log" else multiply(x, y) for y in (a, b)))
        whole = multiply(x, add(a, minus(b)))  # a - b would be looked at again
        info = np.finfo(x.dtype)
        return where(greater(x, float(info.max) * float(info.eps) ** 2), whole, parted)

    return either(node, match)


def _in_base(rule: Rule, base: int) -> Rule:
    """A rule of log for ``log2`` or ``log10``."""
    scale = 1.0 / math.log(base)

    def match(node: Tensor) -> Tensor | None:
        found = rule.apply(node)
        return None if found is None else multiply(scale, found)

    return Rule(rule.name.replace("log(", f"log{base}(", 1), f"log{base}", match)


_OF_EXPONENTIALS = (
    Rule("log(exp(x))", "log", _when("exp")),
    Rule("log(sum(exp(x)))", "log", _when("sum")),
    Rule("log(1 + exp(x))", "log", behind_views(_log_one_plus_exp)),
    Rule("log(exp(x) + exp(y))", "log", _when("add")),
    Rule("log(mean(exp(x)))", "log", behind_views(_log_mean_exp)),
    Rule("log(exp(x) / sum(exp(x)))", "log", _when("divide")),
    Rule("log(exp(x) * exp(y))", "log", _when("multiply")),
    Rule("log(exp(x)**n)", "log", _when("integer_pow")),
    Rule("log(sigmoid(x))", "log", _when("sigmoid")),
    Rule("log(1 - exp(x))", "log", behind_views(_log_one_minus_exp)),
    Rule("log(exp(x) - 1)", "log", behind_views(_log_exp_less_one)),
)
"""For log2 and log10 too. Not so log(1 + x): log2(1 + 7.0) is 3, and log1p(7.0) / log(2) a bit less."""

RULES = (
    *_OF_EXPONENTIALS,
    *(_in_base(rule, base) for base in (2, 10) for rule in _OF_EXPONENTIALS),
    Rule("log(1 + x)", "log", behind_views(_log_one_plus)),
    Rule("log(1 - x)", "log", behind_views(_log_one_minus)),
    Rule("log1p(exp(x))", "log1p", behind_views(_log1p_exp)),
    Rule("log1p(-exp(x))", "log1p", behind_views(_log1p_minus_exp)),
    Rule("x * log(x)", "multiply", _times_log()),
    Rule("x * log2(x)", "multiply", _times_log(1.0 / math.log(2.0), "log2")),
    Rule("x * log10(x)", "multiply", _times_log(1.0 / math.log(10.0), "log10")),
    Rule("x * (log(x) - y)", "multiply", _times_log_ratio),
)
