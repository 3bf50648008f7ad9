"""Convolutions as kernels: image by image, as products of small matrices that stay in cache.

The windows of one image are unfolded into a matrix: a row for each channel and place in a window, a column for each
window. Its product with the weights is the convolution; the product of transposed weights with a result, folded back,
is the transposed one; products of results with it, added up over images, are the gradient by weights. Where a kernel is
only read (`plainly`), it is the sum that defines it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..ir import dims
from ..ir.dims import DimLike, Shape
from ..ir.expr import Expr, Load, Var, index, lit
from ..ir.loops import ArrayArg, Batches, Chunks, Combine, Finish, For, Init, MatrixStep, Statement, Store
from ..ir.lowering import Convolve
from ..ir.tensor import Tensor
from ..ops.guarded import EXCHANGED, sides
from .chunks import Chunking, image_chunks
from .convolution_layout import layout_of
from .convolution_sums import PlainConvolution
from .storage import is_view
from .units import Index, Unit
from .values import KernelWriter, Scope

VECTOR = 16
"""Columns of the unfolded windows come in multiples of this many: no row of them shares a vector with another one."""
BATCH_BYTES, MOST_IMAGES = 1 << 19, 8
"""Memory for the windows of images whose products are added at once, and how many those are at most."""
SLOT = Var("slot")
"""A number that no other call of the kernel has at the time: scratch memory of its own for each thread."""


def convolve(writer: KernelWriter, unit: Unit) -> None:
    """The kernel of a convolution, a transposed one, or the gradient of one by its weights."""
    if not writer.chunked or writer.policy.direct:
        PlainConvolution(writer, unit.node).write()
        return
    layout = layout_of(unit.node)
    cut = image_chunks(layout.sizes["n"], layout.work)
    chunks = Chunks("c", cut.count, cut.length, cut.extent)
    writer.kernel.body.append(chunks)
    behind = convolve_in_chunks(writer, unit, cut, chunks.body)
    if behind:
        writer.kernel.body.append(Finish(behind))


def convolve_in_chunks(writer: KernelWriter, unit: Unit, cut: Chunking, body: list[Statement]) -> list[Statement]:
    """The part of a convolution that belongs to a chunk of images, in `body`; what is to be done behind the last chunk.

    Those images of the result; or what they add to the gradient by weights.
    """
    lower = unit.node.op.lower
    assert isinstance(lower, Convolve)
    kinds: dict[str, type[_Blocked]] = {"y": _Forward, "x": _Transposed, "w": _ByWeights}
    return kinds[lower.result](writer, unit.node, cut, body).write()


# by products of matrices


class _Blocked:
    """What the three have in common: memory, loops over images and groups, operands in memory."""

    def __init__(self, writer: KernelWriter, node: Tensor, cut: Chunking, body: list[Statement]):
        self.writer, self.node, self.dtype, self.cut = writer, node, node.dtype, cut
        self.guard = node.attrs.get("guard", "")
        self.layout = layout_of(node)
        sizes = self.layout.sizes
        self.n, self.g, self.o, self.c = (sizes[k] for k in "ngoc")
        self.places = dims.product(self.layout.w) * self.c
        self.windows = dims.product(self.layout.y)
        self.columns = dims.ceildiv(self.windows, VECTOR) * VECTOR
        self.root = Scope(body, 0, writer.root)

    def write(self) -> list[Statement]:
        """Write the chunk; returns what is to be done behind the last one."""
        raise NotImplementedError

    def scratch(self, shape: Shape, label: str) -> ArrayArg:
        """Memory of this shape for each call that may run at once."""
        whole = (self.cut.most, *shape)
        number = self.writer.buffers.new("temp", self.dtype, dims.product(whole), label=label)
        return self.writer.array(number, whole, self.dtype, True)

    def result(self, shape: Shape) -> ArrayArg:
        return self.writer.array(self.writer.buffers.of(self.node), shape, self.dtype, True)

    def direct(self, operand: Tensor, shape: Shape) -> ArrayArg | None:
        """An operand that stands in memory, seen under `shape`."""
        base = operand
        while base not in self.writer.stored and is_view(base) and base.op.name == "reshape":
            base = base.inputs[0]
        if base not in self.writer.stored:
            return None
        return self.writer.array(self.writer.buffers.of(base), shape, self.dtype)

    def loops(self, scope: Scope, shape: Shape, action: Callable[[Scope, Index], None]) -> None:
        """Loops over `shape` inside `scope` around ``action(scope, index)``."""
        first = scope.rank
        for size in shape:
            scope = self.writer.open(scope, size, "map")
        action(scope, tuple(Var(f"i{k}") for k in range(first, scope.rank)))
        for _ in shape:
            scope = self.writer.close(scope)

    def images(self) -> Scope:
        """The loop over the images of a chunk."""
        scope = self.writer.open(self.root, self.n, "map")
        loop = scope.memo["loop"]
        assert isinstance(loop, For)
        loop.chunked = True
        return scope

    def copied(self, scope: Scope, operand: Tensor, before: Index, spatial: int, target: ArrayArg, to: Index) -> None:
        """Fill ``target[to]`` with what stands behind the leading index `before` of an operand.

        The last `spatial` axes of `target` are the operand's, with leading ones.
        """
        shape = operand.shape[len(before) :]
        real = len(operand.shape) - 3

        def element(inner: Scope, at: Index) -> None:
            value = self.writer.value(operand, (*before, *at), inner)
            channels, places = at[: len(at) - real], at[len(at) - real :]
            filled = (*[index(0)] * (spatial - real), *places) if spatial else places
            inner.body.append(Store(target.name, (*to, *channels, *filled), value, self.node))

        self.loops(scope, shape, element)

    def results(self, scope: Scope, y: Tensor, at: Index) -> tuple[ArrayArg, Index]:
        """The result's matrix [o, windows] for one image and group."""
        found = self.direct(y, (self.n, self.g, self.o, self.windows))
        if found is not None:
            return found, at
        packed = self.scratch((self.o, *self.layout.y), "result")
        self.copied(scope, y, at, 3, packed, (SLOT,))
        return self.writer.array(packed.buffer, (self.cut.most, self.o, self.windows), self.dtype), (SLOT,)

    def weights(self) -> tuple[ArrayArg, Index]:
        """The weights as a matrix for each group."""
        w = self.node.inputs[1]
        shape = (self.g, self.o, self.places)
        found = self.direct(w, shape)
        if found is not None:
            return found, ()
        inner = (self.g, self.o, self.c, *self.layout.w)
        target = self.scratch(inner, "weights")
        self.copied(self.root, w, (), 3, target, (SLOT,))
        return self.writer.array(target.buffer, (self.cut.most, *shape), self.dtype), (SLOT,)

    def framed(self, operand: Tensor) -> ArrayArg | None:
        """Memory for an image and the zeros around it, which are written once a chunk; None where no image needs it."""
        layout = self.layout
        if layout.inside and self.direct(operand, self.layout.shape("ngc", layout.x)) is not None:
            return None
        frame = self.scratch((self.c, *layout.frame), "image")
        zero = lit(0, self.dtype)
        if not layout.inside:
            self.loops(
                self.root,
                (self.c, *layout.frame),
                lambda inner, at: inner.body.append(Store(frame.name, (SLOT, *at), zero, self.node)),
            )
        return frame

    def image(self, scope: Scope, operand: Tensor, frame: ArrayArg | None, at: Index) -> tuple[ArrayArg, Index]:
        """One image of one group as an array [c, *places]."""
        layout = self.layout
        if frame is None:
            found = self.direct(operand, layout.shape("ngc", layout.x))
            assert found is not None
            return found, at
        low = layout.low[3 - (len(operand.shape) - 3) :]

        def element(inner: Scope, place: Index) -> None:
            value = self.writer.value(operand, (*at, *place), inner)
            c, *spatial = place
            moved = [i + index(a) for i, a in zip(spatial, low, strict=True)]
            filled = (*[index(0)] * (3 - len(moved)), *moved)
            inner.body.append(Store(frame.name, (SLOT, c, *filled), value, self.node))

        self.loops(scope, operand.shape[2:], element)
        return frame, (SLOT,)

    def unfold(self, scope: Scope, image: tuple[ArrayArg, Index], columns: tuple[ArrayArg, Index], start: Expr) -> None:
        """The windows of an image as columns from `start` on."""
        layout = self.layout
        self.step(scope, "unfold", [image, columns], (layout.w, layout.y, layout.strides, layout.dilations, start))

    def step(self, scope: Scope, what: str, arrays: Sequence[tuple[ArrayArg, Index]], numbers: tuple) -> None:
        parts = tuple((array.name, at) for array, at in arrays)
        scope.body.append(MatrixStep(what, parts, numbers, self.node))

    def product(self, scope: Scope, arrays: Sequence[tuple[ArrayArg, Index]], transposed: bool, rows: DimLike) -> None:
        """A product of weights (right in the node) and columns or results (left) of `rows` rows, under the guard."""
        self.step(scope, "product", arrays, (transposed, self.windows, *self.shape_hint(rows, self.windows)))
        if self.guard:
            left, right = sides(EXCHANGED[self.guard])
            self.step(scope, "mended_product", arrays, (transposed, self.windows, left, right))

    def shape_hint(self, rows: DimLike, columns: DimLike) -> tuple[int, int]:
        """Sizes that are known, or 0: tiles are chosen by them."""
        return (rows if isinstance(rows, int) else 0, columns if isinstance(columns, int) else 0)


