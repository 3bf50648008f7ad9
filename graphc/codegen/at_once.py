"""Functions of scalars at once: where straight code computes one function of several scalars, a loop over them.

LLVM makes vectors of such a loop, which take a fraction of the time; of the same calls one after another it makes none,
for it does not look for them among other statements.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count

from ..ir.dtypes import DType
from ..ir.expr import Call, Expr, Load, Var, children, variables
from ..ir.loops import AtOnce, Kernel, Let, Statement, Store
from .vecmath import FUNCTIONS

LEAST = 4
"""Scalars for which there is a loop: a vector of float64."""


def is_vectorised(e: Expr) -> bool:
    """Whether `e` is a function of one number of which LLVM makes vectors."""
    if not isinstance(e, Call) or len(e.args) != 1:
        return False
    function = FUNCTIONS.get((e.fn, e.args[0].dtype.name))
    return function is not None and function.vectorises


def functions_at_once(kernel: Kernel) -> list[Statement]:
    """The body of a kernel; with its functions at once where it is straight code that computes enough of them.

    A value's level is how many functions come one after another on the way to it. A function is computed at once of all
    scalars of one level. Statements may change places, since no array is both read and written.
    """
    if kernel.checks or not _is_straight(kernel):
        return kernel.body
    names = count()
    body = [s for statement in kernel.body for s in _functions_named(statement, names)]
    levels = _levels(body)
    groups: dict[tuple[int, str, DType], list[Let]] = {}
    for s in body:
        if isinstance(s, Let) and isinstance(s.expr, Call) and is_vectorised(s.expr):
            groups.setdefault((levels[s.name], s.expr.fn, s.expr.dtype), []).append(s)
    groups = {key: group for key, group in groups.items() if len(group) >= LEAST}
    if not groups:
        return kernel.body
    grouped = {s.name for group in groups.values() for s in group}
    stages: list[list[Statement]] = [[] for _ in range(1 + max(levels.values()))]
    for level, stage in enumerate(stages):
        stage += _merged([group for key, group in groups.items() if key[0] == level])
    for s in body:
        if isinstance(s, Store):
            stages[_level(s.expr, levels)].append(s)
        elif s.name not in grouped:
            stages[levels[s.name]].append(s)
    return [s for stage in stages for s in stage]


def _is_straight(kernel: Kernel) -> bool:
    """Whether all statements are values and stores, and none reads memory that another one writes."""
    buffers = {a.name: a.buffer for a in kernel.arrays}
    written = {buffers[s.array] for s in kernel.body if isinstance(s, Store)}
    return all(
        isinstance(s, (Let, Store)) and written.isdisjoint(buffers[name] for name in _arrays(s.expr))
        for s in kernel.body
    )


def _arrays(e: Expr) -> set[str]:
    own = {e.array} if isinstance(e, Load) else set()
    return own.union(*map(_arrays, children(e)))


def _functions_named(s: Statement, names: Iterator[int]) -> list[Let | Store]:
    """A statement, behind values of their own for the functions in it."""
    assert isinstance(s, (Let, Store))
    before: list[Let | Store] = []

    def named(e: Expr, inside: bool) -> Expr:
        if not isinstance(e, Call):
            return e
        e = replace(e, args=tuple(named(a, True) for a in e.args))
        if not inside or not is_vectorised(e):
            return e
        name = f"f{next(names)}"
        before.append(Let(name, e, s.node))
        return Var(name, e.dtype)

    expr = named(s.expr, isinstance(s, Store))
    return [*before, replace(s, expr=expr)]


def _levels(body: Sequence[Let | Store]) -> dict[str, int]:
    levels: dict[str, int] = {}
    for s in body:
        if isinstance(s, Let):
            levels[s.name] = _level(s.expr, levels) + is_vectorised(s.expr)
    return levels


def _level(e: Expr, levels: dict[str, int]) -> int:
    """The highest level of what `e` reads."""
    return max((levels[name] for name in variables(e) if name in levels), default=0)


def _merged(groups: Sequence[list[Let]]) -> list[AtOnce]:
    """One loop for all functions of the same scalars, such as sines and cosines, which have much in common."""
    found: dict[tuple[Expr, ...], AtOnce] = {}
    for group in groups:
        args = tuple(s.expr.args[0] for s in group)  # type: ignore[attr-defined]
        found.setdefault(args, AtOnce(args)).results[group[0].expr.fn] = group  # type: ignore[attr-defined]
    return list(found.values())
