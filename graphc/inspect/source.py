"""`Step.source`: the program's file as a document. Local names become the user's, marks become comments.

What runs is the raw file (`Step.text.source`), line for line. Here its machinery (tables, addresses) is folded into
signatures, a 0-d array is written as a plain variable, and a statement that would only say ``r = r`` is left out.
"""

from __future__ import annotations

import ast
import keyword
import re
from dataclasses import dataclass
from typing import Any

from ..codegen.cpu import KernelText, ProgramText
from ..errors import UserLine
from ..ir import dims
from ..ir.dims import Dim
from ..ir.graph import Graph
from ..ir.leaves import INPUT, PARAM
from ..ir.loops import ArrayArg, Kernel
from ..ir.naming import Unique
from ..ir.printer import SECTIONS, section_of
from ..ir.tensor import Tensor
from ..schedule.plan import Plan
from .comments import Commented, Comments
from .names import ProgramNames, accesses, dim_name, type_text

_LOCAL = re.compile(r"\b(?:[avnspie]\d+|b)\b")
_MACHINERY = re.compile(r"    (?:m = carray\(|[ne]\d+ = m\[|a\d+ = carray\(pointer\(|e\d+ = o\b)")
_MARK = re.compile(r"  #@(\d+)$")
_DEFINED = re.compile(r"\s*([vsp]\d+) (?:=|\+=|\*=) (.*)")
_STORED = re.compile(r"\s*(a\d+)\[(.*)\] = ([vsp]\d+)")
_LOAD = re.compile(r"(a\d+)\[([^\[\]]*)\]")
_LOOP = re.compile(r"\s*for (\w+) in range\(")
_CHECKED = re.compile(r", e\d+, m\)")
_LETTERS = ("i", "j", "k", "l", "p", "q", "u", "v")
_WIDTH = 118


@dataclass
class Line:
    """One line of a kernel's body: indentation, text in local names, and the node its mark stands for."""

    depth: int
    text: str
    node: Tensor | None

    @property
    def load(self) -> re.Match[str] | None:
        """Set where the line only gives a name to an element of an array."""
        found = _DEFINED.match(self.text)
        return _LOAD.fullmatch(found[2]) if found else None


def body_lines(text: KernelText) -> list[Line]:
    """The lines of a kernel behind its machinery."""
    lines = []
    for raw in text.text.split("\n"):
        if _MACHINERY.match(raw):
            continue
        mark = _MARK.search(raw)
        code = raw[: mark.start()] if mark else raw
        depth = (len(code) - len(code.lstrip())) // 4
        lines.append(Line(depth, code.strip(), text.marks[int(mark[1])] if mark else None))
    return lines


