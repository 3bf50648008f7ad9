"""Fused loops: outer loops shared by all units of a group, and stage after stage, with their reductions, inside."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.dims import DimLike
from ..ir.dtypes import FLOAT64, INT64, DType
from ..ir.expr import Expr, Lit, Load, Var, cast, lit
from ..ir.loops import (
    Combine,
    Init,
    Store,
    StoreCombine,
)
from .fuse import stages_of
from .units import Unit, loop_vars
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


class StagesWriter(KernelWriter):
    """Writes the kernel of units that share loops."""

    def stages(self) -> None:
        """Outer loops shared by all units, then stage after stage inside them."""
        group = self.group
        depth = group.depth if group.depth is not None else len(group.domain)
        pending: list[tuple[int, Any]] = []  # (rank of the scope to finish in, callback), run as loops close
        scope = self.root
        self.start(group.units, scope, 0, pending, depth)
        for k in range(depth):
            kinds = {"reduce" if k in u.reduced else "map" for u in group.units}
            scope = self.open(scope, group.domain[k], "reduce" if kinds == {"reduce"} else "map")
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
        value = self.compute(unit.node, at, scope)
        if unit.node in self.read_here and not isinstance(value, (Lit, Var)):
            value = self.let(value, unit.node, None, scope)
        scope.memo[(unit.node, at)] = value
        if self.buffers.kept(unit):
            scope.body.append(Store(self.memory(unit.node, True).name, at, value, unit.node))

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

        def done(closing: Scope) -> None:
            result: Expr = Var(unit_acc[-1], INT64 if len(unit_acc) > 1 else dtype)
            result = cast(result, unit.node.dtype)
            if not isinstance(result, Var):
                result = self.let(result, unit.node, None, closing)
            at = loop_vars(closing.rank)
            closing.memo[(unit.node, at)] = result
            if self.buffers.kept(unit):
                closing.body.append(Store(self.memory(unit.node, True).name, at, result, unit.node))

        return done

    def array_accumulator(self, unit: Unit, combine: str, dtype: DType, start: Expr, scope: Scope) -> Any:
        """A reduction over an outer loop with map loops inside it: the accumulator is an array."""
        own = unit.node.dtype
        target = self.memory(unit.node, True)
        if dtype != own:
            target = self.array(self.buffers.scratch(unit, dtype), unit.node.shape, dtype, True)
        self.root.memo[("acc", unit.number)] = Var(target.name, dtype)
        self.over_result(unit, scope, lambda inner, at: inner.body.append(Store(target.name, at, start, unit.node)))

        def done(closing: Scope) -> None:
            if dtype != own:
                final = self.memory(unit.node, True)
                self.over_result(
                    unit,
                    closing,
                    lambda inner, at: inner.body.append(
                        Store(final.name, at, cast(Load(target.name, at, dtype), own), unit.node)
                    ),
                )

        return done

    def over_result(self, unit: Unit, scope: Scope, action: Any) -> None:
        """Loops over the result's axes that are not open yet, around `action(scope, index)`."""
        first, inner = unit.reduced[0], scope
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
        if not unit.trailing:
            at = tuple(Var(f"i{k}") for k in range(len(unit.domain)) if k not in unit.reduced)
            scope.body.append(StoreCombine(acc.name, at, combine, value, unit.node))
        elif combine.startswith("arg"):
            name, _ = acc.name.split("|")
            value = self.atom(value, unit.node.inputs[0], scope)
            scope.body.append(Combine(acc.name, combine, value, Var(f"i{unit.reduced[-1]}"), unit.node))
            assert name
        else:
            scope.body.append(Combine(acc.name, combine, value, None, unit.node))
