"""Products of matrices and tensors: one primitive, `contract`, and the functions that compose it."""

from __future__ import annotations

import string
from typing import Any

import numpy as np

from ..errors import ShapeError, message
from ..ir import dims
from ..ir.apply import apply, cast, lift, lift_promoted
from ..ir.dims import DimLike
from ..ir.lowering import Contract
from ..ir.op import Arr, Aval, Batching, Op, Require, Sample
from .common import axis_index, labels, shape_error
from .cumulative import widened
from .elementwise import multiply
from .guarded import BOTH, PRODUCTS, attrs_of, guard_of_vjp, matrix_product
from .movement import broadcast_to, permute_dims, reshape, slice_axis, with_shape
from .reduction import sum as sum_
from .triangular import diagonal

_LETTERS = string.ascii_letters


def spec_parts(spec: str) -> tuple[str, str, str]:
    """The letters of the operands and of the result of ``"mk,kn->mn"``."""
    operands, out = spec.split("->")
    x, y = operands.split(",")
    return x, y, out


def _contract_infer(require: Require, x: Aval, y: Aval, spec: str, guard: str = "") -> Aval:
    a, b, out = spec_parts(spec)
    if not _well_formed(a, b, out) or (len(a), len(b)) != (len(x.shape), len(y.shape)) or x.dtype != y.dtype:
        raise ShapeError(
            message("malformed contract", got=f"{spec} of {x} and {y}", expected="one letter per axis, and one dtype")
        )
    size = dict(zip(a, x.shape, strict=True))
    for letter, n in zip(b, y.shape, strict=True):
        if letter in size:
            require.equal(size[letter], n, f"{size[letter]} to equal {n} in the product {spec} of {x} and {y}")
        size.setdefault(letter, n)
    return Aval(tuple(size[letter] for letter in out), x.dtype)


def _well_formed(a: str, b: str, out: str) -> bool:
    """No letter twice in an operand or the result; the result's letters occur; what it lacks is in both operands."""
    distinct = len(set(a)) == len(a) and len(set(b)) == len(b) and len(set(out)) == len(out)
    return distinct and set(out) <= set(a) | set(b) and set(a) ^ set(b) <= set(out)


def _contract_numpy(x: np.ndarray, y: np.ndarray, spec: str, guard: str = "") -> np.ndarray:
    """As one batched matrix product: batch letters stand in all three, k in both operands, m and n in one of them."""
    if x.dtype.kind == "b":
        return _contract_numpy(x.astype(np.int64), y.astype(np.int64), spec) != 0
    a, b, out = spec_parts(spec)
    batch, k = [c for c in a if c in b and c in out], [c for c in a if c in b and c not in out]
    m, n = [c for c in a if c not in b], [c for c in b if c not in a]
    size = {**dict(zip(a, x.shape, strict=True)), **dict(zip(b, y.shape, strict=True))}

    def packed(array: np.ndarray, letters: str, *groups: list[str]) -> np.ndarray:
        moved = array.transpose([letters.index(c) for group in groups for c in group])
        return moved.reshape([int(np.prod([size[c] for c in group], dtype=np.int64)) for group in groups])

    product = matrix_product(packed(x, a, batch, m, k), packed(y, b, batch, k, n), guard)
    order = [*batch, *m, *n]
    return product.reshape([size[c] for c in order]).transpose([order.index(c) for c in out])


def _contract_x(ct: Any, out: Any, x: Any, y: Any, spec: str, guard: str = "") -> Any:
    a, b, o = spec_parts(spec)
    return with_shape(contract(ct, y, f"{o},{b}->{a}", guard=guard_of_vjp(guard, 0)), x.shape)


def _contract_y(ct: Any, out: Any, x: Any, y: Any, spec: str, guard: str = "") -> Any:
    a, b, o = spec_parts(spec)
    return with_shape(contract(ct, x, f"{o},{a}->{b}", guard=guard_of_vjp(guard, 1)), y.shape)


def _contract_batch(how: Batching, x: Any, y: Any, spec: str, guard: str = "") -> Any:
    """One more letter, of the operands that have the axis and of the result."""
    a, b, out = spec_parts(spec)
    new = next(c for c in "b" + _LETTERS if c not in spec)
    left, right = (new if has else "" for has in how.batched)
    return apply(CONTRACT, x, y, spec=f"{left}{a},{right}{b}->{new}{out}", **attrs_of(guard))


