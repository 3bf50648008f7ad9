"""Derivatives of the stable form of a graph: what `gc.grad` and its kin are, and what certificates are about.

`autodiff` differentiates a graph as it stands. Records name what the user wrote, so that a certificate compares the
gradient with the derivative of that.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..autodiff import jacobian as matrices
from ..autodiff import jvp as forward
from ..autodiff import vjp as reverse
from ..autodiff.records import note_other
from ..ir.tensor import Tensor
from ..ops.creation import ones_like
from .stable import remember, stable_outputs


def grad(y: Tensor, wrt: Sequence[Tensor]) -> list[Tensor]:
    """The gradient of a scalar `y` with respect to each of `wrt`; zeros where `y` does not depend on it."""
    reverse.check_scalar(y, wrt)
    return vjp([y], wrt, [ones_like(y)])


def vjp(outputs: Sequence[Tensor], wrt: Sequence[Tensor], cotangents: Sequence[Tensor]) -> list[Tensor]:
    """Cotangents of `wrt`, each of its shape and dtype; zeros where the outputs do not depend on it."""
    forms, made = stable_outputs(outputs, wrt)
    results = reverse.vjp(forms, wrt, cotangents, of=outputs)
    remember(results, made)
    return results


def jvp(outputs: Sequence[Tensor], wrt: Sequence[Tensor], tangents: Sequence[Tensor]) -> list[Tensor]:
    """Tangents of `outputs`, each of its shape and dtype; zeros where it does not depend on `wrt`."""
    forms, made = stable_outputs(outputs, wrt)
    results = forward.jvp(forms, wrt, tangents)
    remember(results, made)
    _note_tangents(outputs, wrt, results)
    return results


def _note_tangents(outputs: Sequence[Tensor], wrt: Sequence[Tensor], results: Sequence[Tensor]) -> None:
    for w in wrt:
        note_other("tangent", outputs, [w], results)


def jacobian(outputs: Sequence[Tensor], wrt: Sequence[Tensor], mode: str | None = None) -> list[list[Tensor]]:
    """For each output the derivatives by each of `wrt`: see `autodiff.jacobian`."""
    forms, made = stable_outputs(outputs, wrt)
    rows = matrices.jacobian(forms, wrt, mode)
    blocks = [block for row in rows for block in row]
    remember(blocks, made)
    note_other("Jacobian", outputs, wrt, blocks)
    return rows


def hessian(y: Tensor, wrt: Sequence[Tensor]) -> list[list[Tensor]]:
    """For each of `wrt` the derivatives of its gradient by each of `wrt`: forward over reverse mode."""
    rows = matrices.forward_or_reverse(grad(y, wrt), wrt)
    for row in rows:
        note_other("Hessian", [y], wrt, row)
    return rows


def hvp(y: Tensor, wrt: Sequence[Tensor], vectors: Sequence[Tensor]) -> list[Tensor]:
    """The products of the Hessian of `y` with `vectors`: forward over reverse mode."""
    results = forward.jvp(grad(y, wrt), wrt, vectors)
    for w, result in zip(wrt, results, strict=True):
        note_other("product of the Hessian", [y], [w], [result])
    return results
