"""Params among eager tensors: the leaf that stands for a param, and what a `gc.Param` offers there.

A param is a leaf of graphs; its *eager leaf* is a tensor over the very memory of its value, made once and kept with its
state. Where an op meets a param, or an expression of params, beside an eager tensor, it computes at once, with the
leaf, and `backward` adds to ``param.grad``. So one model is traced and run eagerly, and a compiled step and an eager
optimiser change the same numbers: both under the guard of the param, and the tape notices either.

An eager op does not wait for a compiled step that another thread runs on the same params meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import GradientError, ShapeError, TraceError, message, shown, user_line
from ..ir.evaluate import evaluate
from ..ir.leaves import INPUT, PARAM, Param, ParamState
from ..ir.tensor import Tensor as Symbolic
from ..ir.traversal import depends_on, topological
from ..ops.common import describe
from .core import Storage, Tensor
from .modes import is_grad_enabled

_making = threading.Lock()
Apply = Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]


class ParamStorage(Storage):
    """The memory of a param. Its version is the state's, which compiled steps count up too."""

    __slots__ = ("state",)

    def __init__(self, state: ParamState):
        self.state = state

    @property
    def version(self) -> int:  # type: ignore[override]
        return self.state.version

    def write(self, array: np.ndarray, value: np.ndarray) -> None:
        with self.state.writing():
            np.copyto(array, value)

    def shared(self, array: np.ndarray) -> np.ndarray:
        """A copy: a step that were given this memory as an input would change what it reads."""
        with self.state.guard.reading():
            copy = array.copy()
        copy.flags.writeable = False
        return copy

    def exchange(self, tensor: Tensor, other: Tensor) -> None:
        """Steps keep the address of this memory, so it is the numbers that are replaced."""
        if other._array is tensor._array:
            return
        if other.shape != tensor.shape:
            raise ShapeError(
                message(
                    "cannot set .data of a param",
                    got=other._describe(),
                    expected=tensor._describe(),
                    at=user_line(),
                    created=False,
                )
            )
        self.write(tensor._array, other._array)


def leaf_of(param: Param) -> Tensor:
    """The eager leaf of `param`: always the same tensor, which requires a gradient while the param is trainable.

    >>> import graphc as gc
    >>> w = gc.param([1.0, 2.0])
    >>> leaf_of(w), leaf_of(w) is leaf_of(w)
    (tensor([1., 2.], dtype=float64, requires_grad=True), True)
    """
    state = param.state
    leaf = state.leaf
    if leaf is None:
        with _making:
            if state.leaf is None:
                state.leaf = Tensor(state.array, ParamStorage(state))
            leaf = state.leaf
    leaf._requires = state.trainable and state.home().dtype.kind == "f"
    return leaf


def as_leaf(value: Any) -> Any:
    """The eager leaf of a param; anything else as it is."""
    return leaf_of(value) if isinstance(value, Param) else value


def eager_value(value: Symbolic, apply: Apply) -> Tensor | None:
    """A symbolic tensor as an eager one: computed at once and recorded; None where it depends on inputs of a graph.

    apply   runs an op on eager tensors
    """
    if isinstance(value, Param):
        return leaf_of(value)
    order = topological([value])
    if any(node.op is INPUT for node in order):
        return None
    params = [node for node in order if node.op is PARAM]
    if not params:
        return Tensor(evaluate([value])[0].copy())
    varying = depends_on(order, params)
    constant = {node for node in order if node not in varying}
    needed = [node for node in order if node in constant and not node.op.multi]
    known: dict[Symbolic, Any] = dict(zip(needed, map(Tensor, evaluate(needed)), strict=True))
    for node in order:
        if node in varying:
            operands = tuple([known[i] for i in node.inputs])
            if node.op is PARAM:
                known[node] = leaf_of(node)  # type: ignore[arg-type]
            elif node.op.name == "item":
                known[node] = operands[0][node.attrs["index"]]
            else:
                known[node] = apply(node.op, operands, node.attrs)
    return known[value]