CONTRACT: Op = Op(
    "contract",
    _contract_infer,
    _contract_numpy,
    Contract(),
    vjp=(_contract_x, _contract_y),
    jvp=(
        lambda t, out, x, y, spec, guard="": contract(t, y, spec, guard=BOTH),
        lambda t, out, x, y, spec, guard="": contract(x, t, spec, guard=BOTH),
    ),
    batch=_contract_batch,
    sympy=lambda sp, pairs, spec, guard="": sp.Add(*[x * y for x, y in pairs]),
    samples=(
        Sample((Arr((3, 4)), Arr((4, 5))), {"spec": "mk,kn->mn"}),
        Sample((Arr((2, 3, 4)), Arr((2, 5, 4))), {"spec": "bmk,bnk->bmn"}),
        Sample((Arr((4,)), Arr((4,))), {"spec": "k,k->"}),
        Sample((Arr((3, 4)), Arr((3,))), {"spec": "mk,m->k"}),
        Sample((Arr((3,)), Arr((4,))), {"spec": "m,n->nm"}),
        Sample((Arr((3, 4, 2)), Arr((2, 3))), {"spec": "abc,ca->ab"}),
        Sample((Arr((2, 2, 3)), Arr((3, 2, 4))), {"spec": "mkl,lkn->nm"}),
        Sample((Arr((3, 0)), Arr((0, 2))), {"spec": "mk,kn->mn"}),
        *[
            Sample((Arr((3, 2)), Arr((3, 2))), {"spec": "km,kn->mn", "guard": guard})
            for guard in ("left", "right", "both")
        ],
        Sample((Arr((3, 4), dtype="bool"), Arr((4, 2), dtype="bool")), {"spec": "mk,kn->mn"}, differentiable=False),
        Sample(
            (Arr((3, 4), dtype="int8", low=-9, high=9), Arr((4, 2), dtype="int8", low=-9, high=9)),
            {"spec": "mk,kn->mn"},
            differentiable=False,
        ),
    ),
)


def contract(x: Any, y: Any, spec: str, *, guard: str = "") -> Any:
    """Sum of products of two tensors of one dtype, as an einsum `spec` without repeated letters inside one operand.

    Every letter of the result stands in an operand; letters that the result lacks must stand in both operands. Where
    nothing is summed the result is an elementwise product, which fuses with what surrounds it. `guard`: see `guarded`.
    """
    a, b, out = spec_parts(spec)
    if set(a) & set(b) <= set(out):
        return PRODUCTS[guard](_spread(x, a, out), _spread(y, b, out))
    return apply(CONTRACT, x, y, spec=spec, **attrs_of(guard))


def _spread(x: Any, letters: str, out: str) -> Any:
    """`x` with its axes in the order of `out`, and size 1 for letters it lacks."""
    ordered = permute_dims(x, [letters.index(c) for c in out if c in letters])
    sizes = dict(zip(letters, x.shape, strict=True))
    return reshape(ordered, tuple(sizes.get(c, 1) for c in out))


def contract_labelled(op: str, x: Any, a: str, y: Any, b: str, out: str) -> Any:
    """`contract` of promoted operands, in which sizes declared 1 broadcast and letters in one operand are summed."""
    sizes: dict[str, DimLike] = {}
    for letters, operand in ((a, x), (b, y)):
        for letter, n in zip(letters, operand.shape, strict=True):
            seen = sizes.setdefault(letter, n)
            if seen != 1 and n != 1 and dims.equal(seen, n) is False:
                raise shape_error(op, (x, y), f"equal sizes, or 1, where axes go together (not {seen} and {n})")
            sizes[letter] = n if seen == 1 else seen
    x, y = lift_promoted(x, y)
    x, left = _without_ones(x, a)
    y, right = _without_ones(y, b)
    x, left = _alone_summed(x, left, right + out)
    y, right = _alone_summed(y, right, left + out)
    kept = "".join(c for c in out if c in left or c in right)
    result = contract(x, y, f"{left},{right}->{kept}")
    return reshape(result, tuple(sizes[c] for c in out))


def _without_ones(x: Any, letters: str) -> tuple[Any, str]:
    """`x` without the axes of declared size 1: they broadcast."""
    kept = [k for k, n in enumerate(x.shape) if n != 1]
    return reshape(x, tuple(x.shape[k] for k in kept)), "".join(letters[k] for k in kept)


def _alone_summed(x: Any, letters: str, elsewhere: str) -> tuple[Any, str]:
    """`x` summed over the letters that stand nowhere else."""
    alone = tuple(k for k, c in enumerate(letters) if c not in elsewhere)
    return sum_same(x, alone), "".join(c for c in letters if c in elsewhere)


