"""The leaves of graphs: inputs, params (state), constants, and the value of a dim."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import keyword
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import DTypeError, InputError, ShapeError, message, shown, user_line
from . import dims
from .dims import DimLike, Shape
from .dtypes import INT64, SUPPORTED, DType, WeakScalar, as_dtype, check_fits
from .expr import Size, cast, lit
from .guard import Guard
from .lowering import Generate, Refused
from .op import Aval, Op, Require
from .tensor import Tensor, build

_uids = itertools.count()
_LEAF = Refused("it is a leaf: nothing flows through it")


class Uid:
    """The identity of an input: two inputs of one name and shape are still two inputs.

    function  the name of the Python function that is traced, where the input stands for an argument of it
    """

    __slots__ = ("function", "intern_key")

    def __init__(self, function: str | None = None) -> None:
        self.intern_key = next(_uids)
        self.function = function

    def __reduce__(self) -> Any:
        return Uid, ()


class Role(NamedTuple):
    """What a param is to the module that owns it.

    text  how such a param prints; a function of a module, so that it pickles
    """

    name: str
    text: Callable[[Param], str]


class ParamState:
    """The memory of a param, shared by every step that uses it.

    array    C-contiguous and never replaced, so that compiled steps can keep its address
    role     of a param that a module owns; None for one that `gc.param` made
    label    the name that its module gave it, which goes before the param's own
    leaf     what stands for it among eager tensors, see `eager.params`; None until then
    since    writes that were not those of steps under the present `guard`, see `version`
    set      how often the value was set, to the one it had before or another
    place    "cpu", or the device that steps are compiled for where nothing else is said, see `nn.Module.to`
    """

    __slots__ = (
        *("__weakref__", "array", "guard", "intern_key", "label", "leaf"),
        *("place", "role", "set", "since", "trainable"),
    )

    def __init__(
        self,
        array: np.ndarray,
        trainable: bool,
        role: Role | None = None,
        label: str | None = None,
        place: str = "cpu",
    ):
        self.array, self.place = array, place
        self.trainable = trainable
        self.role, self.label = role, label
        self.leaf: Any = None
        self.guard = Guard()
        self.since = self.set = 0
        self.intern_key = next(_uids)

    @property
    def version(self) -> int:
        """A number that grows with every write, by whoever; also where a step writes only params beside it."""
        return self.since + self.guard.writes[0]

    def read(self) -> np.ndarray:
        """A copy of the value, at a whole step."""
        while True:
            guard = self.guard
            with guard.reading():
                if guard is self.guard:  # else a step being compiled has just replaced it, see `guard.share`
                    return self.array.copy()

    def home(self) -> np.ndarray:
        """`array` itself, with the present value in it where that is newer on a device; waits for no step else."""
        if self.guard.away:
            with self.guard.reading():
                pass
        return self.array

    def write(self, value: np.ndarray) -> None:
        """Set the value between two steps."""
        with self.writing():
            self.array[...] = value
            self.set += 1

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Between two steps: nobody else reads or writes `array` inside this block."""
        while True:
            guard = self.guard
            with guard.writing():
                if guard is self.guard:
                    self.since += 1
                    yield
                    return

    def __reduce__(self) -> Any:
        return ParamState, (self.read(), self.trainable, self.role, self.label, self.place)


class ArrayData:
    """A constant's data: an owned read-only copy, keyed by dtype, shape and content."""

    __slots__ = ("__weakref__", "array", "intern_key")

    def __init__(self, array: np.ndarray):
        copy = np.array(array, order="C", copy=True, subok=False)
        copy.flags.writeable = False
        self.array = copy
        digest = hashlib.blake2b(copy.tobytes(), digest_size=16).digest()
        self.intern_key = (copy.dtype.str, copy.shape, digest)

    def __reduce__(self) -> Any:
        return ArrayData, (self.array,)


def _leaf_infer(require: Require, **attrs: Any) -> Aval:
    return Aval(attrs["shape"], attrs["dtype"])


def _const_infer(require: Require, data: ArrayData) -> Aval:
    return Aval(data.array.shape, data.array.dtype)


def _not_computed(**attrs: Any) -> Any:
    raise InputError(message("no value for a leaf", got=f"input {attrs.get('name')!r}", expected="an array for it"))


def _leaf(name: str, infer: Any, numpy: Any, lower: Any = _LEAF) -> Op:
    return Op(name, infer, numpy, lower, vjp=(), jvp=(), batch=_LEAF, sympy=_LEAF, traits=frozenset({"leaf"}))


INPUT = _leaf("input", _leaf_infer, _not_computed)
PARAM = _leaf("param", _leaf_infer, lambda state, **_: state.home())
CONSTANT = _leaf(
    "constant",
    _const_infer,
    lambda data: data.array,
    Generate(lambda index, shape, dtype, data: lit(data.array[()], dtype)),
)
DIM_VALUE = _leaf(
    "dim_value",
    lambda require, dim, dtype: Aval((), dtype),
    lambda dim, dtype: np.asarray(dim).astype(dtype),
    Generate(lambda index, shape, dtype, dim: cast(Size(dim), dtype)),
)
ROWS = (INPUT, PARAM, CONSTANT, DIM_VALUE)


