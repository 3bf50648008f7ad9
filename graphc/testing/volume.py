"""Volume runs: ranges of seeds through targets, in processes that are renewed, written to a journal that resumes them.

Seeds are independent, so that runs over ranges that do not overlap, on any number of machines, are one larger run.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from ..ir.graph import Graph
from ..ops.table import OPS
from .minimise import minimise
from .random_programs import RandomProgram
from .targets import TARGETS, Target

Task = tuple[int, str]
"""A seed and the name of a target."""

TRIES = 40, 400
"""Candidates that a failing program is made smaller by: where they are compiled, and where not."""
LONGER = 20
"""How many times more programs a process takes that compiles nothing."""
WORKER = (sys.executable, "-W", "ignore", "-m", "graphc.testing", "--work")
"""The process that runs programs: it reads tasks, and writes a line (JSON) for each beginning and outcome."""


class Outcome(NamedTuple):
    """What became of a program: how much was compared, or what failed, with a program to run."""

    seed: int
    target: str
    compared: int
    seconds: float
    failure: str = ""
    program: str = ""


# the process that runs programs


def work(source: IO[str], sink: IO[str]) -> None:
    """Run the tasks that `source` lists (JSON) one by one; tell `sink`, a line each, of beginnings and outcomes."""

    def tell(**line: Any) -> None:
        print(json.dumps(line), file=sink, flush=True)

    rows: Counter[str] = Counter()
    seen: set[int] = set()
    for seed, name in json.load(source):
        tell(begin=[seed, name])
        target = TARGETS[name]
        program = target.program(seed)
        outcome = attempt(target, seed, program)
        tell(outcome=outcome)
        if seed not in seen and not target.generic:
            seen.add(seed)
            rows.update(rows_of(program))
    tell(rows=dict(rows), programs=len(seen))


def attempt(target: Target, seed: int, program: RandomProgram) -> Outcome:
    """Check one program; a failing one is made smaller first."""
    start = time.perf_counter()
    try:
        compared = target.check(program)
    except Exception as error:
        failure, text = _shown(error)
        small = minimise(program, _fails_alike(target, type(error)), TRIES[not target.compiles])
        try:
            target.check(small)
        except Exception as smaller:
            failure, text = _shown(smaller)
        return Outcome(seed, target.name, 0, time.perf_counter() - start, failure, text)
    return Outcome(seed, target.name, compared, time.perf_counter() - start)


def _shown(error: Exception) -> tuple[str, str]:
    notes = "\n".join(getattr(error, "__notes__", ()))
    return f"{type(error).__name__}: {error}", notes.partition("\n\n")[2]


def _fails_alike(target: Target, kind: type[Exception]) -> Callable[[RandomProgram], bool]:
    def fails(program: RandomProgram) -> bool:
        try:
            target.check(program)
        except Exception as error:
            return type(error) is kind
        return False

    return fails


def rows_of(program: RandomProgram) -> set[str]:
    """The op rows in the graph of a program."""
    traced = program.trace()
    return {n.op.name for n in Graph(traced.inputs, traced.outputs, list(traced.updates.items())).nodes}


# the journal


def generator_digest() -> str:
    """What decides which program a seed gives."""
    here = Path(__file__).parent
    names = ("random_programs", "statements", "rows", "composites", "vocabulary", "targets")
    texts = [(here / f"{name}.py").read_bytes() for name in names]
    return hashlib.blake2b(b"\0".join(texts), digest_size=8).hexdigest()


class Journal:
    """Outcomes in memory, and as lines of a file, which a later run with the same generator takes up."""

    def __init__(self, path: Path | None):
        self.outcomes: dict[Task, Outcome] = {}
        self.rows: Counter[str] = Counter()
        self.programs = 0
        self._lock = threading.Lock()
        self._file: IO[str] | None = None
        if path is None:
            return
        if path.exists():
            self._read(path)
        self._file = path.open("a", encoding="utf-8")
        if path.stat().st_size == 0:
            self._write({"generator": generator_digest()})

    def _read(self, path: Path) -> None:
        head, *lines = path.read_text(encoding="utf-8").splitlines() or ["{}"]
        if lines and json.loads(head).get("generator") != generator_digest():
            raise ValueError(f"{path} was written by another generator, whose seeds are other programs: use a new file")
        for line in lines:
            self._take(json.loads(line))

    def _take(self, line: dict[str, Any]) -> None:
        if "outcome" in line:
            found = Outcome(*line["outcome"])
            self.outcomes[found.seed, found.target] = found
        elif "rows" in line:
            self.rows.update(line["rows"])
            self.programs += line["programs"]

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is not None:
            print(json.dumps(line), file=self._file, flush=True)

    def add(self, line: dict[str, Any]) -> None:
        """Take up a line of a worker."""
        with self._lock:
            self._take(line)
            self._write(line)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def failures(self) -> list[Outcome]:
        return [o for o in self.outcomes.values() if o.failure]


# the process that the user started


def batches(seeds: Iterable[int], targets: Sequence[Target], renew: int, done: Iterable[Task]) -> list[list[Task]]:
    """Tasks in pieces, one for each process: those not `done`, seed after seed."""
    known = set(done)
    tasks = [(s, t.name) for s in seeds for t in targets if (s, t.name) not in known]
    size = renew * max(len(targets), 1)
    return [tasks[k : k + size] for k in range(0, len(tasks), size)]


class Run:
    """A run under way: pieces of work, taken by threads that each watch a process.

    limit     seconds after which a program counts as hanging
    progress  called after each outcome
    """

    def __init__(
        self,
        journal: Journal,
        pieces: list[list[Task]],
        limit: float,
        progress: Callable[[], None],
        command: Sequence[str] = WORKER,
    ):
        self.journal, self.limit, self.progress, self.command = journal, limit, progress, command
        self.pieces: queue.SimpleQueue[list[Task]] = queue.SimpleQueue()
        for piece in pieces:
            self.pieces.put(piece)
        self._processes: set[subprocess.Popen[str]] = set()
        self._stopped = threading.Event()

    def __call__(self, workers: int) -> None:
        """Work on all pieces; an interrupt ends the processes."""
        threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(workers)]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.2)
        finally:
            self._stopped.set()
            for process in list(self._processes):
                process.kill()

    def _serve(self) -> None:
        while not self._stopped.is_set():
            try:
                tasks = self.pieces.get_nowait()
            except queue.Empty:
                return
            while tasks and not self._stopped.is_set():
                tasks = tasks[self._process(tasks) :]

    def _process(self, tasks: list[Task]) -> int:
        """Run one process on `tasks`; how many it dealt with. One that it died of, or hung at, is a failure."""
        count = 0
        with tempfile.TemporaryDirectory(prefix="graphc-volume-") as folder:
            environment = {**os.environ, "GRAPHC_CHECK": "1", "GRAPHC_CACHE_DIR": folder}
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            with subprocess.Popen(self.command, env=environment, text=True, **pipes) as process:
                self._processes.add(process)
                try:
                    lines, errors = _lines(process, json.dumps(tasks))
                    for line in iter(lambda: _next(lines, self.limit), None):
                        self.journal.add(line)
                        if "outcome" in line:
                            count += 1
                            self.progress()
                    hung = process.poll() is None and count < len(tasks) and not _ended(process)
                    if hung:
                        process.kill()
                    process.wait()
                finally:
                    self._processes.discard(process)
        if count == len(tasks) or self._stopped.is_set():
            return count
        seed, name = tasks[count]
        what = f"no answer in {self.limit:.0f} s" if hung else f"the process ended with status {process.returncode}"
        what += "".join(f"\n{line}" for line in errors)
        program = TARGETS[name].program(seed)
        self.journal.add({"outcome": [seed, name, 0, self.limit if hung else 0.0, what, program.text]})
        self.progress()
        return count + 1


_Lines = queue.SimpleQueue[dict[str, Any] | None]


def _lines(process: subprocess.Popen[str], tasks: str) -> tuple[_Lines, deque[str]]:
    """The lines that a process writes, as they come, and None at the end; and the last ones of its standard error."""
    assert process.stdin and process.stdout and process.stderr
    found: _Lines = queue.SimpleQueue()
    errors: deque[str] = deque(maxlen=12)

    def read() -> None:
        for line in process.stdout or ():
            found.put(json.loads(line))
        found.put(None)

    def drain() -> None:
        errors.extend(line.rstrip() for line in process.stderr or ())

    process.stdin.write(tasks)
    process.stdin.close()
    for function in (read, drain):
        threading.Thread(target=function, daemon=True).start()
    return found, errors


def _next(lines: _Lines, limit: float) -> dict[str, Any] | None:
    """The next line; None at the end, or where there was none for too long."""
    try:
        return lines.get(timeout=limit)
    except queue.Empty:
        return None


def _ended(process: subprocess.Popen[str]) -> bool:
    """Whether a process whose output has ended is about to end."""
    try:
        process.wait(1.0)
    except subprocess.TimeoutExpired:
        return False
    return True


# what it says


def summary(journal: Journal, seconds: float) -> str:
    """A table of targets, failing programs, and rows that no program had."""
    lines = [f"{'target':<24} {'graphs':>8} {'compared':>9} {'nothing to compare':>19} {'failed':>7} {'seconds':>9}"]
    for name in TARGETS:
        found = [o for o in journal.outcomes.values() if o.target == name]
        if found:
            nothing = sum(not o.compared and not o.failure for o in found)
            failed = sum(bool(o.failure) for o in found)
            taken = sum(o.seconds for o in found)
            compared = sum(o.compared for o in found)
            lines.append(f"{name:<24} {len(found):>8} {compared:>9} {nothing:>19} {failed:>7} {taken:>9.1f}")
    seeds = [o.seed for o in journal.outcomes.values()]
    missing = [name for name in OPS if not journal.rows[name]]
    if journal.programs:
        lines.append(f"rows in {journal.programs} programs: {len(OPS) - len(missing)} of {len(OPS)}")
        lines.append(f"rows in none of them: {', '.join(missing) or 'none'}")
    span = f"seeds {min(seeds)} to {max(seeds)}" if seeds else "no seeds"
    lines.append(f"{span}, {len(seeds)} runs, {len(journal.failures)} failures, {seconds:.0f} s")
    return "\n".join(lines)


def failures_text(failures: Sequence[Outcome]) -> str:
    """Each failing program, once, with the targets that it fails and how."""
    by_program: dict[str, list[Outcome]] = {}
    for outcome in failures:
        by_program.setdefault(outcome.program, []).append(outcome)
    parts = []
    for program, outcomes in by_program.items():
        for outcome in outcomes:
            about = outcome.failure.replace("\n", "\n#   ")
            parts.append(f"# {outcome.target}, seed {outcome.seed}: {about}")
        parts.append(program)
    return "\n".join(parts)


__all__ = ["Journal", "Outcome", "Run", "Task", "attempt", "batches", "failures_text", "rows_of", "summary", "work"]
