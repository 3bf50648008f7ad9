"""Random programs: leaves with values, statements as Python text, outputs and updates. The text is what runs.

`generate(random)` writes one. A program is executed with `gc` functions on symbolic tensors (`RandomProgram.trace`) or
on eager ones (`RandomProgram.eager`); its `text` is a file that anybody can run.
"""

from __future__ import annotations

import random as python_random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import graphc as gc

from ..errors import GradientError, GraphcError, GraphcWarning
from ..ir.dtypes import SUPPORTED
from ..ir.evaluate import constant_of, evaluate
from ..ir.tensor import Tensor
from .vocabulary import STATEMENTS

LARGEST = 1e4
"""Values beyond are not built upon: rounding errors and overflows would hide everything else."""


@dataclass(frozen=True)
class Leaf:
    """An input, param or constant: its declared shape (ints and names) and how its values are made.

    values  "grid" (multiples of 1/4), "special" (nan, inf and -0.0 among them), "generic" (no two related), or
            (low, high) for indices
    """

    name: str
    kind: str
    shape: tuple[int | str, ...]
    dtype: np.dtype
    values: Any = "grid"
    data: np.ndarray | None = None

    def sample(self, rng: np.random.Generator, env: Mapping[str, int]) -> np.ndarray:
        """Random values in the shape that `env` gives."""
        shape = tuple(env[s] if isinstance(s, str) else s for s in self.shape)
        if isinstance(self.values, tuple):
            low, high = self.values
            return rng.integers(low, max(high, low + 1), shape).astype(self.dtype)
        if self.dtype.kind == "b":
            return rng.integers(0, 2, shape).astype(bool)
        if self.dtype.kind in "iu":
            low = 0 if self.dtype.kind == "u" else -4
            array = rng.integers(low, 9, shape).astype(self.dtype)
            if self.values == "special":
                info = np.iinfo(self.dtype)
                array = np.where(rng.random(shape) < 0.2, rng.choice([info.min, info.max], shape), array)
            return array.astype(self.dtype)
        if self.values == "generic":
            return np.asarray(rng.uniform(-2, 2, shape)).astype(self.dtype)
        array = rng.integers(-8, 9, shape) / 4
        if self.values == "special":
            chosen = rng.choice([np.nan, np.inf, -np.inf, -0.0], shape)
            array = np.where(rng.random(shape) < 0.15, chosen, array)
        return np.asarray(array).astype(self.dtype)

    @property
    def line(self) -> str:
        """The statement that makes the leaf."""
        if self.kind == "input":
            return f"{self.name} = gc.input({self.name!r}, {self.shape!r}, {self.dtype.name!r})"
        assert self.data is not None
        if self.kind == "param":
            return f"{self.name} = gc.param({array_text(self.data)}, name={self.name!r})"
        return f"{self.name} = gc.constant({array_text(self.data)})"


def array_text(array: np.ndarray) -> str:
    """An array as Python text that makes it again, bit for bit."""
    array = np.asarray(array)
    values = repr(array.tolist()).replace("nan", "np.nan").replace("inf", "np.inf")
    text = f"np.array({values}, {array.dtype.name!r})"
    return text if array.size else f"np.zeros({array.shape!r}, {array.dtype.name!r})"


@dataclass(frozen=True)
class Traced:
    """A program as a graph: what `gc.compile` takes; and every tensor that has a name in it."""

    inputs: list[Tensor]
    outputs: list[Tensor]
    updates: dict[Any, Tensor]
    named: list[Tensor]


def eager_tensor(data: np.ndarray) -> Any:
    """An eager tensor that wants a gradient if it can have one."""
    return gc.eager.tensor(data, requires_grad=data.dtype.kind == "f")


class _EagerLibrary:
    """What `gc` is to the statements when they run on eager tensors."""

    nn = gc.nn

    def __getattr__(self, name: str) -> Any:
        function = getattr(gc, name)

        def made(*args: Any, **options: Any) -> Any:
            result = function(*args, **options)
            return eager_tensor(constant_of(result)) if isinstance(result, Tensor) else result

        return made

    def vjp(self, y: Any, wrt: Sequence[Any], ct: Any) -> list[Any]:
        """`gc.vjp`, by the tape. By leaves only: a graph takes equal steps for one, a tape keeps them apart."""
        if any(not x.is_leaf for x in wrt):
            raise GradientError("by a computed tensor")
        if not y.requires_grad or not all(x.requires_grad for x in wrt):
            raise GradientError("computed from integers alone: the tape does not know it")
        return list(gc.eager.grad(y, wrt, ct, create_graph=True))


