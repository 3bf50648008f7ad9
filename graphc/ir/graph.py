"""`Graph`: a closed program (inputs, outputs, updates of params), with the provenance of its nodes."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import UserLine
from . import dims
from .leaves import INPUT, PARAM, Param
from .op import Check, Op
from .tensor import Origin, Tensor, build, latest, rebuilt, tracing_origin, union
from .traversal import depends_on, rebuild, topological

if TYPE_CHECKING:
    from .python_text import Leaves


class Graph:
    """An immutable program over tensors.

    inputs    the input nodes, in the order of the call
    outputs   the tensors it returns
    updates   pairs (param, new value), committed together after everything was read
    origin    node -> `Origin`; carried by `replace`
    checks    conditions on runtime sizes, each with the user's lines that put it; also of nodes that `replace` removed

    >>> import graphc as gc
    >>> graph = gc.trace(lambda x: x * x, gc.input("x", ("n",)))
    >>> [node.op.name for node in graph.nodes], graph.symbols
    (['input', 'multiply'], ('n',))
    """

    def __init__(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        updates: Sequence[tuple[Param, Tensor]] = (),
        name: str = "step",
        origin: Mapping[Tensor, Origin] | None = None,
        checks: Mapping[Check, tuple[UserLine, ...]] | None = None,
    ):
        self.name = name
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.updates = tuple(updates)
        self.nodes = tuple(topological([*self.inputs, *self.outputs, *[v for _, v in self.updates]]))
        known = origin or {}
        own = {} if all(n in known for n in self.nodes) else _own(self.nodes)
        self.origin = {n: known[n] if n in known else own[n] for n in self.nodes}
        self.checks = {**(checks or {})}
        for node in self.nodes:
            for check in node.checks:
                self.checks.setdefault(check, self.origin[node].lines)

    @property
    def roots(self) -> tuple[Tensor, ...]:
        """Outputs, then the new values of params."""
        return (*self.outputs, *[value for _, value in self.updates])

    @property
    def params(self) -> tuple[Param, ...]:
        """Every param that is read or updated, in order of first use."""
        found = {node: None for node in self.nodes if node.op is PARAM}
        found.update({p: None for p, _ in self.updates})
        return tuple(found)  # type: ignore[arg-type]

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names of the runtime dims, in order of the inputs that declare them."""
        found: dict[str, None] = {}
        for node in self.inputs:
            for dim in node.shape:
                found.update(dict.fromkeys(dims.symbols(dim)))
        return tuple(found)

    def replace(self, rule: Callable[[Tensor], Tensor | None], ops: Container[str] | None = None) -> Graph:
        """Rewrite operands first: `rule` sees each node with its new operands and may return another one.

        This is the one way to change a graph: the result carries the provenance of what it replaces.

        ops  the names of ops that the rule looks at; None: all
        """
        origin: dict[Tensor, Origin] = {}

        def visit(node: Tensor, inputs: tuple[Tensor, ...]) -> Tensor:
            if ops is not None and node.op.name not in ops and _same(inputs, node.inputs):
                origin[node] = merge_origins(origin.get(node), self.origin[node])
                return node
            with tracing_origin(self.origin[node]._replace(bars=())):  # only what replaces the node is that cotangent
                new = node if _same(inputs, node.inputs) else rebuilt(node, inputs)
                for _ in range(_MAX_REWRITES):
                    better = rule(new)
                    if better is None or better is new:
                        break
                    new = better
            origin[new] = merge_origins(origin.get(new), self.origin[node])
            return new

        mapped = rebuild(self.nodes, visit)
        if all(new is node for node, new in mapped.items()):
            return self
        return Graph(
            [mapped[i] for i in self.inputs],
            [mapped[o] for o in self.outputs],
            [(p, mapped[v]) for p, v in self.updates],
            self.name,
            origin,
            self.checks,
        )

    @property
    def leaves(self) -> Leaves:
        """Inputs, params and users' functions: what the text of `to_python` cannot make again and must be given."""
        from .python_text import leaves_of

        return leaves_of(self)

    def to_python(self, names: bool = True) -> str:
        """A self-contained Python program whose ``build()`` makes this graph again.

        ``build(inputs, params, rules)`` takes leaves, as `Graph.leaves` lists them: with the graph's own it gives the
        very same nodes, and without arguments an equal graph on new ones (params are zero: their values are state).
        Provenance (sections, user lines) is not written down.

        names  whether nodes are called as the user called them; without, equal graphs have equal texts, but for the
               users' functions in them

        >>> import graphc as gc
        >>> x = gc.input("x", ("n",))
        >>> graph, space = gc.trace(lambda x: gc.sum(x * 2.0), x), {}
        >>> exec(graph.to_python(), space)
        >>> space["build"](*graph.leaves).outputs[0] is graph.outputs[0]
        True
        >>> print(graph.to_python().split("else params")[1])  # doctest: +ELLIPSIS
        <BLANKLINE>
            [x] = inputs
        ...
        """
        from .python_text import python_text

        return python_text(self, names)

    def __str__(self) -> str:
        from .printer import graph_text

        return graph_text(self)

    def __len__(self) -> int:
        return len(self.nodes)


