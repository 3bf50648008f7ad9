"""Names for nodes as the user wrote them: the target of the assignment whose value a node is, found by its position.

Every node knows where in the user's file the expression stands that made it (`UserLine.span`). The file is parsed once
and searched for that position: ``r = a * x - y`` calls its last subtraction ``r`` and gives ``a * x`` its text.
"""

from __future__ import annotations

import ast
import functools
import linecache
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ..errors import Layer, Span, UserLine
from .leaves import CONSTANT, identifier
from .op import Op
from .tensor import Origin, Tensor

_INSERTED = frozenset({"broadcast_to", "astype", "reshape", "expand_dims"})
"""Ops that public functions put around what the user asked for: the name goes to what they surround."""
_MAX_NAME = 40
_MAX_ORDER = 4


class Source(NamedTuple):
    """What a file says about spans: the name its value gets, the expression itself, and the file's lines (bytes).

    Of a target that is unpacked into, ``a, b = x``, the span has the names of the parts.
    """

    targets: dict[Span, str]
    unpacked: dict[Span, list[str]]
    expressions: dict[Span, ast.expr]
    lines: tuple[bytes, ...]


@functools.lru_cache(maxsize=64)
def _parse(text: str) -> Source:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # a notebook's magics: names and expressions are then unknown
        return Source({}, {}, {}, ())
    targets: dict[Span, str] = {}
    unpacked: dict[Span, list[str]] = {}
    expressions: dict[Span, ast.expr] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.expr):
            expressions.setdefault(span_of(node), node)
        if isinstance(node, (ast.Tuple, ast.List)) and isinstance(node.ctx, ast.Store):
            unpacked[span_of(node)] = list(_parts(node))
        for value, name in _named(node):
            targets.setdefault(span_of(value), name)
    return Source(targets, unpacked, expressions, tuple(line.encode() for line in text.splitlines(keepends=True)))


def span_of(node: ast.AST) -> Span:
    """Where an expression or statement stands."""
    return (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]


def _named(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """The values that a statement gives names to, with the names."""
    if isinstance(node, ast.Assign):
        yield from _bound(node.targets[0], node.value)
    elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
        yield from _bound(node.target, node.value)
    elif isinstance(node, ast.AugAssign):
        yield from _bound(node.target, node)
    elif isinstance(node, ast.FunctionDef):
        for inner in node.body:
            if isinstance(inner, ast.Return) and inner.value is not None:
                yield inner.value, node.name
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield value, key.value


def _bound(target: ast.expr, value: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    if isinstance(target, ast.Name):
        yield value, target.id
    elif isinstance(target, ast.Attribute):
        yield value, target.attr
    elif isinstance(target, (ast.Tuple, ast.List)) and isinstance(value, (ast.Tuple, ast.List)):
        for one, part in zip(target.elts, value.elts, strict=False):
            if isinstance(one, ast.Starred) or isinstance(part, ast.Starred):
                break
            yield from _bound(one, part)


def _parts(target: ast.Tuple | ast.List) -> Iterator[str]:
    """The names of what is unpacked, up to a star; "" for what has none."""
    for part in target.elts:
        if isinstance(part, ast.Starred):
            return
        yield part.id if isinstance(part, ast.Name) else part.attr if isinstance(part, ast.Attribute) else ""


def source_of(line: UserLine) -> Source:
    """What the user's file says, as `linecache` has it."""
    return _parse("".join(linecache.getlines(line.file)))


def assigned_name(line: UserLine) -> str | None:
    """The name that the expression at `line` is assigned to."""
    if line.span is None:
        return None
    source = source_of(line)
    name = source.targets.get(line.span)
    if name is None and line.noun.isdigit():
        parts = source.unpacked.get(line.span, [])
        name = parts[int(line.noun)] if int(line.noun) < len(parts) else None
    return name or None


def expression_text(line: UserLine) -> str:
    """The expression at `line` as the user wrote it, on one line; ``+ b`` for the last term of a longer sum."""
    if line.span is None:
        return line.text
    if line.noun.isdigit():  # a part of what was unpacked
        return assigned_name(line) or line.text
    source = source_of(line)
    node = source.expressions.get(line.span)
    span, sign = line.span, ""
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)) and isinstance(node.left, ast.BinOp):
        span, sign = span_of(node.right), "+ " if isinstance(node.op, ast.Add) else "- "
    return sign + (_segment(source.lines, span) or line.text)


