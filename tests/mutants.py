"""Small wrong changes of functions, made on their source and put into the running functions: no file is changed.

`mutants_of(function)` lists them. Each is put in place by ``with mutant:``: the function's code is exchanged, so that
every reference to it, and every other function made of the same code, is changed, as if the source were.
"""

from __future__ import annotations

import ast
import copy
import functools
import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, TracebackType
from typing import Any, NamedTuple

from graphc.ops.functions import PUBLIC

_EXCHANGES = {
    "abs": "negative", "add": "subtract", "argmax": "argmin", "ceil": "floor", "concat": "stack", "cos": "sin",
    "cosh": "sinh", "divide": "multiply", "equal": "not_equal", "exp": "expm1", "exp2": "exp", "expm1": "exp",
    "floor": "ceil", "greater": "greater_equal", "greater_equal": "greater", "less": "less_equal",
    "less_equal": "less", "log": "log1p", "log10": "log", "log1p": "log", "log2": "log", "logical_and": "logical_or",
    "logical_or": "logical_and", "max": "min", "maximum": "minimum", "min": "max", "minimum": "maximum",
    "multiply": "divide", "not_equal": "equal", "ones_like": "zeros_like", "sigmoid": "tanh", "sign": "abs",
    "sin": "cos", "sinh": "cosh", "subtract": "add", "sum": "max", "tanh": "sin", "trunc": "floor",
    "zeros_like": "ones_like", "ct_mul": "multiply", "zero_mul": "multiply", "all": "any", "any": "all",
    "cumulative_sum": "cumulative_prod",
}  # fmt: skip
"""Calls of one function that become calls of another."""
_DROPPED = frozenset({
    "abs", "exp", "flip", "logical_not", "minus", "negative", "reciprocal", "shifted", "sorted", "sqrt", "square",
    "stop_gradient", "sum", "tuple", "unview",
})  # fmt: skip
"""Calls that become their first operand."""
_COMMUTATIVE = frozenset({
    "add", "ct_add", "equal", "getattr", "hasattr", "hypot", "is_scalar", "isinstance", "logical_and", "logical_or",
    "maximum", "minimum", "multiply", "not_equal", "range", "zero_mul", "zip",
})  # fmt: skip
"""Calls whose first two operands are not exchanged: nothing changes, or nothing that a rule could mean."""
_OPERATORS: dict[type, tuple[type, ...]] = {
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div, ast.Add), ast.Div: (ast.Mult,), ast.Pow: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,), ast.Mod: (ast.FloorDiv,), ast.BitOr: (ast.BitAnd,), ast.BitAnd: (ast.BitOr,),
}  # fmt: skip
_COMPARISONS: dict[type, tuple[type, ...]] = {
    ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt, ast.LtE), ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.GtE),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}  # fmt: skip


class Place(NamedTuple):
    """Where an expression stands in the tree: ``getattr(parent, field)``, or its element `index`."""

    parent: ast.AST
    field: str
    index: int | None

    def get(self) -> Any:
        value = getattr(self.parent, self.field)
        return value if self.index is None else value[self.index]

    def put(self, node: Any) -> None:
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


class Mutant:
    """One change of one function. A context manager: inside it, the functions have the other code.

    name    where and what: ``module.function: before -> after``
    """

    def __init__(self, name: str, functions: tuple[FunctionType, ...], code: CodeType):
        self.name, self.functions, self.code = name, functions, code
        self._right = functions[0].__code__

    def __enter__(self) -> Mutant:
        for function in self.functions:
            function.__code__ = self.code
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for function in self.functions:
            function.__code__ = self._right

    def __repr__(self) -> str:
        return f"<Mutant {self.name}>"


# the changes


def _changes(node: ast.AST, known: Callable[[str], str | None]) -> Iterator[ast.AST]:
    """What an expression or statement may become. `known` gives the name by which a function can be called."""
    if isinstance(node, ast.BinOp):
        yield from (ast.BinOp(node.left, other(), node.right) for other in _OPERATORS.get(type(node.op), ()))
        if isinstance(node.op, (ast.Add, ast.Sub, ast.Mult, ast.Div)):
            yield from (node.left, node.right)
        if isinstance(node.op, (ast.Sub, ast.Div, ast.Pow, ast.FloorDiv, ast.MatMult)):
            yield ast.BinOp(node.right, node.op, node.left)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not)):
        yield node.operand
    elif isinstance(node, ast.Compare):
        for k, operator in enumerate(node.ops):
            for other in _COMPARISONS.get(type(operator), ()):
                yield ast.Compare(node.left, [*node.ops[:k], other(), *node.ops[k + 1 :]], node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        for k in range(len(node.values)):
            rest = [*node.values[:k], *node.values[k + 1 :]]
            yield ast.BoolOp(node.op, rest) if len(rest) > 1 else rest[0]
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.Constant):
        yield from map(ast.Constant, _other_constants(node.value))
    elif isinstance(node, ast.Call):
        yield from _other_calls(node, known)
    elif isinstance(node, (ast.If, ast.While)):
        yield type(node)(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)