class _Forward(_Blocked):
    """``y[n, g] = w[g] @ windows of x[n, g]``."""

    def write(self) -> list[Statement]:
        writer, layout = self.writer, self.layout
        x = self.node.inputs[0]
        w, w_at = self.weights()
        whole = self.direct(x, (self.n, self.g, self.c, self.windows)) if layout.pointwise else None
        frame = self.framed(x) if whole is None else None
        y = self.result((self.n, self.g, self.o, self.windows))
        scope = self.images()
        group = writer.open(scope, self.g, "map")
        at = (Var("i0"), Var("i1"))
        columns = (whole, at) if whole is not None else self.windows_of(group, x, frame, at)
        self.product(group, [(w, (*w_at, at[1])), columns, (y, at)], False, self.o)
        writer.close(writer.close(group))
        return []

    def windows_of(self, scope: Scope, x: Tensor, frame: ArrayArg | None, at: Index) -> tuple[ArrayArg, Index]:
        """The matrix of windows of one image."""
        image = self.image(scope, x, frame, at)
        columns = self.scratch((self.places, self.columns), "windows"), (SLOT,)
        self.unfold(scope, image, columns, index(0))
        return columns


class _Transposed(_Blocked):
    """``x[n, g] = folded w[g].T @ y[n, g]``."""

    def write(self) -> list[Statement]:
        writer, layout, node = self.writer, self.layout, self.node
        y = node.inputs[0]
        w, w_at = self.weights()
        scope = self.images()
        group = writer.open(scope, self.g, "map")
        at = (Var("i0"), Var("i1"))
        given = self.results(group, y, at)
        if layout.pointwise:
            x = self.result((self.n, self.g, self.c, self.windows))
            self.product(group, [(w, (*w_at, at[1])), given, (x, at)], True, self.places)
        else:
            columns = self.scratch((self.places, self.columns), "windows"), (SLOT,)
            self.product(group, [(w, (*w_at, at[1])), given, columns], True, self.places)
            self.fold(group, columns, at)
        writer.close(writer.close(group))
        return []

    def fold(self, scope: Scope, columns: tuple[ArrayArg, Index], at: Index) -> None:
        """Add the columns up where windows overlap; of the frame, the image is the result."""
        layout = self.layout
        numbers = (layout.w, layout.y, layout.strides, layout.dilations)
        x = self.result((self.n, self.g, self.c, *layout.x))
        if layout.inside:
            self.step(scope, "fold_back", [columns, (x, at)], numbers)
            return
        frame = self.scratch((self.c, *layout.frame), "image")
        self.step(scope, "fold_back", [columns, (frame, (SLOT,))], numbers)

        def element(inner: Scope, place: Index) -> None:
            c, *spatial = place
            moved = [i + index(a) for i, a in zip(spatial, layout.low, strict=True)]
            value = Load(frame.name, (SLOT, c, *moved), self.dtype)
            inner.body.append(Store(x.name, (*at, *place), value, self.node))

        self.loops(scope, (self.c, *layout.x), element)


