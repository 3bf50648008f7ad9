"""`Step.source`: the program's file as a document. Local names become the user's, marks become comments.

What runs is the raw file (`Step.text.source`), line for line. Here its machinery (tables, addresses) is folded into
signatures, a 0-d array is written as a plain variable, and a statement that would only say ``r = r`` is left out.
"""

from __future__ import annotations

import ast
import keyword
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..codegen.statements import KernelText, Printed
from ..errors import count, one_line
from ..ir import dims
from ..ir.dims import DimLike
from ..ir.loops import ArrayArg, Kernel
from ..ir.naming import Unique
from ..ir.printer import SECTIONS, section_of
from ..ir.tensor import Tensor
from ..schedule.plan import Plan
from .comments import Commented, Comments
from .names import ProgramNames, accesses, dim_name
from .numbers import explained

_LOCAL = re.compile(r"\b(?:[avnspieq]\d+|b)\b")
_MACHINERY = re.compile(r"    (?:[naeq]\d+|m) = .*\bm\b.*\bo\b")
_MARK = re.compile(r"  #@(\d+)$")
_DEFINED = re.compile(r"\s*([vsp]\d+) (?:=|\+=|\*=) (.*)")
_NAMED = re.compile(r"\s*([vsp]\d+) = (.*)")
_STORED = re.compile(r"(a\d+)\[(.*)\] = ([vsp]\d+)$")
_LOAD = re.compile(r"(a\d+)\[([^\[\]]*)\]")
_LOOP = re.compile(r"\s*for (\w+) in range\(")
_FLAGS = re.compile(r"(mended_whole\(.*)\b(True|False), (True|False)\)$")
_CHECKED = re.compile(r", e\d+, m\)")
_LETTERS = ("i", "j", "k", "l", "p", "q", "u", "v")
_DOUBLE = re.compile(r"\bfloat64\((-?(?:[\d.]+(?:e[-+]?\d+)?|inf|nan))\)")
_ASSIGNED = re.compile(r"(?!if |for )(.*? [-+*]?= )(.*)")
_WEAKEST_FIRST = (
    r" (?:if|else) ", r" (?:[<>]=?|[!=]=) ", r" \| ", r" \^ ", r" & ", r" [-+] ", r" [*/%]+ ", r"\(",
)  # fmt: skip
"""Where a long expression is cut: at the operators that bind least, so that its lines read as it is computed."""
_RUNNING = {"add": "sum", "linear": "sum", "mul": "product", "or": "any", "and": "all"}
"""What an accumulator is called that is not yet the result."""
_WIDTH = 118


Stores = dict[str, tuple[str, str, tuple[int, ...]]]
"""For a local value that is stored: the array, the index as text, and the block of the store."""


@dataclass
class Line:
    """One line of a kernel's body.

    block  line numbers of the loops and branches around it, outermost first
    text   the code in local names
    node   what its mark stands for
    """

    block: tuple[int, ...]
    text: str
    node: Tensor | None

    @property
    def load(self) -> re.Match[str] | None:
        """Set where the line only gives a name to an element of an array."""
        found = _NAMED.match(self.text)
        return _LOAD.fullmatch(found[2]) if found else None


