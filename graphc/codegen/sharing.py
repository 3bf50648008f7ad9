"""Kernels that differ only in where they read and write become one text, which gets these positions as arguments.

A loop of Python that was unrolled has such kernels: step k of a recurrent network reads ``x[:, k]``. Each text is
compiled once, and compiling is what takes time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from .statements import KernelText

_SUBSCRIPT = re.compile(r"\b(a\d+)\[([^\[\]]*)\]")
_PLACE = re.compile(r"(\d+)(?: \+ (i\d+))?")
"""A position that may be an argument: a number, or one behind which a loop goes on."""


def shared(printed: Sequence[KernelText], plainly: bool = False) -> list[KernelText]:
    """The kernels of a program, with one text for those that differ in positions only.

    plainly  they are to be read, see `kernel`
    """
    groups: dict[str, dict[str, list[int]]] = {}  # by skeleton: the texts that have it, and their positions
    for kernel in printed:
        skeleton, places = _taken_apart(kernel.text)
        groups.setdefault(skeleton, {}).setdefault(kernel.text, places)
    names = {skeleton: _names(texts.values()) for skeleton, texts in groups.items() if len(texts) > 1}
    return [_with_arguments(kernel, names, plainly) for kernel in printed]


def _taken_apart(text: str) -> tuple[str, list[int]]:
    """A text with ``?`` for every position in it, and the positions."""
    places: list[int] = []

    def place(part: str) -> str:
        found = _PLACE.fullmatch(part)
        if found is None:
            return part
        places.append(int(found[1]))
        return f"? + {found[2]}" if found[2] else "?"

    def subscript(found: re.Match[str]) -> str:
        return f"{found[1]}[{', '.join(map(place, found[2].split(', ')))}]"

    return _SUBSCRIPT.sub(subscript, text), places


def _names(found: Iterable[Sequence[int]]) -> dict[int, str]:
    """For each position that is not the same in all texts: the argument it becomes; equal ones are one."""
    names: dict[tuple[int, ...], str] = {}
    return {
        k: names.setdefault(values, f"q{len(names)}")
        for k, values in enumerate(zip(*found, strict=True))
        if len(set(values)) > 1
    }


def _with_arguments(kernel: KernelText, groups: dict[str, dict[int, str]], plainly: bool) -> KernelText:
    """A kernel with the text of its group."""
    skeleton, places = _taken_apart(kernel.text)
    names = groups.get(skeleton)
    if names is None:
        return kernel
    values = {name: places[k] for k, name in names.items()}
    first = len(kernel.arguments)
    head = [f"    {name} = position(code(m, o, {first + k}), 0)" for k, name in enumerate(values)]
    numbers = iter(range(len(places)))

    def place(part: str) -> str:
        found = _PLACE.fullmatch(part)
        if found is None:
            return part
        name = names.get(next(numbers))
        if name is None or not found[2]:
            return name or part
        return f"{name} + {found[2]}" if plainly else f"position({name}, {found[2]})"

    def subscript(found: re.Match[str]) -> str:
        return f"{found[1]}[{', '.join(map(place, found[2].split(', ')))}]"

    text = "\n".join([*head, _SUBSCRIPT.sub(subscript, kernel.text)])
    return replace(kernel, text=text, arguments=[*kernel.arguments, *[("number", v) for v in values.values()]])
