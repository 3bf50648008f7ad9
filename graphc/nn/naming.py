"""Names that attributes and keys must not have: `state_dict` would give two things one name, or a method would go."""

from __future__ import annotations

import inspect
from typing import Any

from ..errors import InputError, message, user_line

_TAKEN = ("training", "_pending")
"""What modules keep of their own that are no methods."""


def check_attribute(owner: type, name: str) -> None:
    """`InputError` unless a module of class `owner` may hold a param or module, or several, as `name`."""
    what = f"bad name in {owner.__name__}"
    found = inspect.getattr_static(owner, name, None)
    if inspect.isfunction(found) or isinstance(found, classmethod):
        raise _refused(
            what, repr(name), "a name that is not a method of it", f"it would replace {owner.__name__}.{name}"
        )
    if name in _TAKEN:
        raise _refused(what, repr(name), "a name that modules do not use themselves", "")
    if not name:
        raise _refused(what, repr(name), "a name with letters", "")
    if "." in name:
        raise _refused(what, repr(name), _UNDOTTED, f"state_dict could not tell it from self.{name}")


def check_key(place: str, key: Any, named: dict[str, Any]) -> None:
    """`InputError` unless what a dict holds by `key` may have its name; `named` has the keys so far, by their text.

    place  where the dict is, as Python writes it
    """
    text = str(key)
    if text in named:
        got = f"self.{place}[{named[text]!r}] and self.{place}[{key!r}]"
        raise _refused("two parts of a module with one name", got, "keys of different texts", "")
    if "." in text or not text:
        other = "".join(f"[{part!r}]" for part in text.split("."))
        hint = f"state_dict could not tell it from self.{place}{other}" if text else ""
        raise _refused(
            "bad name in a module", f"self.{place}[{key!r}]", _UNDOTTED if text else "a key with letters", hint
        )
    named[text] = key


_UNDOTTED = "a name without dots, which join the names of what is nested"


def _refused(what: str, got: str, expected: str, hint: str) -> InputError:
    return InputError(message(what, got=got, expected=expected, at=user_line(), created=False, hint=hint))


__all__ = ["check_attribute", "check_key"]
