"""Which loops may run their iterations at once, and what these share: read off the statements of the loop IR."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..ir import dims
from ..ir.expr import Call, Expr, Load, Var, children, variables
from ..ir.loops import (
    Argsort,
    Batches,
    Chunks,
    Combine,
    Dot,
    Finite,
    For,
    If,
    Init,
    Let,
    MatrixStep,
    Statement,
    Store,
    StoreCombine,
    walk,
)

Index = tuple[Expr, ...]
WIDE = 32
"""Iterations from which on loops keep the threads of a warp busy."""


def expressions(s: Statement) -> Iterator[Expr]:
    """What a statement evaluates, without the statements inside it."""
    if isinstance(s, (Store, StoreCombine)):
        yield from s.index
    if isinstance(s, If):
        yield s.condition
    if isinstance(s, Combine) and s.position is not None:
        yield s.position
    if isinstance(s, (Let, Init, Store, Combine, StoreCombine)):
        yield s.expr


def loads(s: Statement) -> Iterator[Load]:
    """The elements that a statement reads, without the statements inside it."""
    stack = list(expressions(s))
    while stack:
        e = stack.pop()
        if isinstance(e, Load):
            yield e
        stack.extend(children(e))


def is_whole(s: Statement) -> bool:
    """Whether a statement works on whole arrays."""
    return isinstance(s, (Dot, MatrixStep, Argsort, Finite, Batches))


def accumulators(s: Combine) -> list[str]:
    """The names that a `Combine` changes."""
    return s.name.split("|")


def defined(body: Iterable[Statement]) -> set[str]:
    """Names of values and accumulators that start in a body."""
    return {s.name for s in walk(list(body)) if isinstance(s, (Let, Init))}


def used(body: Iterable[Statement]) -> set[str]:
    """Names that a body reads or combines into, its own and others."""
    found: set[str] = set()
    for s in walk(list(body)):
        for e in expressions(s):
            found |= variables(e)
        if isinstance(s, Combine):
            found |= set(accumulators(s))
    return found


class Accesses:
    """Who reads and writes which memory: by the number of its buffer, since two arrays may be views of one.

    buffers  the buffer of each array, by name
    """

    def __init__(self, buffers: Mapping[str, int]):
        self.buffers = buffers

    def written(self, body: Iterable[Statement]) -> set[int]:
        """Memory that a body writes."""
        found = set()
        for s in walk(list(body)):
            if isinstance(s, (Store, StoreCombine)):
                found.add(self.buffers[s.array])
            elif isinstance(s, Dot):
                found.add(self.buffers[s.out])
            elif isinstance(s, Argsort):
                found |= {self.buffers[name] for name in (s.order, s.other)}
            elif isinstance(s, MatrixStep):
                found |= {self.buffers[name] for name, _ in s.parts}
        return found

    def counted(self, body: Iterable[Statement]) -> Counter[int]:
        """How often a body mentions each piece of memory."""
        found: Counter[int] = Counter()
        for s in walk(list(body)):
            found.update(self.buffers[load.array] for load in loads(s))
            if isinstance(s, (Store, StoreCombine)):
                found[self.buffers[s.array]] += 1
            elif isinstance(s, Dot):
                found.update(self.buffers[name] for name in (s.x, s.y, s.out))
            elif isinstance(s, Argsort):
                found.update(self.buffers[name] for name in (s.values, s.order, s.other))
            elif isinstance(s, Finite):
                found[self.buffers[s.array]] += 1
            elif isinstance(s, MatrixStep):
                found.update(self.buffers[name] for name, _ in s.parts)
        return found

    def shared(self, loop: For, sorting: bool = False) -> set[str] | None:
        """The accumulators from outside that the iterations of a loop combine into.

        None where they need each other in another way: where the loop is a scan, works on whole arrays, or one
        iteration writes what another reads or writes. With `sorting` an iteration may sort a row.
        """
        if loop.kind == "scan" or any(_together(s, sorting) for s in walk(loop.body)):
            return None
        if loop.extent == 1 or loop.apart:
            return set()
        own = defined(loop.body)
        carried = {n for s in walk(loop.body) if isinstance(s, Combine) for n in accumulators(s)} - own
        read = {n for s in walk(loop.body) for e in expressions(s) for n in variables(e)}
        if carried & read or not all(self._apart(loop, buffer) for buffer in self.written(loop.body)):
            return None
        return carried

    def _apart(self, loop: For, buffer: int) -> bool:
        """Whether each iteration has elements of its own in a piece of memory that the loop writes."""
        inside = defined(loop.body) | {s.var for s in walk(loop.body) if isinstance(s, For)}
        places: list[tuple[str, Index]] = []
        for s in walk(loop.body):
            places += [(load.array, load.index) for load in loads(s)]
            if isinstance(s, (Store, StoreCombine)):
                places.append((s.array, s.index))
            if isinstance(s, Argsort):
                places += [(name, (*s.row, Var("?"))) for name in (s.values, s.order, s.other)]
        mine = [(name, at) for name, at in places if self.buffers[name] == buffer]
        (first, where), *others = mine
        if any(name != first for name, _ in others):
            return False  # seen under another shape
        return any(moves_with(e, loop.var, inside) and all(at[k] == e for _, at in others) for k, e in enumerate(where))


def _together(s: Statement, sorting: bool) -> bool:
    """Whether a statement needs all threads of a block, or works on whole arrays."""
    return isinstance(s, Chunks) or (is_whole(s) and not (sorting and isinstance(s, Argsort) and s.row))


def moves_with(e: Expr, var: str, inside: set[str]) -> bool:
    """Whether a position is another one in each iteration: the loop's variable, up to what does not change in it."""
    if isinstance(e, Var):
        return e.name == var
    if isinstance(e, Call) and e.fn in ("add", "sub") and len(e.args) == 2:
        own = [a == Var(var) for a in e.args]
        rest = e.args[own[0]] if any(own) else None
        return rest is not None and not variables(rest) & (inside | {var}) and not _loads(rest)
    return False


def _loads(e: Expr) -> bool:
    return isinstance(e, Load) or any(map(_loads, children(e)))


def nest_of(loop: For) -> list[For]:
    """A loop, and the loops in it as long as there is nothing else around them."""
    found = [loop]
    while len(found[-1].body) == 1 and isinstance(found[-1].body[0], For):
        found.append(found[-1].body[0])
    return found


def scanned(loop: For) -> Combine | None:
    """What a running combination adds up, if the threads of a block can: it is what it stores that needs the order."""
    found = [s for s in loop.body if isinstance(s, Combine)]
    if loop.kind != "scan" or len(found) != 1 or found[0].op not in ("add", "mul"):
        return None
    behind = loop.body[loop.body.index(found[0]) + 1 :]
    return found[0] if all(isinstance(s, Store) for s in behind) else None


def is_wide(loop: For) -> bool:
    """Whether a loop, with those of which it is but the first, keeps a warp busy, or may."""
    count = dims.product([inner.extent for inner in nest_of(loop)])
    return loop.chunked or not isinstance(count, int) or count >= WIDE


def contiguity(var: str, body: Sequence[Statement]) -> int:
    """How many elements that a body reads or writes stand next to each other where `var` moves on."""
    found = 0
    for s in walk(list(body)):
        places = [load.index for load in loads(s)]
        if isinstance(s, (Store, StoreCombine)):
            places.append(s.index)
        found += sum(1 for at in places if at and var in variables(at[-1]))
    return found
