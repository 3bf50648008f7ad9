"""What was measured, as text and as markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass
class Line:
    """One way of one workload with one number of threads; times in seconds, memory in megabytes.

    note   why there are no figures ("not installed", "no result in 300 s"), or ""
    wrong  the results differ from the reference by more than the tolerance
    """

    workload: str
    way: str
    threads: int
    imported: float | None = None
    cold: float | None = None
    warm: float | None = None
    least: float | None = None
    median: float | None = None
    memory: float | None = None
    error: float | None = None
    wrong: bool = False
    note: str = ""


HEAD = ("workload", "threads", "way", "import s", "cold s", "warm s", "least us", "median us", "memory MB", "error")


def microseconds(seconds: float | None) -> str:
    """Three digits, in microseconds."""
    if seconds is None:
        return "-"
    value = seconds * 1e6
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 1 else f"{value:.3f}"


def cells(line: Line) -> list[str]:
    def number(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    return [
        line.workload,
        str(line.threads),
        line.way,
        number(line.imported, ".2f"),
        number(line.cold, ".2f"),
        number(line.warm, ".2f"),
        microseconds(line.least),
        microseconds(line.median),
        number(line.memory, ".0f"),
        line.note or number(line.error, ".0e") + ("  WRONG" if line.wrong else ""),
    ]


WIDTHS = (20, 7, 14, 9, 8, 8, 11, 11, 10, 0)


def text_row(row: Sequence[str]) -> str:
    aligned = [c.ljust(w) if k in (0, 2) else c.rjust(w) for k, (c, w) in enumerate(zip(row, WIDTHS, strict=True))]
    return " ".join(aligned[:-1]) + "  " + row[-1]


def markdown(lines: Iterable[Line]) -> str:
    """Two tables per number of threads: time of a step; cold start, warm start and memory. A row per workload."""
    lines = list(lines)
    parts = []
    for threads in dict.fromkeys(line.threads for line in lines):
        mine = [line for line in lines if line.threads == threads]
        parts.append(f"Time of a step in us, least / median, {threads} thread{'s' * (threads > 1)}:\n\n{times(mine)}")
        parts.append(
            f"Seconds to the first result with an empty cache folder / with a filled one, and MB beyond the import, "
            f"{threads} thread{'s' * (threads > 1)}:\n\n{starts(mine)}"
        )
    return "\n\n".join(parts)


def times(lines: Sequence[Line]) -> str:
    return grid(lines, lambda line: f"{microseconds(line.least)} / {microseconds(line.median)}")


def starts(lines: Sequence[Line]) -> str:
    def cell(line: Line) -> str:
        warm = "-" if line.warm is None else f"{line.warm:.2f}"
        memory = "" if line.memory is None else f", {line.memory:.0f} MB"
        return f"{line.cold:.2f} / {warm}{memory}" if line.cold is not None else "-"

    return grid(lines, cell)


def grid(lines: Sequence[Line], cell: object) -> str:
    """A row per workload, a column per way."""
    assert callable(cell)
    ways = list(dict.fromkeys(line.way for line in lines))
    rows: dict[str, dict[str, str]] = {}
    for line in lines:
        shown = line.note or cell(line)
        rows.setdefault(line.workload, {})[line.way] = f"{shown} (wrong)" if line.wrong else shown
    out = [f"| workload | {' | '.join(ways)} |", f"|---|{'---|' * len(ways)}"]
    out += [f"| {name} | {' | '.join(row.get(way, '') for way in ways)} |" for name, row in rows.items()]
    return "\n".join(out)
