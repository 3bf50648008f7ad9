"""Each row of the op table against `sympy.diff` of what it means; and that a wrong rule is found out."""

from __future__ import annotations

import numpy as np
import pytest
from wrong_rules import broken, scaled

import graphc as gc
from graphc.ir.lowering import Refused
from graphc.ir.op import Op
from graphc.ops.table import OPS
from graphc.verify.calculus import AGREES, PROVEN
from graphc.verify.rows import NO_DERIVATIVE, certify_row

NUMERIC = {"maximum", "minimum", "max", "min", "supremum", "first_max"}
"""Rows whose rules choose by comparing: SymPy does not simplify their pieces, 50 digits decide."""
STEPPED = {"floor", "ceil", "trunc", "round", "sign", "floor_divide", "stop_gradient"}
"""Rows whose derivative is zero wherever there is one."""
NOT_FLOAT = {
    *("input", "param", "constant", "dim_value", "iota", "item", "custom"),
    *("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"),
    *("logical_and", "logical_or", "logical_xor", "logical_not", "any", "all"),
    *("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_invert", "bitwise_left_shift", "bitwise_right_shift"),
    *("isnan", "isinf", "isfinite", "signbit", "argsort", "argmax", "argmin"),
    *("philox", "multiply_high", "box_muller"),
}
_DIFFERENTIABLE = [op for name, op in OPS.items() if name not in NOT_FLOAT]


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_row_is_certified(op: Op) -> None:
    found = certify_row(op)
    wanted = NO_DERIVATIVE if op.name in NOT_FLOAT else AGREES if op.name in NUMERIC else PROVEN
    assert found.how == wanted, found
    assert found.error < 1e-40
    assert found.compared > 0 or wanted == NO_DERIVATIVE


@pytest.mark.parametrize("field", ["vjp", "jvp"])
@pytest.mark.parametrize("op", [op for op in _DIFFERENTIABLE if op.name not in STEPPED], ids=lambda op: op.name)
def test_a_flipped_sign_is_found(op: Op, field: str) -> None:
    if isinstance(getattr(op, field), Refused):
        pytest.skip("refused")
    with broken(op, field), pytest.raises(gc.VerificationError, match=f"the {field} of {op.name} is wrong"):
        certify_row(op)


@pytest.mark.parametrize("name", ["exp", "multiply", "contract", "scatter_set", "recurrence", "erf"])
def test_a_small_factor_is_found(name: str) -> None:
    with broken(OPS[name], change=scaled(1.0 + 1e-9)), pytest.raises(gc.VerificationError):
        certify_row(OPS[name])


def test_swapped_operands_are_found() -> None:
    op = OPS["divide"]
    right = op.vjp
    object.__setattr__(op, "vjp", tuple(reversed(right)))  # type: ignore[arg-type]
    try:
        with pytest.raises(gc.VerificationError):
            certify_row(op)
    finally:
        object.__setattr__(op, "vjp", right)


def test_error_text() -> None:
    with broken(OPS["tanh"]), pytest.raises(gc.VerificationError) as caught:
        certify_row(OPS["tanh"])
    text = str(caught.value)
    assert text.startswith("the vjp of tanh is wrong: got -1.16733")
    assert "of operands float64[3, 4] (entry 0): -ct0*(1 - tanh(x0)**2), expected 1.16733" in text
    assert text.endswith("hint: the expected value is sympy.diff of the row's sympy meaning")


def test_meaning_of_floats() -> None:
    import sympy as sp

    from graphc.verify.numbers import exact

    assert exact(np.float64(2 / np.sqrt(np.pi))) == 2 / sp.sqrt(sp.pi)
    assert exact(np.float64(-np.log(2.0))) == -sp.log(2)
    assert exact(np.float32(np.pi)) == sp.pi
    assert exact(np.float64(0.1)) == exact(np.float32(0.1)) == sp.Rational(1, 10)
    assert exact(np.float64(1 / 3)) == sp.Rational(1 / 3)
    assert exact(np.float64(1e300)) == 10**300 or exact(np.float64(1e300)) == sp.Integer(int(1e300))
    assert exact(np.float64("nan")) is sp.nan and exact(np.float64("-inf")) == -sp.oo
    assert exact(np.bool_(True)) is sp.true and exact(np.uint8(7)) == 7
