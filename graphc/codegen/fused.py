"""Multiplication and addition with one rounding: for functions of this package, and as text for generated files.

Processors and GPUs have one instruction for it, so polynomials take half the instructions, and what a product loses in
rounding is known after one more. x86 processors from before 2013 have none: there, the scalar functions of generated
files round twice, and `FUSED`, a constant of each file, is False for what needs exact products.
"""

from __future__ import annotations

import inspect
from fractions import Fraction
from textwrap import indent

import numpy as np
from numpy import float32, float64, int64

FUSED = True


def fma(x, y, z):
    """x * y + z, rounded once."""
    if type(x) is float32:
        product = float64(x) * float64(y)  # exact
        found = product + float64(z)
        rest = found - product
        lost = (product - (found - rest)) + (float64(z) - rest)
        if lost != 0.0 and np.isfinite(found) and not found.view(int64) & 1:
            found = np.nextafter(found, np.copysign(np.inf, lost))  # to odd: rounding it again rounds the true sum
        return float32(found)
    if not (np.isfinite(x) and np.isfinite(y)):
        return float64(x) * float64(y) + float64(z)
    if not np.isfinite(z):
        return float64(z)
    exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
    if exact == 0:
        return float64(x) * float64(y) + float64(z)
    try:
        return float64(float(exact))
    except OverflowError:
        return float64(np.inf if exact > 0 else -np.inf)


PLAIN = indent(f"from fractions import Fraction\n\nFUSED = True\n\n{inspect.getsource(fma)}", "    ")
"""The function and the constant for files that are not compiled."""

COMPILED = '''\
    FUSED = "+fma" in FEATURES or "x86" not in binding.get_process_triple()

    @intrinsic
    def fma(typingctx, x, y, z):
        """x * y + z, rounded once where the processor has an instruction for that."""

        def codegen(context, builder, signature, args):
            if not FUSED:
                return builder.fadd(builder.fmul(args[0], args[1]), args[2])
            return builder.fma(*args)

        return x(x, x, x), codegen

'''
"""The same for compiled files."""
