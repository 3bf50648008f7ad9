"""Are the tests good enough? Every rule is made wrong in every small way, and the tests of its row must notice.

``python tests/mutations.py`` does so for all rules (minutes) and prints a table; ``--only sin,max`` for some rows,
``--every 40`` for a sample. Exit status 1 if a mutant survives that `survivors.py` does not explain.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import inspect
import itertools
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import test_op_table as table
from mutants import Mutant, functions_below, mutants_of, same_code
from survivors import EXPLAINED
from wrong_rules import broken, scaled

from graphc.ir.lowering import Refused
from graphc.ir.op import Op
from graphc.ops.cotangent import ZERO
from graphc.ops.table import OPS
from graphc.passes import stable
from graphc.verify.rows import certify_row

SECONDS = 60.0
"""After which a mutant that runs on counts as noticed."""


class Test(NamedTuple):
    """A test by its kind, by a key that tells it from all others, and as a function that raises."""

    name: str
    key: str
    run: Callable[[], None]


class Case(NamedTuple):
    """A mutant, whose rules it is in, and the tests that should notice it, the quick ones first."""

    name: str
    subject: str
    change: Callable[[], AbstractContextManager[Any]]
    tests: tuple[Test, ...]


class Verdict(NamedTuple):
    """The test that noticed a mutant; "" if none did."""

    case: Case
    noticed: str
    seconds: float


# the rows of the op table


def _has_some(case: table.Case) -> bool:
    return table._is_smooth(case) and len(case.sample.operands) > 1


_CHECKS: tuple[tuple[str, Callable[[Any], bool], Callable[[Any], None]], ...] = (
    ("differences", table._is_smooth, table.test_vjp_against_differences),
    ("forward mode", table._is_smooth, table.test_jvp_against_differences_and_vjp),
    ("zero cotangents", table._has_rules, partial(table.test_a_zero_cotangent_gives_zeros, poisoned=False)),
    ("some operands", _has_some, table.test_derivatives_by_some_of_the_operands),
    ("poisoned", table._has_rules, partial(table.test_a_zero_cotangent_gives_zeros, poisoned=True)),
    ("second derivatives", table._is_smooth, table.test_second_derivative),
    ("float32", table._has_doubles, table.test_float32),
    ("float operands only", table._has_rules, table.test_rules_give_cotangents_for_float_operands_only),
)


def row_tests(op: Op) -> tuple[Test, ...]:
    """The tests of one row: those of the op table, each on every sample, and SymPy's certificate."""
    cases = [table.Case(op, sample, k) for k, sample in enumerate(op.samples)]

    def on_samples(fits: Callable[[Any], bool], test: Callable[[Any], None]) -> Callable[[], None]:
        def run() -> None:
            for case in cases:
                if fits(case):
                    test(case)

        return run

    checks = [Test(name, f"{name} of {op.name}", on_samples(fits, test)) for name, fits, test in _CHECKS]
    return (*checks, Test("sympy", f"sympy of {op.name}", lambda: certified(op)))


_FILES = {
    "elementwise": ("elementwise",), "power": ("elementwise",), "exponential": ("elementwise",),
    "trigonometry": ("elementwise",), "special": ("elementwise",), "rounding": ("elementwise",),
    "piecewise": ("elementwise",), "movement": ("movement",), "joining": ("movement",), "guarding": ("indexing",),
    "indexing": ("indexing",), "cumulative": ("reduction",), "reduction": ("reduction",),
    "linalg": ("linalg", "guarded"), "structure": ("structure",), "cotangent": ("structure",),
}  # fmt: skip
"""By the module of a rule: the files of tests, ``test_ops_*.py``, that look at its rows one by one."""


def suite(*files: str) -> Test:
    """All tests of files, called one by one without pytest's care, but for those that ask for a fixture."""

    def run() -> None:
        for file in files:
            for test in calls_of(importlib.import_module(file)):
                with suppress(pytest.skip.Exception):
                    test()

    return Test("tests of single rows", " ".join(files), run)