EAGER = _EagerLibrary()


def _run(line: str, space: dict[str, Any]) -> None:
    """Execute a statement. It may well differentiate by what it did not use."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GraphcWarning)
        exec(line, space)


@dataclass(frozen=True)
class RandomProgram:
    """A random program.

    leaves    inputs, params and constants
    lines     statements, each one assignment
    outputs   names of what it returns
    updates   pairs of names: param, new value
    calls     per call of the step: input name -> array
    """

    leaves: tuple[Leaf, ...]
    lines: tuple[str, ...]
    outputs: tuple[str, ...]
    updates: tuple[tuple[str, str], ...] = ()
    calls: tuple[dict[str, np.ndarray], ...] = ()

    def execute(self, values: Mapping[str, Any] | None = None, library: Any = gc) -> dict[str, Any]:
        """Run the statements; `values` stand in for leaves."""
        space: dict[str, Any] = {"gc": library, "np": np, **(values or {})}
        for leaf in self.leaves:
            if leaf.name not in space:
                exec(leaf.line, space)
        for line in self.lines:
            _run(line, space)
        return space

    def trace(self) -> Traced:
        """The program as a graph, with new params."""
        space = self.execute()
        return Traced(
            [space[leaf.name] for leaf in self.leaves if leaf.kind == "input"],
            [space[name] for name in self.outputs],
            {space[p]: space[v] for p, v in self.updates},
            [value for value in space.values() if isinstance(value, Tensor)],
        )

    def eager(self, call: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs, then the new values of params, by the eager engine; constants are eager tensors, too."""
        values: dict[str, Any] = {}
        for leaf in self.leaves:
            data = call[leaf.name] if leaf.kind == "input" else leaf.data
            values[leaf.name] = eager_tensor(np.array(data, leaf.dtype))
        space = self.execute(values, EAGER)
        names = [*self.outputs, *[value for _, value in self.updates]]
        return [space[name].detach().numpy() for name in names]

    @property
    def text(self) -> str:
        """A self-contained Python program, which runs the graph in every way."""
        return self._text("check", "{inputs}, {outputs}, {updates}, calls")

    @property
    def gradient_text(self) -> str:
        """One that compares derivatives."""
        return self._text("check_derivatives", "{inputs}, {outputs}, calls[0]")

    @property
    def batch_text(self) -> str:
        """One that runs many samples at once."""
        return self._text("check_batch", "{inputs}, {outputs}, calls[:2]")

    def eager_text(self, position: int = 0) -> str:
        """One that runs the statements of a call eagerly."""
        names = [leaf.name for leaf in self.leaves]
        call = self.calls[position]
        body = ["import numpy as np", "", "from graphc.testing import check_eager", "", ""]
        body += [f"def program({', '.join(['gc', *names])}):", *[f"    {line}" for line in self.lines]]
        body += [f"    return [{', '.join([*self.outputs, *[v for _, v in self.updates]])}]", "", ""]
        body += ["check_eager(program, ["]
        for leaf in self.leaves:
            body.append(f"    {array_text(np.asarray(call[leaf.name] if leaf.kind == 'input' else leaf.data))},")
        return "\n".join([*body, "])"]) + "\n"

    def _text(self, function: str, arguments: str) -> str:
        names = [leaf.name for leaf in self.leaves if leaf.kind == "input"]
        body = ["import numpy as np", "", "import graphc as gc", f"from graphc.testing import {function}", ""]
        body += [leaf.line for leaf in self.leaves]
        body += [*self.lines, "calls = ["]
        for call in self.calls:
            body.append("    [" + ", ".join(array_text(call[n]) for n in names) + "],")
        updates = ", ".join(f"{p}: {v}" for p, v in self.updates)
        parts = {"inputs": f"[{', '.join(names)}]", "outputs": f"[{', '.join(self.outputs)}]"}
        body += ["]", f"{function}({arguments.format(**parts, updates='{' + updates + '}')})"]
        return "\n".join(body) + "\n"

    def needed(self) -> RandomProgram:
        """Without statements and leaves that nothing depends on."""
        wanted = {*self.outputs, *[n for pair in self.updates for n in pair]}
        kept: list[str] = []
        for line in reversed(self.lines):
            targets, names = _names(line)
            if targets & wanted:
                kept.append(line)
                wanted |= names
        leaves = tuple(leaf for leaf in self.leaves if leaf.name in wanted or self._declares(leaf, wanted))
        names = {leaf.name for leaf in leaves}
        calls = tuple({k: v for k, v in call.items() if k in names} for call in self.calls)
        return replace(self, leaves=leaves, lines=tuple(reversed(kept)), calls=calls)

    def _declares(self, leaf: Leaf, wanted: set[str]) -> bool:
        """Whether an input must stay because no other one that stays declares one of its named dims."""
        named = {s for s in leaf.shape if isinstance(s, str)}
        others = {s for o in self.leaves if o.name in wanted and o.kind == "input" for s in o.shape}
        return leaf.kind == "input" and bool(named - others)


