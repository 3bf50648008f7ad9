"""Adjacent loops become one where everything inside walks their axes as one: longer loops, full vectors.

A loop over 28 columns inside one over 28 rows is a loop over 784 elements, if every array has them side by side. Short
loops of known length are unrolled before they could become vectors, and every row would start and end one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from ..ir import dims
from ..ir.expr import Call, Expr, Load, Var
from ..ir.loops import (
    ArrayArg,
    Chunks,
    Combine,
    For,
    If,
    Init,
    Kernel,
    Let,
    Statement,
    Store,
    StoreCombine,
)

_KINDS = ("map", "reduce")
FULL = 64
"""Elements that are full vectors of any dtype, and some of them."""


def merge_loops(kernel: Kernel) -> bool:
    """Merge what can be merged in `kernel`, in place; whether there was anything."""
    arrays = {array.name: array for array in kernel.arrays}
    found = _merge_all(kernel.body, arrays)
    if found:
        read = set(_names(kernel.body))
        kernel.arrays[:] = [array for array in arrays.values() if array.name in read]
        names = {array.name: f"a{k}" for k, array in enumerate(kernel.arrays)}  # equal kernels have equal names
        kernel.body[:] = [_renamed(s, names) for s in kernel.body]
        for array in kernel.arrays:
            array.name = names[array.name]
    return found


def _merge_all(body: list[Statement], arrays: dict[str, ArrayArg]) -> bool:
    """Merge in `body` and below, outer loops first."""
    found = False
    for statement in body:
        if isinstance(statement, Chunks):
            found |= _merge_chunked(statement, arrays)
        elif isinstance(statement, For) and not statement.chunked:
            while _merge(statement, arrays):
                found = True
        inner = getattr(statement, "body", None)
        if inner is not None:
            found |= _merge_all(inner, arrays)
    return found


def _merge_chunked(chunks: Chunks, arrays: dict[str, ArrayArg]) -> bool:
    """Merge into the loop that is cut into chunks: where it is the only one, a chunk of rows is one of elements."""
    found, loops = False, [s for s in chunks.body if not isinstance(s, (Init, Let, Store))]
    if len(loops) == 1 and isinstance(loop := loops[0], For) and loop.chunked:
        while len(loop.body) == 1 and isinstance(inner := loop.body[0], For):
            size = inner.extent
            if not _merge(loop, arrays):
                break
            chunks.length, chunks.extent, found = chunks.length * size, chunks.extent * size, True
    return found


def _merge(outer: For, arrays: dict[str, ArrayArg]) -> bool:
    """Make one loop of `outer` and the loop that is all its body, if that can be done."""
    if len(outer.body) != 1 or not isinstance(inner := outer.body[0], For):
        return False
    if outer.kind != inner.kind or outer.kind not in _KINDS or outer.reverse or inner.reverse or inner.chunked:
        return False
    if isinstance(inner.extent, int) and inner.extent % FULL == 0 and not isinstance(outer.extent, int):
        return False  # the inner loop is one of full vectors, with nothing left, as it is
    merger = _Merger(outer, inner, arrays)
    body = [merger.statement(s) for s in inner.body]
    if not merger.fits:
        return False
    outer.extent, outer.body = outer.extent * inner.extent, body
    arrays.update(merger.merged)
    return True


class _Merger:
    """Rewrites statements for the variable of `outer` that runs over both loops; `fits` says whether that is right.

    merged  the arrays it needs, with both axes as one, by name
    """

    def __init__(self, outer: For, inner: For, arrays: dict[str, ArrayArg]):
        self.outer, self.inner = Var(outer.var), Var(inner.var)
        self.size, self.arrays = inner.extent, arrays
        self.merged: dict[str, ArrayArg] = {}
        self.fits = True

    def statement(self, s: Statement) -> Statement:
        if isinstance(s, (Let, Init)):
            return replace(s, expr=self.expr(s.expr))
        if isinstance(s, (Store, StoreCombine)):
            array, index = self.place(s.array, s.index, written=True)
            return replace(s, array=array, index=index, expr=self.expr(s.expr))
        if isinstance(s, Combine):
            return replace(s, expr=self.expr(s.expr), position=None if s.position is None else self.expr(s.position))
        if isinstance(s, For):
            return replace(s, body=[self.statement(inner) for inner in s.body])
        if isinstance(s, If):
            return replace(s, condition=self.expr(s.condition), body=[self.statement(inner) for inner in s.body])
        self.fits = False
        return s

    def expr(self, e: Expr) -> Expr:
        if isinstance(e, Load):
            array, index = self.place(e.array, e.index)
            return Load(array, index, e.dtype)
        if isinstance(e, Call):
            return Call(e.fn, tuple(self.expr(a) for a in e.args), e.dtype)
        if e in (self.outer, self.inner):
            self.fits = False
        return e

    def place(self, name: str, index: Sequence[Expr], written: bool = False) -> tuple[str, tuple[Expr, ...]]:
        """An array and an index, with the two axes as one if they stand there."""
        for k in range(len(index) - 1):
            if index[k] == self.outer and index[k + 1] == self.inner and self.arrays[name].shape[k + 1] == self.size:
                rest = [self.expr(e) for e in (*index[:k], *index[k + 2 :])]
                return self.view(name, k, written), (*rest[:k], self.outer, *rest[k:])
        return name, tuple(self.expr(e) for e in index)

    def view(self, name: str, axis: int, written: bool) -> str:
        """The array with this axis and the next one as one."""
        old = self.arrays[name]
        shape = (*old.shape[:axis], dims.product(old.shape[axis : axis + 2]), *old.shape[axis + 2 :])
        known = {**self.arrays, **self.merged}
        for other in known.values():
            if (other.buffer, other.shape, other.dtype) == (old.buffer, shape, old.dtype):
                other.written |= written
                return other.name
        new = ArrayArg(f"a{len(known)}", old.dtype, shape, old.buffer, written)
        self.merged[new.name] = new
        return new.name


def _names(item: object) -> Iterator[str]:
    """All strings in statements and their expressions: names of arrays and variables among them."""
    if isinstance(item, str):
        yield item
    elif isinstance(item, (list, tuple)):
        for part in item:
            yield from _names(part)
    elif isinstance(item, (Expr, Statement)):
        for field in fields(item):  # type: ignore[arg-type]  # all of them are dataclasses
            yield from _names(getattr(item, field.name))


def _renamed(item: Any, names: Mapping[str, str]) -> Any:
    """The same with other names for arrays."""
    if isinstance(item, str):
        return names.get(item, item)
    if isinstance(item, (list, tuple)):
        return type(item)([_renamed(part, names) for part in item])
    if isinstance(item, (Expr, Statement)):
        changed = {field.name: _renamed(getattr(item, field.name), names) for field in fields(item)}  # type: ignore[arg-type]  # likewise
        return replace(item, **changed)  # type: ignore[type-var]  # likewise
    return item
