"""`Op`: the row type of the op table. Everything graphc knows about an op is a field of its row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from ..errors import ShapeError, message, user_line
from . import dims
from .dims import DimLike, Shape, shape_text
from .dtypes import DType
from .lowering import Lowering, Refused


class Aval(NamedTuple):
    """What is known of a value while building: its shape and dtype."""

    shape: Shape
    dtype: DType

    def __str__(self) -> str:
        return f"{self.dtype}{shape_text(self.shape)}"


class Check(NamedTuple):
    """A condition on sizes that only a call can decide: ``left == right`` (or another `relation`).

    what, hint   what an error says was expected, and what to do
    relation     "==", "!=" or ">="
    """

    left: DimLike
    right: DimLike
    what: str
    relation: str = "=="
    hint: str = ""

    def holds(self, env: Mapping[str, int]) -> bool:
        """Whether it does where named dims have these sizes."""
        left, right = dims.evaluate(self.left, env), dims.evaluate(self.right, env)
        return left == right if self.relation == "==" else left != right if self.relation == "!=" else left >= right


class Require:
    """Collects the conditions an op puts on its operands' sizes; raises at once where they are known to fail."""

    def __init__(self, op_name: str):
        self.op_name = op_name
        self.checks: list[Check] = []

    def equal(self, left: DimLike, right: DimLike, what: str) -> None:
        """`left` must equal `right`; `what` says of which operands and axes they are the sizes."""
        decided = dims.equal(left, right)
        if decided is False:
            raise self._refused(f"sizes {left} and {right}", what)
        if decided is None:
            self.checks.append(Check(left, right, what))

    def at_least(self, left: DimLike, least: int, what: str) -> None:
        if isinstance(left, int):
            if left < least:
                raise self._refused(f"size {left}", what)
        else:
            self.checks.append(Check(left, least, what, ">="))

    def differ(self, left: DimLike, right: DimLike, what: str, hint: str = "") -> None:
        """`left` must not equal `right`."""
        decided = dims.equal(left, right)
        if decided:
            raise self._refused(f"size {left}", what, hint)
        if decided is None:
            self.checks.append(Check(left, right, what, "!=", hint))

    def _refused(self, got: str, expected: str, hint: str = "") -> ShapeError:
        failed = f"cannot {self.op_name}"
        return ShapeError(message(failed, got=got, expected=expected, at=user_line(), created=False, hint=hint))


class Batching(NamedTuple):
    """What a batch rule is told.

    op       the row
    size     of the new leading axis
    batched  for each operand, whether it has that axis
    again    ``again(outputs, {tensor: batched tensor})``: the transformation itself, for rules that hold programs
    """

    op: Op
    size: DimLike
    batched: tuple[bool, ...]
    again: Callable[..., list[Any]]


Rule = Callable[..., Any]
Rules = Sequence[Rule | None] | Rule | Refused


class Arr(NamedTuple):
    """How a test makes an operand: uniform in [low, high] (floats), ints in the same range, or given `values`."""

    shape: tuple[int, ...] = (3, 4)
    low: float = -2.0
    high: float = 2.0
    dtype: str = "float64"
    values: Any = None


class Sample(NamedTuple):
    """One call of an op for the table-driven tests: operands, attrs, and whether derivatives exist there."""

    operands: tuple[Arr, ...]
    attrs: Mapping[str, Any] = MappingProxyType({})
    differentiable: bool = True


@dataclass(frozen=True, eq=False)
class Op:
    """A primitive. Rules call graphc's own functions, so they run on symbolic and eager tensors alike.

    name     the op's name, as the Array API spells it
    infer    ``infer(require, *avals, **attrs) -> Aval`` (a tuple of them if `multi`); raises with operand names
    numpy    ``numpy(*arrays, **attrs)``: the definition; dims in attrs are ints by then
    lower    see `ir.lowering`
    vjp      one rule per operand, ``rule(ct, out, *operands, **attrs) -> cotangent`` (None: it has none); or one
             callable giving all
    jvp      one rule per operand, ``rule(tangent, out, *operands, **attrs) -> contribution``; or one callable
             of the tuple of tangents
    batch    ``rule(how, *operands, **attrs)``: the op on many samples at once. Some operands have a new leading axis
             (`how`, a `Batching`, says which); so has the result
    sympy    ``sympy(sp, *symbols, **attrs)``: the mathematical meaning of one element; `sp` is the module
    samples  calls for the tests
    traits   facts passes may use: "commutative", "linear", "boolean", "random", "integer", "by position" ...
    """

    name: str
    infer: Callable[..., Any]
    numpy: Callable[..., Any]
    lower: Lowering
    vjp: Rules
    jvp: Rules
    batch: Callable[..., Any] | Refused
    sympy: Callable[..., Any] | Refused
    samples: tuple[Sample, ...] = ()
    traits: frozenset[str] = field(default_factory=frozenset)
    multi: bool = False
    tolerance: float = 1e-12

    def __repr__(self) -> str:
        return f"Op({self.name})"
