"""Powers: whole exponents as such, and products of powers of one base.

Exponents of one sign only: x**3 * x**-1 is nan at 0, and x**2 is not.
"""

from __future__ import annotations

import numpy as np

from ..ir.tensor import Tensor
from ..ops.power import pow
from .patterns import is_not_negative
from .rules import Rule, number

_LARGEST = 1024
"""Whole exponents of greater magnitude are left to ``pow``, as in `ops.power`."""
_MULTIPLIED = 8
"""Up to this exponent a power is a product; a greater one is not made of smaller ones."""


def _whole_exponent(node: Tensor) -> Tensor | None:
    """x**n where n is a constant tensor: a Python number is ``integer_pow`` from the start."""
    x, exponent = node.inputs
    value = number(exponent)
    if value is None or not abs(value) <= _LARGEST or value != np.trunc(value) or (x.dtype.kind != "f" and value < 0):
        return None
    return pow(x, int(value))


def _whole_power(node: Tensor) -> tuple[Tensor, int]:
    """(x, n) where `node` is x**n."""
    if node.op.name == "integer_pow":
        return node.inputs[0], node.attrs["exponent"]
    if node.op.name == "multiply" and node.inputs[0] is node.inputs[1]:
        return node.inputs[0], 2
    return node, 1


def _product_of_powers(node: Tensor) -> Tensor | None:
    a, b = node.inputs
    if a is b or node.dtype.kind == "b":
        return None
    (x, m), (y, n) = _whole_power(a), _whole_power(b)
    if b is x:  # x * x * x: the product may itself be taken for a base
        y, n = b, 1
    if a is y:
        x, m = a, 1
    return pow(x, m + n) if x is y and m * n > 0 and abs(m + n) <= _MULTIPLIED else None


def _real_power(node: Tensor) -> tuple[Tensor, float]:
    """(x, a) where `node` is x**a."""
    value = number(node.inputs[1]) if node.op.name == "pow" else None
    return (node, 1.0) if value is None else (node.inputs[0], value)


def _product_of_real_powers(node: Tensor) -> Tensor | None:
    """Not where the exponents add up to a whole one, whose power of a negative number is not nan, or are rounded.

    ``pow`` takes -inf for inf, which `x` itself, as a factor, does not.
    """
    if node.dtype.kind != "f":
        return None
    (x, a), (y, b) = map(_real_power, node.inputs)
    if x is not y or (1.0 in (a, b) and not is_not_negative(x)):
        return None
    both = a + b
    exact = both - a == b and both - b == a and float(node.dtype.type(both)) == both
    return pow(x, both) if a * b > 0 and exact and both != np.trunc(both) else None


def _power_of_power(node: Tensor) -> Tensor | None:
    inner = node.inputs[0]
    if inner.op.name != "integer_pow":
        return None
    exponent = inner.attrs["exponent"] * node.attrs["exponent"]
    return pow(inner.inputs[0], exponent) if 0 < abs(exponent) <= _MULTIPLIED else None


RULES = (
    Rule("x**n", "pow", _whole_exponent),
    Rule("x**m * x**n", "multiply", _product_of_powers),
    Rule("x**a * x**b", "multiply", _product_of_real_powers),
    Rule("(x**m)**n", "integer_pow", _power_of_power),
)
