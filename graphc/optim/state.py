"""Values of several params read or written together, between two steps; and what does not fit when they are loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..errors import DTypeError, InputError, message, user_line
from ..ir.leaves import Param
from ..ir.op import Aval


def write(values: Mapping[Param, np.ndarray]) -> None:
    """Set all params, or, where a value has another dtype or shape, none; the caller holds them."""
    for param, value in values.items():
        if _aval(value) != param.aval:
            raise DTypeError(
                message(
                    f"update of param {param.name!r} changes its dtype or shape",
                    got=str(_aval(value)),
                    expected=str(param.aval),
                    at=user_line(),
                    created=False,
                )
            )
    for param, value in values.items():
        param.state.write(value)


def matched(what: str, entries: Mapping[str, Param], given: Mapping[str, Any]) -> dict[Param, np.ndarray]:
    """The array for each param of `entries`; `InputError` with every name that is too few, too many or does not fit."""
    arrays = {name: np.asarray(value) for name, value in given.items()}
    notes = [f"missing: {name} {param.aval}" for name, param in entries.items() if name not in arrays]
    notes += [f"not known: {name} {_aval(array)}" for name, array in arrays.items() if name not in entries]
    for name, param in entries.items():
        if name in arrays and _aval(arrays[name]) != param.aval:
            notes.append(f"does not fit: {name} {_aval(arrays[name])}, expected {param.aval}")
    if notes:
        raise _refused(what, "a state that does not fit", "one of the same optimiser, options and params", notes)
    return {param: arrays[name] for name, param in entries.items()}


def _aval(array: np.ndarray) -> Aval:
    return Aval(array.shape, array.dtype)


def _refused(what: str, got: str, expected: str, notes: Iterable[str]) -> InputError:
    return InputError(message(what, got=got, expected=expected, at=user_line(), created=False, notes=tuple(notes)))