class KernelView:
    """One kernel in the user's names."""

    def __init__(self, name: str, kernel: Kernel, text: KernelText, names: ProgramNames):
        self.name, self.kernel, self.text, self.program = name, kernel, text, names
        self.lines = body_lines(text)
        self.arrays = {a.name: a for a in kernel.arrays}
        self.reads, self.writes = accesses(kernel)
        self.unique = Unique(names.reserved)
        self.names: dict[str, str] = {}
        for array in kernel.arrays:
            self.names[array.name] = self.unique(names.buffers[array.buffer])
        sizes = [what for kind, what in text.arguments if kind == "dim"]
        for k, dim in enumerate(sizes):
            self.names[f"n{k}"] = self.unique(dim_name(dim))  # type: ignore[arg-type]
        self.name_loops()
        self.name_values()

    # names

    def name_loops(self) -> None:
        for line in self.lines:
            loop = _LOOP.match(line.text)
            if loop and loop[1] not in self.names:
                free = [letter for letter in _LETTERS if letter not in self.unique.taken]
                self.names[loop[1]] = self.unique(free[0] if free else "index")

    def name_values(self) -> None:
        stores = {found[3]: (found[1], found[2]) for line in self.lines if (found := _STORED.match(line.text))}
        last = {node: name for name, node in self.text.names.items()}
        for line in self.lines:
            found = _DEFINED.match(line.text)
            if found is None or found[1] in self.names:
                continue
            local, node = found[1], self.text.names.get(found[1])
            alias = self.alias(local, line, stores)
            if alias is not None:
                self.names[local] = alias
            elif found[2].startswith("wrap("):
                self.names[local] = self.unique("place")
            elif line.load is not None:
                self.names[local] = self.unique(self.element(line.load[1], line.load[2]))
            elif node is None:
                self.names[local] = self.unique("value")
            else:
                self.names[local] = self.unique(self.value_name(local, node, last[node], stores))

    def alias(self, local: str, line: Line, stores: dict[str, tuple[str, str]]) -> str | None:
        """The name of a 0-d array that `local` can be written as: one it is loaded from, or only stored to."""
        if line.load is not None:
            array = self.arrays[line.load[1]]
            return self.names[array.name] if not array.shape and self.stays(local, array.name) else None
        array_name = stores.get(local, ("", ""))[0]
        if not array_name or self.arrays[array_name].shape or array_name in self.reads:
            return None
        return self.names[array_name]

    def stays(self, local: str, array: str) -> bool:
        """Whether nothing reads `local` after the array's element has been written."""
        written = [k for k, line in enumerate(self.lines) if re.match(rf"{array}\[0\] [-+*]?=", line.text)]
        used = [k for k, line in enumerate(self.lines) if re.search(rf"\b{local}\b", line.text)]
        return not written or max(used) <= written[0]

    def element(self, array: str, index: str) -> str:
        """``x_ij`` for ``x[i, j]``."""
        parts = [self.names.get(part, part) for part in index.split(", ")]
        name = self.names[array]
        if not self.arrays[array].shape:
            return f"{name}_before"
        return f"{name}_{''.join(parts)}" if all(p in _LETTERS or p.isdigit() for p in parts) else f"{name}_at"

    def value_name(self, local: str, node: Tensor, last: str, stores: dict[str, tuple[str, str]]) -> str:
        base = self.program.value(node)
        if local in stores and self.arrays[stores[local][0]].shape:
            return self.element(*stores[local])
        if local == last:
            return base
        return f"{base}_position" if local[0] == "p" else f"{base}_sum" if local[0] == "s" else f"{base}_part"

    # text

    def written_as(self, text: str) -> str:
        """A line of code in the user's names; 0-d arrays are plain variables."""
        text = _CHECKED.sub(")", text)
        for array in self.kernel.arrays:
            if not array.shape:
                text = re.sub(rf"\b{array.name}\[0\]", array.name, text)
        return _LOCAL.sub(lambda found: self.names.get(found[0], found[0]), text)

    def signature(self) -> list[str]:
        arguments = [f"{self.names[a.name]}: {self.argument_type(a)}" for a in self.kernel.arrays]
        one = f"def {self.name}({', '.join(arguments)}):"
        if len(one) <= 100:
            return [one]
        return [f"def {self.name}(", *[f"    {a}," for a in arguments], "):"]

    def argument_type(self, array: ArrayArg) -> str:
        text = type_text(array.dtype, array.shape)
        if array.name not in self.writes:
            return text
        return f"inout({text})" if array.name in self.reads else f"out({text})"

    def marked(self, lines: list[Line]) -> list[Tensor]:
        """The nodes that the lines compute, loads of leaves aside."""
        return [line.node for line in lines if line.node is not None and line.node.op not in (INPUT, PARAM)]

    def render(self, comments: Comments) -> list[Commented]:
        """The function, line by line, with comments."""
        result = [Commented(text) for text in self.signature()]
        comments.start()
        for k, line in enumerate(self.lines):
            text = self.written_as(line.text)
            sides = text.split(" = ")
            if len(sides) == 2 and sides[0] == sides[1]:
                continue
            comment = ""
            if _LOOP.match(line.text) and line.depth == 1:
                comment = comments.group(self.marked(self.loop(k)))
            elif line.node is not None and line.load is None:
                comment = comments.statement(line.node)
            result.append(Commented("    " * line.depth + text, comment))
        return result

    def loop(self, k: int) -> list[Line]:
        """The lines inside the loop that line `k` opens."""
        inside = []
        for line in self.lines[k + 1 :]:
            if line.depth <= self.lines[k].depth:
                break
            inside.append(line)
        return inside


def reserved_words(text: ProgramText) -> set[str]:
    """Names that the file uses itself, and Python's keywords."""
    words = set(re.findall(r"[A-Za-z_]\w*", text.source))
    return {w for w in words if not _LOCAL.fullmatch(w)} | set(keyword.kwlist) | {"out", "inout", *_LETTERS}


def render_source(plan: Plan, text: ProgramText, traced: Graph, key: str) -> str:
    """The document for a program; see the module."""
    graph = plan.graph
    names = ProgramNames(plan, traced, _reserved(text))
    comments = Comments(names)
    views = [KernelView(n, k, t, names) for (n, t), k in zip(text.kernels, plan.kernels, strict=True)]
    calls = [view.name for view in views]
    parts: list[Commented] = [Commented(line) for line in header(plan, graph, key)]
    parts += _leaf_section(graph, names)
    section, seen = "", set()
    for view in views:
        if view.name in seen:
            continue
        seen.add(view.name)
        found = comments.sections(view.marked(view.lines))
        if found != section:
            parts += [Commented(""), Commented(""), Commented(banner(found))]
            section = found
        often = calls.count(view.name)
        about = comments.group(view.marked(view.lines)) + (f", called {often} times" if often > 1 else "")
        parts += [Commented(""), Commented(f"# {about}"), *view.render(comments)]
    parts += [Commented(""), Commented(""), Commented(banner("step")), Commented("")]
    parts += _step_function(graph, plan, views, names)
    helpers = _helpers(text)
    if helpers:
        parts += [Commented(""), Commented(""), Commented(banner("helpers")), Commented(""), Commented(helpers)]
    return "\n".join(comments.layout(parts)) + "\n"


