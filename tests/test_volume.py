"""Runs of many random graphs: one command, processes that are renewed, journals, failures, and what is covered."""

from __future__ import annotations

import io
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphc.ir.graph import Graph
from graphc.ir.lowering import Map
from graphc.ops.table import OPS
from graphc.testing import generate, volume
from graphc.testing.__main__ import main
from graphc.testing.random_programs import Draft
from graphc.testing.rows import CALLABLES, row_statement
from graphc.testing.targets import TARGETS, Target
from graphc.testing.volume import Journal, Outcome, Run, batches, failures_text, rows_of, summary, work

FAST = [t for t in TARGETS.values() if not t.compiles]


def test_a_run_and_one_that_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "journal.jsonl"
    options = ["--renew", "1", "--seed", "20", "--journal", str(file)]
    assert main(["--graphs", "3", "--compiled", "1", *options]) == 0
    first = capsys.readouterr().out
    for name in TARGETS:
        graphs = "3" if not TARGETS[name].compiles else "1"
        assert [line.split()[:-5:-1][-1] for line in first.splitlines() if line.startswith(f"{name} ")], name
        assert any(line.startswith(f"{name:<24} {graphs:>8}") for line in first.splitlines())
    assert "seeds 20 to 22" in first and "0 failures" in first
    lines = file.read_text().splitlines()
    assert main(["--graphs", "3", "--compiled", "1", *options]) == 0
    assert file.read_text().splitlines() == lines, "nothing was left to do"
    assert capsys.readouterr().out.splitlines()[:-1] == first.splitlines()[:-1]
    assert main(["--graphs", "4", "--targets", "plain,eager", *options]) == 0
    added = [json.loads(line) for line in file.read_text().splitlines()[len(lines) :]]
    assert [line["outcome"][:2] for line in added if "outcome" in line] == [[23, "plain"], [23, "eager"]]


def test_a_journal_of_another_generator_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    file.write_text('{"generator": "another"}\n{"rows": {}, "programs": 0}\n')
    with pytest.raises(ValueError, match="another generator"):
        Journal(file)


def test_an_unknown_target(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--targets", "plain,fancy"])
    assert "unknown target fancy; there are eager, plain" in capsys.readouterr().err


def test_tasks_in_pieces() -> None:
    targets = [TARGETS["eager"], TARGETS["plain"]]
    pieces = batches(range(5), targets, 2, {(0, "eager"), (1, "plain")})
    assert pieces == [
        [(0, "plain"), (1, "eager"), (2, "eager"), (2, "plain")],
        [(3, "eager"), (3, "plain"), (4, "eager"), (4, "plain")],
    ]


def told(tasks: list[Any]) -> list[dict[str, Any]]:
    sink = io.StringIO()
    work(io.StringIO(json.dumps(tasks)), sink)
    return [json.loads(line) for line in sink.getvalue().splitlines()]


def test_a_failing_program_is_made_small_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(program: Any) -> int:
        if any("+" in line for line in program.lines):
            error = AssertionError("a sum")
            error.add_note(f"reproduce with\n\n{program.text}")
            raise error
        return 1

    monkeypatch.setitem(TARGETS, "no sums", Target("no sums", check))
    seed = next(s for s in range(100) if sum("+" in line for line in generate(random.Random(s)).lines) > 1)
    begin, outcome, rows = told([[seed, "no sums"]])
    found = Outcome(*outcome["outcome"])
    assert begin == {"begin": [seed, "no sums"]}
    assert (found.failure, found.compared) == ("AssertionError: a sum", 0)
    assert sum("+" in line for line in found.program.splitlines()) == 1
    assert found.program.startswith("import numpy as np\n")
    assert rows["programs"] == 1 and "add" in rows["rows"]
    assert failures_text([found]).splitlines()[0] == f"# no sums, seed {seed}: AssertionError: a sum"


CRASHES = """
import json, os, sys, time
tasks = json.load(sys.stdin)
for seed, target in tasks:
    print(json.dumps({"begin": [seed, target]}), flush=True)
    if seed == 1:
        print("about to fail", file=sys.stderr, flush=True)
        os.abort()
    if seed == 3:
        time.sleep(60)
    print(json.dumps({"outcome": [seed, target, 2, 0.0, "", ""]}), flush=True)
"""


def test_a_process_that_dies_and_one_that_hangs() -> None:
    """Each costs one task; the rest is done by the next process."""
    journal, seen = Journal(None), []
    tasks = [(seed, "plain") for seed in range(5)]
    run = Run(journal, [tasks], 3.0, lambda: seen.append(len(journal.outcomes)), [sys.executable, "-c", CRASHES])
    run(1)
    assert sorted(journal.outcomes) == tasks
    assert seen == [1, 2, 3, 4, 5]
    died, hung = journal.outcomes[1, "plain"], journal.outcomes[3, "plain"]
    assert died.failure == "the process ended with status -6\nabout to fail"
    assert hung.failure == "no answer in 3 s"
    assert died.program == TARGETS["plain"].program(1).text
    assert len(journal.failures) == 2
    text = summary(journal, 1.0)
    assert text.splitlines()[1].split() == ["plain", "5", "6", "0", "2", "3.0"]
    assert text.splitlines()[-1] == "seeds 0 to 4, 5 runs, 2 failures, 1 s"


def test_every_row_is_in_some_random_program() -> None:
    """Elementwise rows have statements of their own; the others are met soon.

    Those of random numbers have their bits compared by `test_random_numbers`; two stand in gradients only, and
    `check_size` in layers that refuse a size.
    """
    statements = {c.name for c in CALLABLES}
    elementwise = {op.name for op in OPS.values() if isinstance(op.lower, Map)}
    drawing, elsewhere = {"philox", "multiply_high", "box_muller"}, {"convolve_weights", "overlap", "check_size"}
    assert elementwise - statements == {"astype", "ct_mul", "integer_pow", "zero_mul"} | drawing
    seen: set[str] = set()
    numbers = random.Random(11)
    for _ in range(600):
        if set(OPS) <= seen | statements | drawing | elsewhere:
            break
        seen |= rows_of(generate(numbers))
    assert not set(OPS) - seen - statements - drawing - elsewhere


def test_statements_of_rows_can_be_built() -> None:
    for chosen in CALLABLES:
        draft, made = a_draft(), set()
        for _ in range(40):
            text = row_statement(draft, chosen)
            if text is not None and draft.add(text):
                made |= {n.op.name for n in Graph([], [draft.space[list(draft.values)[-1]]]).nodes}
        assert chosen.name in made


def a_draft() -> Draft:
    draft = Draft(random.Random(5), {}, ((3,),), (np.dtype("float64"),), False)
    for dtype in ("float64", "int64", "bool", "uint8"):
        draft.leaf("input", (3,), dtype)
    return draft


def test_seeds_give_the_same_programs_again() -> None:
    for target in (TARGETS["plain"], TARGETS["derivatives"]):
        one = target.program(3)
        volume.TARGETS["plain"].program(99)
        volume.TARGETS["derivatives"].program(98)
        assert target.program(3).text == one.text
    assert all(leaf.dtype == np.float64 or leaf.dtype.kind in "iu" for leaf in TARGETS["derivatives"].program(3).leaves)