_SHOWN = 60


def _short(array: np.ndarray, edge: int) -> str:
    """The elements on one line, of a large array `edge` of them at each end of each axis."""
    text = np.array2string(array, precision=4, separator=", ", threshold=2 * edge, edgeitems=edge)
    return _PADDING.sub("", " ".join(text.split()))


_NARROWS = "nothing narrows silently: convert it first, with .astype"


class Param(Tensor):
    """A tensor that owns state: `value` copies it out and in; a step with `updates` changes it in place.

    >>> param([1.0, 2.0], name="w")
    <Param 'w' float64[2], value [1., 2.]>
    """

    __slots__ = ()

    if TYPE_CHECKING:  # what `eager.params` puts here
        grad: Any
        data: Any
        requires_grad: bool

        def requires_grad_(self, requires_grad: bool = True) -> Param: ...
        def detach(self) -> Any: ...
        def numel(self) -> int: ...

    def __repr__(self) -> str:
        if self.state.role is not None:
            return self.state.role.text(self)
        texts = [_short(self.state.home(), edge) for edge in (3, 1)]  # a repr waits for no step under way here
        value = next((f", value {text}" for text in texts if len(text) <= _SHOWN), "")
        return f"<Param {self.name!r} {self.aval}{value}{'' if self.trainable else ', frozen'}>"

    @property
    def state(self) -> ParamState:
        return self.attrs["state"]

    @property
    def name(self) -> str:
        """What errors and generated code call it: as the module that owns it does, else as it was made."""
        return self.state.label or self.attrs["name"]

    @property
    def trainable(self) -> bool:
        """Whether optimisers should take it; settable: False freezes it."""
        return self.state.trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self.state.trainable = bool(value)

    @property
    def value(self) -> np.ndarray:
        """A copy of the current value."""
        return self.state.read()

    @value.setter
    def value(self, new: Any) -> None:
        state = self.state
        try:
            array = np.asarray(new)
        except Exception as error:
            if not hasattr(type(new), "__cuda_array_interface__"):
                raise
            raise InputError(
                message(
                    f"cannot set param {self.name!r}",
                    got=f"a {type(new).__name__} on a device",
                    expected=f"{state.array.dtype}{list(state.array.shape)} in the host's memory",
                    at=user_line(),
                    created=False,
                    hint="a.cpu() or a.get() copies it here",
                )
            ) from error
        want = Aval(state.array.shape, state.array.dtype)
        given = f"{array.dtype}{list(array.shape)}"
        if array.shape != want.shape:
            raise ShapeError(
                message(f"cannot set param {self.name!r}", got=given, expected=str(want), at=user_line(), created=False)
            )
        weak = isinstance(new, WeakScalar) and np.result_type(want.dtype, new) == want.dtype
        if not weak and not np.can_cast(array.dtype, want.dtype, "safe"):
            raise DTypeError(
                message(
                    f"cannot set param {self.name!r}",
                    got=given,
                    expected=str(want),
                    at=user_line(),
                    created=False,
                    hint=_NARROWS if array.dtype.kind in "biuf" else "",
                )
            )
        state.write(array)


def input(name: str, shape: Any = (), dtype: Any = "float64") -> Tensor:
    """A symbolic input of a step.

    name   what errors and generated code call it; any text is accepted and sanitised where it becomes code
    shape  ints and dim names: ``("batch", 3)`` takes any batch size at call time, without recompiling
    dtype  bool, an integer type, float32 or float64

    >>> import graphc as gc
    >>> gc.input("x", ("batch", 3), "float32")
    <Tensor 'x' input float32[batch, 3]>
    """
    if not isinstance(name, str) or not name.strip():
        raise InputError(
            message(
                "bad input name",
                got=shown(name),
                expected="a non-empty string",
                at=user_line(),
                created=False,
                hint="" if isinstance(name, str) else "the name comes first: gc.input('x', shape, dtype)",
            )
        )
    if isinstance(shape, str) and shape in [d.name for d in SUPPORTED]:
        raise ShapeError(
            message(
                f"input {name!r}: a dtype in the place of the shape",
                got=repr(shape),
                expected="a shape, then the dtype",
                at=user_line(),
                created=False,
                hint=f"gc.input({name!r}, (), {shape!r}) is 0-d",
            )
        )
    try:
        declared = {"shape": dims.as_shape(shape), "dtype": as_dtype(dtype)}
    except ShapeError as error:
        sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
        unknown = any(size is None or (type(size) is int and size == -1) for size in sizes)
        hint = "\n  hint: a name stands for a size that only a call knows: 'n'" if unknown and shape is not None else ""
        raise ShapeError(f"input {name!r}: {error}{hint}") from None
    except DTypeError as error:
        raise DTypeError(f"input {name!r}: {error}") from None
    return build(INPUT, (), {"name": name, "uid": Uid(), **declared})


