"""Structure rather than arithmetic: one output of several, and a derivative of one's own."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import GradientError, UserLine, count, message, user_line
from ..ir import dims
from ..ir.apply import apply, is_tensor, lift
from ..ir.dims import shape_text
from ..ir.leaves import input as make_input
from ..ir.lowering import Refused
from ..ir.op import Aval, Batching, Op, Require
from .batching import everywhere
from .cotangent import ZERO
from .elementwise import STOP_GRADIENT

_uids = itertools.count()


# item: one output of a node that has several


def _item_vjp(ct: Any, out: Any, xs: Any, index: int) -> tuple[Any, ...]:
    count = len(getattr(xs, "avals", xs))
    return (tuple(ct if k == index else ZERO for k in range(count)),)


ITEM: Op = Op(
    "item",
    lambda require, xs, index: xs[index],
    lambda xs, index: xs[index],
    Refused("it names an output of another node"),
    vjp=_item_vjp,
    jvp=(lambda t, out, xs, index: t[index],),
    batch=lambda how, xs, index: apply(ITEM, xs, index=index),
    sympy=lambda sp, xs, index: xs[index],
)


def item(node: Any, k: int) -> Any:
    """Output `k` of a node with several outputs (or of the tuple that stands for one)."""
    return node[k] if isinstance(node, tuple) else apply(ITEM, node, index=k)


# custom_gradient: a user's own backward


class Rule:
    """A user's backward function; each is itself and nobody else. Pickles as its function does: by reference."""

    __slots__ = ("backward", "intern_key", "single", "surrogate")

    def __init__(self, backward: Callable[..., Any], single: bool, surrogate: bool = False):
        self.backward, self.single, self.surrogate = backward, single, surrogate
        self.intern_key = ("rule", next(_uids))

    def __reduce__(self) -> Any:
        return Rule, (self.backward, self.single, self.surrogate)

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        return getattr(self.backward, "__qualname__", None) or type(self.backward).__name__

    def __call__(self, cts: tuple[Any, ...], outs: tuple[Any, ...], inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """The cotangents of `inputs`, checked; `ZERO` where the function gave None."""
        from .creation import zeros_like

        full = tuple(zeros_like(o) if ct is ZERO else ct for ct, o in zip(cts, outs, strict=True))
        bars = self.backward(full[0] if self.single else full, *inputs)
        listed = tuple(bars) if isinstance(bars, (tuple, list)) else (bars,)
        if len(listed) != len(inputs):
            raise self._wrong(
                f"{len(listed)} cotangent{'s' if len(listed) != 1 else ''}",
                f"one (a tensor or None) for each of {count(len(inputs), 'input')}",
            )
        return tuple(self._checked(k, bar, x) for k, (bar, x) in enumerate(zip(listed, inputs, strict=True)))

    def _checked(self, k: int, bar: Any, x: Any) -> Any:
        from .movement import broadcast_to

        if bar is None:
            return ZERO
        if x.dtype.kind != "f":
            raise self._wrong(f"a cotangent for input {k}, which is {x.dtype}", "None for it: it has no derivative")
        (bar,) = lift(bar, dtype=None if is_tensor(bar) or hasattr(bar, "dtype") else x.dtype, beside=(x,))
        fits = len(bar.shape) == len(x.shape) and all(
            dims.equal(a, b) is not False for a, b in zip(bar.shape, x.shape, strict=True)
        )
        if not fits or bar.dtype != x.dtype:
            raise self._wrong(
                f"{bar.dtype}{shape_text(tuple(bar.shape))} for input {k}", f"{x.dtype}{shape_text(tuple(x.shape))}"
            )
        return broadcast_to(bar, tuple(x.shape))

    def _wrong(self, got: str, expected: str) -> GradientError:
        code = getattr(self.backward, "__code__", None)
        at = UserLine(code.co_filename, code.co_firstlineno) if code else user_line()
        return GradientError(
            message(f"wrong return value of backward function {self.name}", got=got, expected=expected, at=at)
        )


class BatchedRule:
    """A backward function for many samples at once: that of one sample, applied to all."""

    __slots__ = ("again", "intern_key", "rule")

    def __init__(self, rule: Rule | BatchedRule, again: Callable[..., list[Any]]):
        self.rule, self.again = rule, again
        self.intern_key: tuple[Any, ...] = ("batched", rule.intern_key)

    def __reduce__(self) -> Any:
        return BatchedRule, (self.rule, self.again)

    @property
    def surrogate(self) -> bool:
        return self.rule.surrogate

    def __str__(self) -> str:
        return f"{self.rule} of samples"

    def __call__(self, cts: tuple[Any, ...], outs: tuple[Any, ...], inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """The cotangents of `inputs`; all operands have the axis of samples, and so have the results."""
        batched: dict[Any, Any] = {}

        def sample(x: Any) -> Any:
            if x is ZERO:
                return ZERO
            one = make_input("sample", x.shape[1:], x.dtype)
            batched[one] = x
            return one

        ones = [tuple(map(sample, group)) for group in (cts, outs, inputs)]
        bars = self.rule(*ones)
        flowing = [bar for bar in bars if bar is not ZERO]
        found = iter(self.again(flowing, batched))
        return tuple(ZERO if bar is ZERO else next(found) for bar in bars)


def _custom_batch(how: Batching, *operands: Any, rule: Any, count: int) -> Any:
    return apply(CUSTOM, *everywhere(how, operands), rule=BatchedRule(rule, how.again), count=count)


def _custom_vjp(ct: Any, out: Any, *operands: Any, rule: Any, count: int) -> tuple[Any, ...]:
    outs, inputs = operands[:count], operands[count:]
    return (*[ZERO] * count, *rule(ct, outs, inputs))


def _custom_infer(require: Require, *avals: Aval, rule: Rule, count: int) -> tuple[Aval, ...]:
    return avals[:count]


def _custom_numpy(*arrays: np.ndarray, rule: Rule, count: int) -> tuple[np.ndarray, ...]:
    return arrays[:count]


CUSTOM: Op = Op(
    "custom",
    _custom_infer,
    _custom_numpy,
    Refused("it is the identity on its first operands, and passes take it out"),
    vjp=_custom_vjp,
    jvp=Refused("a custom gradient is a reverse rule only"),
    batch=_custom_batch,
    sympy=Refused("its derivative is not that of its value"),
    multi=True,
)


def custom_gradient(
    forward: Callable[..., Any] | None = None,
    backward: Callable[..., Any] | None = None,
    *,
    surrogate: bool = False,
) -> Callable[..., Any]:
    """A function with a derivative of your own: `forward` computes, `backward` gives the cotangents of its arguments.

    forward   ``forward(*xs)`` returns a tensor or a tuple of tensors, by ordinary ops. All it differentiates with
              respect to must be among its arguments
    backward  ``backward(ct, *xs)``, or ``backward((ct0, ct1, ...), *xs)`` if `forward` returns a tuple. Returns one
              cotangent, of the shape and dtype of its argument, or None (zero), for each of `xs`; a tuple unless there
              is one. Written in ordinary ops, it is differentiated in turn: second derivatives go through it
    surrogate  that `backward` is meant to differ from the derivative of `forward`: a straight-through estimator, a
               clipped or reversed gradient. `gc.verify` then leaves it alone and says so; any other it checks

    Works on symbolic and eager tensors. Forward mode (`gc.jvp`) is refused; under `gc.vmap` `backward` is that
    of one sample. `GradientError` names a `backward` that returns the wrong number, shape or dtype, and a `forward`
    that uses a tensor which is not an argument.

    >>> import graphc as gc
    >>> clipped = gc.custom_gradient(lambda x: x, lambda ct, x: gc.clip(ct, -1.0, 1.0), surrogate=True)
    >>> clipped(gc.input("x", (3,))).shape
    (3,)

    As a decorator: ``@gc.custom_gradient(backward=rule)``.
    """
    if backward is None:
        raise GradientError(
            message(
                "custom_gradient without a backward function",
                expected="custom_gradient(forward, backward), or @custom_gradient(backward=...)",
                at=user_line(),
                created=False,
            )
        )
    if forward is None:
        return lambda f: custom_gradient(f, backward, surrogate=surrogate)
    rules = {single: Rule(backward, single, surrogate) for single in (True, False)}

    @functools.wraps(forward)
    def call(*xs: Any) -> Any:
        xs = lift(*xs)
        result = forward(*xs)
        single = not isinstance(result, (tuple, list))
        outs = lift(*([result] if single else result), beside=xs)
        _refuse_captures(forward, outs, xs)
        node = apply(CUSTOM, *outs, *xs, rule=rules[single], count=len(outs))
        items = tuple(item(node, k) for k in range(len(outs)))
        return items[0] if single else items

    return call


def _refuse_captures(forward: Callable[..., Any], outs: tuple[Any, ...], xs: tuple[Any, ...]) -> None:
    """Refuse a symbolic forward that reads a float input or param around its arguments: its gradient would be lost."""
    seen = {id(x) for x in xs}
    stack = list(outs)
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        op = getattr(node, "op", None)
        if op is STOP_GRADIENT:
            continue
        if getattr(op, "name", "") in ("input", "param") and node.dtype.kind == "f":
            name = getattr(forward, "__qualname__", "forward")
            raise GradientError(
                message(
                    f"{name} uses {node.name!r}, which is not among its arguments",
                    expected="every differentiated tensor as an argument",
                    at=user_line(),
                    created=False,
                    hint="pass it as an argument, or cut it with gc.stop_gradient",
                )
            )
        stack.extend(getattr(node, "inputs", ()))


ROWS = (ITEM, CUSTOM)
__all__ = ["custom_gradient", "item"]
