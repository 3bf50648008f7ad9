"""Which values the derivative rules of an op read: what a tape node must keep, and what it may forget.

A rule that never names an operand cannot read it: this is seen in the code of the rule, once for each op. The rules of
an op that is linear read no floats at all, only sizes.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

from ..ir.op import Op

_known: dict[tuple[Op, tuple[bool, ...]], tuple[bool, tuple[bool, ...]]] = {}


def reads(op: Op, wanted: tuple[bool, ...]) -> tuple[bool, tuple[bool, ...]]:
    """Whether the rules of the `wanted` operands may read the result, and each operand.

    >>> from graphc.ops.table import OPS
    >>> reads(OPS["multiply"], (True, False))
    (False, (False, True))
    """
    key = (op, wanted)
    found = _known.get(key)
    if found is None:
        found = _known[key] = _reads(op, wanted)
    return found


def _reads(op: Op, wanted: tuple[bool, ...]) -> tuple[bool, tuple[bool, ...]]:
    if "linear" in op.traits:
        return False, (False,) * len(wanted)
    if callable(op.vjp):
        rules = [op.vjp]
    elif isinstance(op.vjp, (tuple, list)):
        rules = [rule for rule, want in zip(op.vjp, wanted, strict=True) if want]
    else:
        rules = []
    named = [_positions(rule, len(wanted) + 2) for rule in rules if callable(rule)]
    found = [any(n[k] for n in named) for k in range(len(wanted) + 2)]
    return found[1], tuple(found[2:])


def _positions(rule: Callable[..., Any], count: int) -> list[bool]:
    """For each of the first `count` positional arguments of `rule`, whether its code names it."""
    if not isinstance(rule, FunctionType):
        return [True] * count
    code = rule.__code__
    named: set[Any] = set()
    for instruction in dis.get_instructions(code):
        if instruction.opname.startswith("LOAD_"):
            value = instruction.argval
            named.update(value if isinstance(value, tuple) else (value,) if isinstance(value, str) else ())
    own = code.co_varnames[: code.co_argcount]
    rest = code.co_varnames[code.co_argcount + code.co_kwonlyargcount] if code.co_flags & inspect.CO_VARARGS else None
    return [own[k] in named if k < len(own) else rest in named for k in range(count)]
