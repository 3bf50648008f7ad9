"""What the fixed texts of CPU and CUDA files share: choices between values, without branches."""

from __future__ import annotations

from textwrap import indent

_PLAIN = """\
def select(condition, x, y):
    return x if condition else y

def ct_mul(ct, d):
    return ct * d if ct != 0 else type(ct)(0)

def zero_mul(a, b):
    return a * b if a != 0 and b != 0 else type(a)(0)

def maximum(x, y):
    return x if x > y or x != x else y

def minimum(x, y):
    return x if x < y or x != x else y
"""

_COMPILED = '''\
@intrinsic
def select(typingctx, condition, x, y):
    """x where condition holds, else y, without a branch."""

    def codegen(context, builder, signature, args):
        return builder.select(*args)

    return types.unliteral(x)(types.boolean, types.unliteral(x), types.unliteral(x)), codegen

@intrinsic
def ct_mul(typingctx, ct, d):
    """A cotangent times a derivative; a zero cotangent annihilates inf and nan."""

    def codegen(context, builder, signature, args):
        zero = args[0].type(0.0)
        product = builder.fmul(*args)
        return builder.select(builder.fcmp_unordered("!=", args[0], zero), product, zero)

    return ct(ct, ct), codegen

@intrinsic
def zero_mul(typingctx, a, b):
    """A product in which either zero annihilates inf and nan."""

    def codegen(context, builder, signature, args):
        zero = args[0].type(0.0)
        neither = builder.and_(*[builder.fcmp_unordered("!=", x, zero) for x in args])
        return builder.select(neither, builder.fmul(*args), zero)

    return a(a, a), codegen

def extremum(sign):
    def choose(builder, x, y):
        beyond = builder.fcmp_ordered(sign, x, y)
        return builder.select(builder.or_(beyond, builder.fcmp_unordered("!=", x, x)), x, y)

    return choose

def chosen(choose):
    @intrinsic
    def function(typingctx, x, y):
        """The larger (or smaller) of two floats; nan wins."""
        return x(x, x), lambda context, builder, signature, args: choose(builder, *args)

    return function

larger, smaller = extremum(">"), extremum("<")
maximum, minimum = chosen(larger), chosen(smaller)
'''

PLAIN, COMPILED = indent(_PLAIN, "    "), indent(_COMPILED, "    ")
"""The functions as plain Python, and as intrinsics (of `types`, `intrinsic` and llvmlite's builder), for a branch."""
