"""The comments of a rendered program: which of the user's lines a statement comes from, what it is the gradient of."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import Layer, UserLine, one_line
from ..ir.naming import layer_name, statement_text
from ..ir.printer import SECTIONS
from ..ir.tensor import Tensor
from .names import ProgramNames

_WIDTH = 120
_COLUMN = 64
_TEXT = 52
_LAYERS = 3


@dataclass
class Commented:
    """A line of the document: code, and the comment behind it."""

    code: str
    comment: str = ""


class Comments:
    """Writes comments; says a user's line in full once, then only where it stands, then nothing new."""

    def __init__(self, names: ProgramNames):
        self.names = names
        self._said: set[tuple[str, str]] = set()
        self._last: str | None = None
        self._layers: dict[Layer, str] = {}

    def start(self) -> None:
        """Forget what was said: a new kernel begins."""
        self._said, self._last = set(), None

    def statement(self, node: Tensor) -> str:
        """``fit.py:14  r = a * x - y + b``, or ``grad of: a * x``, which is not said twice; of a layer, which layer:
        ``net.py:15  model[0] Linear``, ``grad of: model[0] Linear``."""
        line = self.names.line(node)
        layer = None if line is None else line.layer
        known = "" if layer is None or layer.own else self.layer(layer)
        inside = f", in {layer_name(layer)}" if layer is not None and layer.own and layer.path else ""
        if self.names.origin(node).section == "backward":
            what = known or short(self.names.expression(node)) + inside
            again, self._last = what == self._last and not known, what
            return "grad of: the same" if again else f"grad of: {what}"
        self._last = None
        if line is None:
            return ""
        where = f"{line}{inside}"
        if (known, where) in self._said:
            return known or where
        self._said.add((known, where))
        statement = statement_text(line)
        text = known or (statement if len(statement) <= _TEXT else self.names.expression(node))
        return f"{line}  {short(text)}".rstrip() + inside

    def layer(self, layer: Layer) -> str:
        """``model[1] BatchNorm1d``."""
        if layer not in self._layers:
            self._layers[layer] = f"{layer_name(layer)} {layer.kind}"
        return self._layers[layer]

    def sections(self, nodes: Sequence[Tensor]) -> str:
        """``forward + backward``."""
        found = {self.names.origin(n).section for n in nodes}
        return " + ".join(s for s in SECTIONS if s in found) or "copies"

    def group(self, nodes: Sequence[Tensor]) -> str:
        """``forward + backward of fit.py:14-15``."""
        lines = [line for n in nodes for line in self.names.origin(n).lines[:1]]
        where = line_ranges(lines)
        return self.sections(nodes) + (f" of {where}" if where else "") + self._through(lines)

    def _through(self, lines: Sequence[UserLine]) -> str:
        """`` (model[0], model[1])``: the layers that the lines called."""
        found = dict.fromkeys(line.layer for line in lines if line.layer is not None and not line.layer.own)
        names = [layer_name(layer) for layer in found]
        more = f" and {len(names) - _LAYERS} more" if len(names) > _LAYERS else ""
        return f" ({', '.join(names[:_LAYERS])}{more})" if names else ""

    def layout(self, lines: Sequence[Commented]) -> list[str]:
        """Text lines with the comments in one column; a comment that finds no room goes above its line."""
        result: list[str] = []
        widths = [len(line.code) for line in lines if line.comment and len(line.code) <= _COLUMN]
        column = max(widths, default=0)
        for line in lines:
            text = f"{line.code:<{column}}  # {line.comment}"
            if not line.comment:
                result.append(line.code)
            elif len(text) <= _WIDTH:
                result.append(text)
            else:
                indent = line.code[: len(line.code) - len(line.code.lstrip())]
                result += [f"{indent}# {line.comment}", line.code]
        return result


def short(text: str) -> str:
    """`text` on one line of limited width."""
    text = one_line(text)
    return text if len(text) <= _TEXT else text[: _TEXT - 3].rstrip() + "..."


def line_ranges(lines: Sequence[UserLine]) -> str:
    """``fit.py:3,6-7, net.py:9``: files in order of appearance."""
    numbers: dict[str, set[int]] = {}
    for line in lines:
        numbers.setdefault(one_line(os.path.basename(line.file)), set()).add(line.line)
    return ", ".join(f"{file}:{_ranges(sorted(found))}" for file, found in numbers.items())


def _ranges(numbers: list[int]) -> str:
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number <= parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
