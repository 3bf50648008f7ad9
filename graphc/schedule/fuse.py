"""Fusion: units that can share loops become one kernel.

Two units share a kernel when they have the same iteration space, or when one needs only the other's result for the
current iteration of their common outer loops (a row's maximum, a row's sum): then the kernel runs its stages one
after another inside those outer loops, while the row is in cache.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..ir.dims import Shape
from ..ir.tensor import Tensor
from .chunks import Chunking
from .units import Index, Unit, alias_base, loop_vars

MAX_SIZE, MAX_SCALARS = 384, 768
"""Statements in one kernel, and in one of scalars: compile time grows faster than linearly beyond."""
_RECENT = 8
_LOOK = 64
"""How many groups are looked at to decide whether a unit may join one."""
FUSIBLE = ("map", "reduce", "stack", "copy")


@dataclass
class Group:
    """Units that run as one kernel.

    domain  the longest iteration space among the units; the others' are prefixes of it or differ inside `depth`
    depth   number of outer loops around all stages; None while there is one stage only
    level   longest path of groups before it; a group depends on lower levels only
    members   of a cluster (see `cluster`): the groups that run one after another for each chunk of rows
    roles     what of a product of matrices a chunk computes, by number of its unit; see `Dot.part`
    chunking  how these rows are cut
    ends      groups without loops that are computed when the others are done; see `ends`
    """

    number: int
    level: int
    units: list[Unit]
    domain: Shape
    depth: int | None = None
    size: int = 0
    deps: set[int] = field(default_factory=set)
    members: list[Group] = field(default_factory=list)
    roles: dict[int, str] = field(default_factory=dict)
    chunking: Chunking | None = None
    ends: list[Group] = field(default_factory=list)


class Fuser:
    """Greedy fusion in topological order; `groups` is the result. `updates` are the new values of params."""

    def __init__(self, updates: set[Tensor]) -> None:
        self.updates = updates
        self.groups: list[Group] = []
        self.group_of: dict[Tensor, Group] = {}
        self.unit_of: dict[Tensor, Unit] = {}
        self._by_prefix: dict[Shape, list[Group]] = {}
        self._needed_by: dict[int, list[int]] = {}

    def add(self, unit: Unit) -> Group:
        """Put `unit` into an existing group, or a new one."""
        deps = {self.group_of[b].number: self.group_of[b] for n in unit.reads if (b := alias_base(n)) in self.group_of}
        group = self._find(unit, deps)
        if group is None:
            level = 1 + max((g.level for g in deps.values()), default=-1)
            group = Group(len(self.groups), level, [], unit.domain)
            self.groups.append(group)
            if unit.kind in FUSIBLE:
                self._register(group)
        group.units.append(unit)
        group.size += unit.size
        for k in deps:
            if k != group.number and k not in group.deps:
                group.deps.add(k)
                self._needed_by.setdefault(k, []).append(group.number)
        if unit.kind != "copy":
            self.group_of[unit.node] = group
            self.unit_of[unit.node] = unit
        return group

    def _register(self, group: Group) -> None:
        for k in range(len(group.domain) + 1):
            if k or not group.domain:
                listed = self._by_prefix.setdefault(group.domain[:k], [])
                if group not in listed:
                    listed.append(group)

    def _find(self, unit: Unit, deps: dict[int, Group]) -> Group | None:
        if unit.kind not in FUSIBLE:
            return None
        candidates = list(self._by_prefix.get(unit.domain, [])[-_RECENT:])
        for k in range(len(unit.domain) - 1, 0, -1):
            candidates += [
                g for g in self._by_prefix.get(unit.domain[:k], [])[-_RECENT:] if g.domain == unit.domain[:k]
            ]
        for group in sorted(set_of(candidates), key=lambda g: -g.number):
            if group.size + unit.size > (MAX_SIZE if group.domain else MAX_SCALARS):
                continue
            others = [d for k, d in deps.items() if k != group.number]
            if any(self._reaches(d, group) for d in others) or not self._may_rise(group, others):
                continue
            if self._merge(unit, group, group.number in deps):
                self._rise(group, others)
                return group
        return None

    def _reaches(self, later: Group, group: Group) -> bool:
        """Whether `later` needs the result of `group`; True too where that would take long to find out."""
        seen: set[int] = set()
        stack = [later]
        while stack:
            one = stack.pop()
            if one is group:
                return True
            if one.level > group.level and one.number not in seen:
                seen.add(one.number)
                if len(seen) > _LOOK:
                    return True
                stack.extend(self.groups[k] for k in one.deps)
        return False

    def _may_rise(self, group: Group, deps: list[Group]) -> bool:
        """Whether few groups would have to rise with `group` if it came behind `deps`."""
        return all(d.level < group.level for d in deps) or len(self._above(group)) <= _LOOK

    def _above(self, group: Group) -> list[Group]:
        """`group` and those that need it, directly or not; as many as there are up to `_LOOK`, or more than that."""
        found = {group.number: group}
        stack = [group]
        while stack and len(found) <= _LOOK:
            for k in self._needed_by.get(stack.pop().number, ()):
                if k not in found:
                    found[k] = self.groups[k]
                    stack.append(self.groups[k])
        return list(found.values())

    def _rise(self, group: Group, deps: list[Group]) -> None:
        """Put `group` behind `deps`, and what needs it behind it."""
        stack = [(group, 1 + max((d.level for d in deps), default=-1))]
        while stack:
            one, level = stack.pop()
            if one.level < level:
                one.level = level
                stack.extend((self.groups[k], level + 1) for k in self._needed_by.get(one.number, ()))

    def _merge(self, unit: Unit, group: Group, dependent: bool) -> bool:
        """Whether `unit` may join; sets the group's depth and domain where it does."""
        if not dependent:
            per_row = group.depth == len(unit.domain) and unit.domain == group.domain[: group.depth]
            same = unit.domain == group.domain and self._fits(unit, group, group.depth)
            return (same or per_row) and self._akin(unit, group)
        need = self._needed_depth(unit, group)
        if need == 0:
            return False
        depth = group.depth if need is None else need if group.depth is None else min(need, group.depth)
        if depth is None:
            return unit.domain == group.domain
        if not all(self._fits(u, group, depth) for u in [*group.units, unit]):
            return False
        group.depth = depth
        if len(unit.domain) > len(group.domain):
            group.domain = unit.domain
            self._register(group)
        return True

    def _akin(self, unit: Unit, group: Group) -> bool:
        """Whether both only compute new values of params, or neither does: such a kernel may write params in place.

        Scalars are not worth a kernel of their own.
        """
        return not unit.domain or (unit.node in self.updates) == any(u.node in self.updates for u in group.units)

    def _fits(self, unit: Unit, group: Group, depth: int | None) -> bool:
        return depth is None or (len(unit.domain) >= depth and unit.domain[:depth] == group.domain[:depth])

    def _needed_depth(self, unit: Unit, group: Group) -> int | None:
        """How many outer loops must be shared for all of the unit's readings of the group to be at hand.

        None: the values flow within one iteration. 0: they are not at hand.
        """
        need: int | None = None
        for node, indices in unit.reads.items():
            if self.group_of.get(alias_base(node)) is not group:
                continue
            if alias_base(node) is not node:
                return 0
            producer = self.unit_of[node]
            for at in indices:
                if at is None:
                    return 0
                found = _depth_at(producer, unit, at)
                if found is not None:
                    need = found if need is None else min(need, found)
        if need is not None and unit.domain[:need] != group.domain[:need]:
            return 0
        return need