def sum_same(x: Any, axes: tuple[int, ...]) -> Any:
    """The sum over `axes` in the dtype of `x`: integers wrap, bools combine by or."""
    if not axes:
        return x
    return cast(sum_(x, axis=axes, dtype=None if x.dtype.kind == "b" else x.dtype), x.dtype)


def _matched(op: str, x: Any, i: int, y: Any, j: int) -> tuple[Any, Any]:
    """Operands whose axes `i` and `j` are summed together: their sizes must agree, and 1 does not broadcast."""
    m, n = x.shape[i], y.shape[j]
    if dims.equal(m, n) is False:
        left, right = labels(x, y)
        one, other = _axis_of(left, i, len(x.shape)), _axis_of(right, j, len(y.shape))
        raise shape_error(op, (x, y), f"{one}, which is {m}, to equal {other}, which is {n}")
    return (_as_one(x, i), y) if n == 1 else (x, _as_one(y, j)) if m == 1 else (x, y)


def _axis_of(label: str, axis: int, ndim: int) -> str:
    """``the last axis of w``, ``axis 0 of w``, ``the axis of w``."""
    if ndim == 1:
        return f"the axis of {label}"
    which = {-1: "the last axis", -2: "the second last axis"}.get(axis, f"axis {axis % ndim}")
    return f"{which} of {label}"


def _as_one(x: Any, axis: int) -> Any:
    """`x` with an axis of runtime size required to be 1."""
    return broadcast_to(x, tuple(1 if k == axis % len(x.shape) else n for k, n in enumerate(x.shape)))


def _last(letters: str, count: int) -> str:
    return letters[len(letters) - count :] if count > 0 else ""


def matmul(x: Any, y: Any, /) -> Any:
    """Matrix product with NumPy's rules: 1-d operands are vectors, leading axes are batches that broadcast.

    ``[..., m, k] @ [..., k, n] -> [..., m, n]``; dtypes promote, bools combine by or of ands. `ShapeError` for 0-d
    operands and for inner or batch sizes that differ.

    >>> import graphc as gc
    >>> gc.matmul(gc.asarray([[1, 2], [3, 4]]), gc.asarray([1, 1])).tolist()
    [3, 7]
    """
    x, y = lift(x, y)
    p, q = len(x.shape), len(y.shape)
    if p == 0 or q == 0:
        raise shape_error("matmul", (x, y), "at least one axis in each operand", "use * for scalars")
    rows, columns = ("m" if p > 1 else ""), ("n" if q > 1 else "")
    x, y = _matched("matmul", x, -1, y, -2 if columns else -1)
    names = "".join(c for c in _LETTERS if c not in "mkn")[: max(p, q, 2) - 2]
    left, right = _last(names, p - 2) + rows + "k", _last(names, q - 2) + "k" + columns
    return contract_labelled("matmul", x, left, y, right, names + rows + columns)


def tensordot(x: Any, y: Any, /, *, axes: Any = 2) -> Any:
    """Sums of products over several axes: the last `axes` of `x` with the first `axes` of `y`, in order.

    `axes` may also be a pair of axes, or of sequences of axes, of `x` and of `y`. The result has the other axes of `x`,
    then those of `y`.

    >>> import graphc as gc
    >>> gc.tensordot(gc.ones((2, 3, 4)), gc.ones((4, 3)), axes=([1, 2], [1, 0])).shape
    (2,)
    """
    return _tensordot("tensordot", x, y, axes)


def _tensordot(op: str, x: Any, y: Any, axes: Any) -> Any:
    x, y = lift(x, y)
    p, q = len(x.shape), len(y.shape)
    if hasattr(axes, "__index__"):
        count = axes.__index__()
        if not 0 <= count <= min(p, q):
            raise shape_error(op, (x, y), f"0 <= axes <= {min(p, q)}, not {count}")
        of_x, of_y = list(range(p - count, p)), list(range(count))
    else:
        of_x, of_y = (
            [axis_index(k, n, op) for k in (side if isinstance(side, (tuple, list)) else (side,))]
            for side, n in zip(axes, (p, q), strict=True)
        )
    if len(of_x) != len(of_y) or len(set(of_x)) != len(of_x) or len(set(of_y)) != len(of_y):
        left, right = labels(x, y)
        raise shape_error(op, (x, y), f"as many distinct axes of {left} as of {right}, not {of_x} and {of_y}")
    a, b = list(_LETTERS[:p]), list(_LETTERS[p : p + q])
    for i, j in zip(of_x, of_y, strict=True):
        x, y = _matched(op, x, i, y, j)
        b[j] = a[i]
    out = [c for k, c in enumerate(a) if k not in of_x] + [c for k, c in enumerate(b) if k not in of_y]
    return contract_labelled(op, x, "".join(a), y, "".join(b), "".join(out))


