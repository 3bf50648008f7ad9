"""`Tensor`: an array computed at once, and its place on the tape.

What a tensor is made of: an array; a `Storage` that all arrays over one memory share and that counts their in-place
changes; the edge to the tape node that computed it; and, for a view, the tensor it is a view of and the way from there.
The methods that are ops, views or conversions are installed by `surface`, `handling` and `inplace`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from ..errors import GradientError, message, user_line
from ..ir.dims import shape_text
from ..ir.op import Op

if TYPE_CHECKING:
    from .tape import Node

Edge = Union["tuple[Node, int]", "Tensor"]
"""Where a gradient goes: an output of a node, or a leaf that accumulates it."""


class Storage:
    """The memory of an array and of all views of it: counts the in-place changes."""

    __slots__ = ("version",)

    def __init__(self) -> None:
        self.version = 0

    def write(self, array: np.ndarray, value: np.ndarray) -> None:
        """Copy `value` into `array`, which is in this memory."""
        np.copyto(array, value)
        self.version += 1

    def shared(self, array: np.ndarray) -> np.ndarray:
        """`array`, which is in this memory, for the user's hands."""
        return array

    def exchange(self, tensor: Tensor, other: Tensor) -> None:
        """Let `tensor`, which has this memory, have that of `other`."""
        tensor._array, tensor._storage = other._array, other._storage