def mixed(value: Symbolic) -> TraceError:
    """The error for a tensor of a graph beside eager tensors."""
    return TraceError(
        message(
            "symbolic and eager tensors cannot be mixed",
            got=f"symbolic {describe(value)}, beside an eager tensor",
            at=user_line(),
            created=False,
            hint="data in a graph is a gc.input or a constant, e.numpy() of an eager tensor e; to compute at once, "
            "make all of them with gc.eager.tensor",
        )
    )


# what a param offers: PyTorch's names


def _grad(self: Param) -> Tensor | None:
    """The gradient that `backward` of an eager tensor accumulated, or None; settable."""
    return None if self.state.leaf is None else self.state.leaf.grad


def _set_grad(self: Param, value: Tensor | None) -> None:
    if value is not None or self.state.leaf is not None:
        leaf_of(self).grad = value


def _data(self: Param) -> Tensor:
    """The value as an eager tensor off the tape, over the same memory; settable: its numbers are copied."""
    return leaf_of(self).detach()


def _set_data(self: Param, value: Tensor) -> None:
    if not isinstance(value, Tensor) or value.dtype != self.dtype:
        name = self.name if (self.name or "").isidentifier() else "param"
        raise GradientError(
            message(
                f"cannot set .data of param {self.name!r}",
                got=value._describe() if isinstance(value, Tensor) else shown(value),
                expected=f"an eager tensor of dtype {self.dtype}",
                at=user_line(),
                created=False,
                hint=f"{name}.value = ... sets the value to an array of its shape, or a 0-d one to a number",
            )
        )
    leaf_of(self).data = value


def _requires_grad(self: Param) -> bool:
    """Whether eager gradients flow to it and optimisers take it: `trainable`, of a float dtype; settable."""
    return leaf_of(self)._requires


def _set_requires_grad(self: Param, value: bool) -> None:
    leaf_of(self).requires_grad = value  # refuses what is no float
    self.trainable = value


def requires_grad_(self: Param, requires_grad: bool = True) -> Param:
    """Set `requires_grad`; returns the param."""
    _set_requires_grad(self, requires_grad)
    return self


def detach(self: Param) -> Tensor:
    """The value as an eager tensor off the tape, over the same memory."""
    return _data(self)


def numel(self: Param) -> int:
    """Number of elements."""
    return int(self.state.array.size)


def _augmented(name: str) -> Callable[[Param, Any], Any]:
    """``p -= x``: in place beside an eager tensor, or under `no_grad`; else Python makes it ``p = p - x``."""

    def method(self: Param, other: Any) -> Any:
        eager = isinstance(other, Tensor) or not (is_grad_enabled() or isinstance(other, Symbolic))
        if not eager:
            return NotImplemented
        getattr(leaf_of(self), name)(other)
        return self

    method.__name__ = method.__qualname__ = name
    method.__doc__ = "In place beside an eager tensor or under `no_grad`; else a new tensor."
    return method


def _forwarded(name: str) -> Callable[..., Param]:
    def method(self: Param, *args: Any, **kwargs: Any) -> Param:
        getattr(leaf_of(self), name)(*args, **kwargs)
        return self

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"`{name}` of the eager leaf, in place; returns the param."
    return method


def install(cls: type, in_place: tuple[str, ...], augmented: tuple[str, ...]) -> None:
    """Put PyTorch's names on the class of params: `in_place` methods, and ``__isub__`` and its kin."""
    for name, get, put in (
        ("grad", _grad, _set_grad),
        ("data", _data, _set_data),
        ("requires_grad", _requires_grad, _set_requires_grad),
    ):
        setattr(cls, name, property(get, put, doc=get.__doc__))
    for method in (requires_grad_, detach, numel):
        setattr(cls, method.__name__, method)
    for name in in_place:
        setattr(cls, name, _forwarded(name))
    for name in augmented:
        setattr(cls, name, _augmented(name))
