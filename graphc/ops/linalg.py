"""Products of matrices and tensors: one primitive, `contract`, and the functions that compose it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir import dims
from ..ir.apply import apply, lift_promoted
from ..ir.lowering import Contract
from ..ir.op import Arr, Aval, Op, Require, Sample
from .common import shape_error
from .movement import permute_dims, reshape


def _parts(spec: str) -> tuple[str, str, str]:
    operands, out = spec.split("->")
    x, y = operands.split(",")
    return x, y, out


def _contract_infer(require: Require, x: Aval, y: Aval, spec: str) -> Aval:
    a, b, out = _parts(spec)
    size = dict(zip(a, x.shape, strict=True))
    for letter, n in zip(b, y.shape, strict=True):
        if letter in size:
            require.equal(size[letter], n, f"equal sizes along '{letter}' in contract {spec} of {x} and {y}")
        size.setdefault(letter, n)
    return Aval(tuple(size[letter] for letter in out), x.dtype)


def _contract_numpy(x: np.ndarray, y: np.ndarray, spec: str) -> np.ndarray:
    if x.dtype.kind == "b":
        return np.einsum(spec, x.astype(np.int64), y.astype(np.int64)) != 0
    return np.einsum(spec, x, y)


def _contract_x(ct: Any, out: Any, x: Any, y: Any, spec: str) -> Any:
    a, b, o = _parts(spec)
    return contract(ct, y, f"{o},{b}->{a}")


def _contract_y(ct: Any, out: Any, x: Any, y: Any, spec: str) -> Any:
    a, b, o = _parts(spec)
    return contract(ct, x, f"{o},{a}->{b}")


CONTRACT = Op(
    "contract",
    _contract_infer,
    _contract_numpy,
    Contract(),
    vjp=(_contract_x, _contract_y),
    jvp=(lambda t, out, x, y, spec: contract(t, y, spec), lambda t, out, x, y, spec: contract(x, t, spec)),
    sympy=lambda sp, pairs, spec: sp.Add(*[x * y for x, y in pairs]),
    samples=(
        Sample((Arr((3, 4)), Arr((4, 5))), {"spec": "mk,kn->mn"}),
        Sample((Arr((2, 3, 4)), Arr((2, 5, 4))), {"spec": "bmk,bnk->bmn"}),
        Sample((Arr((4,)), Arr((4,))), {"spec": "k,k->"}),
        Sample((Arr((3,)), Arr((4,))), {"spec": "m,n->nm"}),
        Sample((Arr((3, 4, 2)), Arr((2, 3))), {"spec": "abc,ca->ab"}),
    ),
)


def contract(x: Any, y: Any, spec: str) -> Any:
    """Sum of products of two tensors, as an einsum `spec` without repeated letters inside one operand.

    Every letter of the result stands in an operand; letters that the result lacks must stand in both operands.
    """
    return apply(CONTRACT, x, y, spec=spec)


def matmul(x: Any, y: Any, /) -> Any:
    """Matrix product with NumPy's rules: 1-d operands are vectors, leading axes are batches that broadcast."""
    x, y = lift_promoted(x, y)
    p, q = len(x.shape), len(y.shape)
    if p == 0 or q == 0:
        raise shape_error("matmul", (x, y), "at least one axis in each operand", "use * for scalars")
    k = x.shape[-1], y.shape[-2 if q > 1 else 0]
    if dims.equal(*k) is False:
        raise shape_error(
            "matmul",
            (x, y),
            f"the last axis of x ({k[0]}) to equal the "
            + (f"second last of y ({k[1]})" if q > 1 else f"axis of y ({k[1]})"),
        )
    rows, cols = ("m" if p > 1 else ""), ("n" if q > 1 else "")
    batch_x, batch_y = tuple(x.shape[:-2]), tuple(y.shape[:-2])
    letters = "abcdefghij"
    n = max(len(batch_x), len(batch_y))
    names = letters[:n]
    left, right = names[n - len(batch_x) :], names[n - len(batch_y) :]
    x, left = _drop_ones(x, left, right, batch_y, rows + "k")
    y, right = _drop_ones(y, right, names[n - len(batch_x) :], batch_x, "k" + cols)
    out = "".join(c for c in names if c in left or c in right) + rows + cols
    result = contract(x, y, f"{left}{rows}k,{right}k{cols}->{out}")
    full = _batch_shape(batch_x, batch_y) + tuple(result.shape[len(result.shape) - len(rows + cols) :])
    return result if full == tuple(result.shape) else reshape(result, full)


def _batch_shape(a: Any, b: Any) -> tuple[Any, ...]:
    n = max(len(a), len(b))
    a, b = (1,) * (n - len(a)) + a, (1,) * (n - len(b)) + b
    return tuple(t if s == 1 else s for s, t in zip(a, b, strict=True))


def _drop_ones(x: Any, letters: str, others: str, other_shape: Any, core: str) -> tuple[Any, str]:
    """A batch axis of size 1 is left out of the product: it broadcasts."""
    keep = [k for k in range(len(letters)) if x.shape[k] != 1]
    shape = tuple(x.shape[k] for k in keep) + tuple(x.shape[len(letters) :])
    return reshape(x, shape), "".join(letters[k] for k in keep)


def matrix_transpose(x: Any, /) -> Any:
    """The last two axes exchanged."""
    (x,) = lift_promoted(x)
    n = len(x.shape)
    if n < 2:
        raise shape_error("matrix_transpose", (x,), "at least two axes")
    return permute_dims(x, (*range(n - 2), n - 1, n - 2))


ROWS = (CONTRACT,)
