"""The plan of a step: kernels in order, what memory each works on, and what is committed last."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ..errors import UserLine
from ..ir import dims
from ..ir.dtypes import DType
from ..ir.expr import index
from ..ir.graph import Graph
from ..ir.leaves import CONSTANT, PARAM, Param
from ..ir.loops import Kernel
from ..ir.op import Check
from ..ir.tensor import Tensor
from ..ir.traversal import users
from .cluster import cluster
from .ends import with_ends
from .epilogues import with_epilogues
from .fuse import Fuser, Group, fuse, group_depth, in_row, local_in, stage_levels
from .lower import lower
from .memory import Buffer
from .merge import merge_loops
from .policy import CPU, Policy
from .storage import Storage, decide
from .units import Index, Unit, alias_base, check_unit, copy_unit, loop_vars, make_units
from .updates import with_products


@dataclass
class Plan:
    """What codegen prints and the runtime runs.

    kernels   in order; those from `commit` on run only if no error was flagged
    buffers   all memory, by number
    lowered   builds `plainly`
    checks    conditions on runtime sizes, decided before the first kernel, with the user's lines
    """

    graph: Graph
    kernels: list[Kernel]
    groups: list[Group]
    commit: int
    buffers: list[Buffer]
    lowered: Callable[[], list[Kernel]] = field(repr=False)
    checks: Mapping[Check, tuple[UserLine, ...]] = field(default_factory=dict)
    in_place: tuple[Param, ...] = ()

    @cached_property
    def plainly(self) -> list[Kernel]:
        """The kernels without chunks and with a loop for every axis: built when somebody reads them."""
        return self.lowered()


@dataclass
class Buffers:
    """Assigns memory while kernels are built; the interface `KernelWriter` sees.

    rows  nodes needed only within one iteration of their kernel's outer loops, and how many loops those are
    """

    table: list[Buffer] = field(default_factory=list)
    by_node: dict[Tensor, int] = field(default_factory=dict)
    by_copy: dict[int, tuple[int | None, int]] = field(default_factory=dict)
    by_unit: dict[int, int] = field(default_factory=dict)
    kept_units: set[int] = field(default_factory=set)
    rows: dict[Tensor, int] = field(default_factory=dict)
    by_row: dict[Tensor, int] = field(default_factory=dict)

    def new(self, kind: str, dtype: DType, size: dims.DimLike, position: int = 0, label: str = "") -> int:
        self.table.append(Buffer(len(self.table), kind, dtype, size, position, label=label))
        return len(self.table) - 1

    def of(self, node: Tensor) -> int:
        base = alias_base(node)
        if base not in self.by_node:
            self.by_node[base] = self.new("temp", base.dtype, dims.product(base.shape), label=base.op.name)
        return self.by_node[base]

    def of_copy(self, unit: Unit) -> tuple[int | None, int]:
        """Where a copy unit reads (None: the node's own memory) and writes."""
        return self.by_copy[unit.number]

    def scratch(self, unit: Unit, dtype: DType) -> int:
        if unit.number not in self.by_unit:
            size, label = dims.product(unit.node.shape), f"{unit.node.op.name} accumulator"
            self.by_unit[unit.number] = self.new("temp", dtype, size, label=label)
        return self.by_unit[unit.number]

    def of_row(self, node: Tensor, most: int) -> tuple[int, dims.Shape]:
        """Memory for what `rows` lists: one iteration of the outer loops for each of `most` chunks; and its shape."""
        shape = (*([most] if most > 1 else []), *node.shape[self.rows[node] :])
        if node not in self.by_row:
            self.by_row[node] = self.new("temp", node.dtype, dims.product(shape), label="row")
        return self.by_row[node], shape

    def kept(self, unit: Unit) -> bool:
        """Whether the unit's value must reach memory (and not only local variables)."""
        return unit.number in self.kept_units


class Planner:
    """Builds the plan of one graph."""

    def __init__(self, graph: Graph, check: str | None = None, policy: Policy = CPU):
        self.graph, self.check, self.policy = graph, check, policy
        self.storage: Storage = decide(graph, policy)
        self.stored = self.storage.stored | self.storage.soft
        self.units = make_units(graph, self.storage, policy)
        self.fuser: Fuser = fuse(self.units, {v for _, v in graph.updates})
        self.buffers = Buffers()
        self.count = len(self.units)
        self.commits: list[Group] = []
        self.in_place: list[Param] = []

    def plan(self) -> Plan:
        self.leaves()
        self.outputs()
        commit_groups = self.choose_in_place()
        groups = self.fuser.groups
        self.find_kept([*groups, *self.commits])
        normal = sorted((g for g in groups if g not in commit_groups), key=lambda g: (g.level, g.number))
        if self.policy.clusters:
            normal = cluster(normal)
            normal, commit_groups = with_products(normal, commit_groups, self.graph.updates)
            normal, commit_groups = with_ends(normal, commit_groups)
            self.let_go(normal)
        normal = [*(with_epilogues(normal) if self.policy.epilogues else normal), *self.checks()]
        ordered = [*normal, *commit_groups, *self.commits]
        kernels = [self.lower(g, True) for g in ordered]
        changed = [bool(k.chunks) | (self.policy.merged and merge_loops(k)) for k in kernels]

        def lowered() -> list[Kernel]:
            return [self.lower(g, False) if c else k for g, k, c in zip(ordered, kernels, changed, strict=True)]

        for position, kernel in enumerate(kernels):
            for array in kernel.arrays:
                self.buffers.table[array.buffer].use(position)
        return Plan(
            self.graph,
            kernels,
            ordered,
            len(normal),
            self.buffers.table,
            lowered,
            self.graph.checks,
            tuple(self.in_place),
        )

    def leaves(self) -> None:
        """Buffers of inputs, params and array constants."""
        table = self.buffers
        for k, node in enumerate(self.graph.inputs):
            table.by_node[node] = table.new("input", node.dtype, node.size, k, node.name or "")
        for k, node in enumerate(self.graph.params):
            table.by_node[node] = table.new("param", node.dtype, node.size, k, node.name or "")
        constants = [n for n in self.graph.nodes if n.op is CONSTANT and n.shape != ()]
        for k, node in enumerate(constants):
            table.by_node[node] = table.new("constant", node.dtype, node.size, k, "constant")

    def outputs(self) -> None:
        """Outputs are computed where they are returned; leaves and repeated outputs are copied there."""
        table = self.buffers
        for k, node in enumerate(self.graph.outputs):
            number = table.new("output", node.dtype, node.size, k, f"output {k}")
            base = alias_base(node)
            if base in table.by_node:
                self.fuser.add(self.copy_unit(node, number))
            else:
                table.by_node[base] = number

    def copy_unit(self, node: Tensor, target: int, source: int | None = None) -> Unit:
        """A unit that copies `node` (from memory of its own, or from `source`) to buffer `target`."""
        unit = copy_unit(self.count, node)
        self.count += 1
        self.buffers.by_copy[unit.number] = (source, target)
        return unit

    def commit_value(self, param: Param, value: Tensor) -> None:
        """A copy kernel behind everything else; another param's old value is first copied aside, so swaps work."""
        source = None
        if alias_base(value).op is PARAM:
            source = self.buffers.new("temp", value.dtype, value.size, label=f"old {alias_base(value).name}")
            self.fuser.add(self.copy_unit(value, source))
        unit = self.copy_unit(value, self.buffers.by_node[param], source)
        self.commits.append(Group(len(self.fuser.groups) + len(self.commits), 0, [unit], unit.domain))

    def choose_in_place(self) -> list[Group]:
        """Decide per update: computed straight into its param, or committed by a copy. Returns the groups that move
        behind the error check because all they write is committed or returned.

        Copies of old values come first: they read params, as the decisions about the others must know.
        """
        moved: list[Group] = []
        pairs = [(p, v) for p, v in self.graph.updates if v is not p]
        for param, value in pairs:
            if alias_base(value).op is PARAM:
                self.commit_value(param, value)
        groups = list(self.fuser.groups)
        for param, value in pairs:
            if alias_base(value).op is PARAM:
                continue
            group = self.fuser.group_of.get(value)
            if (
                self.check is None  # else the new value must be tested before it is committed
                and group is not None
                and self.may_move(group, groups)
                and self.may_overwrite(param, value, group, groups)
            ):
                self.buffers.by_node[value] = self.buffers.by_node[param]
                self.in_place.append(param)
                if group not in moved:
                    moved.append(group)
            else:
                self.commit_value(param, value)
        return moved

    def checks(self) -> list[Group]:
        """Kernels, behind those that compute, that test every float which is returned or committed for nan and inf."""
        if self.check is None:
            return []
        roots = (*self.graph.outputs, *[v for p, v in self.graph.updates if v is not p])
        nodes = {alias_base(r): r for r in reversed(roots) if r.dtype.kind == "f"}  # one for each piece of memory
        first = len(self.fuser.groups) + len(self.commits)
        units = [check_unit(self.count + k, node) for k, node in enumerate(reversed(nodes.values()))]
        return [Group(first + k, 0, [unit], unit.domain) for k, unit in enumerate(units)]

    def may_move(self, group: Group, groups: list[Group]) -> bool:
        """No other kernel needs what the group writes, and it cannot fail."""
        if any(u.gathers for u in group.units):
            return False
        own = {u.node for u in group.units if u.kind != "copy"}
        return not any(alias_base(n) in own for g in groups if g is not group for u in g.units for n in u.reads)

    def may_overwrite(self, param: Param, value: Tensor, group: Group, groups: list[Group]) -> bool:
        """Every reading of the param in the kernels behind the check is at the element being written, before it."""
        others = (*self.graph.outputs, *[v for p, v in self.graph.updates if p is not param])
        if any(alias_base(v) is value for v in others):
            return False
        unit = self.fuser.unit_of[value]
        if unit.kind != "map" or unit not in group.units or group.depth is not None:
            return False
        movable = {self.fuser.group_of[v].number for _, v in self.graph.updates if v in self.fuser.group_of}
        own = tuple(index(0) if n == 1 else i for i, n in zip(loop_vars(len(unit.domain)), unit.domain, strict=True))

        def there(at: Index | None) -> bool:
            """Whether `at` is the element being written: on axes of size 1, everything is 0."""
            if at is None:
                return False
            return own == tuple(index(0) if n == 1 else i for i, n in zip(at, param.shape, strict=True))

        for other in groups:
            if other is not group and other.number not in movable:
                continue
            for reader in other.units:
                for node, indices in reader.reads.items():
                    if alias_base(node) is not param:
                        continue
                    if other is not group or node is not param or not all(map(there, indices)):
                        return False
                    if reader.kind == "copy" or reader.number > unit.number:
                        return False
        return True

    def find_kept(self, groups: list[Group]) -> None:
        """Values that must reach memory: roots, hard-stored ones that others read, and soft ones read elsewhere."""
        kept = self.buffers.kept_units
        far: set[Tensor] = set()
        unit_of, group_of = self.fuser.unit_of, self.fuser.group_of
        roots = {alias_base(r) for r in self.graph.roots}
        for node in roots:
            if node in unit_of:
                kept.add(unit_of[node].number)
                far.add(node)
        for group in groups:
            levels = stage_levels(group)
            for unit in group.units:
                for node in unit.reads:
                    base = alias_base(node)
                    producer = unit_of.get(base)
                    if producer is None:
                        continue
                    same = group_of[base] is group and base is node
                    if not same or not local_in(group, producer, unit, levels):
                        kept.add(producer.number)
                    if not same or not in_row(group, producer, unit):
                        far.add(base)
        for group in groups if self.policy.rows else []:
            for unit in group.units:
                if unit.number in kept and unit.kind == "map" and unit.node not in far:
                    self.buffers.rows[unit.node] = group_depth(group)

    def let_go(self, groups: list[Group]) -> None:
        """What only the ends of its own kernel read need not reach memory any more, if it is a number."""
        readers: dict[Tensor, set[int]] = {}
        for group in self.fuser.groups:
            for node in (n for unit in group.units for n in unit.reads):
                base = alias_base(node)
                readers.setdefault(base, set()).add(group.number if base is node else -1)
        roots = {alias_base(r) for r in self.graph.roots}
        for group in groups:
            ends = {end.number for end in group.ends}
            sums = [u for u in group.units if u.kind == "reduce" and u.trailing and u.reduced[0] == 0]
            numbers = [u for end in group.ends for u in end.units if u.kind == "map"]
            for unit in (*sums, *numbers) if ends else ():
                if not unit.node.shape and unit.node not in roots and readers.get(unit.node, {-1}) <= ends:
                    self.buffers.kept_units.discard(unit.number)

    def lower(self, group: Group, chunked: bool) -> Kernel:
        return lower(group, self.stored, self.buffers, self.uses(), chunked, self.policy)

    def uses(self) -> dict[Tensor, int]:
        """How often each node is read; computed once."""
        if not hasattr(self, "_uses"):
            self._uses = {n: len(r) for n, r in users(self.graph.nodes).items()}
        return self._uses


def make_plan(graph: Graph, check: str | None = None, policy: Policy = CPU) -> Plan:
    """Schedule `graph`: which kernels, in which order, on which memory; `policy` says what its target asks for.

    With ``check="nan"``, what the step returns or commits is tested for nan and inf before anything is committed.
    """
    return Planner(graph, check, policy).plan()