class Tensor:
    """A tensor of the define-by-run engine. Make one with `eager.tensor`, or from others by expressions.

    shape, dtype, ndim   as a NumPy array has them
    requires_grad        whether gradients flow to it: set on leaves, contagious from there
    grad                 the gradient accumulated on a leaf by `backward`, or None
    grad_fn              the tape node that computed it; None for a leaf
    is_leaf              whether the user made it (or nothing recorded computed it)
    """

    _array: np.ndarray
    _storage: Storage
    _requires: bool = False
    _edge: Edge | None = None
    _grad: Tensor | None = None
    _base: Tensor | None = None  # of a view: the tensor it is a view of, itself none
    _chain: Any = None  # of a view: how it comes from its base, linked cells (earlier cells, op, attrs)
    _history: int = 0  # of a base: how many recorded in-place changes gave it and its views a new history
    _seen: int = 0  # of a view: the history of the base that its edge belongs to
    origin: Any = None  # of a result handed to a derivative rule: its node, which knows the user's line
    _sealed: bool = False  # a view made under no_grad: its base would not learn of a recorded change

    def __init__(self, array: np.ndarray, storage: Storage | None = None):
        if type(array) is not np.ndarray:
            raise TypeError(message("Tensor(...)", got=type(array).__name__, expected="eager.tensor(data)"))
        self._array = array
        self._storage = storage or Storage()

    shape = property(lambda self: self._array.shape, doc="Sizes of the axes, a tuple of ints.")
    dtype = property(lambda self: self._array.dtype, doc="The NumPy dtype.")
    ndim = property(lambda self: self._array.ndim, doc="Number of axes.")

    __hash__ = object.__hash__  # identity, though `==` compares elementwise

    if TYPE_CHECKING:  # what `surface.install` puts here

        def __getattr__(self, name: str) -> Any: ...
        def __getitem__(self, key: Any) -> Tensor: ...

    def _refresh(self) -> None:
        """A view whose base was changed in place since takes its place on the tape anew."""
        base = self._base
        if base is not None and self._seen != base._history:
            from .engine import rederive

            self._edge, self._requires, self._seen = *rederive(base, self._chain), base._history

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor."""
        self._refresh()
        return self._requires

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value == self.requires_grad:
            return
        if not self.is_leaf:
            raise GradientError(
                message(
                    f"cannot set requires_grad={bool(value)} on a tensor that was computed",
                    got=repr(self.grad_fn),
                    expected="a leaf",
                    at=user_line(),
                    created=False,
                    hint="take it off the tape with .detach()",
                )
            )
        if value and self.dtype.kind != "f":
            raise GradientError(
                message(
                    "cannot require a gradient",
                    got=self._describe(),
                    expected="float32 or float64",
                    at=user_line(),
                    created=False,
                    hint="convert it first, with .float() or .double()",
                )
            )
        self._requires = bool(value)

    @property
    def grad_fn(self) -> Node | None:
        """The tape node that computed this tensor, `<MulBackward>` for a product; None for a leaf."""
        self._refresh()
        return self._edge[0] if type(self._edge) is tuple else None

    @property
    def is_leaf(self) -> bool:
        """Whether nothing recorded computed this tensor: it is where gradients end."""
        return self.grad_fn is None

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `backward` accumulated here; settable to None or to a tensor of this shape and dtype."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        fits = value is None or (isinstance(value, Tensor) and (value.shape, value.dtype) == (self.shape, self.dtype))
        if not fits:
            raise GradientError(
                message(
                    "cannot set .grad",
                    got=value._describe() if isinstance(value, Tensor) else type(value).__name__,
                    expected=f"None or an eager tensor {self._describe()}",
                    at=user_line(),
                    created=False,
                )
            )
        self._grad = value

    @property
    def data(self) -> Tensor:
        """The same memory off the tape, as `detach` gives it; settable to another tensor's memory."""
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor) or value.dtype != self.dtype or self._base is not None:
            raise GradientError(
                message(
                    "cannot set .data",
                    got=value._describe() if isinstance(value, Tensor) else type(value).__name__,
                    expected=f"an eager tensor of dtype {self.dtype}"
                    + ("" if self._base is None else ", on a tensor that is not a view"),
                    at=user_line(),
                    created=False,
                )
            )
        self._storage.exchange(self, value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set `requires_grad` of a leaf; returns the tensor itself."""
        self.requires_grad = requires_grad
        return self

    def retain_grad(self) -> None:
        """Let `backward` keep the gradient of this computed tensor in `.grad`, as it does for leaves."""
        if not self.requires_grad:
            raise GradientError(
                message("cannot retain a gradient", got="a tensor that requires none", at=user_line(), created=False)
            )
        if type(self._edge) is tuple:
            node, index = self._edge
            node.retained = {**(node.retained or {}), index: weakref.ref(self)}

    def detach(self) -> Tensor:
        """A tensor over the same memory that is off the tape: no gradient flows through it.

        In-place changes of one show in the other, and `backward` notices them.
        """
        return Tensor(self._array, self._storage)

    def backward(self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False) -> None:
        """Add the gradient of this tensor to `.grad` of every leaf it was computed from.

        gradient      the cotangent to start from, of this tensor's shape; may be left out for a one-element tensor
        retain_graph  keep the saved values, for another backward (default: as `create_graph`)
        create_graph  record the backward pass too, so that gradients can be differentiated again

        `GradientError` where there is nothing to differentiate, where the saved values were freed by an earlier
        backward, and where a value that a derivative needs was changed in place.

        >>> from graphc import eager
        >>> w = eager.tensor([1.0, 2.0], requires_grad=True)
        >>> (w * w).sum().backward()
        >>> w.grad
        tensor([2., 4.])
        """
        from .backward import backward

        backward([self], [gradient], retain_graph, create_graph)

    def _describe(self) -> str:
        return f"{self.dtype}{shape_text(self.shape)}"

    def __repr__(self) -> str:
        from .printing import tensor_text

        return tensor_text(self)

    def __reduce__(self) -> Any:
        return _unpickle, (self._array.copy(), self.requires_grad and self.is_leaf)


def edge_of(tensor: Tensor) -> Edge:
    """Where gradients of `tensor` go: its edge, or itself if it is a leaf."""
    edge = tensor._edge
    return tensor if edge is None else edge


class Absent(Tensor):
    """Stands in a derivative rule for an operand whose value is gone: has a shape and dtype; reading it raises.

    Rules that need sizes only never notice; so nothing is refused, and nothing kept, that no rule reads.
    """

    def __init__(self, shape: Any, dtype: np.dtype, error: Callable[[], GradientError]):
        self._shape, self._dtype, self._error = shape, dtype, error

    shape = property(lambda self: self._shape)
    dtype = property(lambda self: self._dtype)
    ndim = property(lambda self: len(self._shape))

    @property
    def _array(self) -> np.ndarray:  # type: ignore[override]
        raise self._error()


def _unpickle(array: np.ndarray, requires_grad: bool) -> Tensor:
    made = Tensor(array)
    made._requires = requires_grad
    return made


def backward_name(op: Op, attrs: dict[str, Any]) -> str:
    """What `grad_fn` calls `op`: the names people know from PyTorch where there is one.

    >>> from graphc.ops.table import OPS
    >>> backward_name(OPS["multiply"], {}), backward_name(OPS["exp"], {})
    ('MulBackward', 'ExpBackward')
    """
    if op.name == "copy_slices":
        return "CopySlices" if attrs["chain"] else "CopyBackward"
    word = _KNOWN.get(op.name) or "".join(part.capitalize() for part in op.name.split("_"))
    return f"{word}Backward"


_KNOWN = {
    "multiply": "Mul",
    "subtract": "Sub",
    "divide": "Div",
    "negative": "Neg",
    "power": "Pow",
    "contract": "Mm",
    "broadcast_to": "Expand",
    "permute_dims": "Permute",
    "reshape": "View",
    "concat": "Cat",
    "astype": "ToCopy",
    "gather": "Index",
    "scatter_add": "IndexAdd",
}