def _other_constants(value: Any) -> tuple[Any, ...]:
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, int):
        return (value + 1, value - 1)
    if isinstance(value, float):
        return (value * 1.5 + 0.25, -value) if value else (1.0,)
    return ()


def _other_calls(node: ast.Call, known: Callable[[str], str | None]) -> Iterator[ast.AST]:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name in _EXCHANGES and known(_EXCHANGES[name]):
        yield ast.Call(ast.Name(str(known(_EXCHANGES[name])), ast.Load()), node.args, node.keywords)
    starred = any(isinstance(a, ast.Starred) for a in node.args[:2])
    if (
        name in ("add", "subtract", "multiply", "divide", "ct_mul", "zero_mul", "ct_add")
        and len(node.args) == 2
        and not starred
    ):
        yield from node.args
    if name == "where" and len(node.args) == 3:
        yield ast.Call(node.func, [node.args[0], node.args[2], node.args[1]], node.keywords)
        yield from node.args[1:]
    elif name in _DROPPED and node.args and not isinstance(node.args[0], ast.Starred):
        yield node.args[0]
    if len(node.args) > 1 and name not in _COMMUTATIVE and not starred:
        yield ast.Call(node.func, [node.args[1], node.args[0], *node.args[2:]], node.keywords)


# functions, their trees and their codes


@functools.cache
def _tree(file: str) -> ast.Module:
    with open(file, encoding="utf-8") as source:
        return ast.parse(source.read(), file)


def _scopes(tree: ast.AST) -> list[ast.AST]:
    return [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.Lambda))]


def _first_line(node: Any) -> int:
    decorators = getattr(node, "decorator_list", None)
    return (decorators[0] if decorators else node).lineno


def _nested(code: CodeType, path: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], CodeType]]:
    """Every code object in `code`, with its place: numbers of code constants, from the outside in."""
    inner = [c for c in code.co_consts if isinstance(c, CodeType)]
    for k, one in enumerate(inner):
        yield (*path, k), one
        yield from _nested(one, (*path, k))


def _at(code: CodeType, path: tuple[int, ...]) -> CodeType:
    for k in path:
        code = [c for c in code.co_consts if isinstance(c, CodeType)][k]
    return code


class _Unit:
    """A function found in its file: its tree, the statement of the file around it, and its place in that one's code."""

    def __init__(self, function: FunctionType):
        code = function.__code__
        self.tree = _tree(code.co_filename)
        self.node: Any = None
        for statement in self.tree.body:
            if not statement.lineno <= code.co_firstlineno <= (statement.end_lineno or 0) and not getattr(
                statement, "decorator_list", None
            ):
                continue
            self.statement = statement
            found = [path for path, inner in _nested(self.compiled()) if inner == code]
            if found:
                (self.path,) = found
                break
        else:
            raise LookupError(f"{function.__qualname__} is not what its file says: was it edited since the import?")
        self.node = self._find(code)

    def compiled(self) -> CodeType:
        imports = [s for s in self.tree.body if isinstance(s, (ast.Import, ast.ImportFrom))]  # the compiler heeds them
        module = ast.Module([*imports, self.statement], [])
        return compile(ast.fix_missing_locations(module), "<mutant>", "exec", dont_inherit=True)

    def code(self) -> CodeType:
        """The function's code as its tree is now."""
        return _at(self.compiled(), self.path)

    def _find(self, code: CodeType) -> ast.AST:
        """The tree of the function: of those that begin on its line, the one whose change changes its code."""
        candidates = [n for n in _scopes(self.statement) if _first_line(n) == code.co_firstlineno]
        candidates = [n for n in candidates if getattr(n, "name", "<lambda>") == code.co_name]
        for node in candidates:
            scope: Any = node  # a def, whose body is a list, or a lambda, whose body is an expression
            saved = scope.body
            marker = ast.Constant("marker of a function")
            scope.body = marker if isinstance(node, ast.Lambda) else [ast.Return(marker), *saved]
            try:
                found = [p for p, c in _nested(self.compiled()) if "marker of a function" in c.co_consts]
            finally:
                scope.body = saved
            if self.path in found and len(min(found, key=len)) == len(self.path):
                return node
        raise LookupError(f"no tree for {code}")


