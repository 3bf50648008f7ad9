"""What a layer that was called leaves to be done by the step of which the call becomes part."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .tensor import Tensor


class Owed:
    """New values of params that a layer has for the step of which one of its calls becomes part.

    params  the params; their names tell where the layer is
    kind    what the layer is called
    asked   whether the new values have been asked for: then the user knows of them
    """

    __slots__ = ("asked", "kind", "params")

    def __init__(self, kind: str, params: tuple[Tensor, ...]):
        self.kind, self.params, self.asked = kind, params, False

    def of(self, *results: Tensor) -> None:
        """Note that the layer's call gave `results`: a step that has one of these nodes owes the new values."""
        for result in results:
            result.owes = self

    def __str__(self) -> str:
        place = (self.params[0].name or "").rpartition(".")[0]
        return f"{self.kind} {place!r}" if place else self.kind
