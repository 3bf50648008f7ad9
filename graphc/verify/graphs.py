"""The derivative of a graph, checked in stages: expressions on small arrays, each pass, floats on full ones."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from ..errors import GraphcError, UnsupportedError, message
from ..ir import dims
from ..ir.evaluate import bind_dims, evaluate
from ..ir.graph import Graph
from ..ir.leaves import CONSTANT, INPUT, PARAM
from ..ir.tensor import Tensor
from ..ir.traversal import topological
from ..passes.pipeline import PIPELINE
from ..passes.stable import stable_outputs
from . import local, numeric
from .calculus import AGREES, DIFFERS, PROVEN, UNDECIDED, compare, derivative, short
from .certificate import PASSED, SKIPPED, Certificate, Check, Custom, VerificationError
from .custom import arguments, customs, holds_inside, title
from .domains import Digits, Symbols
from .kinks import kinks_of
from .points import Point, choose_point, leaves_of
from .shrink import Small, shrink, sizes_for
from .symbolic import BudgetError, evaluate_elements

_SMALL, FULL = (2, 3, 1, 4, 6, 8), (7, 6, 8, 12, 4, 3, 2, 1)
"""Sizes that are tried for named dims."""
_MAX_ELEMENTS = 2_000_000
"""Of a program at full size, for the stages in floats."""
_EXACT, _FROM_SINGLE = 1e-11, 1e-5
"""Relative errors allowed between expressions: constants in rules are rounded to their dtype."""
_MAX_SEARCHED = 10_000
"""Elements of a point at which the op whose rule is wrong is looked for again, if it was suspected before."""
_SYMBOLS, _DIGITS = "backward graph against sympy.diff", "backward graph against differences"
_FLOATS = "full size against differences"
"""Names of stages."""
_DECLARE = "if it is meant to differ, as a straight-through estimator is: gc.custom_gradient(..., surrogate=True)"
_DIRECTIONS = 2
_ALL_TERMS = 20
"""How many times the largest expression all of them together may be."""


@dataclass
class Subject:
    """A scalar `loss`, what it was differentiated by, and the gradients to be certified."""

    loss: Tensor
    wrt: list[Tensor]
    results: list[Tensor]
    values: Mapping[Tensor, Any] = field(default_factory=dict)
    altered: bool = False
    """Whether constants, params or given values are not what they are in the program: cut, or moved a little."""

    @property
    def roots(self) -> list[Tensor]:
        return [self.loss, *self.results]

    @property
    def text(self) -> str:
        names = ", ".join(w.name or f"a tensor made at {_line(w)}" for w in self.wrt[:6])
        more = f" and {len(self.wrt) - 6} more" if len(self.wrt) > 6 else ""
        return f"the gradient of a loss made at {_line(self.loss)} by {names}{more}"


def _line(node: Tensor) -> str:
    return str(node.origin.latest or "?")


class Skip(Exception):  # noqa: N818 - not an error: the reason why a stage has nothing to say
    """A stage that cannot be done, and why."""


class _DoubtError(Exception):
    """A contradiction that may come of altered values: of an orthogonal matrix a part is none."""

    def __init__(self, culprit: local.Culprit | None):
        super().__init__()
        self.culprit = culprit


class Inspection:
    """The stages for one subject. Each returns (how, worst error, count), raises `Skip` or `VerificationError`.

    `exact` is what it becomes at the first contradiction that altered values could be the reason of: from then on,
    constants, params and given values are taken whole and as they are.
    """

    def __init__(self, subject: Subject, seconds: float, terms: int, compiled: bool):
        self.subject, self.terms, self.compiled = subject, terms, compiled
        self.seconds, self.start = seconds, time.monotonic()
        self.checks: list[Check] = []
        single = any(a.dtype == np.float32 for n in topological(subject.roots) for a in n.avals)
        self.tolerance = _FROM_SINGLE if single else _EXACT
        self.small: Small | None = None
        self.wanted: list[Any] | None = None
        self.exact = False
        self.suspect: local.Culprit | None = None

    def until(self, share: float) -> float:
        """The time by which `share` of the budget is spent."""
        return self.start + share * self.seconds

    def certificate(self) -> Certificate:
        stages: tuple[tuple[str, Callable[[], tuple[str, float, int]]], ...] = (
            (_SYMBOLS, self.symbols),
            (_DIGITS, self.digits),
            ("after each pass", self.passes),
            (_FLOATS, self.floats),
            ("forward mode against reverse mode", self.forward),
            ("compiled against reference", self.code),
        )
        for what, stage in stages:
            self._run(what, stage)
        custom = tuple(dict.fromkeys(map(self._compared, customs(self.subject.loss, self.subject.wrt))))
        (form,), _ = stable_outputs([self.subject.loss], self.subject.wrt)
        kinks = kinks_of(form, self.subject.wrt)
        sizes = self.small.sizes if self.small is not None else {}
        return Certificate(self.subject.text, tuple(self.checks), kinks, sizes, custom)

    def _compared(self, node: Tensor) -> Custom:
        """What a user's own derivative was compared with; called after the stages."""
        rule, line = str(node.attrs["rule"]), _line(node)
        if node.attrs["rule"].surrogate:
            return Custom(rule, line, "NOT compared with SymPy, nor with differences: it is declared a surrogate")
        symbols, *others = (c for c in self.checks if c.what in (_SYMBOLS, _DIGITS, _FLOATS))
        seen = next((c for c in others if c.status == PASSED), others[0])
        parts = [
            f"compared with {against}" if c.status == PASSED else f"NOT compared with {against} ({c.how})"
            for against, c in (("SymPy", symbols), ("differences", seen))
        ]
        return Custom(rule, line, ", ".join(parts))

    def _run(self, what: str, stage: Callable[[], tuple[str, float, int]]) -> None:
        begun = time.monotonic()
        try:
            how, error, count = self._confirmed(stage)
            status = PASSED
        except (Skip, BudgetError, UnsupportedError) as reason:
            how, error, count, status = str(reason).splitlines()[0], 0.0, 0, SKIPPED
        self.checks.append(Check(what, status, how, error, count, round(time.monotonic() - begun, 3)))

    def _confirmed(self, stage: Callable[[], tuple[str, float, int]]) -> tuple[str, float, int]:
        try:
            return stage()
        except _DoubtError as doubt:
            self.exact, self.suspect, self.small, self.wanted = True, doubt.culprit, None, None
        try:
            return stage()
        except (Skip, BudgetError, UnsupportedError) as reason:
            why = f"contradicted where values are cut or moved, not decided where they are whole: {reason}"
            raise Skip(why) from None

    # on expressions

    def _derivable(self) -> None:
        for node in customs(self.subject.loss, self.subject.wrt):
            if node.attrs["rule"].surrogate:
                raise Skip(f"{title(node)} is declared a surrogate: its derivative is not that of its value")

    def _shrunk(self) -> tuple[Subject, Point]:
        """The subject on small arrays, with a point for it."""
        if self.small is not None:
            return self._at(self.small)
        values = self.subject.values
        given = bind_dims(list(values), list(values.values())) if self.exact else {}
        env = sizes_for([*self.subject.roots, *self.subject.wrt], _SMALL, given)
        if env is None:
            raise Skip("no small sizes satisfy the conditions on named dims")
        try:
            self.small, *found = self._placed(env, not self.exact)
        except Skip:
            if self.exact:
                raise
            self.small, *found = self._placed(env, False)
        return tuple(found)  # type: ignore[return-value]

    def _placed(self, env: Mapping[str, int], fixed: bool) -> tuple[Small, Subject, Point]:
        """The subject with these sizes, large fixed ones made small too if `fixed`, and a point for it."""
        try:
            small = shrink([*self.subject.roots, *self.subject.wrt], env, fixed)
        except GraphcError as error:
            raise Skip(f"it cannot be rebuilt in other sizes: {str(error).splitlines()[0]}") from None
        return small, *self._at(small)

    def _at(self, small: Small) -> tuple[Subject, Point]:
        nodes, old = small.nodes, self.subject
        values = {nodes[n]: v for n, v in _known(old).items()}
        moved = [nodes[n] for n in _known(old) if n not in old.values and not self.exact]
        wrt, results = [nodes[w] for w in old.wrt], [nodes[r] for r in old.results]
        new = Subject(nodes[old.loss], wrt, results, values, bool(moved) or _cut(nodes, values))
        point = choose_point(new.roots, leaves_of([*new.roots, *new.wrt]), {}, values, moved)
        if point is None:
            given = "no point with the given values was found at which everything is finite"
            raise Skip(given if old.values else "no point was found at which everything is finite; give values=")
        order = topological(new.roots)
        if any(
            np.shape(v) != n.shape for n, v in zip(order, evaluate(order, point, {}), strict=True) if not n.op.multi
        ):
            raise Skip("sizes in it are entangled")
        return new, point

    def symbols(self) -> tuple[str, float, int]:
        self._derivable()
        for node in customs(self.subject.loss, self.subject.wrt):
            if holds_inside(node):
                raise Skip(f"{title(node)} has gc.stop_gradient in its forward function")
        small, point = self._shrunk()
        verdicts = []
        collected: list[Any] = []
        for wrt, results in _groups(small):
            wanted, found, names, at = self._differentiated(small.loss, wrt, results, point)
            near = [v for x, a in _moved_little(at, self._fixed(small)).items() for v in _flat_floats(x, a)]
            here = [v for x, a in at.items() for v in _flat_floats(x, a)]
            verdict = compare(found, wanted, names, [here, near], self.tolerance, self.until(0.5))
            if verdict.status == DIFFERS:
                assert verdict.where is not None
                self._contradicted(small, wrt, results, point, *verdict.where[1:])
            verdicts.append(verdict)
            collected += wanted
        self.wanted = collected if len(verdicts) == 1 else None
        if any(v.status == UNDECIDED for v in verdicts):
            raise Skip("expressions have no real value at the point")
        proven, count = sum(v.proven for v in verdicts), sum(v.compared for v in verdicts)
        how = "algebra" if proven == count else f"{proven} by algebra, {count - proven} at 50 digits"
        return how, max((v.error for v in verdicts), default=0.0), count

    def _differentiated(
        self, loss: Tensor, wrt: list[Tensor], results: list[Tensor], point: Point
    ) -> tuple[list[Any], list[Any], list[Any], Point]:
        """Derivatives by SymPy, the backward graph's expressions, the symbols, and what they stand for at the point."""
        domain = Symbols(self.terms, freeze=True, deadline=self.until(0.4))
        given, names, at = _named(point, wrt)
        forward = evaluate_elements([loss], given, domain, point=at)[loss][()]
        wanted = []
        for x in (x for w in wrt for x in given[w].ravel()):
            if time.monotonic() > self.until(0.4):
                raise BudgetError("no time left to differentiate")
            wanted.append(domain.bounded(domain.thaw(derivative(forward, x))))
        fresh = Symbols(self.terms, deadline=self.until(0.5))
        values = evaluate_elements(results, given, fresh, point=at)
        found = [e for r in results for e in values[r].ravel()]
        total = sum(map(fresh.size, [*wanted, *found]))
        if total > _ALL_TERMS * self.terms:
            raise BudgetError(f"expressions of {total} terms in all, more than {_ALL_TERMS * self.terms}")
        return wanted, found, names, at

    def digits(self) -> tuple[str, float, int]:
        self._derivable()
        small, point = self._shrunk()
        domain, rng = Digits(), random.Random(0)
        worst = 0.0
        for _ in range(_DIRECTIONS):
            for wrt, results in _groups(small):
                pair = local.along(small.loss, wrt, results, point, domain, rng, self.until(0.6))
                if not domain.mp.isfinite(pair.found + pair.wanted):
                    raise Skip("at the point the loss jumps or bends, or its gradient is not a real number")
                worst = max(worst, pair.error)
                if pair.error > self.tolerance:
                    self._refute(small, point, short(pair.found), short(pair.wanted))
        return f"central differences of 50 digits along {_DIRECTIONS} directions", worst, _DIRECTIONS

    def _contradicted(
        self, small: Subject, wrt: list[Tensor], results: list[Tensor], point: Point, found: str, wanted: str
    ) -> NoReturn:
        """Raise the error for a gradient that SymPy contradicts, or `Skip` where the loss has none: at a bend."""
        domain, bends = Digits(), False
        for at in (point, _moved_little(point, self._fixed(small))):
            try:
                pair = local.along(small.loss, wrt, results, at, domain, random.Random(2), float("inf"))
            except BudgetError:
                break
            if not domain.mp.isfinite(pair.found + pair.wanted):
                bends = True
            elif pair.error > self.tolerance:
                self._refute(small, at, short(pair.found), short(pair.wanted))
        if bends:
            raise Skip("at the point the loss jumps or bends, or its gradient is not a real number")
        self._refute(small, point, found, wanted)

    def _fixed(self, small: Subject) -> set[Tensor]:
        """Leaves that stay as they are, once values count."""
        return set(small.values) - set(small.wrt) if self.exact else set()

    def _culprit(self, small: Subject, point: Point) -> tuple[local.Culprit | None, str]:
        """The node whose own rule is wrong; else what to think of it."""
        if self.suspect is not None and sum(v.size for v in point.values()) > _MAX_SEARCHED:
            return self.suspect, ""
        losses = (small.loss, *stable_outputs([small.loss], small.wrt)[0])  # as written, and as differentiated
        try:
            culprit = next((c for loss in losses if (c := local.find_culprit(loss, small.wrt, point))), None)
        except (BudgetError, UnsupportedError) as reason:
            return None, f"which op's rule it is was not found: {str(reason).splitlines()[0]}"
        own = ", ".join(dict.fromkeys(map(title, customs(self.subject.loss, self.subject.wrt))))
        hint = f"look at {own}; {_DECLARE}" if own else "the derivative was put together wrongly, or by hand"
        return culprit, f"each op's own rule is right: {hint}"

    def _refute(self, small: Subject, point: Point, found: str, wanted: str) -> NoReturn:
        """Raise the error for a gradient that is wrong: of the op whose own rule is, if there is one."""
        culprit, hint = self._culprit(small, point)
        if small.altered and (culprit is None or culprit.node.op.name == "custom"):
            raise _DoubtError(culprit)
        if culprit is None:
            raise VerificationError(message(f"wrong: {self.subject.text}", got=found, expected=wanted, hint=hint))
        node = culprit.node
        operands = ", ".join(
            f"{i.name or f'operand {k}'}: {i.aval} = {text}"
            for k, (i, text) in enumerate(zip(arguments(node), culprit.values, strict=True))
        )
        hint, which = f"found while verifying {self.subject.text}", f"of {node.op.name} is wrong for operand"
        if node.op.name == "custom":
            hint, which = f"{hint}; {_DECLARE}", f"{node.attrs['rule']} of custom_gradient is wrong for argument"
        raise VerificationError(
            message(
                f"the derivative rule {which} {culprit.operand}",
                got=f"{culprit.found} for {operands}",
                expected=culprit.wanted,
                at=node.origin.latest,
                hint=hint,
            )
        )

    def passes(self) -> tuple[str, float, int]:
        """Each pass keeps the loss and the gradients: as expressions, else in 50 digits at the point."""
        small, point = self._shrunk()
        inputs = [x for x in leaves_of(small.roots) if x.op is INPUT]
        graph = Graph(inputs, small.roots)
        domain = Digits()
        before = _flat(evaluate_elements(graph.outputs, point, domain, point=point, deadline=self.until(0.7)), graph)
        worst, symbolic = 0.0, self.wanted is not None
        for number, (name, run) in enumerate(PIPELINE):
            new, fired = run(graph)
            after = _flat(evaluate_elements(new.outputs, point, domain, point=point, deadline=self.until(0.7)), new)
            for k, (a, b) in enumerate(zip(after, before, strict=True)):
                error = float(abs(a - b) / (1 + abs(b)))
                worst = max(worst, error)
                if error > self.tolerance:
                    raise self._broken(f"{name!r} (number {number + 1})", fired, k, a, b)
            symbolic = symbolic and self._still(new, small, point)
            graph = new
        how = "expressions and 50 digits" if symbolic else "50 digits"
        return f"{how}, {len(PIPELINE)} passes", worst, len(before) * len(PIPELINE)

    def _still(self, graph: Graph, small: Subject, point: Point) -> bool:
        """Whether the gradients after a pass are still what SymPy says, as expressions."""
        assert self.wanted is not None
        if time.monotonic() > self.until(0.7):
            return False
        given, names, at = _named(point, small.wrt)
        try:
            values = evaluate_elements(graph.outputs, given, Symbols(self.terms, deadline=self.until(0.7)), point=at)
        except (BudgetError, UnsupportedError):
            return False
        found = [e for r in graph.outputs[1:] for e in values[r].ravel()]
        where = [v for x, a in at.items() for v in _flat_floats(x, a)]
        verdict = compare(found, self.wanted, names, [where], self.tolerance, algebra=False)
        return verdict.status in (PROVEN, AGREES)

    def _broken(self, which: str, fired: Mapping[str, int], k: int, got: Any, wanted: Any) -> VerificationError:
        return VerificationError(
            message(
                f"pass {which} changed {self.subject.text}",
                got=f"{short(got)} in entry {k} of loss and gradients",
                expected=short(wanted),
                hint=f"rules that fired: {', '.join(fired) or 'none'}",
            )
        )

    # on floats

    def _full(self) -> tuple[Subject, Point]:
        """The subject in float64 at full size."""
        return self._placed(self._full_sizes(), False)[1:]

    def _full_sizes(self) -> dict[str, int]:
        values = self.subject.values
        given = bind_dims(list(values), list(values.values()))
        chosen = sizes_for([*self.subject.roots, *self.subject.wrt], FULL, given)
        if chosen is None:
            raise Skip("no sizes satisfy the conditions on named dims; give values=")
        leaves = leaves_of(self.subject.roots)
        if sum(dims.evaluate(dims.product(x.shape), chosen) for x in leaves) > _MAX_ELEMENTS:
            raise Skip(f"more than {_MAX_ELEMENTS} elements")
        return chosen

    def floats(self) -> tuple[str, float, int]:
        self._derivable()
        how = "central differences in float64"
        found = self._pairs(numeric.differences, numeric.DIFFERENCES, how)
        return max(found, self._pairs(numeric.uphill, numeric.DIFFERENCES, how)) if self.exact else found

    def forward(self) -> tuple[str, float, int]:
        try:
            return self._pairs(numeric.transpose, numeric.TRANSPOSE, "dot products in float64")
        except VerificationError:
            raise
        except GraphcError as error:
            raise Skip(str(error).splitlines()[0]) from None

    def _pairs(self, stage: Any, tolerance: float, how: str) -> tuple[str, float, int]:
        full, point = self._full()
        rng = np.random.default_rng(0)
        worst = 0.0
        for wrt, results in _groups(full):
            pair = stage(full.loss, wrt, results, point, rng)
            if np.isnan(pair.wanted):
                raise Skip("at the point the loss jumps or bends")
            worst = max(worst, pair.error)
            if not pair.error <= tolerance:
                self._refute(full, point, short(pair.found), short(pair.wanted))
        return how, worst, 1

    def code(self) -> tuple[str, float, int]:
        if not self.compiled:
            raise Skip("the step as a whole is compared")
        env = self._full_sizes()
        inputs, run = numeric.runner(self.subject.roots, self.subject.wrt)
        point = choose_point(self.subject.roots, inputs, env, self.subject.values, anyhow=True)
        if point is None:
            raise Skip("no point was found at which every index is in range; give values=")
        graph = Graph(inputs, self.subject.roots)
        wanted = numeric.expected(graph, point, env)
        found = run([point[x] for x in inputs])
        error, mismatch = numeric.worst(found, wanted, lambda: numeric.doubts(graph, point, env, wanted))
        if mismatch is not None:
            which = "the loss" if mismatch.number == 0 else f"gradient {mismatch.number - 1}"
            raise compiled_wrong(which, mismatch)
        return "numba against the reference interpreter", error, sum(np.size(w) for w in wanted)