class _ByWeights(_Blocked):
    """``w[g] = sum over n of y[n, g] @ windows of x[n, g], transposed``: each chunk has a sum of its own."""

    def write(self) -> list[Statement]:
        writer = self.writer
        y, x = self.node.inputs
        together = self.together()
        parts = self.parts()
        zero, part = lit(0, self.dtype), (Var("c"),)
        shape = (self.g, self.o, self.places)
        self.loops(
            self.root,
            shape,
            lambda inner, at: inner.body.append(Store(parts.name, (*part, *at), zero, self.node)),
        )
        frame = self.framed(x)
        batches = Batches("i0", "u", "q", "used", together)
        image = Scope(batches.body, 1, self.root)
        group = writer.open(image, self.g, "map")
        at, place = (Var("i0"), Var("i1")), Var("u") * index(self.windows)
        width = dims.ceildiv(together * self.windows, VECTOR) * VECTOR
        columns = self.scratch((self.g, self.places, width), "windows")
        results = self.scratch((self.g, self.o, width), "results")
        self.unfold(group, self.image(group, x, frame, at), (columns, (SLOT, at[1])), place)
        given = self.results(group, y, at)
        self.step(group, "beside", [given, (results, (SLOT, at[1]))], (place,))
        writer.close(group)
        after = Scope(batches.after, 1, self.root)
        group = writer.open(after, self.g, "map")
        arrays = [(results, (SLOT, at[1])), (columns, (SLOT, at[1])), (parts, (*part, at[1]))]
        numbers = (Var("used") * index(self.windows), *self.shape_hint(self.o, self.places), *sides(self.guard))
        self.step(group, "products", arrays, numbers)
        writer.close(group)
        self.root.body.append(batches)
        return self.join(parts, shape)

    def together(self) -> int:
        """How many images are unfolded before products are added: adding up the lanes of vectors is dear."""
        size = self.g * (self.places + self.o) * self.windows * self.dtype.itemsize
        if not isinstance(size, int):
            return 1
        return max(1, min(MOST_IMAGES, BATCH_BYTES // max(size, 1)))

    def parts(self) -> ArrayArg:
        shape = (self.cut.most, self.g, self.o, self.places)
        number = self.writer.buffers.new("temp", self.dtype, dims.product(shape), label="parts of weights")
        return self.writer.array(number, shape, self.dtype, True)

    def join(self, parts: ArrayArg, shape: Shape) -> list[Statement]:
        """Behind the last chunk, the sums of all chunks are added in order."""
        behind: list[Statement] = []
        total = self.result(shape)

        def element(inner: Scope, at: Index) -> None:
            name = self.writer.name("s")
            inner.body.append(Init(name, lit(0, self.dtype), self.node))
            loop = For("c", self.cut.count, "join")
            part = Load(parts.name, (Var("c"), *at), self.dtype)
            loop.body.append(Combine(name, "add", part, None, self.node))
            inner.body.append(loop)
            inner.body.append(Store(total.name, at, Var(name, self.dtype), self.node))

        self.loops(Scope(behind, 0, self.writer.root), shape, element)
        return behind