@functools.cache
def calls_of(module: ModuleType) -> tuple[Callable[[], None], ...]:
    """The test functions of a module, each with every combination of its parameters."""
    found: list[Callable[[], None]] = []
    for name, test in vars(module).items():
        if not name.startswith("test_") or not isinstance(test, FunctionType) or test.__module__ != module.__name__:
            continue
        marks = [m for m in getattr(test, "pytestmark", ()) if m.name == "parametrize"]
        rows = []
        for mark in marks:
            names = [n.strip() for n in mark.args[0].split(",")] if isinstance(mark.args[0], str) else mark.args[0]
            values = [v.values if _is_param(v) else v for v in mark.args[1]]
            rows.append([dict(zip(names, v if len(names) > 1 or _is_param(o) else (v,), strict=True))
                         for v, o in zip(values, mark.args[1], strict=True)])  # fmt: skip
        for combination in itertools.product(*rows):
            options = {k: v for row in combination for k, v in row.items()}
            if set(inspect.signature(test).parameters) == set(options):
                found.append(functools.partial(test, **options))
    return tuple(found)


def _is_param(value: Any) -> bool:
    return type(value).__name__ == "ParameterSet"


def other_tests(function: FunctionType) -> tuple[Test, ...]:
    """The tests of single rows, for what the tests over the table do not notice."""
    module = function.__module__.rsplit(".", 1)[1]
    return (suite("test_conventions", *[f"test_ops_{name}" for name in _FILES.get(module, ("elementwise",))]),)


def certified(op: Op) -> None:
    """SymPy's certificate of a row, which must be as good as that of the right rules."""
    found = certify_row(op)
    assert (found.how, found.compared) == _certificate(op)


_certificates: dict[str, tuple[str, int]] = {}


def _certificate(op: Op) -> tuple[str, int]:
    return _certificates[op.name]


def row_rules(op: Op) -> list[FunctionType]:
    """The functions of a row's rules: vjp, jvp, and the private functions that these call."""
    return functions_below([op.vjp, op.jvp], "graphc.ops", lambda name, _: name.startswith("_"))


def row_cases(rows: Sequence[Op]) -> Iterator[Case]:
    """Every mutant of the rules of `rows`; rules that rows share are changed for all of them, and tested by each."""
    for op in rows:
        found = certify_row(op)
        _certificates[op.name] = (found.how, found.compared)
    users: dict[int, list[Op]] = {}
    functions: dict[int, FunctionType] = {}
    for op in rows:
        for function in row_rules(op):
            functions[id(function)] = function
            users.setdefault(id(function), []).append(op)
    for group in same_code(list(functions.values())).values():
        ops = list({op.name: op for function in group for op in users[id(function)]}.values())[:4]
        tests = (*[t for op in ops for t in row_tests(op)], *other_tests(group[0]))
        for mutant in mutants_of(group, label(group[0], ops[0])):
            yield Case(mutant.name, ops[0].name, partial(_itself, mutant), tests)
    for op in rows:
        yield from result_cases(op)


def _itself(mutant: Mutant) -> Mutant:
    return mutant


def label(function: FunctionType, op: Op | None = None) -> str:
    """What a function is called: module and name; a lambda by its row and field."""
    module = function.__module__.removeprefix("graphc.")
    if op is None or function.__name__ != "<lambda>":
        return f"{module}.{function.__qualname__}"
    for field in ("vjp", "jvp"):
        rules = getattr(op, field)
        for k, rule in enumerate(rules if isinstance(rules, tuple) else (rules,)):
            if rule is function or function in functions_below([rule], "graphc.ops", lambda name, _: False):
                return f"{module}.{op.name}.{field}[{k}]"
    return f"{module}.{op.name}"


