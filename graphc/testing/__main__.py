"""Random graphs by the thousand: ``python -m graphc.testing --graphs 20000 --compiled 1500``.

Every graph goes through the reference interpreter and each target; what fails is printed as a program that shows it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .targets import TARGETS
from .volume import LONGER, Journal, Run, Task, batches, failures_text, summary, work


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="python -m graphc.testing", description=__doc__)
    found.add_argument("--graphs", type=int, default=1000, help="random graphs for targets that compile nothing")
    found.add_argument(
        "--compiled", type=int, default=0, help="of them, for targets that compile (default: %(default)s)"
    )
    found.add_argument("--seed", type=int, default=0, help="the first seed; the others follow (default: %(default)s)")
    found.add_argument("--workers", type=int, default=1, help="processes at a time (default: %(default)s)")
    found.add_argument("--renew", type=int, default=50, help="graphs that a process compiles before it is renewed")
    found.add_argument("--limit", type=float, default=300.0, help="seconds after which a program is said to hang")
    found.add_argument("--journal", type=Path, help="file of outcomes; a run that finds one goes on with the rest")
    found.add_argument("--targets", default=",".join(TARGETS), help="some of %(default)s")
    found.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; the process's exit status: whether something failed."""
    chosen = parser().parse_args(arguments)
    if chosen.work:
        work(sys.stdin, sys.stdout)
        return 0
    unknown = [name for name in chosen.targets.split(",") if name not in TARGETS]
    if unknown:
        parser().error(f"unknown target {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    targets = [TARGETS[name] for name in chosen.targets.split(",")]
    journal = Journal(chosen.journal)
    pieces: list[tuple[float, list[Task]]] = []  # with how far each is into its kind, so that both kinds go on evenly
    for compiles, count, renew in (
        (False, chosen.graphs, LONGER * chosen.renew),
        (True, chosen.compiled, chosen.renew),
    ):
        group = [t for t in targets if t.compiles == compiles]
        found = batches(range(chosen.seed, chosen.seed + count), group, renew, journal.outcomes)
        pieces += [(k / len(found), piece) for k, piece in enumerate(found)]
    work_list = [piece for _, piece in sorted(pieces, key=lambda p: p[0])]
    total = len(journal.outcomes) + sum(map(len, work_list))
    start = shown = time.monotonic()

    def progress() -> None:
        nonlocal shown
        if time.monotonic() - shown > 30:
            shown = time.monotonic()
            print(
                f"{len(journal.outcomes)} of {total}, {len(journal.failures)} failures, {shown - start:.0f} s",
                flush=True,
            )

    try:
        Run(journal, work_list, chosen.limit, progress)(chosen.workers)
    finally:
        journal.close()
    print(failures_text(journal.failures))
    print(summary(journal, time.monotonic() - start))
    return bool(journal.failures)


if __name__ == "__main__":
    raise SystemExit(main())