def statement_text(line: UserLine) -> str:
    """The user's line; of an expression that goes on over several lines all of it, ``loss = gc.mean(x - y)``."""
    if line.span is None or (line.span[0] == line.span[2] and _is_closed(line.text)):
        return line.text
    lines = source_of(line).lines
    first, start, *_ = line.span
    before = lines[first - 1][:start].decode(errors="replace").strip() if first <= len(lines) else ""
    whole = _segment(lines, line.span) or line.text
    return f"{before} {whole}" if before == "return" or re.fullmatch(r"[\w.]+ [-+*/@]?=", before) else whole


def _is_closed(text: str) -> bool:
    """Whether every bracket in a line is closed there."""
    return all(text.count(pair[0]) == text.count(pair[1]) for pair in ("()", "[]", "{}"))


def _segment(lines: tuple[bytes, ...], span: Span) -> str:
    first, start, last, end = span
    if last > len(lines):
        return ""
    if first == last:
        return lines[first - 1][start:end].decode(errors="replace").strip()
    parts = [lines[first - 1][start:], *lines[first : last - 1], lines[last - 1][:end]]
    return re.sub(r"(?<=[(\[{]) | (?=[)\]}])", "", " ".join(b" ".join(parts).decode(errors="replace").split()))


def called(line: UserLine) -> str | None:
    """The function that the expression at `line` calls, as the user wrote it: ``math.exp``."""
    source = source_of(line)
    node = source.expressions.get(line.span) if line.span else None
    function = node.func if isinstance(node, ast.Call) else None
    return _segment(source.lines, span_of(function)) if isinstance(function, (ast.Name, ast.Attribute)) else None


def layer_name(layer: Layer) -> str:
    """A module as the user would write it, ``model.encoder[0]``; where its call cannot be read, after its class.

    >>> layer_name(Layer(".encoder[0]", "Block", True, "Net"))
    'Net.encoder[0]'
    """
    whole = None if layer.call is None else _module_called(layer.call)
    return (whole or layer.whole) + layer.path


def _module_called(line: UserLine) -> str | None:
    """The module that the expression at `line` calls, as the user wrote it: ``model``, of ``model.eval()(x)`` too."""
    source = source_of(line)
    node = source.expressions.get(line.span) if line.span else None
    function = node.func if isinstance(node, ast.Call) else None
    while isinstance(function, ast.Call) and isinstance(function.func, ast.Attribute):
        function = function.func.value
    text = "" if function is None else _short(_segment(source.lines, span_of(function)))
    return text if text.replace(".", "").isidentifier() else None


def is_membership(line: UserLine) -> bool:
    """Whether the expression at `line` asks whether something is in a collection: ``x in [a, b]``, ``xs.index(x)``."""
    source = source_of(line)
    node = source.expressions.get(line.span) if line.span else None
    if isinstance(node, ast.Compare):
        return any(isinstance(op, (ast.In, ast.NotIn)) for op in node.ops)
    function = node.func if isinstance(node, ast.Call) else None
    return isinstance(function, ast.Attribute) and function.attr in ("index", "count", "remove")


def operand_labels(operands: Sequence[Any], at: UserLine, inside: bool = True) -> list[str]:
    """What errors call operands: their names, the user's expressions for them, or "".

    at      the expression that failed
    inside  whether they are its operands, or steps inside it; else it asked them for their values

    >>> operand_labels([1, 2], UserLine("", 0))
    ['', '']
    """
    written = _written_operands(at, len(operands)) if inside else [""] * len(operands)
    return [_name(o) or text or _made_by(o, at, inside) for o, text in zip(operands, written, strict=True)]


def _written_operands(at: UserLine, count: int) -> list[str]:
    """The operands of the operator at `at`, as written, where it has `count` of them."""
    source = source_of(at)
    node = source.expressions.get(at.span) if at.span else None
    parts: list[ast.expr] = []
    if isinstance(node, ast.BinOp):
        parts = [node.left, node.right]
    elif isinstance(node, ast.Compare):
        parts = [node.left, *node.comparators]
    elif isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.Not):
        parts = [node.operand]
    if len(parts) != count:
        return [""] * count
    return [_short(_segment(source.lines, span_of(part))) for part in parts]


def _name(operand: Any) -> str:
    """The name of an input or param, on one line."""
    name = getattr(operand, "name", None) or ""
    return name if name.isprintable() else repr(name)


