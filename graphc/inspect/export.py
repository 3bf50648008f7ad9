"""`Step.export`: one Python file with the kernels, their layout and the params, that needs only numpy and numba.

The kernels stand in it as they stand in the program's file; around them a small `Step` does what the runtime does.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from ..codegen.cpu import ProgramText
from ..codegen.prelude import SUPPORT, support_text
from ..codegen.routines import ROUTINES, named_in, text_of
from ..errors import UnsupportedError, check_folder, message, one_line, user_line
from ..ir import dims
from ..ir.dims import DimLike
from ..ir.guard import held
from ..ir.leaves import CONSTANT, identifier
from ..ir.naming import Unique
from ..ir.tensor import Tensor
from ..ir.tree import Tree
from ..schedule import memory
from ..verify.certificate import Certificate
from ..writing import write_whole
from .export_runtime import RUNTIME
from .views import Reading

_READABLE = 64
"""Arrays of up to this many elements are written as numbers, larger ones as base64 of their bytes."""
_LINE = 100
DTYPE_NAMES = ("bool_", *[f"{kind}{bits}" for kind in ("int", "uint", "float") for bits in (8, 16, 32, 64)])


def export(
    reading: Reading, outputs: Tree, path: str | os.PathLike[str], certificate: Certificate | None = None
) -> Path:
    """Write a step as one Python file; see `Step.export`."""
    target = Path(path)
    check_folder(target)
    text = export_text(reading, outputs, certificate)
    write_whole(target, lambda part: part.write_text(text, encoding="utf-8"))
    return target


def export_text(reading: Reading, outputs: Tree, certificate: Certificate | None = None) -> str:
    """The exported file."""
    kernels = reading.text.source.split('"""', 2)[2].strip("\n")  # without its docstring
    kernels = _with_support(kernels.replace(ROUTINES, f"{ROUTINES}\n\n{text_of(named_in(kernels))}"))
    name = one_line(re.sub(r'["\\]', " ", reading.plan.graph.name))
    parts = [
        f'"""{name}, exported by graphc: `step` at the end is called with {_arguments(reading)}.\n\n'
        f"Needs numpy and numba, and nothing else. `step.params` holds the params by name.\n"
        '"""',
        "from __future__ import annotations",
        kernels,
        _layout(reading),
        _sizes(reading),
        _results(reading, outputs),
        f"ALIGNMENT = {memory.ALIGNMENT}\nPACKED_WELL = {memory.PACKED_WELL}",
        *[inspect.getsource(f).rstrip() for f in (memory.place, memory.first_fit, memory.sweep)],
        _certified(certificate),
        RUNTIME.strip("\n"),
    ]
    return "\n\n\n".join(parts) + "\n"


def _with_support(kernels: str) -> str:
    """The text with the modules of this package that it imports, under other names: there may be another graphc."""
    texts = {name: support_text(name) for name in SUPPORT}
    version = hashlib.blake2b("".join(texts.values()).encode(), digest_size=8).hexdigest()
    modules = [f"_module(\"exported_{name}_{version}\", r'''\n{text}''')" for name, text in texts.items()]
    start, mark, rest = kernels.partition("if numba.config.DISABLE_JIT:")
    whole = "\n\n".join([start + _MODULE, *modules, mark + rest])
    whole = whole.replace("from graphc.codegen import arrays", f"import exported_arrays_{version} as arrays")
    return re.sub(r"from graphc\.codegen\.(\w+) import ", rf"from exported_\1_{version} import ", whole)


_MODULE = '''\
import sys


def _module(name, text):
    """What kernels are compiled with, where they are compiled: a module for each file of graphc that they need."""
    if not numba.config.DISABLE_JIT and name not in sys.modules:
        sys.modules[name] = type(sys)(name)
        exec(compile(text, name, "exec"), vars(sys.modules[name]))
'''


def _certified(certificate: Certificate | None) -> str:
    """What was checked of the derivatives, as JSON."""
    if certificate is None:
        return "CERTIFICATE = None  # the step was not verified before it was exported"
    lines = [f"    {line + chr(10)!r}" for line in certificate.to_json().split("\n")]
    return "CERTIFICATE = (\n" + "\n".join(lines) + "\n)"