def argument(name: str, shape: Shape, dtype: DType, function: str) -> Tensor:
    """The input that stands for an argument of a Python function called `function`, while that is traced."""
    return build(INPUT, (), {"name": name, "uid": Uid(function), "shape": shape, "dtype": dtype})


UNROLLED = 64
"""The largest size that tracing fixes because the function goes along an axis in Python."""


def function_of(node: Tensor) -> str | None:
    """The name of the traced function that `node` is an argument of; None for what is no argument."""
    return node.attrs["uid"].function if node.op is INPUT else None


def param(value: Any, name: str | None = None, trainable: bool = True, *, role: Role | None = None) -> Param:
    """State owned by the returned param: a step reads it, and updates it in place where `updates` says so.

    value      its first value; copied. A Python float or int becomes a 0-d float64 or int64
    name       what errors and generated code call it
    trainable  False freezes it for optimisers
    role       what it is to a module, see `gc.nn.Parameter` and `gc.nn.Buffer`

    >>> import graphc as gc
    >>> gc.param(0.5, name="w").value
    array(0.5)
    """
    array = _numbers(value.value if isinstance(value, Param) else value, "param")
    if name is not None and not isinstance(name, str):
        raise InputError(message("bad param name", got=repr(name), expected="a string", at=user_line(), created=False))
    if name in [d.name for d in SUPPORTED]:
        raise InputError(
            message(
                "a dtype in the place of a param's name",
                got=repr(name),
                expected="the value, then the name",
                at=user_line(),
                created=False,
                hint=f"the value has the dtype: gc.param(np.{'bool_' if name == 'bool' else name}(0.5), name)",
            )
        )
    array = np.array(array, dtype=as_dtype(array.dtype), order="C", copy=True)
    state = ParamState(array, bool(trainable), role)
    attrs = {"name": name or f"param{state.intern_key}", "state": state, "shape": array.shape, "dtype": array.dtype}
    return build(PARAM, (), attrs, Param)  # type: ignore[return-value]


class DimScalar:
    """A dim used as a number: a weak int whose value is known at call time."""

    def __init__(self, dim: Any):
        self.dim = dim


def constant(value: Any, dtype: Any = None) -> Tensor:
    """Data in the graph: a copy of `value`; a dim becomes its runtime value. Tensors are returned as they are.

    >>> constant([1.0, 2.0])
    <Tensor constant float64[2]>
    """
    if isinstance(value, Tensor):
        return value
    if isinstance(value, dims.Dim):
        value = DimScalar(value)
    wanted = None if dtype is None else as_dtype(dtype)
    if isinstance(value, DimScalar):
        return build(DIM_VALUE, (), {"dim": value.dim, "dtype": wanted or INT64})
    if wanted is not None and isinstance(value, WeakScalar):
        check_fits(value, wanted)
    array = _numbers(value, "constant")
    return build(CONSTANT, (), {"data": ArrayData(array.astype(wanted or as_dtype(array.dtype)))})


def _numbers(value: Any, what: str) -> np.ndarray:
    """`value` as an array of numbers; `DTypeError` for text, objects and lists of different lengths."""
    try:
        array = np.asarray(value)
        numbers = array.dtype.kind not in "OUSVMm"
    except ValueError:
        numbers = False
    if numbers:
        return array
    raise DTypeError(
        message(
            f"cannot make a {what}",
            got=shown(value),
            expected="a number or array of numbers",
            at=user_line(),
            created=False,
            hint="the value comes first: gc.param(value, name)" if what == "param" and isinstance(value, str) else "",
        )
    )


def dim_scalar(dim: DimLike, dtype: DType) -> Tensor:
    """The value of `dim` as a 0-d tensor of `dtype`."""
    if isinstance(dim, int):
        return constant(np.asarray(dim, dtype))
    return build(DIM_VALUE, (), {"dim": dim, "dtype": dtype})


def constant_value(node: Tensor) -> np.ndarray | None:
    """The data of a constant node, else None."""
    return node.attrs["data"].array if node.op is CONSTANT else None


_PADDING = re.compile(r"(?<=\[) +| +(?=[,\]])")
_WORD = re.compile(r"[^A-Za-z0-9_]+")


def identifier(name: str) -> str:
    """A safe Python identifier for a user's name: what is not a letter, digit or underscore becomes one underscore.

    >>> identifier("class"), identifier("a b'"), identifier("1x")
    ('class_', 'a_b_', '_1x')
    """
    text = _WORD.sub("_", name)
    if not text or text[0].isdigit():
        text = "_" + text
    return text + "_" if keyword.iskeyword(text) or keyword.issoftkeyword(text) else text