def body_lines(text: KernelText) -> list[Line]:
    """The lines of a kernel behind its machinery."""
    lines: list[Line] = []
    block: list[int] = []
    for raw in text.text.split("\n"):
        if _MACHINERY.match(raw):
            continue
        mark = _MARK.search(raw)
        code = raw[: mark.start()] if mark else raw
        del block[(len(code) - len(code.lstrip())) // 4 - 1 :]
        lines.append(Line(tuple(block), code.strip(), text.marks[int(mark[1])] if mark else None))
        if code.endswith(":"):
            block.append(len(lines) - 1)
    return lines


class KernelView:
    """One kernel in the user's names.

    varied  whether it is called with arrays of several sizes; `kernel` is the first of these calls
    """

    def __init__(self, name: str, kernel: Kernel, text: KernelText, names: ProgramNames, varied: bool = False):
        self.name, self.kernel, self.text, self.program, self.varied = name, kernel, text, names, varied
        self.lines = body_lines(text)
        self.arrays = {a.name: a for a in kernel.arrays}
        self.reads, self.writes = accesses(kernel)
        self.unique = Unique(names.reserved)
        self.names: dict[str, str] = {}
        for array in kernel.arrays:
            self.names[array.name] = self.unique(names.buffers[array.buffer])
        self.sizes: list[str] = []
        self.name_sizes([what for kind, what in text.arguments if kind == "dim"])
        self.numbers = [self.unique("at") for kind, _ in text.arguments if kind == "number"]
        self.names |= {f"q{k}": name for k, name in enumerate(self.numbers)}
        self.name_loops()
        self.name_values()

    # names

    def name_sizes(self, sizes: list[Any]) -> None:
        """Runtime dims have their own names; a size computed from them is shown as an assignment."""
        for k, dim in enumerate(sizes):
            name = self.unique("size") if self.varied else self.program.dims.get(dim)
            if name is None:
                name = self.unique(dim_name(dim))
                self.sizes.append(f"{name} = {self.program.size(dim)}")
            self.names[f"n{k}"] = name

    def name_loops(self) -> None:
        for line in self.lines:
            loop = _LOOP.match(line.text)
            if loop and loop[1] not in self.names:
                free = [letter for letter in _LETTERS if letter not in self.unique.taken]
                self.names[loop[1]] = self.unique(free[0] if free else "index")

    def name_values(self) -> None:
        stores = {
            found[3]: (found[1], found[2], line.block) for line in self.lines if (found := _STORED.match(line.text))
        }
        last: dict[tuple[Any, tuple[int, ...]], str] = {}
        for line in self.lines:
            if found := _DEFINED.match(line.text):
                last[self.text.names.get(found[1]), line.block] = found[1]
        given: dict[tuple[str, Tensor | None], list[tuple[tuple[int, ...], str]]] = {}
        for line in self.lines:
            found = _DEFINED.match(line.text)
            if found is None or found[1] in self.names:
                continue
            local, node = found[1], self.text.names.get(found[1])
            name = self.alias(local, line, stores)
            if name is None:
                base = self.base_name(local, line, node, last[node, line.block], stores)
                name = self.reused(given.setdefault((base, node), []), line.block) or self.unique(base)
                given[base, node].append((line.block, name))
            self.names[local] = name

    def reused(self, given: list[tuple[tuple[int, ...], str]], block: tuple[int, ...]) -> str | None:
        """A name that the same value has in another loop, one that has ended before `block` begins."""
        for name in dict.fromkeys(name for _, name in given):
            blocks = [other for other, known in given if known == name]
            if not any(b[: len(block)] == block or block[: len(b)] == b for b in blocks):
                return name
        return None

    def base_name(self, local: str, line: Line, node: Tensor | None, last: str, stores: Stores) -> str:
        """What a local value should be called, if the name is free."""
        if line.load is not None:
            return self.element(line.load[1], line.load[2])
        if "= wrap(" in line.text:
            return "place"
        if node is None:
            return "value"
        array, index, block = stores.get(local, ("", "", ()))
        base = self.program.value(node)
        alone = local[0] == "s" and index.isdigit()  # a sum over all, which becomes one of few elements
        if array and self.arrays[array].shape and block == line.block and not alone:
            return self.element(array, index)
        if local == last and not (local[0] == "s" and base in map(self.names.get, self.arrays)):
            return base
        combine = getattr(node.op.lower, "combine", "add")
        return f"{base}_{_RUNNING.get(combine, 'best') if local[0] == 's' else 'part'}"

    def alias(self, local: str, line: Line, stores: Stores) -> str | None:
        """The name of a 0-d array that `local` can be written as: one it is loaded from, or only stored to."""
        if line.load is not None:
            array = self.arrays[line.load[1]]
            return self.names[array.name] if not array.shape and self.stays(local, array.name) else None
        array_name = stores.get(local, ("",))[0]
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
        name = self.names[array]
        if not self.arrays[array].shape:
            return f"{name}_before"
        part = self.program.parts.get((self.arrays[array].buffer, index))
        if part is not None:
            return part
        parts = [self.names.get(part, part) for part in index.split(", ")]
        return (
            f"{name.rstrip('_')}_{''.join(parts)}" if all(p in _LETTERS or p.isdigit() for p in parts) else f"{name}_at"
        )

    # text

    def written_as(self, text: str) -> str:
        """A line of code in the user's names; 0-d arrays are plain variables."""
        text = _DOUBLE.sub(r"\1", _CHECKED.sub(")", text))
        text = _FLAGS.sub(r"\1left_zeros=\2, right_zeros=\3)", text)
        for array in self.kernel.arrays:
            if not array.shape:
                text = text.replace(f"{array.name}[0]", array.name)
        return explained(_LOCAL.sub(lambda found: self.names.get(found[0], found[0]), text))

    def signature(self) -> list[str]:
        arguments = [f"{self.names[a.name]}: {self.argument_type(a)}" for a in self.kernel.arrays]
        arguments += [f"{name}: int" for name in self.numbers]
        one = f"def {self.name}({', '.join(arguments)}):"
        if len(one) <= 100:
            return [one]
        return [f"def {self.name}(", *[f"    {a}," for a in arguments], "):"]

    def argument_type(self, array: ArrayArg) -> str:
        text = self.program.type(array.dtype, array.shape)
        if self.varied and array.shape:
            text = f"{array.dtype}[{self.names.get('n0', '...')}]"
        if array.name not in self.writes:
            return text
        return f"inout({text})" if array.name in self.reads else f"out({text})"

    def computed(self, lines: list[Line] | None = None) -> list[Tensor]:
        """The nodes that the lines compute; loads compute nothing."""
        return [line.node for line in lines or self.lines if line.node is not None and line.load is None]

    def render(self, comments: Comments, calls: int) -> list[Commented]:
        """The function, line by line, with comments; a step calls it `calls` times."""
        body = [Commented(f"    {text}") for text in self.sizes]
        about = comments.group(self.computed())
        comments.start()
        for k, line in enumerate(self.lines):
            text = self.written_as(line.text)
            sides = text.split(" = ")
            if len(sides) == 2 and sides[0] == sides[1]:
                continue
            comment = ""
            if _LOOP.match(line.text) and not line.block:
                comment = comments.group(self.computed([inner for inner in self.lines if inner.block[:1] == (k,)]))
            elif line.node is not None and line.load is None:
                comment = comments.statement(line.node)
            indent = "    " * (len(line.block) + 1)
            body += wrapped(indent, text, comment)
        said = [] if any(line.comment == about for line in body) else [about]
        sizes = f", with arrays as rows of `{self.names['n0']}` elements" if self.varied and "n0" in self.names else ""
        said += [f"called {calls} times{sizes}"] if calls > 1 else []
        head = Commented(f"# {', '.join(said)}")
        return [*[head][: len(said)], *[Commented(text) for text in self.signature()], *body]


def wrapped(indent: str, text: str, comment: str) -> list[Commented]:
    """A statement that is too long for one line, broken at its outermost operators or commas."""
    found = _ASSIGNED.match(text)
    if len(indent) + len(text) <= _WIDTH or found is None:
        return [Commented(indent + text, comment)]
    target, value = found.groups()
    start, pieces = "(", [value]
    for before in _WEAKEST_FIRST:
        if len(pieces) == 1:
            pieces = _cut(value, before)
    if len(pieces) == 2 and pieces[1][0] == "(" and pieces[1][-1] == ")":  # a call: one argument on each line
        start, pieces = pieces[0] + "(", [f"{piece.strip(', ')}," for piece in _cut(pieces[1][1:-1], ", ")]
    inner = [Commented(f"{indent}    {piece.strip()}") for piece in pieces]
    return [Commented(f"{indent}{target}{start}", comment), *inner, Commented(f"{indent})")]


def _cut(text: str, before: str) -> list[str]:
    """`text` cut before every match of `before` that stands outside parentheses."""
    pieces, depth, start, pattern = [], 0, 0, re.compile(before)
    for k, letter in enumerate(text):
        if depth == 0 and k and pattern.match(text, k):
            pieces.append(text[start:k])
            start = k
        depth += (letter in "([") - (letter in ")]")
    return [*pieces, text[start:]]


def render_source(plan: Plan, text: Printed, views: Mapping[str, KernelView], names: ProgramNames, key: str) -> str:
    """The document for a program, whose distinct kernels `views` show; see the module."""
    comments = Comments(names)
    calls = [name for name, _ in text.kernels]
    parts = [Commented(line) for line in header(plan, names, calls, key, text.target)]
    parts += [*_title("inputs"), *_leaves(plan, names)]
    parts += _kernels(views, calls, comments)
    parts += [*_title("step"), *_step_function(plan, text, names)]
    helpers = _helpers(text)
    if helpers:
        parts += [*_title("helpers"), Commented(helpers)]
    return "\n".join(comments.layout(parts)) + "\n"


def _kernels(views: Mapping[str, KernelView], calls: list[str], comments: Comments) -> list[Commented]:
    """Every distinct kernel once, in order of execution, under the sections that it serves."""
    parts: list[Commented] = []
    section = ""
    for name, view in views.items():
        found = "check" if view.kernel.finite is not None else comments.sections(view.computed())
        parts += _title(found) if found != section else [Commented("")]
        section = found
        parts += view.render(comments, calls.count(name))
    return parts


def reserved_words(text: Printed) -> set[str]:
    """What no name of the document may be: Python's keywords, and names that the kernels use."""
    code = "\n".join(_CHECKED.sub(")", line.text) for _, kernel in text.kernels for line in body_lines(kernel))
    words = {w for w in re.findall(r"[A-Za-z_]\w*", code) if not _LOCAL.fullmatch(w)}
    types = {f"{kind}{bits}" for kind in ("int", "uint", "float") for bits in (8, 16, 32, 64)}
    return words | types | {"bool", "step", "out", "inout", *keyword.kwlist} | {name for name, _ in text.kernels}


def _title(title: str) -> list[Commented]:
    return [Commented(""), Commented(""), Commented(f"# ---- {title} ".ljust(78, "-")), Commented("")]


def header(plan: Plan, names: ProgramNames, calls: Sequence[str], key: str, target: str) -> list[str]:
    """The docstring: what the step is, how much it computes and moves; `calls` names its kernels as they are called."""
    counts = [0] * len(SECTIONS)
    for node, part in section_of(plan.graph).items():
        counts[part] += "leaf" not in node.op.traits
    ops = ", ".join(f"{number} {title}" for number, title in zip(counts, SECTIONS, strict=True) if number)
    name = one_line(plan.graph.name.replace("\\", "/").replace('"', "'"))
    outputs = [(b, n) for b, n in zip(_of_kind(plan, "output"), plan.graph.outputs, strict=True)]
    returned = ", ".join(f"{names.buffers[b]}: {names.type(n.dtype, n.shape)}" for b, n in outputs) or "nothing"
    return [
        f'"""{name}: one compiled step, target {target}',
        "",
        *textwrap.wrap(f"returns  {returned}", _WIDTH, subsequent_indent=" " * 9, break_long_words=False),
        f"ops      {sum(counts)} ({ops or 'none'}) in {kernels_called(len(set(calls)), len(calls))}",
        f"memory   {names.size(bytes_moved(plan.kernels))} bytes read and written a step",
        *(["names    w_bar is the derivative of the result with respect to w, whatever w is"] if counts[1] else []),
        f"key      {key}",
        '"""',
    ]


def _of_kind(plan: Plan, kind: str) -> list[int]:
    return [b.number for b in plan.buffers if b.kind == kind]


def kernels_called(kernels: int, calls: int) -> str:
    """How many kernels there are, and how often they are called where some are called again.

    >>> kernels_called(1, 1), kernels_called(2, 5)
    ('1 kernel', '2 kernels, 5 calls')
    """
    return count(kernels, "kernel") + (f", {count(calls, 'call')}" if calls != kernels else "")


def bytes_moved(kernels: Iterable[Kernel]) -> DimLike:
    """Bytes that calls of these kernels read and write, each array of a kernel counted once per direction."""
    total: DimLike = 0
    for kernel in kernels:
        reads, writes = accesses(kernel)
        for array in kernel.arrays:
            often = (array.name in reads) + (array.name in writes)
            total = total + dims.product(array.shape) * (often * array.dtype.itemsize)
    return total


def _leaves(plan: Plan, names: ProgramNames) -> list[Commented]:
    """Inputs and params with their types."""
    updated = {p for p, _ in plan.graph.updates}
    lines = []
    for kind, nodes in (("input", plan.graph.inputs), ("param", plan.graph.params)):
        for number, node in zip(_of_kind(plan, kind), nodes, strict=True):
            said = f"{kind}, updated" if node in updated else kind
            lines.append(Commented(f"{names.buffers[number]}: {names.type(node.dtype, node.shape)}", said))
    return lines or [Commented("# none")]


def _step_function(plan: Plan, text: Printed, names: ProgramNames) -> list[Commented]:
    """The order of execution: every kernel call, with the memory it works on, and where."""
    inputs = [
        f"{names.buffers[number]}: {names.type(node.dtype, node.shape)}"
        for number, node in zip(_of_kind(plan, "input"), plan.graph.inputs, strict=True)
    ]
    lines = [Commented(f"def step({', '.join(inputs)}):")]
    faults = ["an index out of range"] if any(kernel.checks for kernel in plan.kernels) else []
    faults += ["a nan or inf"] if any(kernel.finite is not None for kernel in plan.kernels) else []
    for k, ((name, printed), kernel) in enumerate(zip(text.kernels, plan.kernels, strict=True)):
        if k == plan.commit and faults:
            lines.append(Commented(f"    # {' or '.join(faults)} ends the step here: no param has been changed"))
        arguments = [names.buffers[a.buffer] for a in kernel.arrays]
        arguments += [str(what) for kind, what in printed.arguments if kind == "number"]
        call = f"{name}({', '.join(arguments)})"
        indent = " " * (5 + len(name))
        found = textwrap.wrap(call, _WIDTH, initial_indent="    ", subsequent_indent=indent, break_long_words=False)
        lines += [Commented(line) for line in found]
    outputs = [names.buffers[number] for number in _of_kind(plan, "output")]
    lines.append(Commented(f"    return {', '.join(outputs)}" if outputs else "    return"))
    return lines


_WRAP = '''\
def wrap(k, n):
    """Position k of n, counted from the end if negative; out of range, the step fails and changes no param."""
    if not -n <= k < n:
        raise IndexError(k)
    return k + n if k < 0 else k'''


_CHECK_FINITE = '''\
def check_finite(x):
    """The step fails, and changes no param, if an element of x is nan or inf."""
    if not np.isfinite(x).all():
        raise FloatingPointError(x)'''

_MENDED = '''\
def mended_whole(x, y, out, left_zeros, right_zeros):
    """Rows of out = x @ y that have a nan, added up again: as in ct_mul, nothing comes of a 0 of x (left_zeros) or of y
    (right_zeros), whatever it is multiplied with. Without a nan, out is right as it is."""
    for i in np.flatnonzero(np.isnan(out).any(axis=1)):
        u, v = x[i, :, None], y
        nothing = (left_zeros & (u == 0)) | (right_zeros & (v == 0))
        out[i] = np.where(nothing, 0, u * v).sum(axis=0)'''

_CT_MUL = '''\
def ct_mul(ct, d):
    """The derivative so far, times that of one more op; where the former is 0, inf and nan do not matter."""
    return ct * d if ct != 0 else type(ct)(0)'''

_ZERO_MUL = '''\
def zero_mul(a, b):
    """The product of two derivatives; where either is 0, inf and nan in the other do not matter."""
    return a * b if a != 0 and b != 0 else type(a)(0)'''

_FMA = '''\
def fma(x, y, z):
    """x * y + z: one instruction, and rounded once, where the processor has it; read here, rounded twice."""
    return x * y + z'''

_FUSED = "FUSED = False  # of compiled code: whether fma is one instruction"

_SHOWN = {
    "wrap": _WRAP, "check_finite": _CHECK_FINITE, "ct_mul": _CT_MUL, "zero_mul": _ZERO_MUL, "fma": _FMA,
    "mended_whole": _MENDED,
}  # fmt: skip
"""Helpers without the error codes that they set, and with what is to be known about them."""


def _helpers(text: Printed) -> str:
    """The functions that kernels call, as they stand in the file; of those with two versions, the plain one."""
    tree = ast.parse(text.source)
    kernels = {name for name, _ in text.kernels} | {"step"}
    own = [
        f for f in tree.body if isinstance(f, ast.Assign) or (isinstance(f, ast.FunctionDef) and f.name not in kernels)
    ]
    code = [line.text for _, kernel in text.kernels for line in body_lines(kernel)]
    code += [ast.unparse(f) for f in own if getattr(f, "name", "") not in _SHOWN]
    lines = text.source.split("\n")
    found = [_FUSED] if re.search(r"\bFUSED\b", "\n".join(code)) else []
    for node in [*_plain_versions(tree, "\n".join(code)), *own]:
        plain = textwrap.dedent("\n".join(lines[node.lineno - 1 : node.end_lineno]))
        found.append(_SHOWN.get(getattr(node, "name", ""), plain))
    return "\n\n".join(found)


def _plain_versions(tree: ast.Module, code: str) -> list[ast.FunctionDef]:
    """Functions that `code` calls and that have a version for plain Python and one for the compiler."""
    either = [f for node in tree.body if isinstance(node, ast.If) for f in node.body if isinstance(f, ast.FunctionDef)]
    called: set[str] = set()
    while True:
        named = {*re.findall(r"(?<![.\w])\w+(?=\()", code)}
        more = [f for f in either if f.name in named - called]
        if not more:
            return [f for f in either if f.name in called]
        called |= {f.name for f in more}
        code = "\n".join(ast.unparse(f) for f in more if f.name not in _SHOWN)