def vecdot(x: Any, y: Any, /, *, axis: int = -1) -> Any:
    """Sums of products along `axis` (counted in each operand); the other axes broadcast.

    >>> import graphc as gc
    >>> gc.vecdot(gc.asarray([[1, 2], [3, 4]]), gc.asarray([1, 10])).tolist()
    [21, 43]
    """
    x, y = lift(x, y)
    p, q = len(x.shape), len(y.shape)
    i, j = axis_index(axis, p, "vecdot"), axis_index(axis, q, "vecdot")
    x, y = _matched("vecdot", x, i, y, j)
    names = "".join(c for c in _LETTERS if c != "k")[: max(p, q) - 1]
    left, right = _last(names, p - 1), _last(names, q - 1)
    return contract_labelled("vecdot", x, left[:i] + "k" + left[i:], y, right[:j] + "k" + right[j:], names)


def dot(x: Any, y: Any, /) -> Any:
    """NumPy's ``dot``: scalars multiply; else the last axis of `x` with the second last (or only) axis of `y`.

    >>> import graphc as gc
    >>> gc.dot(gc.asarray([1, 2]), gc.asarray([3, 4])).item()
    11
    """
    p, q = (len(o.shape) for o in lift(x, y))
    return _tensordot("dot", x, y, (-1, -2 if q > 1 else -1)) if p and q else multiply(x, y)


def inner(x: Any, y: Any, /) -> Any:
    """Sums of products over the last axes of both; scalars multiply.

    >>> import graphc as gc
    >>> gc.inner(gc.asarray([[1, 2], [3, 4]]), gc.asarray([1, 1])).tolist()
    [3, 7]
    """
    p, q = (len(o.shape) for o in lift(x, y))
    return _tensordot("inner", x, y, (-1, -1)) if p and q else multiply(x, y)


def outer(x: Any, y: Any, /) -> Any:
    """``x[i] * y[j]``, of both operands flattened.

    >>> import graphc as gc
    >>> gc.outer(gc.asarray([1, 2]), gc.asarray([3, 4])).tolist()
    [[3, 4], [6, 8]]
    """
    x, y = lift_promoted(x, y)
    return multiply(reshape(x, (-1, 1)), reshape(y, (1, -1)))


def diagonal_of(x: Any, i: int, j: int) -> Any:
    """The main diagonal of the square axes `i` and `j` of `x`, as a new last axis."""
    rest = [k for k in range(len(x.shape)) if k not in (i, j)]
    front = permute_dims(x, (*rest, i, j))
    batch, n = tuple(front.shape[:-2]), front.shape[-1]
    taken = slice_axis(reshape(front, (*batch, n * n)), len(batch), 0, n * n, n + 1)
    return with_shape(taken, (*batch, n))


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """The sum along the diagonal `offset` (above the main one if positive) of the last two axes.

    Leading axes are batches. Dtypes as for `sum`. (As a method, or ``np.trace``: `gc.trace` traces functions.)

    >>> import graphc as gc
    >>> gc.asarray([[1, 2], [3, 4]]).trace().item()
    5
    """
    (x,) = lift(x)
    n = len(x.shape)
    if n < 2:
        raise shape_error("trace", (x,), "at least two axes")
    x = widened(x, dtype)
    if offset == 0 and x.shape[-1] == x.shape[-2]:
        return sum_(diagonal_of(x, n - 2, n - 1), axis=-1)
    return sum_(diagonal(x, offset=offset), axis=-1)


def matrix_transpose(x: Any, /) -> Any:
    """The last two axes exchanged.

    >>> import graphc as gc
    >>> gc.matrix_transpose(gc.input("x", ("n", 2, 3))).shape
    (n, 3, 2)
    """
    (x,) = lift(x)
    n = len(x.shape)
    if n < 2:
        raise shape_error("matrix_transpose", (x,), "at least two axes")
    return permute_dims(x, (*range(n - 2), n - 1, n - 2))


ROWS = (CONTRACT,)
__all__ = ["dot", "inner", "matmul", "matrix_transpose", "outer", "tensordot", "trace", "vecdot"]
