"""Names for what a program works on: buffers and values, after the user's names; every one a safe identifier."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from ..errors import UserLine
from ..ir import dims
from ..ir.dims import DimLike, Shape
from ..ir.expr import Expr, Load, children
from ..ir.graph import Graph
from ..ir.leaves import CONSTANT, DIM_VALUE, identifier
from ..ir.loops import Argsort, Combine, Dot, Finite, For, If, Init, Kernel, Let, MatrixStep, Store, StoreCombine, walk
from ..ir.naming import Unique, UserNames, expression_text
from ..ir.tensor import Origin, Tensor
from ..ir.traversal import users
from ..schedule.plan import Plan

_NOUNS = {
    "abs": "magnitude", "add": "added", "all": "every", "any": "some", "contract": "product", "convolve": "convolved",
    "convolve_transposed": "convolved", "convolve_weights": "correlated", "ct_mul": "product", "divide": "quotient",
    "first_max": "largest", "gather": "taken", "integer_pow": "power", "logical_and": "both", "logical_or": "either",
    "max": "largest", "min": "smallest", "multiply": "product", "negative": "negated", "pow": "power",
    "prod": "product", "round": "rounded", "scatter_add": "scattered", "scatter_set": "written",
    "subtract": "difference", "sum": "total", "supremum": "largest", "where": "chosen", "zero_mul": "product",
}  # fmt: skip
_TRANSPARENT = frozenset(
    {"broadcast_to", "reshape", "astype", "permute_dims", "expand_dims", "stop_gradient", "check_size"}
)
_FAR = 8


def dim_name(dim: DimLike) -> str:
    """An identifier for a runtime size.

    >>> from graphc.ir.dims import symbol
    >>> dim_name(symbol("batch")), dim_name(3 * symbol("batch") + 1)
    ('batch', 'size_3_times_batch_plus_1')
    """
    text = str(dim)
    if text.isidentifier():
        return identifier(text)
    for sign, word in (("//", " over "), ("+", " plus "), ("-", " minus "), ("*", " times ")):
        text = text.replace(sign, word)
    return identifier("size_" + re.sub(r"\W+", "_", text).strip("_"))


class ProgramNames:
    """The names of one program's values and buffers.

    `value(node)` is what a value is called wherever it stands; `buffers[number]` what a piece of memory is called,
    each name once in a program.
    """

    def __init__(self, plan: Plan, traced: Graph, reserved: set[str]):
        graph = plan.graph
        self.graph = graph
        self.readers = users(graph.nodes)
        nodes = dict.fromkeys((*graph.nodes, *traced.nodes))
        self.user = UserNames(nodes, graph.updates, {**traced.origin, **graph.origin})
        self._values: dict[Tensor, str] = {}
        self.unique = Unique(reserved)
        leaves = {b.number: self.unique(identifier(b.label)) for b in plan.buffers if b.kind in ("input", "param")}
        self.dims: dict[DimLike, str] = {dim: self._dim(dim) for dim in map(dims.symbol, graph.symbols)}
        self.buffers = self._name_buffers(plan, leaves)
        self.parts = self._name_parts(plan)
        self.reserved = reserved | set(self.dims.values())

    def origin(self, node: Tensor) -> Origin:
        return self.user.origin(node)

    def value(self, node: Tensor) -> str:
        """A name for the value of `node`, not unique: the user's, or one that says what it is."""
        if node not in self._values:
            self._values[node] = "adjoint"  # until it is known: adjoints may name each other in circles
            self._values[node] = self.user.of(node) or self._described(node)
        return self._values[node]

    def _described(self, node: Tensor) -> str:
        if _behind(node).op is DIM_VALUE:
            dim = _behind(node).attrs["dim"]
            return f"{self.dims[dim]}_{node.dtype}" if dim in self.dims else "count"
        if node.op is CONSTANT:
            return "constant" if node.attrs["data"].array.any() else "zeros"
        if node.op.name in _TRANSPARENT:
            return self.value(_behind(node))
        origin = self.origin(node)
        if origin.section == "backward" and node.dtype.kind == "f" and (origin.bars or not _known(node)):
            return self._adjoint(node)
        noun = _noun(node)
        said = origin.lines[0].noun if origin.section != "backward" and origin.lines else ""
        if said and not said.isdigit():
            noun = identifier(said)
        if origin.section == "backward":  # a place, a condition or a factor that a rule needs, which is no derivative
            whole = None if origin.of is None else self.user.expression(origin.of)
        else:
            whole = self.user.expression(node)
        if whole is not None:
            return identifier(f"{whole}_{noun}")
        operand = self.user.of(_behind(node.inputs[0])) if len(node.inputs) == 1 else None
        return noun if operand is None else f"{noun}_{operand}"

    def _adjoint(self, node: Tensor) -> str:
        """``h_bar`` for the cotangent of a value described as ``h``, ``r_bar_term`` for a step on the way to one."""
        term = ""
        for _ in range(_FAR):
            origin = self.origin(node)
            if origin.section == "backward" and origin.bars:
                return (self.user.of(node) or f"{self.value(origin.bars[0])}_bar") + term
            if not self.readers.get(node):
                break
            node = self.readers[node][0]
            term = term if node.op.name in _TRANSPARENT else "_term"
        return "adjoint"

    def line(self, node: Tensor) -> UserLine | None:
        """The user's line that made `node`; for an adjoint, that of what it is the gradient of."""
        origin = self.origin(node)
        if origin.section == "backward" and origin.of is not None:
            origin = self.origin(origin.of)
        return origin.lines[0] if origin.lines else None

    def expression(self, node: Tensor) -> str:
        """The user's expression that made `node`, as text; for an adjoint, the expression it is the gradient of."""
        line = self.line(node)
        return (expression_text(line) if line is not None else "") or node.op.name

    def _dim(self, dim: DimLike) -> str:
        """The dim's own name, or ``n_name`` where an input or param has it."""
        name = dim_name(dim)
        return self.unique(f"n_{name}" if name in self.unique.taken else name)

    def _name_buffers(self, plan: Plan, names: dict[int, str]) -> dict[int, str]:
        """Names for all buffers, given those of inputs and params: outputs first, the rest as it is written."""
        outputs = [b.number for b in plan.buffers if b.kind == "output"]
        for number, node in zip(outputs, self.graph.outputs, strict=True):
            names[number] = self.unique(self.user.of(node) or "output")
        for kernel in plan.kernels:
            for array, node in written(kernel):
                number = next(a.buffer for a in kernel.arrays if a.name == array)
                if number not in names:
                    names[number] = self.unique(self.value(node) + _role(plan.buffers[number].label, node))
        for buffer in plan.buffers:
            if buffer.number not in names:
                names[buffer.number] = self.unique(identifier(buffer.label or "scratch"))
        return names

    def _name_parts(self, plan: Plan) -> dict[tuple[int, str], str]:
        """For a buffer and an index, what the user calls the element there: ``tau`` for p[1] after ``a, tau = p``."""
        numbers = [[b.number for b in plan.buffers if b.kind == kind] for kind in ("input", "param")]
        pairs = zip((*numbers[0], *numbers[1]), (*self.graph.inputs, *self.graph.params), strict=True)
        found: dict[tuple[int, str], str] = {}
        for number, leaf in pairs:
            for node in self.readers.get(leaf, ()):
                name = self.user.of(node) if node.op.name == "slice" and node.shape == (1,) else None
                if name is not None:
                    found[number, str(node.attrs["start"][0])] = name
        return found

    def type(self, dtype: object, shape: Shape) -> str:
        """``float64[n, 3]``; a 0-d array is ``float64``. Valid Python."""
        if not shape:
            return str(dtype)
        return f"{dtype}[{', '.join(map(self.size, shape))}]"

    def size(self, dim: DimLike) -> str:
        """A size as an expression in the names of the runtime dims."""
        if dim in self.dims:
            return self.dims[dim]
        return re.sub(r"[A-Za-z_]\w*", lambda word: self._symbols.get(word[0], word[0]), str(dim))

    @functools.cached_property
    def _symbols(self) -> dict[str, str]:
        return {str(dim): name for dim, name in self.dims.items()}