def _places(node: ast.AST) -> Iterator[Place]:
    """Every expression and statement inside `node`, outside in; not annotations, defaults or decorators."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "args") and not isinstance(node, ast.Call):
            continue
        if isinstance(node, (ast.Raise, ast.Assert)) or (isinstance(node, ast.keyword) and node.arg == "strict"):
            continue
        items = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, child in items:
            if isinstance(child, (ast.expr, ast.stmt)):
                yield Place(node, field, index)
            if isinstance(child, ast.AST):
                yield from _places(child)


def same_code(functions: list[FunctionType]) -> dict[CodeType, tuple[FunctionType, ...]]:
    """Functions by their code: those that one change of the source changes."""
    found: dict[CodeType, list[FunctionType]] = {}
    for function in functions:
        found.setdefault(function.__code__, []).append(function)
    return {code: tuple(group) for code, group in found.items()}


def mutants_of(functions: tuple[FunctionType, ...], label: str) -> Iterator[Mutant]:
    """Every mutant of functions of one code."""
    function = functions[0]
    unit = _Unit(function)
    right = function.__code__
    names = function.__globals__

    def known(name: str) -> str | None:
        if name in names or name in right.co_freevars:
            return name
        if name not in PUBLIC:
            return None
        names[f"_mutant_{name}"] = PUBLIC[name]
        return f"_mutant_{name}"

    seen, names_given = {ast.unparse(unit.node)}, Counter[str]()
    for place in list(_places(unit.node)):
        before = place.get()
        if _is_docstring(before) or isinstance(before, (ast.FunctionDef, ast.Lambda)):
            continue
        for after in _changes(before, known):
            if place.field == "slice" and isinstance(after, ast.Constant) and after.value == -1:
                continue  # of the one element there is
            place.put(ast.copy_location(copy.deepcopy(after), before))
            text = ast.unparse(unit.node)
            restore = _keep_free_variables(unit.node, right)
            try:
                code = right if text in seen else unit.code()
            except SyntaxError:
                code = right
            finally:
                restore()
                place.put(before)
            if text not in seen and code is not right and code.co_freevars == right.co_freevars:
                seen.add(text)
                name = f"{label}: {_text(before)} -> {_text(after)}"
                names_given[name] += 1
                again = f" ({names_given[name]})" if names_given[name] > 1 else ""
                yield Mutant(name + again, functions, code)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _keep_free_variables(node: Any, right: CodeType) -> Callable[[], None]:
    """Mention every free variable in the tree: the new code must have the same ones. Returns what undoes it."""
    saved = node.body
    if not right.co_freevars:
        return lambda: None
    mention = ast.Tuple([ast.Name(n, ast.Load()) for n in right.co_freevars], ast.Load())
    if isinstance(node, ast.Lambda):
        node.body = ast.Subscript(ast.Tuple([saved, mention], ast.Load()), ast.Constant(0), ast.Load())
    else:
        node.body = [*saved, ast.Expr(mention)]

    def undo() -> None:
        node.body = saved

    return undo


def _text(node: ast.AST) -> str:
    node = copy.deepcopy(node)
    if isinstance(node, (ast.If, ast.While)):
        return f"{type(node).__name__.lower()} {ast.unparse(node.test)}"
    return " ".join(ast.unparse(node).split())


def functions_below(starts: list[Any], package: str, follow: Callable[[str, FunctionType], bool]) -> list[FunctionType]:
    """Functions reached from `starts` through closures, and through the global names for which `follow` holds."""
    found: dict[int, FunctionType] = {}
    waiting = list(starts)
    while waiting:
        value = waiting.pop(0)
        if isinstance(value, (tuple, list)):
            waiting += value
        if not isinstance(value, FunctionType) or id(value) in found or not value.__module__.startswith(package):
            continue
        found[id(value)] = value
        cells = inspect.getclosurevars(value).nonlocals.values()
        names = {n for _, code in [((), value.__code__), *_nested(value.__code__)] for n in code.co_names}
        globals_ = [value.__globals__[n] for n in sorted(names) if n in value.__globals__]
        waiting += [*cells, *[g for g in globals_ if isinstance(g, FunctionType) and follow(g.__name__, value)]]
    return list(found.values())
