"""Arguments of optimisers and schedules, checked where they are given."""

from __future__ import annotations

import math
import numbers
from typing import Any

from ..arguments import bad_argument


def number(
    what: str, name: str, value: Any, *, least: float = 0.0, above: float | None = None, most: float = math.inf,
    below: float | None = None,
) -> float:  # fmt: skip
    """`value` as a float in its range: from `least` (or more than `above`) to `most` (or less than `below`)."""
    fits = isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    if fits and least <= value <= most and (above is None or value > above) and (below is None or value < below):
        return float(value)
    low = f">= {least:g}" if above is None else f"> {above:g}"
    high = f" and <= {most:g}" if below is None else f" and < {below:g}"
    raise bad_argument(what, name, value, f"a number {low}{'' if high == ' and <= inf' else high}")
