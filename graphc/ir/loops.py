"""The loop IR: kernels as trees of loops over typed scalar statements, between the schedule and the printers.

A kernel is declarative about meaning (which axes map, which reduce, in which order values combine) and leaves to
the target's printer how loops become machine loops or threads. Library statements (`Dot`, `Argsort`) name what they
compute.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from .dims import DimLike, Shape
from .dtypes import DType
from .expr import Expr
from .tensor import Tensor

AXIS_KINDS = ("map", "reduce", "scan", "join")
"""What a loop does: independent elements, one result, a running one, one result out of those of chunks."""


@dataclass
class ArrayArg:
    """An array a kernel works on: C order, the given shape; `buffer` says which memory of the program it is."""

    name: str
    dtype: DType
    shape: Shape
    buffer: int
    written: bool = False


@dataclass
class Let:
    """``name = expr``: a value; `node` is the tensor it is the value of, for names and comments."""

    name: str
    expr: Expr
    node: Tensor | None = None


@dataclass
class AtOnce:
    """Functions of the same scalars, for all of them at once.

    args     the scalars, of one dtype
    results  by function: the values, element k that of ``args[k]``; each has the node of its own
    """

    args: tuple[Expr, ...]
    results: dict[str, list[Let]] = field(default_factory=dict)
    node: Tensor | None = None


@dataclass
class Store:
    """``array[index] = expr``."""

    array: str
    index: tuple[Expr, ...]
    expr: Expr
    node: Tensor | None = None


@dataclass
class Init:
    """``name = expr``: the start of an accumulator, changed by `Combine`."""

    name: str
    expr: Expr
    node: Tensor | None = None


@dataclass
class Combine:
    """``name = name (op) expr``; for argmax and argmin `position` is the index that goes with `expr`."""

    name: str
    op: str
    expr: Expr
    position: Expr | None = None
    node: Tensor | None = None


@dataclass
class StoreCombine:
    """``array[index] = array[index] (op) expr``: an accumulator that is an array."""

    array: str
    index: tuple[Expr, ...]
    op: str
    expr: Expr
    node: Tensor | None = None


@dataclass
class For:
    """A loop of `var` over 0 .. extent-1 (from the end if `reverse`); `kind` is what the axis does.

    chunked  it covers only the part of the chunk it stands in, see `Chunks`
    apart    an iteration writes nothing another touches, though positions in memory do not show it
    """

    var: str
    extent: DimLike
    kind: str
    body: list[Statement] = field(default_factory=list)
    reverse: bool = False
    chunked: bool = False
    apart: bool = False


@dataclass
class Chunks:
    """`body` for each chunk `var` in 0 .. count-1, in any order and at once: it writes nothing another chunk touches.

    Chunk c covers c * length <= i < min((c + 1) * length, extent) of the loop marked as chunked.
    """

    var: str
    count: DimLike
    length: DimLike
    extent: DimLike
    body: list[Statement] = field(default_factory=list)


@dataclass
class Finish:
    """`body` once, behind all chunks."""

    body: list[Statement] = field(default_factory=list)


@dataclass
class If:
    """`body` where `condition` holds."""

    condition: Expr
    body: list[Statement] = field(default_factory=list)


@dataclass
class Dot:
    """``out = x @ y`` for every batch index; operands are transposed where their flag says so.

    part  what of it is computed here. "whole": all. In a loop of `t`: "tile", the t-th tile of the result, as
          large as `schedule.chunks.tile_of` says, batch by batch, row of tiles by row. In `Chunks`, what belongs to
          its rows: "batch", these products of the batch; "rows", these rows of all results; "terms", into out[c],
          what these terms add to all results
    guard the operands whose zeros annihilate inf and nan, see `ops.guarded`
    x_batch, y_batch   where the batch's axis is not the first: on each axis that is no row or column, (divisor,
          modulus) of the batch's index b, which is there ``b // divisor % modulus``
    """

    x: str
    y: str
    out: str
    x_transposed: bool
    y_transposed: bool
    batched: bool
    sizes: tuple[DimLike, DimLike, DimLike]
    dtype: DType
    node: Tensor | None = None
    part: str = "whole"
    guard: str = ""
    x_batch: tuple[tuple[DimLike, DimLike | None] | None, ...] = ()
    y_batch: tuple[tuple[DimLike, DimLike | None] | None, ...] = ()


@dataclass
class Batches:
    """The elements of a chunk in batches of `most`: `body` for each of one, then `after` once for all of it.

    `var` is the number of the element, `place` that in its batch; `first` is that of the batch's first one, `count`
    how many it has.
    """

    var: str
    place: str
    first: str
    count: str
    most: int
    body: list[Statement] = field(default_factory=list)
    after: list[Statement] = field(default_factory=list)


Part = tuple[str, tuple[Expr, ...]]
"""An array, or the part of it behind a leading index."""
Number = DimLike | Expr | Shape


@dataclass
class MatrixStep:
    """A step of a convolution on whole arrays; the last of `parts` is what it writes. With the numbers it takes:

    unfold    ``columns[c * places + k, start + p] = x[c, p * stride + k * dilation]``: sizes of k and p, strides,
              dilations, start
    fold_back ``x[c, p * stride + k * dilation] += columns[c * places + k, p]``, from 0: the same but start
    beside    ``out[o, start + p] = x[o, p]``: start
    product   ``out = x @ y``, or ``x.T @ y``: which, columns; sizes known to choose tiles by (0: not known)
    products  ``out += x @ y.T``: columns; sizes; of which operands zeros annihilate inf and nan, two flags
    mended_product   what is nan in ``out = x @ y``, or ``x.T @ y``, is summed again under a guard: which, columns;
              two flags
    """

    what: str
    parts: tuple[Part, ...]
    numbers: tuple[Number, ...]
    node: Tensor | None = None


@dataclass
class Argsort:
    """``order = stable order of values``, nan last; `other` is scratch of the size of `order`.

    row  the leading index of the row that is sorted, where the three arrays have several
    """

    values: str
    order: str
    other: str
    descending: bool
    node: Tensor | None = None
    row: tuple[Expr, ...] = ()


@dataclass
class Finite:
    """Sets the kernel's error code if an element of `array` is nan or inf; stands alone in its kernel."""

    array: str
    node: Tensor | None = None


Loops = For | If | Chunks | Batches | Finish
Statement = Let | AtOnce | Store | Init | Combine | StoreCombine | Loops | Dot | MatrixStep | Argsort | Finite


@dataclass
class Kernel:
    """One kernel: its arrays, its body, and where its error codes come from.

    checks   gathers and scatters that can fail: the graph nodes, by number; the kernel reports the first that did
    finite   the node whose value the kernel tests for nan and inf, and does nothing else
    title    what it does, for headers
    """

    arrays: list[ArrayArg]
    body: list[Statement]
    checks: list[Tensor] = field(default_factory=list)
    finite: Tensor | None = None
    title: str = ""
    nodes: list[Tensor] = field(default_factory=list)

    @property
    def chunks(self) -> Chunks | None:
        """Its chunks, if it has any."""
        return next((s for s in self.body if isinstance(s, Chunks)), None)


def walk(body: list[Statement]) -> Iterator[Statement]:
    """Every statement, outer before inner, in order."""
    stack = list(reversed(body))
    while stack:
        statement = stack.pop()
        yield statement
        if isinstance(statement, Batches):
            stack.extend(reversed(statement.after))
        if isinstance(statement, Loops):
            stack.extend(reversed(statement.body))