def compiled_wrong(which: str, mismatch: numeric.Mismatch) -> VerificationError:
    """The error for compiled code that gives another value than the reference interpreter."""
    return VerificationError(
        message(
            f"compiled code disagrees with the reference interpreter in {which}",
            got=f"{mismatch.found} at {list(mismatch.place)}",
            expected=f"{mismatch.wanted}",
        )
    )


def _known(subject: Subject) -> dict[Tensor, Any]:
    """Values that are there already: the given ones, and those of params."""
    params = {n: n.attrs["state"].read() for n in topological([*subject.roots, *subject.wrt]) if n.op is PARAM}
    return {**params, **subject.values}


def _groups(subject: Subject) -> list[tuple[list[Tensor], list[Tensor]]]:
    """What can be differentiated at once: all leaves; a tensor that others depend on is taken alone."""
    if all(not w.inputs for w in subject.wrt):
        return [(subject.wrt, subject.results)]
    return [([w], [r]) for w, r in zip(subject.wrt, subject.results, strict=True)]


def _named(point: Point, wrt: Sequence[Tensor]) -> tuple[dict[Tensor, Any], list[Any], dict[Tensor, np.ndarray]]:
    """Arrays of symbols for the float leaves of a point and for `wrt`, all symbols, and the floats they stand for."""
    import sympy as sp

    extra = [w for w in wrt if w not in point]
    at = {**point, **dict(zip(extra, evaluate(extra, point, {}), strict=True))}
    given: dict[Tensor, Any] = {}
    names: list[Any] = []
    for number, (x, array) in enumerate(at.items()):
        if x.dtype.kind != "f":
            given[x] = array
            continue
        symbols = np.empty(array.shape, object)
        for k, place in enumerate(np.ndindex(array.shape)):
            symbols[place] = sp.Symbol(f"v{number}_{k}", real=True)
        given[x] = symbols
        names += list(symbols.ravel())
    return given, names, at


def _cut(nodes: Mapping[Tensor, Tensor], values: Mapping[Tensor, Any]) -> bool:
    """Whether, in a rebuilt program, some constant or given value that is not the same all over has lost elements."""
    constants = [(n.attrs["data"].array, new) for n, new in nodes.items() if n.op is CONSTANT]
    arrays = [*constants, *((np.asarray(v), new) for new, v in values.items())]
    return any(a.shape != new.shape and bool(np.any(a != a.ravel()[:1])) for a, new in arrays)


def _moved_little(point: Point, fixed: Collection[Tensor] = ()) -> Point:
    """A second point, near the first, in the same region of what is smooth in pieces; what is `fixed` is the same."""
    rng = np.random.default_rng(3)
    moving = {x for x in point if x.dtype.kind == "f" and x not in fixed}
    return {x: v * (1 + 1e-4 * rng.uniform(-1.0, 1.0, v.shape)) if x in moving else v for x, v in point.items()}


def _flat_floats(x: Tensor, array: np.ndarray) -> list[float]:
    return np.ravel(array).tolist() if x.dtype.kind == "f" else []


def _flat(values: Mapping[Tensor, Any], graph: Graph) -> list[Any]:
    return [e for o in graph.outputs for e in values[o].ravel()]
