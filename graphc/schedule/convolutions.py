"""Convolutions as kernels: image by image, as products of small matrices that stay in cache.

The windows of one image are unfolded into a matrix: a row for each channel and place in a window, a column for each
window. Its product with the weights is the convolution; the product of transposed weights with a result, folded back,
is the transposed one; products of results with it, added up over images, are the gradient by weights. Where a kernel is
only read (`plainly`), it is the sum that defines it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..ir import dims
from ..ir.dims import DimLike, Shape
from ..ir.expr import Expr, Load, Var, call, index, lit
from ..ir.loops import ArrayArg, Batches, Chunks, Combine, Finish, For, If, Init, MatrixStep, Statement, Store
from ..ir.lowering import Alias, Convolve, Gather, Map, View
from ..ir.tensor import Tensor
from ..ops.guarded import EXCHANGED, sides
from .chunks import Chunking, image_chunks
from .products import guarded_term
from .storage import is_view
from .units import Index, Unit
from .values import KernelWriter, Scope

VECTOR = 16
"""Columns of the unfolded windows come in multiples of this many: no row of them shares a vector with another one."""
BATCH_BYTES, MOST_IMAGES = 1 << 19, 8
"""Memory for the windows of images whose products are added at once, and how many those are at most."""
FIRST = Var("first")
"""The first chunk of this call of a kernel: scratch memory of its own for each thread."""


@dataclass(frozen=True)
class Layout:
    """The sizes of a convolution, spatial axes filled up with leading ones to three."""

    sizes: dict[str, DimLike]  # n, g, o, c
    y: Shape
    x: Shape
    w: Shape
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    low: tuple[int, ...]

    @property
    def reach(self) -> Shape:
        """How many places windows cover along each axis, from -low on."""
        return tuple(
            _larger((p - 1) * s + (k - 1) * d + 1, 0)
            for p, k, s, d in zip(self.y, self.w, self.strides, self.dilations, strict=True)
        )

    @property
    def inside(self) -> bool:
        """Whether windows never reach beyond the image."""
        ends = zip(self.x, self.reach, self.low, strict=True)
        return not any(self.low) and all(dims.nonnegative(n - r + a) for n, r, a in ends)

    @property
    def frame(self) -> Shape:
        """Room for the image and all that windows reach."""
        return tuple(a + _larger(n, r - a) for n, r, a in zip(self.x, self.reach, self.low, strict=True))

    @property
    def work(self) -> DimLike:
        """Multiplications for one image."""
        places = dims.product(self.w) * dims.product(self.y)
        return self.sizes["g"] * self.sizes["o"] * self.sizes["c"] * places

    @property
    def pointwise(self) -> bool:
        """Whether every window is one place, and every place a window."""
        return self.inside and set(self.w) == {1} == set(self.strides) and self.x == self.y

    def shape(self, letters: str, spatial: Shape) -> Shape:
        return (*[self.sizes[c] for c in letters], *spatial)


def _larger(a: DimLike, b: DimLike) -> DimLike:
    if isinstance(a, int) and isinstance(b, int):
        return max(a, b)
    return b + dims.max0(a - b)


def layout_of(node: Tensor) -> Layout:
    """The layout of a convolution's node."""
    lower = node.op.lower
    assert isinstance(lower, Convolve)
    a, b = node.inputs
    y, x, w = {"y": (node, a, b), "x": (a, node, b), "w": (a, b, node)}[lower.result]
    missing = 6 - len(y.shape)

    def filled(spatial: tuple, value: int) -> tuple:
        return (*[value] * missing, *spatial)

    attrs = node.attrs
    return Layout(
        {"n": x.shape[0], "g": w.shape[0], "o": w.shape[1], "c": w.shape[2]},
        filled(y.shape[3:], 1),
        filled(x.shape[3:], 1),
        filled(w.shape[3:], 1),
        filled(attrs["strides"], 1),
        filled(attrs["dilations"], 1),
        filled(attrs["low"], 0),
    )


