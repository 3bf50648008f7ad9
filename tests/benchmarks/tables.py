"""What was measured, as text and as markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass
class Line:
    """One way of one workload with one number of threads; times in seconds, memory in megabytes.

    busy   another process kept the second core busy
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
    busy: bool = False


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
    """Time of a step for each number of threads; cold start, warm start and memory; what a busy core does to it."""
    lines = list(lines)
    free = [line for line in lines if not line.busy]
    parts = []
    for threads in sorted({line.threads for line in free}, reverse=True):
        mine = [line for line in free if line.threads == threads]
        parts.append(f"Time of a step in us, least / median, {_threads(threads)}:\n\n{times(mine)}")
    if free:
        most = max(line.threads for line in free)
        parts.append(
            f"Seconds to the first result with an empty cache folder / with a filled one, and MB beyond the import, "
            f"{_threads(most)}:\n\n{starts([line for line in free if line.threads == most])}"
        )
    if len(free) < len(lines):
        parts.append(
            "Time of a step in us, least / median, alone and with another process that keeps the second core busy:\n\n"
            + beside_another(lines)
        )
    return "\n\n".join(parts)


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"


def beside_another(lines: Sequence[Line]) -> str:
    """A row for each workload and way that was run beside a process on the second core."""
    found = {(line.workload, line.way, line.threads, line.busy): line for line in lines}
    out = ["| workload | way | one thread | two | two, other core busy | of one thread's |", f"|{'---|' * 6}"]
    for name, way in dict.fromkeys((line.workload, line.way) for line in lines if line.busy):
        one, two, beside = (found.get((name, way, *how)) for how in ((1, False), (2, False), (2, True)))
        cells = [line.note or _time(line) if line is not None else "" for line in (one, two, beside)]
        share = ""
        if one and beside and one.least and one.median and beside.least and beside.median:
            share = f"{beside.least / one.least:.2f} / {beside.median / one.median:.2f}"
        out.append(f"| {' | '.join([name, way, *cells, share])} |")
    return "\n".join(out)


def _time(line: Line) -> str:
    return f"{microseconds(line.least)} / {microseconds(line.median)}"


def times(lines: Sequence[Line]) -> str:
    return grid(lines, _time)


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
