"""Matrix expressions of SymPy (products, sums, powers, transposes of MatrixSymbols) as tensors of rank 2 or more."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .ir.apply import is_tensor
from .ir.leaves import constant
from .ops import elementwise, joining, linalg, movement
from .ops.triangular import eye


def is_matrix(sp: Any, e: Any) -> bool:
    """Whether `e` is a matrix, or a number made from one: a trace, an element."""
    element = sp.matrices.expressions.matexpr.MatrixElement
    return isinstance(e, (sp.MatrixExpr, sp.MatrixBase, sp.Trace, element))


def supported(sp: Any, e: Any) -> bool:
    """Whether graphc has what `e` means, once it has its operands."""
    if isinstance(e, sp.MatPow):  # an inverse is one
        return bool(e.exp.is_Integer and e.exp > 0)
    if isinstance(e, (sp.Identity, sp.ZeroMatrix, sp.OneMatrix)):
        return all(n.is_Integer for n in e.shape)
    if isinstance(e, sp.matrices.expressions.matexpr.MatrixElement):
        return all(i.is_Integer for i in e.args[1:])
    kinds = (sp.MatMul, sp.MatAdd, sp.Transpose, sp.Adjoint, sp.HadamardProduct, sp.Trace, sp.MatrixBase)
    return isinstance(e, kinds)


def operands(sp: Any, e: Any) -> tuple[Any, ...]:
    """The expressions that must be tensors before `e` can be one."""
    if isinstance(e, sp.MatrixBase):
        return tuple(e)
    if isinstance(e, (sp.Identity, sp.ZeroMatrix, sp.OneMatrix)):
        return ()
    return e.args if isinstance(e, (sp.MatMul, sp.MatAdd, sp.HadamardProduct)) else e.args[:1]


def tensor_of(sp: Any, e: Any, known: Mapping[Any, Any]) -> Any:
    """The tensor of `e`, given those of its operands: matrices are the last two axes, scalars broadcast over them."""
    if isinstance(e, sp.MatrixBase):
        return stacked([known[a] for a in e], e.shape)
    if isinstance(e, sp.Identity):
        return eye(int(e.shape[0]))
    if isinstance(e, (sp.ZeroMatrix, sp.OneMatrix)):
        return constant(np.full([int(n) for n in e.shape], float(isinstance(e, sp.OneMatrix))))
    parts = [known[a] for a in operands(sp, e)]
    if isinstance(e, sp.MatMul):
        matrices = [part for a, part in zip(e.args, parts, strict=True) if a.is_Matrix]
        factors = [_over_matrices(part) for a, part in zip(e.args, parts, strict=True) if not a.is_Matrix]
        return functools.reduce(elementwise.multiply, [*factors, functools.reduce(linalg.matmul, matrices)])
    if isinstance(e, sp.MatAdd):
        return functools.reduce(elementwise.add, parts)
    if isinstance(e, sp.HadamardProduct):
        return functools.reduce(elementwise.multiply, parts)
    (x,) = parts
    if isinstance(e, sp.MatPow):
        return _power(x, int(e.exp))
    if isinstance(e, sp.Trace):
        return linalg.trace(x)
    if isinstance(e, (sp.Transpose, sp.Adjoint)):  # tensors are real
        return linalg.matrix_transpose(x)
    return x[(..., *(int(i) for i in e.args[1:]))]


def _power(x: Any, exponent: int) -> Any:
    """By repeated squaring."""
    result = None
    while exponent:
        if exponent % 2:
            result = x if result is None else linalg.matmul(result, x)
        exponent //= 2
        x = linalg.matmul(x, x) if exponent else x
    return result


def _over_matrices(x: Any) -> Any:
    """A scalar of each sample, so that it meets every entry of the matrix of that sample."""
    return movement.reshape(x, (*x.shape, 1, 1)) if is_tensor(x) and x.ndim else x


def stacked(entries: Sequence[Any], shape: Sequence[int]) -> Any:
    """Entries in C order as one tensor with `shape` as its last axes."""
    parts = [x if is_tensor(x) else constant(x) for x in entries]
    stack = joining.stack(movement.broadcast_arrays(*parts), axis=-1)
    return movement.reshape(stack, (*stack.shape[:-1], *shape))


def fits(symbol: Any, value: Any) -> bool:
    """Whether a tensor can stand for a matrix symbol: its last two sizes are the symbol's, where both are ints."""
    if not is_tensor(value) or value.ndim < 2:
        return False
    pairs = zip(symbol.shape, value.shape[-2:], strict=True)
    return all(int(a) == b for a, b in pairs if a.is_Integer and isinstance(b, int))


__all__ = ["fits", "is_matrix", "operands", "stacked", "supported", "tensor_of"]