def _arguments(reading: Reading) -> str:
    inputs = reading.plan.graph.inputs
    numbers = [b.number for b in reading.plan.buffers if b.kind == "input"]
    text = ", ".join(f"{reading.names.buffers[k]}: {i.aval}" for k, i in zip(numbers, inputs, strict=True))
    return text or "no arguments"


class _Sizes:
    """Prints dims as Python expressions of the arguments of `sizes`."""

    def __init__(self, symbols: tuple[str, ...]):
        unique = Unique(("max", "ceildiv", "must", "Buffer", "inputs", "outputs", "dims", "buffers", *DTYPE_NAMES))
        self.names = {s: unique(identifier(s)) for s in symbols}

    def text(self, dim: DimLike) -> str:
        return re.sub(r"[A-Za-z_]\w*", lambda word: self.names.get(word[0], word[0]), str(dim))

    def tuple(self, items: Any) -> str:
        texts = [self.text(d) for d in items]
        return "(" + ", ".join(texts) + ("," if len(texts) == 1 else "") + ")"


def _layout_of(reading: Reading) -> ProgramText:
    """The program's text with its layout, which an exported file has for the CPU only."""
    if isinstance(reading.text, ProgramText):
        return reading.text
    raise UnsupportedError(
        message(
            "no export for this target",
            got=f"a step compiled with target={reading.text.target!r}",
            expected="target='cpu'",
            at=user_line(),
            created=False,
            hint="compile the same graph with target='cpu', and export that",
        )
    )


def _layout(reading: Reading) -> str:
    """What stands where: constants of the file."""
    plan, text, graph = reading.plan, _layout_of(reading), reading.plan.graph
    names = reading.names.buffers
    leaves = {k: [names[b.number] for b in plan.buffers if b.kind == k] for k in ("input", "param")}
    rank = {n: len(i.shape) for n, i in zip(leaves["input"], graph.inputs, strict=True)}
    with held(p.state for p in graph.params):  # of one step, though another thread may be running it
        values = [p.state.array.copy() for p in graph.params]
    lines = [
        "# layout of the table `m` that kernels read: see Step._frame",
        f"SIZE = {text.size}",
        f"FIRST_DIM, FIRST_BUFFER, FIRST_ROW = {text.first_dim}, {text.first_buffer}, {text.first_row}",
        f"ROWS = {text.rows!r}",
        f"CALLS = {text.calls!r}  # kernel, position of its row, position of its number of chunks (0: none)",
        f"COMMIT = {text.commit}  # calls before the error check; the rest change params",
        f"ERRORS = {_errors(reading)!r}",
        "",
        "# inputs: name, dtype, rank",
        f"INPUTS = {[(n, str(i.dtype), rank[n]) for n, i in zip(leaves['input'], graph.inputs, strict=True)]!r}",
        "",
        "PARAMS = {",
        *[f"    {n!r}: {_array_text(value)}," for n, value in zip(leaves["param"], values, strict=True)],
        "}",
        "CONSTANTS = [",
        *[f"    {_array_text(n.attrs['data'].array)}," for n in graph.nodes if n.op is CONSTANT and n.shape != ()],
        "]",
    ]
    decode = (
        "def decode(text, dtype, shape):\n"
        '    """An array from base64 of its bytes."""\n'
        "    return np.frombuffer(base64.b64decode(text), dtype).reshape(shape).copy()"
    )
    imports = (
        "import base64\nimport threading\nfrom bisect import insort\n"
        "from heapq import heappop, heappush\nfrom typing import Any, NamedTuple"
    )
    return f"{imports}\n\n\n{decode}\n\n\n" + "\n".join(lines)


def _errors(reading: Reading) -> dict[int, Exception]:
    """What to raise for each error code."""
    found: dict[int, Exception] = {}
    for code, node in reading.text.errors.items():
        lines = reading.names.origin(node).lines
        where = f" at {lines[0]}: {lines[0].text}" if lines else ""
        if code in reading.text.finite:
            found[code] = FloatingPointError(f"nan or inf in {reading.names.value(node)}{where}")
        else:
            found[code] = IndexError(f"index out of range in {node.op.name}{where}")
    return found


