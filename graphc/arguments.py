"""Arguments of public functions and layers, checked where they are given: errors name them and their owner."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from .errors import InputError, message, shown, user_line


def bad_argument(owner: str, name: str, value: Any, expected: str, hint: str = "") -> InputError:
    """The error for an argument of a function or layer, the `owner`, that it cannot take."""
    return InputError(
        message(
            f"bad {name}= of {owner}",
            got=shown(value),
            expected=expected,
            at=user_line(),
            created=False,
            hint=hint,
        )
    )


def whole(owner: str, name: str, value: Any, least: int = 1) -> int:
    """`value` as an int of at least `least`."""
    try:
        number = None if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least:
        raise bad_argument(owner, name, value, f"an int >= {least}")
    return number
