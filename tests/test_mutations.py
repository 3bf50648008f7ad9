"""A sample of the mutants of rules: each is noticed, or `survivors` says why none needs to. `mutations.py` runs all."""

from __future__ import annotations

import mutations
import pytest
from mutants import mutants_of
from survivors import EXPLAINED

from graphc.ops.table import OPS
from graphc.passes import algebra

SAMPLED = ("multiply", "hypot", "tanh", "maximum", "concat", "slice", "cumulative_prod", "contract", "ops.cotangent",
           "passes.algebra")  # fmt: skip
EVERY = 5


def test_mutants_are_noticed(request: pytest.FixtureRequest) -> None:
    """Each fifth of some rows' mutants; all of all rules with ``--all-mutants``, which takes a quarter of an hour."""
    everything = request.config.getoption("--all-mutants")
    cases = mutations.all_cases() if everything else mutations.sampled(mutations.all_cases(SAMPLED), EVERY)
    found = [mutations.judge(case) for case in cases]
    assert len(found) > 50
    alive = [v.case.name for v in found if not v.noticed and v.case.name not in EXPLAINED]
    assert not alive, mutations.report(found)


def test_a_mutant_is_put_in_place_and_taken_out_again() -> None:
    rule = algebra._twice
    right = rule.__code__
    mutants = {m.name: m for m in mutants_of((rule,), "twice")}
    with mutants["twice: 2 -> 3"] as mutant:
        assert rule.__code__ is mutant.code is not right
    assert rule.__code__ is right
    assert "twice: x is not y -> x is y" in mutants
    assert "twice: multiply(2, x) -> x" in mutants


def test_a_survivor_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no tests at all every mutant survives, and the table says so; a test that fails anyhow notices nothing."""
    (case, *_) = mutations.all_cases(["sin"])
    untested = mutations.judge(case._replace(tests=()))
    assert not untested.noticed
    text = mutations.report([untested])
    assert f"SURVIVED: {case.name}" in text
    assert "1 mutants, 0 killed, 1 survived, 1 of them unexplained" in text
    monkeypatch.setitem(mutations.EXPLAINED, case.name, "it is a test")
    assert f"survived, and why: {case.name}\n    it is a test" in mutations.report([untested])
    broken = mutations.Test("broken", "a test that fails anyhow", lambda: pytest.fail("always"))
    assert not mutations.judge(case._replace(tests=(broken,))).noticed


def test_every_row_with_a_derivative_has_mutants() -> None:
    rules = {op.name: mutations.row_rules(op) for op in OPS.values() if not mutations.row_is_flat(op)}
    without = {name for name, found in rules.items() if not found}
    assert without <= {name for name, op in OPS.items() if "leaf" in op.traits}