def _made_by(operand: Any, at: UserLine, inside: bool) -> str:
    """What the user's line that made a tensor calls it."""
    origin = getattr(operand, "origin", None)
    if not isinstance(origin, Origin) or origin.section != "forward" or not origin.lines or not operand.inputs:
        return ""
    here = [line for line in origin.lines if line == at and line.span == at.span]
    line = here[0] if here else origin.latest
    if line is None or line.span is None or (here and inside):  # a step inside the failing expression has no name
        return ""
    source = source_of(line)
    target = None if here else source.targets.get(line.span)  # the name is for the value of all of an expression
    return target or _short(_segment(source.lines, line.span))


def _short(text: str) -> str:
    return text if len(text) <= _MAX_NAME else ""


class UserNames:
    """The names of nodes: the user's where there is one, and what follows from it for cotangents and new values.

    nodes    every node that may be asked for (of one graph, or of one before and after passes)
    updates  pairs (param, new value)
    """

    def __init__(self, nodes: Iterable[Tensor], updates: Iterable[tuple[Tensor, Tensor]] = (), origins: object = None):
        self._origins: dict[Tensor, Origin] = dict(origins or {})  # type: ignore[call-overload]
        self._names: dict[Tensor, str | None] = {}
        self._updated = {value: param for param, value in updates if value is not param}
        self._final = self._find_final(dict.fromkeys(nodes))

    def origin(self, node: Tensor) -> Origin:
        """The node's provenance in the graph that was asked about."""
        return self._origins.get(node, node.origin)

    def _find_final(self, nodes: Iterable[Tensor]) -> set[Tensor]:
        """Nodes that are the value of the whole expression that made them, and not a step on the way to it."""
        groups: dict[tuple[str, Span], list[Tensor]] = {}
        for node in nodes:
            line = self.line(node)
            if line is not None and line.span and node.inputs:
                groups.setdefault((line.file, line.span), []).append(node)
        final: set[Tensor] = set()
        for made in groups.values():
            kept = [n for n in made if self.origin(n).section != "update"] or made  # not the state that a layer moves
            members = [n for n in kept if n.op.name not in _INSERTED] or kept
            ops: set[Op] = {n.op for n in members}
            read = {i for n in members for i in _through_views(n.inputs)}
            final.update(n for n in members if len(ops) == 1 or n not in read)
        return final

    def line(self, node: Tensor) -> UserLine | None:
        """The user's line that a forward or update node comes from."""
        origin = self.origin(node)
        return origin.lines[0] if origin.lines and origin.section != "backward" else None

    def of(self, node: Tensor) -> str | None:
        """The name of `node`, an identifier; None where the user gave none."""
        if node not in self._names:
            self._names[node] = None  # two adjoints may each be the cotangent of the other
            name = self._find(node)
            self._names[node] = None if name is None else identifier(name)[:_MAX_NAME]
        return self._names[node]

    def _find(self, node: Tensor) -> str | None:
        if node.name is not None:
            return node.name
        origin = self.origin(node)
        if origin.section == "backward":
            return self.cotangent(origin)
        line = self.line(node)
        if line is not None and node in self._final:
            name = assigned_name(line)
            if name is not None:
                return name
        param = self._updated.get(node)
        return None if param is None else f"{param.name}_new"

    def cotangent(self, origin: Origin) -> str | None:
        """``w_bar`` for the cotangent of ``w``."""
        for bar in origin.bars:
            name = self.of(bar)
            if name is not None:  # w_bar_bar: the cotangent of w in a second backward pass
                return name + "_bar" * min(max(origin.order - self.origin(bar).order, 1), _MAX_ORDER)
        return None

    def written(self, node: Tensor) -> str | None:
        """The user's expression whose value `node` is, as text; None where it is a step of one, or a long one."""
        line = self.line(node)
        if line is None or line.span is None or node not in self._final:
            return None
        return _short(_segment(source_of(line).lines, line.span)) or None

    def expression(self, node: Tensor) -> str | None:
        """The name that the whole expression gets which `node` is a step of."""
        line = self.line(node)
        return assigned_name(line) if line is not None and node.op is not CONSTANT else None


def _through_views(inputs: Iterable[Tensor]) -> Iterator[Tensor]:
    for node in inputs:
        while node.op.name in _INSERTED and node.inputs:
            node = node.inputs[0]
        yield node


class Unique:
    """Hands out identifiers, each once: a taken one gets ``_2``, ``_3`` ..."""

    def __init__(self, taken: Iterable[str] = ()):
        self.taken = set(taken)
        self.following: dict[str, int] = {}  # base -> the number to try next: a loop's names must not cost its square

    def __call__(self, base: str) -> str:
        name, k = base, self.following.get(base, 2)
        while name in self.taken:
            name = f"{base}_{k}"
            k += 1
        self.following[base] = k
        self.taken.add(name)
        return name