def _depth_at(producer: Unit, unit: Unit, at: Index) -> int | None:
    own = loop_vars(len(unit.domain))
    if producer.kind == "map" and producer.domain == unit.domain and at == own:
        return None
    if producer.kind == "reduce":
        first = producer.reduced[0]
        return first if producer.trailing and at == own[:first] and len(at) == first else 0
    shared = 0
    while shared < min(len(at), len(own)) and at[shared] == own[shared]:
        shared += 1
    return shared


def set_of(groups: list[Group]) -> list[Group]:
    """Without repeats, in order."""
    return list({g.number: g for g in groups}.values())


def fuse(units: list[Unit], updates: set[Tensor]) -> Fuser:
    """Group `units` (topological order) into kernels."""
    fuser = Fuser(updates)
    for unit in units:
        fuser.add(unit)
    return fuser


Stage = tuple[Shape, list[Unit]]


def group_depth(group: Group) -> int:
    """How many loops are around all stages of the group."""
    return len(group.domain) if group.depth is None else group.depth


def stages_of(group: Group) -> list[Stage]:
    """The group's units by stage: inner loops, and the units that share them, in order of execution.

    A unit stands in a later stage than those whose finished inner loops it needs. Units without inner loops come
    first within a level, so the others of that level may use them.
    """
    levels = stage_levels(group)
    depth = group_depth(group)
    stages: dict[tuple[int, Shape], list[Unit]] = {}
    for unit in group.units:
        stages.setdefault((levels[unit.number], unit.domain[depth:]), []).append(unit)
    ordered = sorted(stages.items(), key=lambda item: (item[0][0], len(item[0][1])))
    return [(inner, units) for (_, inner), units in ordered]


def stage_levels(group: Group) -> dict[int, int]:
    """For each unit number of the group, how many finished stages it needs."""
    depth = group_depth(group)
    producers = {u.node: u for u in group.units if u.kind != "copy"}
    levels: dict[int, int] = {}
    for unit in group.units:
        mine = 0
        for node, indices in unit.reads.items():
            producer = producers.get(node)
            if producer is not None:
                mine = max(mine, levels[producer.number] + (0 if _flows(producer, unit, indices, depth) else 1))
        levels[unit.number] = mine
    return levels


def _flows(producer: Unit, unit: Unit, indices: list[Index | None], depth: int) -> bool:
    """Whether the producer's value is at hand within the iteration, without a finished inner loop."""
    if producer.kind != "map":
        return False
    if not producer.domain[depth:]:
        return True
    return producer.domain == unit.domain and all(at == loop_vars(len(unit.domain)) for at in indices)


def local_in(group: Group, producer: Unit, reader: Unit, levels: dict[int, int]) -> bool:
    """Whether `reader`, of the same group, gets the producer's value from a local variable and not from memory.

    `levels` are the group's `stage_levels`.
    """
    depth = group_depth(group)
    if producer.kind == "reduce":
        return producer.reduced[0] <= depth  # else it is finished inside a loop that closes with its stage
    if not producer.domain[depth:]:
        return True
    indices = reader.reads[producer.node]
    return levels[producer.number] == levels[reader.number] and _flows(producer, reader, indices, depth)


def in_row(group: Group, producer: Unit, reader: Unit) -> bool:
    """Whether `reader`, of the same group, reads only elements made in the same iteration of the outer loops."""
    depth = group_depth(group)
    if group.depth is None or len(producer.domain) <= depth:
        return False
    own = loop_vars(depth)
    return all(at is not None and at[:depth] == own for at in reader.reads[producer.node])
