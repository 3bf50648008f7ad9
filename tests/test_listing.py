"""`python -m graphc ops`: all functions are listed, and what it says of their derivatives is true."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.__main__ import main
from graphc.listing import BUILDING, CHECKING, DERIVATIVES, KEEPING, derivative, listing
from graphc.ops.functions import GROUPS, PUBLIC

X, Y = gc.input("x", (3, 3)), gc.input("y", (3, 3))
K = gc.input("k", (3,), "int64")
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "arange": (3,),
    "astype": (X, "float32"),
    "bitwise_and": (X > 0, Y > 0),
    "bitwise_invert": (X > 0,),
    "bitwise_left_shift": (K, 1),
    "bitwise_or": (X > 0, Y > 0),
    "bitwise_right_shift": (K, 1),
    "bitwise_xor": (X > 0, Y > 0),
    "broadcast_to": (X, (2, 3, 3)),
    "clip": (X, 0.0, 1.0),
    "concat": ([X, Y],),
    "cumulative_prod": (X[0],),
    "cumulative_sum": (X[0],),
    "custom_gradient": (gc.exp, lambda ct, x: ct),
    "einsum": ("ij,jk->ik", X, Y),
    "empty": (3,),
    "eye": (3,),
    "full": (3, X[0, 0]),
    "full_like": (X, Y[0, 0]),
    "gelu": (X,),
    "linspace": (X[0, 0], 1.0, 3),
    "meshgrid": (X[0], Y[0]),
    "moveaxis": (X, 0, 1),
    "norm": (X,),
    "one_hot": (K, 3),
    "ones": (3,),
    "pad": (X, 1),
    "permute_dims": (X, (1, 0)),
    "polygamma": (1, X),
    "repeat": (X, 2),
    "reshape": (X, (9,)),
    "roll": (X, 1),
    "split": (X, 3),
    "stack": ([X, Y],),
    "swapaxes": (X, 0, 1),
    "take": (X[0], [0, 1]),
    "take_along_axis": (X, np.zeros((3, 3), int)),
    "tile": (X, 2),
    "where": (X > 0, X, Y),
    "zeros": (3,),
}
"""Arguments of functions that take others than one or two matrices."""


def called(name: str) -> Any:
    """The function of symbolic matrices; the first result where there are several."""
    function, given = PUBLIC[name], ARGUMENTS.get(name)
    try:
        result = function(*(given or (X, Y)))
    except (TypeError, gc.ShapeError):  # the second argument is an axis
        if given is not None:
            raise
        result = function(X)
    if name == "custom_gradient":
        result = result(X)
    return result[0] if isinstance(result, (tuple, list)) else result


def reads(tensors: list[Any]) -> bool:
    """Whether they depend on X or Y."""
    return any(node is X or node is Y for node in gc.trace(lambda: tensors).nodes)


@pytest.mark.parametrize("name", [name for names in GROUPS.values() for name in names])
def test_what_is_said_of_derivatives(name: str) -> None:
    y = called(name)
    said = "-"
    if y.dtype.kind == "f" and reads([y]):
        said = "d" if reads(gc.grad(gc.sum(y * y), [X, Y])) else "0"
    assert derivative(name) == said


def test_everything_is_listed() -> None:
    grouped = [name for names in GROUPS.values() for name in names]
    assert len(grouped) == len(set(grouped)) and {PUBLIC[name] for name in grouped} == set(PUBLIC.values())
    text = listing(width=200)
    listed = {*BUILDING, *DERIVATIVES, *CHECKING, *KEEPING}
    kinds = (type, type(gc.eager))
    for name in gc.__all__:
        assert name in PUBLIC or name in listed or isinstance(getattr(gc, name), kinds) or name == "asarray"
        if not isinstance(getattr(gc, name), kinds):
            assert f" {name}" in text
    assert "x.trace()" in text
    assert max(map(len, listing(width=90).splitlines())) <= 90


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ops", "arcsinh"]) == 0
    printed = capsys.readouterr().out
    assert "  d asinh, arcsinh           The inverse of `sinh`.\n" in printed and "acosh" not in printed
