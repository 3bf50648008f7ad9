"""Exponentials and error functions: expm1, sigmoid, softmax and erfc in place of what cancels or overflows."""

from __future__ import annotations

from ..ir.tensor import Tensor
from ..ops.elementwise import divide, multiply, negative, subtract
from ..ops.exponential import exp, expm1
from ..ops.movement import reshape
from ..ops.power import pow
from ..ops.reduction import sum
from ..ops.special import erf, erfc, sigmoid
from ..ops.statistics import shift, softmax
from .patterns import either, is_spread_back, minus, operand_of, plus_one, review, unview
from .rules import Rule, is_scalar
from .stable_log import is_shifted


def _less_one(node: Tensor) -> Tensor | None:
    """x where `node` is ``x - 1``."""
    if node.op.name == "subtract":
        return node.inputs[0] if is_scalar(node.inputs[1], 1) else None
    return either(node, lambda a, b: b if is_scalar(a, -1) else None)


def _one_less(node: Tensor) -> Tensor | None:
    """x where `node` is ``1 - x``."""
    return node.inputs[1] if is_scalar(node.inputs[0], 1) else None


def _exp_less_one(node: Tensor) -> Tensor | None:
    value = _less_one(node)
    x = None if value is None else operand_of("exp", value)
    return None if x is None else expm1(x)


def _one_less_exp(node: Tensor) -> Tensor | None:
    """``0 - expm1(x)``: at 0 that is 0, where ``-expm1(x)`` is -0."""
    value = _one_less(node)
    x = None if value is None else operand_of("exp", value)
    return None if x is None else subtract(0.0, expm1(x))


# sigmoid


def _one_plus_exp(node: Tensor) -> Tensor | None:
    """x where `node` is ``1 + exp(x)``."""
    inner, views = unview(node)
    value = plus_one(inner)
    x = None if value is None else operand_of("exp", value)
    return None if x is None else review(x, views)


def _over_one_plus_exp(node: Tensor) -> Tensor | None:
    """1 / (1 + exp(x)), exp(x) / (1 + exp(x)), and any other numerator."""
    above, below = node.inputs
    x = _one_plus_exp(below)
    if x is None:
        return None
    if is_scalar(above, 1):
        return sigmoid(minus(x))
    return sigmoid(x) if operand_of("exp", above) is x else multiply(above, sigmoid(minus(x)))


def _over_power_of_one_plus_exp(node: Tensor) -> Tensor | None:
    """exp(x) / (1 + exp(x))**n, the logistic density among them, and any other numerator."""
    above, below = node.inputs
    inner, views = unview(below)
    x = _one_plus_exp(inner.inputs[0]) if inner.op.name == "integer_pow" else None
    if x is None or inner.attrs["exponent"] < 2:
        return None
    x, n = review(x, views), inner.attrs["exponent"]
    if operand_of("exp", above) is x:
        return multiply(sigmoid(x), pow(sigmoid(minus(x)), n - 1))
    power = pow(sigmoid(minus(x)), n)
    return power if is_scalar(above, 1) else multiply(above, power)


def _negative_power_of_one_plus_exp(node: Tensor) -> Tensor | None:
    x = _one_plus_exp(node.inputs[0])
    n = node.attrs["exponent"]
    return None if x is None or n >= 0 else pow(sigmoid(minus(x)), -n)


def _exp_share(node: Tensor) -> Tensor | None:
    """exp(x) / (exp(x) + exp(y))"""
    above, below = node.inputs
    x = operand_of("exp", above)
    inner, views = unview(below)
    if x is None or inner.op.name != "add":
        return None

    def match(a: Tensor, b: Tensor) -> Tensor | None:
        left, right = operand_of("exp", a), operand_of("exp", b)
        if left is None or right is None or review(left, views) is not x:
            return None
        return sigmoid(subtract(x, review(right, views)))

    return either(inner, match)


def _one_less_sigmoid(node: Tensor) -> Tensor | None:
    value = _one_less(node)
    x = None if value is None else operand_of("sigmoid", value)
    return None if x is None else sigmoid(minus(x))


def _sigmoid_less_one(node: Tensor) -> Tensor | None:
    value = _less_one(node)
    x = None if value is None else operand_of("sigmoid", value)
    return None if x is None else negative(sigmoid(minus(x)))


# softmax


def _softmax(node: Tensor) -> Tensor | None:
    """exp(x) / sum(exp(x)) along the axes of the sum."""
    powers, spread = node.inputs
    total, _ = unview(spread)
    x = operand_of("exp", powers)
    if x is None or total.op.name != "sum" or total.inputs[0] is not powers or is_shifted(x):
        return None
    return softmax(x, axis=total.attrs["axes"]) if is_spread_back(spread, total, powers) else None


def _over_sum_of_exp(node: Tensor) -> Tensor | None:
    """exp(x) / sum(exp(y)), some entries of a softmax, say: the maximum of y is taken out of both.

    With ``h = exp((x - max(y)) / 2)`` it is ``h / sum(exp(y - max(y))) * h``, which overflows only if the result does.
    """
    above, below = node.inputs
    x = operand_of("exp", above)
    total, views = unview(below)
    if x is None or total.op.name != "sum":
        return None
    y = operand_of("exp", total.inputs[0])
    if y is None or is_shifted(y):
        return None
    axes = total.attrs["axes"]
    top = shift(y, axes)
    rest = sum(exp(subtract(y, top)), axis=axes)
    half = exp(multiply(0.5, subtract(x, review(reshape(top, rest.shape), views))))
    return multiply(divide(half, review(rest, views)), half)


# erf


def _one_less_erf(node: Tensor) -> Tensor | None:
    value = _one_less(node)
    if value is None:
        return None
    x = operand_of("erf", value)
    if x is not None:
        return erfc(x)
    x = operand_of("erfc", value)
    return None if x is None else erf(x)


def _one_plus_erf(node: Tensor) -> Tensor | None:
    value = plus_one(node)
    x = None if value is None else operand_of("erf", value)
    return None if x is None else erfc(minus(x))


RULES = (
    Rule("exp(x) - 1", "subtract", _exp_less_one),
    Rule("exp(x) - 1", "add", _exp_less_one),
    Rule("1 - exp(x)", "subtract", _one_less_exp),
    Rule("1 / (1 + exp(-x))", "divide", _over_one_plus_exp),
    Rule("1 / (1 + exp(-x))**n", "divide", _over_power_of_one_plus_exp),
    Rule("(1 + exp(-x))**-n", "integer_pow", _negative_power_of_one_plus_exp),
    Rule("exp(x) / (exp(x) + exp(y))", "divide", _exp_share),
    Rule("1 - sigmoid(x)", "subtract", _one_less_sigmoid),
    Rule("sigmoid(x) - 1", "subtract", _sigmoid_less_one),
    Rule("sigmoid(x) - 1", "add", _sigmoid_less_one),
    Rule("exp(x) / sum(exp(x))", "divide", _softmax),
    Rule("exp(x) / sum(exp(y))", "divide", _over_sum_of_exp),
    Rule("1 - erf(x)", "subtract", _one_less_erf),
    Rule("1 + erf(x)", "add", _one_plus_erf),
)