def _names(line: str) -> tuple[set[str], set[str]]:
    """The names that a statement assigns, and those that it reads."""
    code = compile(line, "<statement>", "exec")
    targets = {n.strip() for n in line.split(" = ", 1)[0].strip("[]").split(",")}
    return targets, set(code.co_names)


@dataclass
class Draft:
    """A program while it is written: what has been computed so far, symbolically and as values."""

    random: python_random.Random
    env: dict[str, int]
    palette: tuple[tuple[int | str, ...], ...]
    dtypes: tuple[np.dtype, ...]
    special: bool
    generic: bool = False
    leaves: list[Leaf] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    space: dict[str, Any] = field(default_factory=lambda: {"gc": gc, "np": np})
    values: dict[str, np.ndarray] = field(default_factory=dict)
    given: dict[Tensor, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.random.randrange(2**32))

    # leaves

    def leaf(self, kind: str, shape: Sequence[int | str], dtype: Any, values: Any = "grid") -> str:
        """A new leaf; its name."""
        name = f"{ {'input': 'x', 'param': 'w', 'constant': 'c'}[kind] }{len(self.leaves)}"
        if kind != "input":
            shape = [self.env[s] if isinstance(s, str) and kind == "param" else s for s in shape]
            shape = [3 if isinstance(s, str) else s for s in shape]
        new = Leaf(name, kind, tuple(shape), np.dtype(dtype), values)
        data = new.sample(self.rng, self.env)
        if kind != "input":
            new = replace(new, data=data)
        self.leaves.append(new)
        exec(new.line, self.space)
        self.values[name] = data
        self.given[self.space[name]] = data
        return name

    def kind_of_values(self) -> str:
        if self.generic:
            return "generic"
        return "special" if self.special and self.random.random() < 0.4 else "grid"

    # choosing

    def choose(self, items: Sequence[Any]) -> Any:
        return items[self.random.randrange(len(items))]

    def pick(self, test: Any = None) -> str | None:
        """A value computed so far (late ones more often), for which `test(value)` holds; None where there is none."""
        names = [n for n in self.values if test is None or test(self.values[n])]
        if not names:
            return None
        if self.random.random() < 0.65:
            names = names[-3:]
        return self.choose(names)

    def shape(self, name: str) -> tuple[Any, ...]:
        """Declared sizes, named ones as dims."""
        return self.space[name].shape

    def is_alone(self, name: str) -> bool:
        """Whether no other name is the same node: a graph cannot tell them apart, a tape can."""
        return sum(self.space[n] is self.space[name] for n in self.values) == 1

    # statements

    def add(self, text: str, targets: int = 0) -> bool:
        """Append ``v = text`` if it can be built and computed; whether it was."""
        first = len(self.values)
        names = [f"v{first + k}" for k in range(max(targets, 1))]
        line = f"[{', '.join(names)}] = {text}" if targets else f"{names[0]} = {text}"
        try:
            _run(line, self.space)
            tensors = [self.space[n] for n in names]
            if any(not isinstance(t, Tensor) for t in tensors):
                return False
            values = evaluate(tensors, self.given, self.env)
        except GraphcError:
            return False
        if any(not self.usable(v) for v in values):
            return False
        self.lines.append(line)
        for name, tensor, value in zip(names, tensors, values, strict=True):
            self.values[name] = value
            self.given[tensor] = value
        return True

    def usable(self, value: np.ndarray) -> bool:
        """Whether later statements may build on this value."""
        if value.size > 600:
            return False
        if value.dtype.kind != "f":
            return True
        finite = value[np.isfinite(value)]
        if not self.special and finite.size != value.size:
            return False
        return not finite.size or float(np.abs(finite).max()) <= LARGEST


