"""`Function`: an op of the user's own, with its own backward."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from ..errors import GradientError, count, message, user_line
from ..ops.cotangent import ZERO
from .core import Edge, Tensor, edge_of
from .modes import is_grad_enabled, no_grad
from .tape import Node, Saved, attach, freed, restored, save


class Context:
    """What `forward` leaves for `backward`: tensors by `save_for_backward`, anything else as attributes.

    needs_input_grad   for each argument of `apply`, whether it requires a gradient
    """

    def __init__(self, needs_input_grad: tuple[bool, ...]):
        self.needs_input_grad = needs_input_grad
        self._to_save: tuple[Tensor | None, ...] = ()
        self._constant: tuple[Tensor, ...] = ()
        self._node: weakref.ref[FunctionNode] | None = None

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep arguments or results of `forward`; `saved_tensors` gives them back, and notices in-place changes."""
        self._to_save = tensors

    def mark_non_differentiable(self, *outputs: Tensor) -> None:
        """Say of outputs that no gradient flows through them."""
        self._constant = outputs

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The tensors that were saved. `GradientError` where one was changed in place since."""
        node = None if self._node is None else self._node()
        return self._to_save if node is None else node.saved_tensors()


class Function:
    """Base of user-defined ops: subclass it with static `forward` and `backward`, and call ``apply``.

    forward(ctx, *args)     computes, unrecorded; returns a tensor or a tuple of them
    backward(ctx, *grads)   one cotangent per output; returns one gradient (or None) per argument of `forward`.
                            Written with tensor ops it is itself differentiable, with ``create_graph=True``

    >>> from graphc import eager
    >>> class Cube(eager.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x * x
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         (x,) = ctx.saved_tensors
    ...         return 3 * x * x * grad
    >>> x = eager.tensor(2.0, requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad
    tensor(12.)
    """

    @staticmethod
    def forward(ctx: Context, *args: Any) -> Any:
        """Compute the result; subclasses must give it."""
        raise NotImplementedError("a Function needs a static method forward(ctx, ...)")

    @staticmethod
    def backward(ctx: Context, *grads: Any) -> Any:
        """Give the gradient of each argument; subclasses must give it."""
        raise NotImplementedError("a Function needs a static method backward(ctx, *grads)")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run `forward` on `args`, and record it where an argument requires a gradient."""
        ctx = Context(tuple(isinstance(a, Tensor) and a.requires_grad for a in args))
        versions = [a._storage.version if isinstance(a, Tensor) else 0 for a in args]
        with no_grad():
            result = cls.forward(ctx, *args)
        _refuse_changed(cls, args, versions)
        single = not isinstance(result, (tuple, list))
        outs = [_separate(cls, o, args) for o in ([result] if single else result)]
        if is_grad_enabled() and any(ctx.needs_input_grad):
            originals = [result] if single else list(result)
            constant = {id(t) for t in ctx._constant}
            node = FunctionNode(cls, ctx, args, originals, outs)
            for k, (out, original) in enumerate(zip(outs, originals, strict=True)):
                if out.dtype.kind == "f" and id(original) not in constant:
                    out._edge, out._requires = (node, k), True
        return outs[0] if single else tuple(outs)


def _refuse_changed(cls: type[Function], args: tuple[Any, ...], versions: list[int]) -> None:
    for k, (arg, version) in enumerate(zip(args, versions, strict=True)):
        if isinstance(arg, Tensor) and arg._storage.version != version:
            raise GradientError(
                message(
                    f"{cls.__name__}.forward changed its argument {k} in place",
                    got=arg._describe(),
                    expected="arguments left as they are: the tape would not learn of the change",
                    at=user_line(),
                    created=False,
                    hint="change a copy, made with .clone(), and return it",
                )
            )


def _separate(cls: type[Function], out: Any, args: tuple[Any, ...]) -> Tensor:
    """An output as a tensor object of its own, also where `forward` returned an argument or a view of one."""
    if not isinstance(out, Tensor):
        raise _wrong(cls, "forward", type(out).__name__, "an eager tensor, or a tuple of them")
    shared = any(isinstance(a, Tensor) and a._storage is out._storage for a in args)
    made = Tensor(out._array, out._storage)
    made._sealed = shared
    return made


def _wrong(cls: type[Function], method: str, got: str, expected: str) -> GradientError:
    return GradientError(
        message(
            f"wrong return value of {cls.__name__}.{method}", got=got, expected=expected, at=user_line(), created=False
        )
    )


class FunctionNode(Node):
    """A recorded call of a `Function`."""

    __slots__ = ("cls", "ctx", "inputs", "own", "saved", "shapes")

    def __init__(
        self,
        cls: type[Function],
        ctx: Context,
        args: tuple[Any, ...],
        originals: Sequence[Tensor],
        outs: Sequence[Tensor],
    ):
        edges = tuple(edge_of(a) if n else None for a, n in zip(args, ctx.needs_input_grad, strict=True))
        super().__init__(edges, len(outs))
        self.cls, self.ctx = cls, ctx
        self.inputs = [(a.shape, a.dtype) if n else None for a, n in zip(args, ctx.needs_input_grad, strict=True)]
        self.shapes = [(o.shape, o.dtype) for o in outs]
        place = {id(a): e for a, e in zip(args, edges, strict=True) if e is not None}
        results = {id(o): k for k, o in enumerate(originals)}
        self.saved: list[Saved | None] | None = [None if t is None else save(t) for t in ctx._to_save]
        self.own: list[Edge | int | None] = [results.get(id(t), place.get(id(t))) for t in ctx._to_save]
        ctx._to_save, ctx._constant, ctx._node = (), (), weakref.ref(self)

    def name(self) -> str:
        return f"{self.cls.__name__}Backward"

    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The saved values, each checked and with its place on the tape where the backward pass is recorded."""
        if self.saved is None:
            raise freed(self)
        values: list[Tensor | None] = []
        for k, (saved, own) in enumerate(zip(self.saved, self.own, strict=True)):
            value = None if saved is None else restored(saved, self, f"saved tensor {k}")
            if value is not None:
                value._array  # noqa: B018 - reading it raises where it was changed
                if is_grad_enabled():
                    attach(value, (self, own) if isinstance(own, int) else own)
            values.append(value)
        return tuple(values)

    def pull(self, cts: list[Any], wanted: list[bool], create_graph: bool) -> Sequence[Any]:
        from .creation import zeros

        if self.saved is None:
            raise freed(self)
        full = [
            zeros(*shape, dtype=dtype) if ct is ZERO else ct
            for ct, (shape, dtype) in zip(cts, self.shapes, strict=True)
        ]
        bars = self.cls.backward(self.ctx, *full)
        listed = tuple(bars) if isinstance(bars, (tuple, list)) else (bars,)
        if len(listed) != len(self.inputs):
            raise _wrong(
                self.cls,
                "backward",
                count(len(listed), "gradient"),
                f"one (or None) for each of {count(len(self.inputs), 'argument')}",
            )
        return [self._checked(k, bar) for k, bar in enumerate(listed)]

    def _checked(self, k: int, bar: Any) -> Any:
        expected = self.inputs[k]
        if bar is None or expected is None:
            return None
        if not isinstance(bar, Tensor) or (bar.shape, bar.dtype) != expected:
            got = bar._describe() if isinstance(bar, Tensor) else type(bar).__name__
            want = f"{expected[1]}{list(expected[0])}"
            raise _wrong(self.cls, "backward", f"{got} for argument {k}", f"{want}, as the argument, or None")
        return bar

    def release(self) -> None:
        if self.own:
            self.saved = None