def _reserved(text: ProgramText) -> set[str]:
    words = {w for _, kernel in text.kernels for w in re.findall(r"[A-Za-z_]\w*", _code(kernel.text))}
    machinery = {"m", "o", "step", "out", "inout", "float64", "int64", *[n for n, _ in text.kernels]}
    return {w for w in words if not _LOCAL.fullmatch(w)} | set(keyword.kwlist) | machinery


def _code(text: str) -> str:
    return "\n".join(line.split("  #@")[0] for line in text.split("\n"))


def banner(title: str) -> str:
    return f"# ---- {title} ".ljust(78, "-")


def header(plan: Plan, graph: Graph, key: str) -> list[str]:
    """The docstring: what the step is, how much it computes and moves."""
    counts = [0] * len(SECTIONS)
    for node, part in section_of(graph).items():
        counts[part] += "leaf" not in node.op.traits
    ops = ", ".join(f"{count} {title}" for count, title in zip(counts, SECTIONS, strict=True) if count)
    name = graph.name.replace("\\", "/").replace('"', "'")
    return [
        f'"""{" ".join(name.split())}: one compiled step, target cpu',
        "",
        f"ops      {sum(counts)} ({ops or 'none'}) in {len(plan.kernels)} kernel{'s' * (len(plan.kernels) != 1)}",
        f"memory   {bytes_moved(plan)} bytes read and written a step",
        f"key      {key}",
        '"""',
    ]


def bytes_moved(plan: Plan) -> dims.DimLike:
    """Bytes that the kernels read and write in one step, each array of a kernel counted once per direction."""
    total: dims.DimLike = 0
    for kernel in plan.kernels:
        reads, writes = accesses(kernel)
        for array in kernel.arrays:
            often = (array.name in reads) + (array.name in writes)
            total = total + dims.product(array.shape) * (often * array.dtype.itemsize)
    return total


def _leaf_section(graph: Graph, names: ProgramNames) -> list[Commented]:
    updated = {p for p, _ in graph.updates}
    lines = [Commented(""), Commented(banner("inputs")), Commented("")]
    leaves: list[tuple[str, Any]] = [("input", node) for node in graph.inputs]
    leaves += [("param, updated" if p in updated else "param", p) for p in graph.params]
    numbers = [k for k in names.buffers]
    for number, (kind, node) in zip(numbers, leaves, strict=False):
        lines.append(Commented(f"{names.buffers[number]}: {type_text(node.dtype, node.shape)}", kind))
    return lines


def _step_function(graph: Graph, plan: Plan, views: list[KernelView], names: ProgramNames) -> list[Commented]:
    """The order of execution: every kernel call, with the memory it works on."""
    inputs = ", ".join(
        f"{names.buffers[b.number]}: {type_text(n.dtype, n.shape)}"
        for b, n in zip((b for b in plan.buffers if b.kind == "input"), graph.inputs, strict=True)
    )
    lines = [Commented(f"def step({inputs}):")]
    for k, view in enumerate(views):
        if k == plan.commit and any(v.kernel.checks for v in views):
            lines.append(Commented("    # an index out of range ends the step here: no param has been changed"))
        lines.append(Commented(f"    {view.name}({', '.join(names.buffers[a.buffer] for a in view.kernel.arrays)})"))
    outputs = [names.buffers[b.number] for b in plan.buffers if b.kind == "output"]
    lines.append(Commented(f"    return {', '.join(outputs)}" if outputs else "    return"))
    return lines


def _can_fail(view: KernelView) -> bool:
    return bool(view.kernel.checks)


def _helpers(text: ProgramText) -> str:
    """The functions that kernels call, as they stand in the file."""
    tree = ast.parse(text.source)
    own = {name for name, _ in text.kernels} | {"step"}
    machinery = {"carray", "pointer", "kernel", "program", "helper"}
    found = []
    lines = text.source.split("\n")
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name not in own | machinery:
            first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
            found.append("\n".join(lines[first - 1 : node.end_lineno]))
    return "\n\n".join(found)


__all__ = ["Dim", "KernelView", "UserLine", "bytes_moved", "render_source"]