def generate(
    random: python_random.Random, statements: int | None = None, dtypes: Sequence[Any] = (), generic: bool = False
) -> RandomProgram:
    """A random program of up to `statements` statements, on leaves of the given dtypes (default: any).

    Values are small multiples of 1/4, on which most arithmetic is exact; `generic` ones meet no kinks by chance.
    """
    draft = _draft(random, tuple(np.dtype(d) for d in dtypes), generic)
    wanted = random.randint(1, random.choice([5, 15, 40])) if statements is None else statements
    kinds = random.sample(STATEMENTS, random.randint(3, len(STATEMENTS)))  # few kinds at a time meet more often
    for _ in range(3 * wanted):
        if len(draft.lines) >= wanted:
            break
        make = random.choices([s for s, _ in kinds], [w for _, w in kinds])[0]
        text = make(draft)
        if text is not None:
            draft.add(*text) if isinstance(text, tuple) else draft.add(text)
    updates = _updates(draft)
    outputs = _outputs(draft)
    program = RandomProgram(tuple(draft.leaves), tuple(draft.lines), outputs, updates)
    return replace(program, calls=_calls(draft, program)).needed()


def _draft(random: python_random.Random, dtypes: tuple[np.dtype, ...], generic: bool) -> Draft:
    sizes = [0, 1, 1, 2, 2, 3, 3, 3, 4, 5, 7]
    named = random.random() < 0.5
    env = {"n": random.choice(sizes), "m": random.choice(sizes)} if named else {}
    if named and random.random() < 0.4:
        env["k"] = env["n"]  # equal by a check
    parts: list[int | str] = [random.choice(sizes) for _ in range(3)] + list(env)
    axes = [random.choice(parts) for _ in range(random.randint(1, 3))]
    palette = [tuple(axes)]
    for _ in range(3):
        shape = [1 if random.random() < 0.2 else a for a in axes[random.randint(0, len(axes)) :]]
        palette.append(tuple(shape))
    if "k" in env:
        palette.append(tuple("k" if a == "n" else a for a in axes))
    if not dtypes:
        few = [np.dtype("float64"), random.choice(SUPPORTED), random.choice(SUPPORTED)]
        dtypes = tuple(few[: random.randint(1, 3)])
    draft = Draft(random, env, tuple(palette), dtypes, not generic and random.random() < 0.15, generic)
    for name in env:  # every named dim is declared by an input
        draft.leaf("input", (name,), draft.choose(dtypes), draft.kind_of_values())
    for _ in range(random.randint(1, 4)):
        kind = random.choices(["input", "param", "constant"], [6, 3, 1])[0]
        draft.leaf(kind, draft.choose(palette), draft.choose(dtypes), draft.kind_of_values())
    return draft


def _updates(draft: Draft) -> tuple[tuple[str, str], ...]:
    """New values for some params: computed values of their type, other params (swaps), or made to fit."""
    updates: list[tuple[str, str]] = []
    params = [leaf.name for leaf in draft.leaves if leaf.kind == "param"]
    for p in params:
        if draft.random.random() < 0.25:
            continue
        want = draft.space[p].aval
        fitting = [n for n in draft.values if n != p and draft.space[n].aval == want]
        if draft.random.random() < 0.5:
            others = [n for n in draft.values if draft.space[n].dtype == want.dtype]
            q = draft.choose(others)
            if (
                draft.add(f"gc.broadcast_to({p} + {q}, {want.shape!r})")
                and draft.space[list(draft.values)[-1]].aval == want
            ):
                fitting = [list(draft.values)[-1]]
        if fitting:
            updates.append((p, draft.choose(fitting)))
    return tuple(updates)


def _outputs(draft: Draft) -> tuple[str, ...]:
    names = list(draft.values)
    read = {name for line in draft.lines for name in _names(line)[1]}
    ends = [n for n in names if n not in read and n.startswith("v")] or names[-1:]
    if draft.random.random() < 0.5:
        return tuple(ends[-12:])
    count = draft.random.randint(1, 6)
    return tuple(draft.choose(ends if draft.random.random() < 0.7 else names) for _ in range(count))


def _calls(draft: Draft, program: RandomProgram) -> tuple[dict[str, np.ndarray], ...]:
    """Values for three calls: those the program was made with, others, and others of other sizes."""
    inputs = [leaf for leaf in program.leaves if leaf.kind == "input"]
    first = {leaf.name: draft.values[leaf.name] for leaf in inputs}
    again = {leaf.name: leaf.sample(draft.rng, draft.env) for leaf in inputs}
    sizes = {k: draft.random.choice([0, 1, 2, 4, 6]) for k in draft.env}
    if "k" in sizes and draft.random.random() < 0.8:
        sizes["k"] = sizes["n"]
    other = {leaf.name: leaf.sample(draft.rng, sizes) for leaf in inputs}
    return (first, again, other) if sizes else (first, again)


__all__ = ["EAGER", "Draft", "Leaf", "RandomProgram", "Traced", "array_text", "eager_tensor", "generate"]
