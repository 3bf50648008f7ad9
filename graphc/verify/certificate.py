"""`Certificate`: what was checked of a derivative, how, and how well it agreed; `VerificationError` where not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from ..errors import GraphcError

PASSED, SKIPPED = "passed", "skipped"


class VerificationError(GraphcError, ArithmeticError):
    """A derivative, a pass or compiled code that does not agree with what the graph means."""


@dataclass(frozen=True)
class Check:
    """One comparison.

    what    the two sides, in words
    status  "passed" or "skipped"; a failure is a `VerificationError`, never an entry
    how     "algebra", "50 digits", "float64 differences" ..., or the reason for skipping
    error   the worst relative error seen (0 where algebra decided)
    count   how many numbers or expressions were compared
    """

    what: str
    status: str
    how: str
    error: float = 0.0
    count: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Kink:
    """An op that has no derivative at some points, the user's line, and what graphc takes there."""

    op: str
    line: str
    rule: str


@dataclass(frozen=True)
class Custom:
    """A derivative that a user wrote with `gc.custom_gradient`, the user's line, and what it was compared with."""

    rule: str
    line: str
    compared: str


@dataclass(frozen=True, repr=False)
class Certificate:
    """What was checked of the derivatives of a graph.

    subject  the loss and what it was differentiated by
    sizes    of the named dims (and of large fixed ones, as "784 -> 3") in the checks on expressions
    checks   one entry per comparison, skipped ones included
    kinks    points where the function is not differentiable, by op and line
    custom   the users' own derivatives it rests on, and what each was compared with, or why it was not

    It shows as a table; `to_json` and `from_json` store it.

    >>> import graphc as gc
    >>> x = gc.input("x")
    >>> certificate = gc.verify(gc.abs(x) ** 3, x)
    >>> certificate.error < 1e-6, [kink.op for kink in certificate.kinks]
    (True, ['abs'])
    """

    subject: str
    checks: tuple[Check, ...]
    kinks: tuple[Kink, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    custom: tuple[Custom, ...] = ()

    @property
    def error(self) -> float:
        """The worst relative error of all checks."""
        return max((c.error for c in self.checks), default=0.0)

    @property
    def skipped(self) -> tuple[Check, ...]:
        return tuple(c for c in self.checks if c.status == SKIPPED)

    def to_json(self) -> str:
        """The certificate as JSON text."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Certificate:
        """The certificate that `to_json` wrote."""
        data = json.loads(text)
        checks = tuple(Check(**c) for c in data["checks"])
        kinks, custom = tuple(Kink(**k) for k in data["kinks"]), tuple(Custom(**c) for c in data["custom"])
        return cls(data["subject"], checks, kinks, data["sizes"], custom)

    def __str__(self) -> str:
        lines = [f"certificate of {self.subject}"]
        if self.sizes:
            lines.append("  expressions with " + ", ".join(f"{k} = {v}" for k, v in self.sizes.items()))
        width = max((len(c.what) for c in self.checks), default=0)
        for c in self.checks:
            number = f"{c.count:>5} compared, worst {c.error:.0e}" if c.status == PASSED else " " * 22
            lines.append(f"  {c.status:<7} {c.what:<{width}}  {number:<24} {c.how}")
        lines += [f"  kink    {k.op} at {k.line}: {k.rule}" for k in self.kinks]
        lines += [f"  custom  {c.rule} at {c.line}: {c.compared}" for c in self.custom]
        return "\n".join(lines)

    __repr__ = __str__