def _own(nodes: Sequence[Tensor]) -> dict[Tensor, Origin]:
    """The provenance of nodes in a graph of their own.

    Equal expressions are one node as long as somebody holds it, and it knows the lines of all of them. Those of this
    graph are the last one of a node that nothing reads, and those that its readers' lines found when they were run; an
    adjoint has the lines of what it is the gradient of; and what depends on constants alone, which any graph may have
    made, those of its readers.
    """
    lines: dict[Tensor, set[UserLine]] = {}
    for node in reversed(nodes):
        if node.origin.section == "backward" or node.origin.latest is None:
            continue
        own = lines.setdefault(node, set()) or {node.origin.latest}
        lines[node] = own
        for operand in node.inputs:
            if operand.origin.section != "backward" and operand.origin.lines:
                lines.setdefault(operand, set()).update(_found(operand.origin.lines, line.when) for line in own)
    found, among = {}, set(nodes)
    for node in nodes:
        rules = [other for other in node.origin.made_for if other in among]
        origin = node.origin._replace(of=rules[0] if rules else node.origin.of, also=())
        of = origin.of if origin.section == "backward" else node
        kept = tuple([line for line in node.origin.lines if line in lines.get(of, ())]) if of is not None else ()
        newest = node.origin.latest
        found[node] = origin._replace(lines=kept or (() if newest is None else (newest,)))
    varying = depends_on(nodes, [node for node in nodes if node.op is INPUT or node.op is PARAM])
    read: dict[Tensor, tuple[dict[UserLine, None], dict[UserLine, None]]] = {}
    for node in reversed(nodes):
        if node not in varying and node in read:
            found[node] = found[node]._replace(lines=tuple({**read[node][0], **read[node][1]}))
        for operand in node.inputs:  # lines that a derivative is of, after those that asked for the value
            asked = read.setdefault(operand, ({}, {}))[found[node].section == "backward"]
            asked.update(dict.fromkeys(found[node].lines))
    return found


def _found(lines: tuple[UserLine, ...], when: int) -> UserLine:
    """The line that had made a node last by the time `when`."""
    return latest(line for line in lines if line.when <= when) or lines[0]


_MAX_REWRITES = 64


def _same(a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> bool:
    return all(x is y for x, y in zip(a, b, strict=True))


def merge_origins(first: Origin | None, second: Origin) -> Origin:
    """The union, in order, of the provenance of two nodes that became one."""
    if first is None:
        return second
    return first._replace(
        lines=union(first.lines, second.lines),
        of=second.of if first.of is None else first.of,
        bars=tuple(dict.fromkeys((*first.bars, *second.bars))),
    )


Packed = tuple[tuple[Any, ...], ...]


def pack(roots: Iterable[Tensor], origins: Mapping[Tensor, Origin] | None = None) -> tuple[Packed, tuple[int, ...]]:
    """Tensors as one flat list of rows, so that pickling a deep graph does not recurse.

    origins  provenance, as a graph has it; otherwise it is that of the nodes, whatever graphs they are in
    """
    order = topological(roots)
    position = {node: k for k, node in enumerate(order)}
    rows = tuple(
        (
            node.op.name,
            tuple(position[i] for i in node.inputs),
            node.attrs,
            isinstance(node, Param),
            (
                origin.section,
                origin.lines,
                origin.order,
                next((position[n] for n in origin.made_for if n in position), None),
                tuple(position[other] for other in origin.bars if other in position),
            ),
        )
        for node in order
        for origin in [(origins or {}).get(node, node.origin)]
    )
    return rows, tuple(position[r] for r in roots)


_op_named: list[Callable[[str], Op]] = []


def set_op_lookup(lookup: Callable[[str], Op]) -> None:
    """Tell `unpack` how to find a row by name; called once by the op table."""
    _op_named[:] = [lookup]


def unpack(
    packed: tuple[Packed, tuple[int, ...]], which: int | None = None, origins: dict[Tensor, Origin] | None = None
) -> Any:
    """The tensors that `pack` flattened: all roots, or root number `which`; `origins` gets their provenance."""
    rows, positions = packed
    nodes: list[Tensor] = []
    for name, operands, attrs, is_param, (section, lines, order, of, bars) in rows:
        made_for = nodes[of] if of is not None and of < len(nodes) else None
        origin = Origin(section, lines, made_for, tuple(nodes[k] for k in bars if k < len(nodes)), order)
        with tracing_origin(origin):
            op = _op_named[0](name)
            nodes.append(build(op, tuple([nodes[k] for k in operands]), attrs, Param if is_param else Tensor))
    if origins is not None:
        for node, (*_, (section, lines, order, of, bars)) in zip(nodes, rows, strict=True):
            made_for = None if of is None else nodes[of]
            origins[node] = Origin(section, lines, made_for, tuple(nodes[k] for k in bars), order)
    roots = [nodes[k] for k in positions]
    return roots if which is None else roots[which]


__all__ = ["INPUT", "PARAM", "Graph", "merge_origins", "pack", "set_op_lookup", "unpack"]
