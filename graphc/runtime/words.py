"""Functions of machine words, written in Python: an int64 is all there is, be it a number, an address or an answer.

`emit` writes the LLVM code of such functions at once. numba would ask for the types of all their parts first, which
took it a second and a half for the calls of steps.

They have assignments, ``if``, ``for`` over ``range``, ``continue`` and ``return``, integer arithmetic, comparisons,
``and``, ``or``, ``not`` and conditional expressions, which compute no more than they need, calls of each other, and:

    load(address, k)           the word `k` behind an address
    store(address, k, word)    which is set by this
    copy(to, start, count)     copies bytes
    narrowed(bits)             the bits of the float32 nearest to a float64
    call(function, *words)     calls the C function at an address
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llvmlite import ir

WORD, BYTE = ir.IntType(64), ir.IntType(8)
_OPERATORS: Mapping[type, str] = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.BitAnd: "and_", ast.BitOr: "or_"}
_RELATIONS: Mapping[type, str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip


def emit(builder: Any, text: str, constants: Mapping[str, int], name: str, args: Sequence[Any]) -> Any:
    """A call of function `name` of `text` with values of `builder`; the functions are added to its module."""
    defined = [d for d in ast.parse(text).body if isinstance(d, ast.FunctionDef)]
    functions = {}
    for d in defined:
        kind = ir.FunctionType(WORD, [WORD] * len(d.args.args))
        functions[d.name] = ir.Function(builder.module, kind, f"graphc_words_{d.name}")
        functions[d.name].linkage = "internal"
    for d in defined:
        _Writer(functions, constants, d).write()
    return builder.call(functions[name], args)


class _Writer:
    """Writes one function."""

    def __init__(self, functions: Mapping[str, Any], constants: Mapping[str, int], definition: ast.FunctionDef):
        self.functions, self.constants, self.definition = functions, constants, definition
        self.function = functions[definition.name]
        self.entry = self.function.append_basic_block("entry")
        self.builder = ir.IRBuilder(self.function.append_basic_block("body"))
        self.variables: dict[str, Any] = {}
        self.next: list[Any] = []

    def write(self) -> None:
        body = self.builder.block
        for parameter, value in zip(self.definition.args.args, self.function.args, strict=True):
            self.builder.store(value, self.variable(parameter.arg))
        self.block(self.definition.body)
        if not self.builder.block.is_terminated:
            self.builder.ret(WORD(0))
        ir.IRBuilder(self.entry).branch(body)

    def variable(self, name: str) -> Any:
        """Where a variable stands."""
        if name not in self.variables:
            self.variables[name] = ir.IRBuilder(self.entry).alloca(WORD, name=name)
        return self.variables[name]

    def block(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            if self.builder.block.is_terminated:
                return
            getattr(self, f"do_{type(statement).__name__}")(statement)

    # statements

    def do_Expr(self, s: ast.Expr) -> None:  # noqa: N802 - the names of `ast`
        if not isinstance(s.value, ast.Constant):  # a docstring
            self.value(s.value)

    def do_Assign(self, s: ast.Assign) -> None:  # noqa: N802
        (target,) = s.targets
        pairs = [(target, s.value)]
        if isinstance(target, ast.Tuple) and isinstance(s.value, ast.Tuple):
            pairs = list(zip(target.elts, s.value.elts, strict=True))
        values = [self.value(value) for _, value in pairs]
        for (name, _), value in zip(pairs, values, strict=True):
            assert isinstance(name, ast.Name)
            self.builder.store(value, self.variable(name.id))

    def do_AugAssign(self, s: ast.AugAssign) -> None:  # noqa: N802
        assert isinstance(s.target, ast.Name)
        place = self.variable(s.target.id)
        new = getattr(self.builder, _OPERATORS[type(s.op)])(self.builder.load(place), self.value(s.value))
        self.builder.store(new, place)

    def do_Return(self, s: ast.Return) -> None:  # noqa: N802
        self.builder.ret(WORD(0) if s.value is None else self.value(s.value))

    def do_Continue(self, s: ast.Continue) -> None:  # noqa: N802
        self.builder.branch(self.next[-1])

    def do_If(self, s: ast.If) -> None:  # noqa: N802
        self.branches(s.test, lambda: self.block(s.body), lambda: self.block(s.orelse))

    def do_For(self, s: ast.For) -> None:  # noqa: N802
        assert isinstance(s.target, ast.Name) and isinstance(s.iter, ast.Call)
        place, (count,) = self.variable(s.target.id), s.iter.args
        stop = self.value(count)
        self.builder.store(WORD(0), place)
        test, body, step, after = [self.function.append_basic_block(n) for n in ("test", "loop", "next", "after")]
        self.builder.branch(test)
        self.builder.position_at_end(test)
        self.builder.cbranch(self.builder.icmp_signed("<", self.builder.load(place), stop), body, after)
        self.builder.position_at_end(body)
        self.next.append(step)
        self.block(s.body)
        self.next.pop()
        self.go_to(step)
        self.builder.position_at_end(step)
        self.builder.store(self.builder.add(self.builder.load(place), WORD(1)), place)
        self.builder.branch(test)
        self.builder.position_at_end(after)

    def branches(self, test: ast.expr, then: Callable[[], None], otherwise: Callable[[], None]) -> None:
        blocks = [self.function.append_basic_block(n) for n in ("then", "else", "after")]
        self.builder.cbranch(self.truth(test), *blocks[:2])
        for block, fill in zip(blocks, (then, otherwise), strict=False):
            self.builder.position_at_end(block)
            fill()
            self.go_to(blocks[2])
        self.builder.position_at_end(blocks[2])

    def go_to(self, block: Any) -> None:
        if not self.builder.block.is_terminated:
            self.builder.branch(block)

    # expressions

    def truth(self, e: ast.expr) -> Any:
        return self.builder.icmp_signed("!=", self.value(e), WORD(0))

    def value(self, e: ast.expr) -> Any:
        return getattr(self, f"of_{type(e).__name__}")(e)

    def of_Constant(self, e: ast.Constant) -> Any:  # noqa: N802
        assert isinstance(e.value, int)
        return WORD(int(e.value))

    def of_Name(self, e: ast.Name) -> Any:  # noqa: N802
        return WORD(self.constants[e.id]) if e.id in self.constants else self.builder.load(self.variables[e.id])

    def of_BinOp(self, e: ast.BinOp) -> Any:  # noqa: N802
        return getattr(self.builder, _OPERATORS[type(e.op)])(self.value(e.left), self.value(e.right))

    def of_Compare(self, e: ast.Compare) -> Any:  # noqa: N802
        (relation,), (right,) = e.ops, e.comparators
        holds = self.builder.icmp_signed(_RELATIONS[type(relation)], self.value(e.left), self.value(right))
        return self.builder.zext(holds, WORD)

    def of_UnaryOp(self, e: ast.UnaryOp) -> Any:  # noqa: N802
        assert isinstance(e.op, ast.Not)
        return self.builder.zext(self.builder.not_(self.truth(e.operand)), WORD)

    def of_BoolOp(self, e: ast.BoolOp) -> Any:  # noqa: N802
        first, *rest = e.values
        if not rest:
            return self.value(first)
        others = ast.BoolOp(e.op, rest)
        if isinstance(e.op, ast.And):
            return self.choice(first, others, ast.Constant(0))
        return self.choice(first, ast.Constant(1), others)

    def of_IfExp(self, e: ast.IfExp) -> Any:  # noqa: N802
        return self.choice(e.test, e.body, e.orelse)

    def choice(self, test: ast.expr, one: ast.expr, other: ast.expr) -> Any:
        place = ir.IRBuilder(self.entry).alloca(WORD)
        self.branches(
            test,
            lambda: self.builder.store(self.value(one), place),
            lambda: self.builder.store(self.value(other), place),
        )
        return self.builder.load(place)

    def of_Call(self, e: ast.Call) -> Any:  # noqa: N802
        assert isinstance(e.func, ast.Name)
        args = [self.value(a) for a in e.args]
        primitive = getattr(self, f"primitive_{e.func.id}", None)
        return self.builder.call(self.functions[e.func.id], args) if primitive is None else primitive(*args)

    # what functions are made of

    def at(self, address: Any, k: Any) -> Any:
        return self.builder.gep(self.builder.inttoptr(address, WORD.as_pointer()), [k])

    def primitive_load(self, address: Any, k: Any) -> Any:
        return self.builder.load(self.at(address, k))

    def primitive_store(self, address: Any, k: Any, word: Any) -> Any:
        self.builder.store(word, self.at(address, k))
        return WORD(0)

    def primitive_copy(self, to: Any, start: Any, count: Any) -> Any:
        from numba.core import cgutils

        target, source = [self.builder.inttoptr(a, BYTE.as_pointer()) for a in (to, start)]
        cgutils.raw_memcpy(self.builder, target, source, count, 1)
        return WORD(0)

    def primitive_narrowed(self, bits: Any) -> Any:
        number = self.builder.fptrunc(self.builder.bitcast(bits, ir.DoubleType()), ir.FloatType())
        return self.builder.zext(self.builder.bitcast(number, ir.IntType(32)), WORD)

    def primitive_call(self, function: Any, *words: Any) -> Any:
        kind = ir.FunctionType(WORD, [WORD] * len(words))
        return self.builder.call(self.builder.inttoptr(function, kind.as_pointer()), words)
