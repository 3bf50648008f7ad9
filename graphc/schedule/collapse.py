"""A nest of loops over whole arrays as one loop over their memory: an element's number instead of its index.

Where everything that a nest reads and writes is read and written at the nest's own index, the index need not be known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from ..ir import dims
from ..ir.expr import Call, Expr, Load, Var, variables
from ..ir.loops import ArrayArg, Combine, For, If, Init, Let, Statement, Store, StoreCombine, walk
from .parallel import expressions, loads

FLAT = Var("f")
Change = Callable[[Expr], Expr]


def collapsed(loops: list[For], arrays: Mapping[str, ArrayArg], indexed: Iterable[str]) -> tuple[For, set[str]] | None:
    """The nest as one loop, and the arrays that are flat in it; None where an index is needed.

    indexed  arrays of which something else in the launch reads an element at an index
    """
    body, own = loops[-1].body, tuple(Var(loop.var) for loop in loops)
    extents, names = tuple(loop.extent for loop in loops), {loop.var for loop in loops}
    flat: set[str] = set()
    others = set(indexed)
    for s in walk(body):
        if not isinstance(s, (Let, Init, Store, Combine, StoreCombine, If)):
            return None
        places = [(load.array, load.index) for load in loads(s)]
        if isinstance(s, (Store, StoreCombine)):
            places.append((s.array, s.index))
        for name, at in places:
            (flat if at == own and arrays[name].shape == extents else others).add(name)
            if name in others and any(variables(e) & names for e in at):
                return None
    found = [changed(s, lambda e: _flattened(e, flat)) for s in body]
    if not flat or flat & others or any(names & variables(e) for s in walk(found) for e in expressions(s)):
        return None
    return For(FLAT.name, dims.product(extents), "map", found), flat


def _flattened(e: Expr, flat: set[str]) -> Expr:
    if isinstance(e, Load):
        return Load(e.array, (FLAT,), e.dtype) if e.array in flat else e
    if isinstance(e, Call):
        return Call(e.fn, tuple(_flattened(a, flat) for a in e.args), e.dtype)
    return e


def changed(s: Statement, change: Change) -> Statement:
    """A map's statement with its expressions changed; elements it stores stand where a load of them would."""
    if isinstance(s, (Store, StoreCombine)):
        place = change(Load(s.array, s.index, s.expr.dtype))
        assert isinstance(place, Load)
        return replace(s, index=place.index, expr=change(s.expr))
    if isinstance(s, If):
        return If(change(s.condition), [changed(inner, change) for inner in s.body])
    assert isinstance(s, (Let, Init, Combine))
    return replace(s, expr=change(s.expr))