def _array_text(array: np.ndarray) -> str:
    """An expression for the array, exact to the bit."""
    dtype = "bool_" if array.dtype == bool else str(array.dtype)
    if array.size <= _READABLE and not (array.dtype.kind == "f" and np.isnan(array).any()):
        return f"np.array({array.tolist()!r}, np.{dtype}).reshape({array.shape})"
    data = base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode()
    chunks = [repr(data[k : k + _LINE]) for k in range(0, len(data), _LINE)]
    body = "\n".join(f"        {chunk}" for chunk in chunks)
    return f"decode(\n{body},\n        {array.dtype.newbyteorder('<').str!r},\n        {array.shape},\n    )"


def _sizes(reading: Reading) -> str:
    """The functions of the file that know about runtime dims."""
    plan, graph = reading.plan, reading.plan.graph
    sizes = _Sizes(graph.symbols)
    arguments = ", ".join(sizes.names.values())
    order = list(graph.symbols)
    found = [f"arrays[{k}].shape[{axis}]" for k, axis in (_first_seen(graph.inputs, s) for s in order)]
    buffers = []
    for b in plan.buffers:
        dtype = "bool_" if b.dtype == bool else str(b.dtype)
        place = f"{b.number}, {b.kind!r}, {dtype}, {sizes.text(b.size)}, {b.position}, {b.first}, {b.last}"
        buffers.append(f"        Buffer({place}),")
    conditions = [f"    must({_condition(c, sizes)}, {c.what!r})" for c in plan.checks]
    shapes = [f"        {sizes.tuple(i.shape)}," for i in graph.inputs]
    results = [f"        {sizes.tuple(o.shape)}," for o in graph.outputs]
    return "\n".join(
        [
            "class Buffer(NamedTuple):",
            '    """A piece of memory; `first` and `last` are the kernel calls between which it is used."""',
            "",
            "    number: int",
            "    kind: str",
            "    dtype: Any",
            "    size: int",
            "    position: int",
            "    first: int",
            "    last: int",
            "",
            "    def nbytes(self, env):",
            "        return self.size * np.dtype(self.dtype).itemsize",
            "",
            "",
            "def ceildiv(a, b):",
            "    return -(-a // b)",
            "",
            "",
            "def must(condition, expected):",
            "    if not condition:",
            '        raise ValueError(f"sizes do not fit: expected {expected}")',
            "",
            "",
            "def sizes_of(arrays):",
            '    """The runtime sizes, from the arrays that declare them."""',
            f"    return ({', '.join(found)}{',' if found else ''})",
            "",
            "",
            f"def layout({arguments}):",
            '    """For these runtime sizes: shapes of inputs and outputs, sizes that kernels read, buffers."""',
            *conditions,
            "    inputs = [",
            *shapes,
            "    ]",
            "    outputs = [",
            *results,
            "    ]",
            f"    dims = [{', '.join(sizes.text(d) for d in _layout_of(reading).dims)}]",
            "    buffers = [",
            *buffers,
            "    ]",
            "    return inputs, outputs, dims, buffers",
        ]
    )


def _first_seen(inputs: tuple[Tensor, ...], symbol: str) -> tuple[int, int]:
    """The first input and axis whose size is the dim itself."""
    wanted = dims.symbol(symbol)
    for k, node in enumerate(inputs):
        for axis, dim in enumerate(node.shape):
            if dim == wanted:
                return k, axis
    raise AssertionError(f"no input declares {symbol}")


def _condition(check: Any, sizes: _Sizes) -> str:
    return f"{sizes.text(check.left)} {check.relation} {sizes.text(check.right)}"


def _results(reading: Reading, outputs: Tree) -> str:
    """The function that nests flat outputs as the step's outputs were nested."""
    return f"def nested(values):\n    return {_nested(outputs, iter(range(outputs.size)))}"


def _nested(tree: Tree, counter: Any) -> str:
    if tree.kind is None:
        return f"values[{next(counter)}]"
    inner = [_nested(child, counter) for child in tree.children]
    if tree.kind is dict:
        return "{" + ", ".join(f"{n!r}: {c}" for n, c in zip(tree.names, inner, strict=True)) + "}"
    if tree.kind is list:
        return f"[{', '.join(inner)}]"
    return f"({', '.join(inner)}{',' if len(inner) == 1 else ''})"