def by_image(node: Tensor) -> bool:
    """Whether an image of a convolution's value is complete once its loops have come to that image."""
    lower = node.op.lower
    assert isinstance(lower, Convolve)
    return lower.result != "w"


def reads_as_weights(node: Tensor, operand: Tensor) -> bool:
    """Whether a convolution's weights are computed from `operand` as they are read: all belong to every image."""
    if not by_image(node):
        return False
    stack, seen = [node.inputs[1]], set()
    while stack:
        one = stack.pop()
        if one is operand:
            return True
        if one not in seen and isinstance(one.op.lower, (Alias, Gather, Map, View)):
            seen.add(one)
            stack.extend(one.inputs)
    return False


def convolve(writer: KernelWriter, unit: Unit) -> None:
    """The kernel of a convolution, a transposed one, or the gradient of one by its weights."""
    if not writer.chunked:
        _Plain(writer, unit.node).write()
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
        self.copied(scope, y, at, 3, packed, (FIRST,))
        return self.writer.array(packed.buffer, (self.cut.most, self.o, self.windows), self.dtype), (FIRST,)

    def weights(self) -> tuple[ArrayArg, Index]:
        """The weights as a matrix for each group."""
        w = self.node.inputs[1]
        shape = (self.g, self.o, self.places)
        found = self.direct(w, shape)
        if found is not None:
            return found, ()
        inner = (self.g, self.o, self.c, *self.layout.w)
        target = self.scratch(inner, "weights")
        self.copied(self.root, w, (), 3, target, (FIRST,))
        return self.writer.array(target.buffer, (self.cut.most, *shape), self.dtype), (FIRST,)

    def framed(self, operand: Tensor) -> ArrayArg | None:
        """Memory for an image and the zeros around it, which are written once; None where no image needs it."""
        layout = self.layout
        if layout.inside and self.direct(operand, self.layout.shape("ngc", layout.x)) is not None:
            return None
        frame = self.scratch((self.c, *layout.frame), "image")
        zero = lit(0, self.dtype)
        if not layout.inside:
            self.loops(
                self.root,
                (self.c, *layout.frame),
                lambda inner, at: inner.body.append(Store(frame.name, (FIRST, *at), zero, self.node)),
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
            inner.body.append(Store(frame.name, (FIRST, c, *filled), value, self.node))

        self.loops(scope, operand.shape[2:], element)
        return frame, (FIRST,)

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
        columns = self.scratch((self.places, self.columns), "windows"), (FIRST,)
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
            columns = self.scratch((self.places, self.columns), "windows"), (FIRST,)
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
        self.step(scope, "fold_back", [columns, (frame, (FIRST,))], numbers)

        def element(inner: Scope, place: Index) -> None:
            c, *spatial = place
            moved = [i + index(a) for i, a in zip(spatial, layout.low, strict=True)]
            value = Load(frame.name, (FIRST, c, *moved), self.dtype)
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
        self.unfold(group, self.image(group, x, frame, at), (columns, (FIRST, at[1])), place)
        given = self.results(group, y, at)
        self.step(group, "beside", [given, (results, (FIRST, at[1]))], (place,))
        writer.close(group)
        after = Scope(batches.after, 1, self.root)
        group = writer.open(after, self.g, "map")
        arrays = [(results, (FIRST, at[1])), (columns, (FIRST, at[1])), (parts, (*part, at[1]))]
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


# by its definition


class _Plain:
    """The sum that defines an element, in loops over the axes of the result."""

    def __init__(self, writer: KernelWriter, node: Tensor):
        self.writer, self.node = writer, node
        lower = node.op.lower
        assert isinstance(lower, Convolve)
        self.out = lower.result
        self.rank = len(node.shape) - 3
        a, b = node.inputs
        self.operands = dict(zip({"y": "xw", "x": "yw", "w": "yx"}[self.out], (a, b), strict=True))
        self.shapes = {**{k: v.shape for k, v in self.operands.items()}, self.out: node.shape}

    def write(self) -> None:
        axes = {"y": "ngo", "x": "ngc", "w": "goc"}[self.out]
        spatial = {"y": "p", "x": "i", "w": "k"}[self.out]
        summed = {"y": ("c", "k"), "x": ("o", "k"), "w": ("n", "p")}[self.out]
        writer, node = self.writer, self.node
        place: dict[str, Expr] = {}
        scope = writer.root
        outer = [*axes, *[f"{spatial}{j}" for j in range(self.rank)]]
        for name, size in zip(outer, node.shape, strict=True):
            scope, place[name] = self.loop(scope, size, "map")
        total = writer.name("s")
        scope.body.append(Init(total, lit(0, node.dtype), node))
        inner = scope
        for name in (summed[0], *[f"{summed[1]}{j}" for j in range(self.rank)]):
            inner, place[name] = self.loop(inner, self.size(name), "reduce")
        self.term(inner, place, total)
        while inner is not scope:
            inner = writer.close(inner)
        at = tuple(place[name] for name in outer)
        scope.body.append(Store(writer.memory(node, True).name, at, Var(total, node.dtype), node))
        while scope is not writer.root:
            scope = writer.close(scope)

    def loop(self, scope: Scope, size: DimLike, kind: str) -> tuple[Scope, Expr]:
        """A loop and its variable; none over the only element."""
        return (scope, index(0)) if size == 1 else (self.writer.open(scope, size, kind), Var(f"i{scope.rank}"))

    def size(self, name: str) -> DimLike:
        if name in "noc":
            array, axis = {"n": ("y", 0), "o": ("w", 1), "c": ("w", 2)}[name]
            return self.shapes[array][axis]
        return self.shapes[{"p": "y", "k": "w"}[name[0]]][3 + int(name[1:])]

    def term(self, scope: Scope, place: dict[str, Expr], total: str) -> None:
        """``total += a * b``, where the position that the others say is inside."""
        found, conditions = dict(place), []
        attrs = self.node.attrs
        for j in range(self.rank):
            s, d, low = (attrs[name][j] for name in ("strides", "dilations", "low"))
            k, positions, size = place[f"k{j}"], self.shapes["y"][3 + j], self.shapes["x"][3 + j]
            kernel = self.shapes["w"][3 + j]
            if self.out == "x":
                ahead = place[f"i{j}"] + index(low) - k * index(d)
                if not (isinstance(kernel, int) and (kernel - 1) * d <= low):
                    conditions.append(ahead >= index(0))
                if s != 1:
                    conditions.append(call("eq", call("mod_nonneg", ahead, index(s)), index(0)))
                    ahead = call("floordiv_nonneg", ahead, index(s))
                if not dims.nonnegative((positions - 1) * s - (size - 1 + low)):
                    conditions.append(ahead < index(positions))
                found[f"p{j}"] = ahead
            else:
                where = place[f"p{j}"] * index(s) + k * index(d) - index(low)
                if low:
                    conditions.append(where >= index(0))
                if not dims.nonnegative(size - ((positions - 1) * s + (kernel - 1) * d + 1 - low)):
                    conditions.append(where < index(size))
                found[f"i{j}"] = where
        if conditions:
            guard = conditions[0]
            for condition in conditions[1:]:
                guard = call("logical_and", guard, condition)
            branch = If(guard)
            scope.body.append(branch)
            scope = Scope(branch.body, scope.rank, scope, guarded=True)
        names = {"y": ("n", "g", "o", "p"), "x": ("n", "g", "c", "i"), "w": ("g", "o", "c", "k")}
        factors = []
        for name, operand in self.operands.items():
            *axes, spatial = names[name]
            at = (*[found[c] for c in axes], *[found[f"{spatial}{j}"] for j in range(self.rank)])
            factors.append(self.writer.value(operand, at, scope))
        scope.body.append(Combine(total, "add", guarded_term(self.node, *factors), None, self.node))


__all__ = ["Layout", "convolve", "convolve_in_chunks", "layout_of"]