_RESULTS = (
    ("its sign", scaled(-1.0)),
    ("half of it", scaled(0.5)),
    ("nothing", lambda bar: bar if bar is None else ZERO),
)


def result_cases(op: Op) -> Iterator[Case]:
    """The results of whole rules changed."""
    for field in ("vjp", "jvp"):
        rules = getattr(op, field)
        if isinstance(rules, Refused) or rules == () or row_is_flat(op):
            continue
        for what, change in _RESULTS:
            name = f"{op.name}.{field}: the result -> {what}"
            yield Case(
                name,
                op.name,
                partial(broken, op, field, change),
                (*row_tests(op), suite("test_conventions", "test_ops_structure", "test_ops_guarded")),
            )


def row_is_flat(op: Op) -> bool:
    """Whether there is no derivative, or it is zero wherever there is one."""
    rules = op.vjp if isinstance(op.vjp, tuple) else ()
    named = [getattr(rule, "__name__", "") for rule in rules if rule is not None]
    return op.name == "stop_gradient" or (isinstance(op.vjp, tuple) and set(named) <= {"zero_almost_everywhere"})


# the cotangent algebra, the transformations, and the passes

_MODULES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ops.cotangent": ((), ("test_conventions",)),
    "ops.guarded": (("contract", "convolve"), ("test_ops_guarded",)),
    "autodiff.vjp": (("multiply", "concat"), ("test_transformations", "test_conventions", "test_ops_structure")),
    "autodiff.jvp": (("multiply", "concat"), ("test_transformations", "test_conventions", "test_ops_structure")),
    "passes.rules": ((), ("test_passes",)),
    "passes.algebra": ((), ("test_passes", "test_ops_guarded")),
    "passes.canonicalise": ((), ("test_passes",)),
    "passes.contractions": ((), ("test_passes",)),
    "passes.fold": ((), ("test_passes",)),
    "passes.squeeze": ((), ("test_passes",)),
    "passes.vectors": ((), ("test_passes", "test_ops_guarded")),
    "passes.patterns": ((), ("test_stable_rules", "test_stable")),
    "passes.stable_exp": ((), ("test_stable_rules", "test_stable")),
    "passes.stable_log": ((), ("test_stable_rules", "test_stable")),
    "passes.stable_norm": ((), ("test_stable_rules", "test_stable")),
    "passes.stable_power": ((), ("test_stable_rules", "test_stable")),
}
"""Modules all of whose functions are changed: the rows and the files whose tests should notice, in this order."""
_ABOUT_ERRORS = frozenset({"_refused", "labels", "check_scalar", "check_floats", "records_of", "note"})
"""Functions that make messages; `test_errors` holds their texts."""
_AT_IMPORT = frozenset({"_rules"})
"""Functions that did their work before a mutant could be put in place; so did those that made other functions."""


def module_cases(name: str) -> Iterator[Case]:
    """Every mutant of the functions of a module, those of its rewrite rules among them."""
    module = importlib.import_module(f"graphc.{name}")
    own = [f for f in vars(module).values() if isinstance(f, FunctionType) and f.__module__ == module.__name__]
    rules = [rule.apply for rule in getattr(module, "RULES", stable.RULES if name.startswith("passes.") else ())]
    fields = [row.numpy for row in getattr(module, "ROWS", ())]
    below = functions_below([*own, *rules, *fields], module.__name__.rpartition(".")[0], lambda name, _: False)
    found = [f for f in below if f.__module__ == module.__name__]
    rows, files = _MODULES[name]
    tests = (*[t for row in rows for t in row_tests(OPS[row])[:3]], *[suite(file) for file in files])
    makers = {f.__qualname__.rpartition(".<locals>.")[0] for f in found}
    found = [f for f in found if f.__name__ not in _ABOUT_ERRORS | _AT_IMPORT and f.__qualname__ not in makers]
    for group in same_code(found).values():
        for mutant in mutants_of(group, label(group[0])):
            yield Case(mutant.name, name, partial(_itself, mutant), tests)