def _role(label: str, node: Tensor) -> str:
    """What a buffer is to the node written there: nothing where it is its own, else ``_sum``, ``_order`` ..."""
    if label == node.op.name or label.startswith("output"):
        return ""
    return "_sum" if label.endswith("accumulator") else f"_{identifier(label)}"


def _noun(node: Tensor) -> str:
    """What the value of an op is called."""
    if node.op.name == "gather" and node.inputs[0].op.name == "iota":
        return "place"
    return "mean" if _is_mean(node) else identifier(_NOUNS.get(node.op.name, node.op.name))


def _known(node: Tensor) -> bool:
    """Whether `node` is a factor of constants and runtime sizes, as the 1/n of a mean is."""
    return all(_behind(operand).op in (CONSTANT, DIM_VALUE) for operand in node.inputs)


def _is_mean(node: Tensor) -> bool:
    """Whether `node` is a sum divided by a runtime size that it is over."""
    if node.op.name != "divide":
        return False
    total, size = map(_behind, node.inputs)
    if total.op.name != "sum" or size.op is not DIM_VALUE:
        return False
    over = [total.inputs[0].shape[axis] for axis in total.attrs["axes"]]
    return bool(dims.product(tuple(over)) == size.attrs["dim"])


def _behind(node: Tensor) -> Tensor:
    """What a view shows."""
    while node.op.name in _TRANSPARENT and node.inputs:
        node = node.inputs[0]
    return node


def written(kernel: Kernel) -> Iterator[tuple[str, Tensor]]:
    """The arrays a kernel writes, with the node whose value goes there, statement by statement."""
    for s in walk(kernel.body):
        if isinstance(s, (Store, StoreCombine)) and s.node is not None:
            yield s.array, s.node
        elif isinstance(s, Dot) and s.node is not None:
            yield s.out, s.node
        elif isinstance(s, MatrixStep) and s.node is not None:
            yield s.parts[-1][0], s.node
        elif isinstance(s, Argsort) and s.node is not None:
            yield s.order, s.node


def accesses(kernel: Kernel) -> tuple[set[str], set[str]]:
    """Names of the arrays that a kernel reads, and of those that it writes."""
    reads: set[str] = set()
    writes: set[str] = set()
    stack: list[Expr] = []
    for s in walk(kernel.body):
        if isinstance(s, Dot):
            reads |= {s.x, s.y}
            writes.add(s.out)
        elif isinstance(s, MatrixStep):
            reads |= {name for name, _ in s.parts[:-1]}
            writes.add(s.parts[-1][0])
        elif isinstance(s, Finite):
            reads.add(s.array)
        elif isinstance(s, Argsort):
            reads.add(s.values)
            writes |= {s.order, s.other}
        elif isinstance(s, (Store, StoreCombine)):
            writes.add(s.array)
            stack += [s.expr, *s.index]
            if isinstance(s, StoreCombine):
                reads.add(s.array)
        elif isinstance(s, (Let, Init, Combine)):
            stack.append(s.expr)
        elif isinstance(s, If):
            stack.append(s.condition)
        else:
            assert isinstance(s, For)
    while stack:
        e = stack.pop()
        if isinstance(e, Load):
            reads.add(e.array)
        stack.extend(children(e))
    return reads, writes
