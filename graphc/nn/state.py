"""Params by name: all of what a model has, read and set between two steps, or a list of what does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..eager.core import Tensor as Eager
from ..errors import InputError, count, message, user_line
from ..ir.guard import held
from ..ir.leaves import Param
from .parameter import RANDOM

_LISTED = 10
"""How many names of a kind an error lists."""


class LoadResult(NamedTuple):
    """What `Module.load_state_dict` found: names of the model without a value, and values without a place."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not (self.missing_keys or self.unexpected_keys):
            return "<All keys matched successfully>"
        return f"LoadResult(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


def load(model: str, own: Mapping[str, Param], given: Mapping[str, Any], strict: bool) -> LoadResult:
    """Set the params `own` to the values `given`, between two steps, if all of them fit; `InputError` otherwise."""
    if not isinstance(given, Mapping):
        raise InputError(
            message(
                f"cannot load the state of {model}",
                got=type(given).__name__,
                expected="a dict of arrays by name, as state_dict() gives it",
                at=user_line(),
                created=False,
            )
        )
    arrays = {name: _array(value) for name, value in given.items()}
    result = LoadResult(
        [n for n in own if n not in arrays and own[n].state.role is not RANDOM], [n for n in arrays if n not in own]
    )
    both = {name: (own[name], arrays[name]) for name in own if name in arrays}
    shapes = {n: pair for n, pair in both.items() if pair[0].shape != pair[1].shape}
    narrow = {n: p for n, p in both.items() if n not in shapes and not np.can_cast(p[1].dtype, p[0].dtype, "safe")}
    wrong = {
        "missing": {name: f"expected {own[name].aval}" for name in result.missing_keys} if strict else {},
        "unexpected": {name: f"got {_text(arrays[name])}" for name in result.unexpected_keys} if strict else {},
        "of another shape": {n: f"got {_text(array)}, expected {p.aval}" for n, (p, array) in shapes.items()},
        "narrowed": {n: f"got {_text(array)}, expected {p.aval}" for n, (p, array) in narrow.items()},
    }
    if any(wrong.values()):
        raise _refused(model, wrong)
    with held(param.state for param, _ in both.values()):
        for param, array in both.values():
            param.state.write(array)
    return result


def values(own: Mapping[str, Param]) -> dict[str, np.ndarray]:
    """Copies of the values of all `own`, as they are between two steps."""
    with held(param.state for param in own.values()):
        return {name: param.state.array.copy() for name, param in own.items()}


def _array(value: Any) -> np.ndarray:
    if isinstance(value, Param):
        return value.value
    return value._array if isinstance(value, Eager) else np.asarray(value)


def _text(array: np.ndarray) -> str:
    return f"{array.dtype}[{', '.join(map(str, array.shape))}]"


def _refused(model: str, wrong: dict[str, dict[str, str]]) -> InputError:
    """The error that lists what does not fit, kind by kind."""
    lines: list[str] = []
    for kind, found in wrong.items():
        lines += [f"{kind}: {name}: {text}" for name, text in list(found.items())[:_LISTED]]
        lines += [f"{kind}: ... and {len(found) - _LISTED} more"] if len(found) > _LISTED else []
    return InputError(
        message(
            f"the state does not fit {model}",
            got=", ".join(f"{count(len(found), 'name')} {kind}" for kind, found in wrong.items() if found),
            expected="the names, shapes and dtypes of its state_dict()",
            at=user_line(),
            created=False,
            notes=lines,
            hint="nothing narrows silently: convert the values with .astype, or the model with .to"
            if wrong["narrowed"]
            else "",
        )
    )
