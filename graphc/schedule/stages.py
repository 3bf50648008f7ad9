"""Fused loops: outer loops shared by all units of a group, and stage after stage, with their reductions, inside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir import dims
from ..ir.dims import DimLike, Shape
from ..ir.dtypes import FLOAT64, INT64, DType
from ..ir.expr import Expr, Lit, Load, Var, cast, index, lit
from ..ir.loops import (
    ArrayArg,
    Chunks,
    Combine,
    Finish,
    For,
    Init,
    Let,
    Statement,
    Store,
    StoreCombine,
)
from .chunks import Chunking, chunking
from .fuse import stages_of
from .units import Index, Unit, first_of, loop_vars
from .values import KernelWriter, Scope


def identity(combine: str, dtype: DType) -> Any:
    """The neutral element of a reduction in `dtype`."""
    if combine in ("add", "or", "linear"):
        return 0
    if combine in ("mul", "and"):
        return 1
    if dtype.kind == "f":
        return -np.inf if combine in ("max", "argmax") else np.inf
    if combine not in ("max", "min", "argmax", "argmin"):
        raise ValueError(f"no neutral element known for {combine}")
    if dtype.kind == "b":
        return combine in ("min", "argmin")
    info = np.iinfo(dtype)
    return info.min if combine in ("max", "argmax") else info.max


def accumulator_dtype(combine: str, dtype: DType) -> DType:
    """float32 sums and products accumulate in float64 and are rounded once."""
    return FLOAT64 if combine in ("add", "mul", "linear") and dtype == np.dtype("float32") else dtype


def sums_per_row(units: Sequence[Unit]) -> int:
    """How many values each row, an iteration of the outermost loop, adds to an element of an array accumulator.

    The least of all accumulators, as far as it is known; 0 where there are none.
    """
    arrays = [u for u in units if u.reduced[:1] == (0,) and not u.trailing]
    sizes = [[u.domain[k] for k in u.reduced[1:]] for u in arrays]
    return min([math.prod([n for n in row if isinstance(n, int)]) or 1 for row in sizes], default=0)


def _tail(unit: Unit) -> int | None:
    """For a reduction into an array: the first of the innermost loops that all reduce; None where the last does not."""
    last = len(unit.domain)
    if unit.kind != "reduce" or unit.trailing or last - 1 not in unit.reduced:
        return None
    while last - 1 in unit.reduced:
        last -= 1
    return last


class StagesWriter(KernelWriter):
    """Writes the kernel of units that share loops.

    chunking  how its outermost loop is cut; None: it is not
    joined    the loop over chunks that combines what they found, behind the last one
    start_join, end_join   what stands before and behind that loop
    """

    chunking: Chunking | None = None
    joined: For
    start_join: list[Statement]
    end_join: Scope

    def stages(self) -> None:
        """Outer loops shared by all units, then stage after stage inside them."""
        group = self.group
        if self.chunked and (not self.policy.partial or any(u.reduced[:1] == (0,) for u in group.units)):
            self.chunking = chunking(group.domain, sums_per_row(group.units), self.policy)
        if self.chunking is None:
            self.nest(self.root)
            return
        cut = self.chunking
        chunks = Chunks("c", cut.count, cut.length, cut.extent)
        behind = self.in_chunks(cut, chunks.body)
        self.root.body.append(chunks)
        if behind:
            self.root.body.append(Finish(behind))

    def in_chunks(self, cut: Chunking, body: list[Statement]) -> list[Statement]:
        """All loops for one chunk, in `body`; what is to be done behind the last chunk."""
        self.chunking = cut
        self.chunk, self.most_chunks = Var("c"), cut.most
        self.joined, self.start_join, self.end_join = For("c", cut.count, "join"), [], Scope([], 0, self.root)
        self.nest(Scope(body, 0, self.root))
        loops: list[Statement] = [self.joined] if self.joined.body else []
        return [*self.start_join, *loops, *self.end_join.body]

    def known(self) -> dict[Any, Expr]:
        """The names of numbers that its kernel has found when all loops are done, by node and index."""
        scope = self.root if self.chunking is None else self.end_join
        return {key: e for key, e in scope.memo.items() if isinstance(e, Var) and key[1:] == ((),)}

    def nest(self, scope: Scope) -> None:
        """All loops, in `scope`."""
        group = self.group
        depth = group.depth if group.depth is not None else len(group.domain)
        pending: list[tuple[int, Any]] = []  # (rank of the scope to finish in, callback), run as loops close
        self.start(group.units, scope, 0, pending, depth)
        for k in range(depth):
            kinds = {"reduce" if k in u.reduced else "map" for u in group.units}
            scope = self.open(scope, group.domain[k], "reduce" if kinds == {"reduce"} else "map")
            loop: Any = scope.memo["loop"]
            loop.chunked = k == 0 and self.chunking is not None
            self.start(group.units, scope, k + 1, pending, depth)
        for inner, units in stages_of(group):
            self.stage(units, inner, scope)
        for k in range(depth, 0, -1):
            scope = self.close(scope)
            self.finish(scope, k - 1, pending)

    def start(self, units: list[Unit], scope: Scope, rank: int, pending: list, limit: int) -> None:
        """Start the accumulators of reductions whose first reduced loop is number `rank` (if it is an outer loop)."""
        for unit in units:
            if unit.kind == "reduce" and unit.reduced[0] == rank < limit:
                pending.append((rank, self.accumulator(unit, scope)))
            elif _tail(unit) == rank < limit:
                pending.append((rank, self.part_of_row(unit, scope)))

    def finish(self, scope: Scope, rank: int, pending: list) -> None:
        for at, callback in pending:
            if at == rank:
                callback(scope)
        pending[:] = [p for p in pending if p[0] != rank]

    def stage(self, units: list[Unit], inner: tuple[DimLike, ...], outer: Scope) -> None:
        """One nest of inner loops with all the units that share it."""
        pending: list[tuple[int, Any]] = []
        scope = outer
        for k in range(len(inner) + 1):
            rank = outer.rank + k
            for unit in units:
                if unit.kind == "reduce" and unit.reduced[0] == rank and rank >= outer.rank and k < len(inner):
                    pending.append((rank, self.accumulator(unit, scope)))
                elif _tail(unit) == rank and k < len(inner):
                    pending.append((rank, self.part_of_row(unit, scope)))
            if k < len(inner):
                kinds = {"reduce" if rank in u.reduced else "map" for u in units}
                scope = self.open(scope, inner[k], "reduce" if kinds == {"reduce"} else "map")
        for unit in units:
            self.emit(unit, scope)
        for k in range(len(inner), 0, -1):
            scope = self.close(scope)
            self.finish(scope, outer.rank + k - 1, pending)

    def emit(self, unit: Unit, scope: Scope) -> None:
        """The innermost statements of one unit."""
        at = loop_vars(len(unit.domain))
        if unit.kind == "reduce":
            self.combine(unit, self.value(unit.node.inputs[0], at, scope), scope)
            return
        if unit.kind == "copy":
            source, number = self.buffers.of_copy(unit)
            shape, dtype = unit.node.shape, unit.node.dtype
            value = self.value(unit.node, at, scope)
            if source is not None:
                value = Load(self.array(source, shape, dtype).name, at, dtype)
            target = self.array(number, shape, dtype, True)
            scope.body.append(Store(target.name, at, value, unit.node))
            return
        if unit.kind == "stack":
            axis, target = unit.node.attrs["axis"], self.memory(unit.node, True)
            for k, operand in enumerate(unit.node.inputs):
                first = first_of(operand)
                value = self.value(operand, first, scope)
                place = (*first[:axis], index(k), *first[axis + 1 :])
                scope.body.append(Store(target.name, place, value, operand))
            return
        value = self.compute(unit.node, at, scope)
        if unit.node in self.read_here and not isinstance(value, (Lit, Var)):
            value = self.let(value, unit.node, None, scope)
        scope.memo[(unit.node, at)] = value
        if self.buffers.kept(unit):
            array, place = self.place(unit.node, at, True)
            scope.body.append(Store(array.name, place, value, unit.node))

    # reductions

    def accumulator(self, unit: Unit, scope: Scope) -> Any:
        """Start a reduction in `scope`; returns what to do there when its loops have closed."""
        combine = unit.node.op.lower.combine  # type: ignore[union-attr]
        operand = unit.node.inputs[0].dtype
        dtype = accumulator_dtype(combine, operand)
        start = lit(identity(combine, dtype), dtype)
        if not unit.trailing:
            return self.array_accumulator(unit, combine, dtype, start, scope)
        name = self.name("s")
        scope.body.append(Init(name, start, unit.node))
        unit_acc: tuple[str, ...] = (name,)
        if combine.startswith("arg"):
            position = self.name("p")
            scope.body.append(Init(position, lit(-1, INT64), unit.node))
            unit_acc = (name, position)
        self.root.memo[("acc", unit.number)] = Var("|".join(unit_acc), dtype)
        parts = tuple(Var(n, t) for n, t in zip(unit_acc, (dtype, INT64), strict=False))

        def done(closing: Scope) -> None:
            if self.chunking is not None and unit.reduced[0] == 0:
                return self.join(unit, combine, parts, closing)
            return self.result(unit, parts, closing)

        return done

    def result(self, unit: Unit, found: tuple[Var, ...], closing: Scope) -> None:
        """What an accumulator holds becomes the value of its unit."""
        result = cast(found[-1], unit.node.dtype)
        if not isinstance(result, Var):
            result = self.let(result, unit.node, None, closing)
        at = loop_vars(closing.rank)
        closing.memo[(unit.node, at)] = result
        if self.buffers.kept(unit):
            closing.body.append(Store(self.memory(unit.node, True).name, at, result, unit.node))

    # reductions over the loop that is cut into chunks

    def parts(self, unit: Unit, dtype: DType, shape: Shape, what: str) -> ArrayArg:
        """Memory for what each chunk has found: the chunk is its first axis."""
        assert self.chunking is not None
        shape = (self.chunking.most, *shape)
        number = self.buffers.new("temp", dtype, dims.product(shape), label=f"{unit.node.op.name} {what}")
        return self.array(number, shape, dtype, True)

    def join(self, unit: Unit, combine: str, found: tuple[Var, ...], closing: Scope) -> None:
        """Each chunk stores what it has found; behind the last one, all of it is combined in order."""
        assert self.chunking is not None
        node, chunk = unit.node, (Var("c"),)
        arrays = [self.parts(unit, v.dtype, (), w) for v, w in zip(found, ("parts", "places"), strict=False)]
        for array, value in zip(arrays, found, strict=True):
            closing.body.append(Store(array.name, chunk, value, node))
        dtype = found[0].dtype
        names = tuple(self.name(prefix) for prefix in ("s", "p")[: len(found)])
        self.start_join.append(Init(names[0], lit(identity(combine, dtype), dtype), node))
        if len(names) > 1:
            self.start_join.append(Init(names[1], lit(-1, INT64), node))
        values: list[Expr] = [Load(a.name, chunk, v.dtype) for a, v in zip(arrays, found, strict=True)]
        if len(names) > 1:
            part = self.name()
            self.joined.body.append(Let(part, values[0], node))
            values[0] = Var(part, dtype)
        place = values[1] if len(names) > 1 else None
        self.joined.body.append(Combine("|".join(names), combine, values[0], place, node))
        self.result(unit, tuple(Var(n, v.dtype) for n, v in zip(names, found, strict=True)), self.end_join)

    def join_arrays(self, unit: Unit, combine: str, parts: ArrayArg, start: Lit) -> None:
        """The same for chunks that accumulate in arrays: element by element."""
        assert self.chunking is not None
        count, final = self.chunking.count, self.memory(unit.node, True)

        def element(inner: Scope, at: Index) -> None:
            name = self.name("s")
            inner.body.append(Init(name, start, unit.node))
            loop = For("c", count, "join")
            part = cast(Load(parts.name, (Var("c"), *at), parts.dtype), start.dtype)
            loop.body.append(Combine(name, combine, part, None, unit.node))
            inner.body.append(loop)
            total = cast(Var(name, start.dtype), unit.node.dtype)
            inner.body.append(Store(final.name, at, total, unit.node))

        self.over_result(unit, self.end_join, element)

    def array_accumulator(self, unit: Unit, combine: str, dtype: DType, start: Lit, scope: Scope) -> Any:
        """A reduction over an outer loop with map loops inside it: the accumulator is an array."""
        own, chunked = unit.node.dtype, self.chunking is not None and unit.reduced[0] == 0
        before: Index = (Var("c"),) if chunked else ()
        if chunked:
            target = self.parts(unit, dtype, unit.node.shape, "parts")
        elif dtype != own:
            target = self.array(self.buffers.scratch(unit, dtype), unit.node.shape, dtype, True)
        else:
            target = self.memory(unit.node, True)
        self.root.memo[("acc", unit.number)] = Var(target.name, dtype)
        self.root.memo[("before", unit.number)] = before  # type: ignore[assignment]
        self.over_result(
            unit, scope, lambda inner, at: inner.body.append(Store(target.name, (*before, *at), start, unit.node))
        )

        def done(closing: Scope) -> None:
            if chunked:
                self.join_arrays(unit, combine, target, start)
            elif dtype != own:
                final = self.memory(unit.node, True)
                self.over_result(
                    unit,
                    closing,
                    lambda inner, at: inner.body.append(
                        Store(final.name, at, cast(Load(target.name, at, dtype), own), unit.node)
                    ),
                )

        return done

    def part_of_row(self, unit: Unit, scope: Scope) -> Any:
        """What the innermost loops add to one element of an array accumulator, in a variable until they close."""
        combine = unit.node.op.lower.combine  # type: ignore[union-attr]
        array = self.root.memo[("acc", unit.number)]
        assert isinstance(array, Var)
        name = self.name("s")
        scope.body.append(Init(name, lit(identity(combine, array.dtype), array.dtype), unit.node))
        self.root.memo[("part", unit.number)] = Var(name, array.dtype)

        def done(closing: Scope) -> None:
            at = self.accumulated_at(unit)
            closing.body.append(StoreCombine(array.name, at, combine, Var(name, array.dtype), unit.node))

        return done

    def accumulated_at(self, unit: Unit) -> Index:
        """Where an array accumulator has the element that the loops are at."""
        before: Any = self.root.memo[("before", unit.number)]
        return (*before, *[Var(f"i{k}") for k in range(len(unit.domain)) if k not in unit.reduced])

    def over_result(self, unit: Unit, scope: Scope, action: Any) -> None:
        """Loops over the result's axes that are not open yet, around `action(scope, index)`."""
        first, inner = unit.reduced[0] if unit.reduced else 0, scope
        remaining = [k for k in range(len(unit.domain)) if k not in unit.reduced and k >= first]
        for k in remaining:
            inner = self.open(inner, unit.domain[k], "map")
        at = tuple(Var(f"i{k}") for k in range(inner.rank))
        action(inner, at)
        for _ in remaining:
            inner = self.close(inner)

    def combine(self, unit: Unit, value: Expr, scope: Scope) -> None:
        combine = unit.node.op.lower.combine  # type: ignore[union-attr]
        acc = self.root.memo[("acc", unit.number)]
        assert isinstance(acc, Var)
        value = cast(value, acc.dtype)
        part = self.root.memo.get(("part", unit.number))
        if isinstance(part, Var):
            scope.body.append(Combine(part.name, combine, value, None, unit.node))
        elif not unit.trailing:
            scope.body.append(StoreCombine(acc.name, self.accumulated_at(unit), combine, value, unit.node))
        elif combine.startswith("arg"):
            value = self.atom(value, unit.node.inputs[0], scope)
            scope.body.append(Combine(acc.name, combine, value, Var(f"i{unit.reduced[-1]}"), unit.node))
        else:
            scope.body.append(Combine(acc.name, combine, value, None, unit.node))