# running


@contextmanager
def limited(seconds: float, nbytes: int = 4 << 30) -> Iterator[None]:
    """`TimeoutError` in this block after so many seconds, `MemoryError` where it takes so much more memory."""

    def stop(signum: int, frame: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (address_space() + nbytes, hard))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGALRM, before)


def address_space() -> int:
    """Bytes of this process's address space."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


_passes: dict[str, bool] = {}
"""Whether a test passes while nothing is changed; one that fails anyhow notices no mutant."""


def judge(case: Case) -> Verdict:
    """Run the tests of a mutant until one notices: fails, raises, or does not end, and would not without it."""
    start = time.monotonic()
    for test in case.tests:
        with case.change():
            failed = fails(test)
        if failed and passes(test):
            return Verdict(case, test.name, time.monotonic() - start)
    return Verdict(case, "", time.monotonic() - start)


def fails(test: Test) -> bool:
    """Whether a test fails, raises, or does not end."""
    try:
        with limited(SECONDS), np.errstate(all="ignore"):
            test.run()
    except (Exception, pytest.fail.Exception):
        return True
    return False


def passes(test: Test) -> bool:
    """Whether a test passes without any mutant."""
    if test.key not in _passes:
        _passes[test.key] = not fails(test)
    return _passes[test.key]


def sampled(cases: Iterable[Case], every: int, first: int = 0) -> Iterator[Case]:
    """Each `every`-th of the cases."""
    return (case for k, case in enumerate(cases) if k % every == first % every)


def report(verdicts: Sequence[Verdict]) -> str:
    """A line for each subject: mutants, what noticed how many, and survivors; then these by name."""
    by_subject: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        by_subject.setdefault(verdict.case.subject, []).append(verdict)
    lines = [f"{'rules of':<24} {'mutants':>7} {'killed':>7} {'survived':>8}  killed by"]
    for subject, found in by_subject.items():
        killers = [v.noticed for v in found if v.noticed]
        counts = ", ".join(f"{name} {killers.count(name)}" for name in dict.fromkeys(killers))
        lines.append(f"{subject:<24} {len(found):>7} {len(killers):>7} {len(found) - len(killers):>8}  {counts}")
    alive = [v.case.name for v in verdicts if not v.noticed]
    unexplained = [name for name in alive if name not in EXPLAINED]
    lines += [f"survived, and why: {name}\n    {EXPLAINED[name]}" for name in alive if name in EXPLAINED]
    lines += [f"SURVIVED: {name}" for name in unexplained]
    lines += [f"FAILS ANYHOW: {key}" for key, fine in _passes.items() if not fine]
    seconds = sum(v.seconds for v in verdicts)
    lines.append(
        f"{len(verdicts)} mutants, {len(verdicts) - len(alive)} killed, {len(alive)} survived, "
        f"{len(unexplained)} of them unexplained, {seconds:.0f} s"
    )
    return "\n".join(lines)


def all_cases(only: Sequence[str] = ()) -> Iterator[Case]:
    """Every mutant there is, or those of some subjects."""
    yield from row_cases([op for op in OPS.values() if "leaf" not in op.traits and (not only or op.name in only)])
    for name in _MODULES:
        if not only or name in only:
            yield from module_cases(name)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="rows and modules, separated by commas")
    parser.add_argument("--every", type=int, default=1, help="take each so-manieth mutant")
    chosen = parser.parse_args(arguments)
    verdicts = []
    for case in sampled(all_cases([n for n in chosen.only.split(",") if n]), chosen.every):
        verdicts.append(judge(case))
        if not verdicts[-1].noticed and case.name not in EXPLAINED:
            print(f"survived: {case.name}", flush=True)
    print(report(verdicts))
    return any(not v.noticed and v.case.name not in EXPLAINED for v in verdicts)


if __name__ == "__main__":
    sys.exit(main())
