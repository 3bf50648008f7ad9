"""`Step.dump`: every stage of a compilation as a file, numbered in order."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from ..codegen.scalar import Printer
from ..errors import FileError, message, one_line, user_line
from ..ir.expr import Expr
from ..ir.graph import Graph
from ..ir.loops import Batches, Chunks, Finish, For, If, Statement
from ..passes.pipeline import PIPELINE, PassReports
from ..schedule.plan import Plan
from .picture import to_dot
from .views import Reading


def dump(reading: Reading, passes: PassReports, folder: str | os.PathLike[str], sizes: dict[str, int]) -> list[Path]:
    """Write every stage of a step into `folder` (made if needed); returns the paths in order.

    The graph as traced and after each pass, what the passes did, the graph as a picture, the kernels in the loop IR,
    the file that runs, its rendered source, the kernel and memory reports.
    """
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise FileError(
            message(f"cannot write into {target}", got="a file", expected="a folder", at=user_line(), created=False)
        )
    target.mkdir(parents=True, exist_ok=True)
    stages = [("traced.txt", f"{reading.traced}\n"), *_after_passes(reading.traced)]
    stages += [
        ("passes.txt", f"{passes}\n"),
        ("graph.dot", to_dot(reading.plan.graph)),
        ("plan.txt", plan_text(reading.plan)),
        ("program.py", reading.text.source),
        ("source.py", reading.source),
        ("kernels.txt", f"{reading.kernels}\n"),
        ("memory.txt", f"{reading.memory(sizes)}\n"),
    ]
    paths = []
    for k, (name, text) in enumerate(stages):
        path = target / f"{k:02}_{name}"
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def _after_passes(graph: Graph) -> list[tuple[str, str]]:
    """The graph after each pass: passes are pure, so running them again gives what the compilation saw."""
    stages = []
    for name, run in PIPELINE:
        graph, fired = run(graph)
        text = f"{graph}\n" if fired else "(unchanged)\n"
        stages.append((f"after_{re.sub(r'[^a-z0-9]+', '_', name)}.txt", text))
    return stages


def plan_text(plan: Plan) -> str:
    """The kernels of a plan in the loop IR, as trees of loops over statements."""
    lines = []
    for k, kernel in enumerate(plan.kernels):
        if k == plan.commit:
            lines.append("# behind the error check: params change from here on")
        lines.append(f"kernel {k}: {kernel.title}")
        for a in kernel.arrays:
            buffer = plan.buffers[a.buffer]
            use = "writes" if a.written else "reads"
            lines.append(
                f"  {a.name}: {a.dtype}{list(a.shape)} {use} buffer {a.buffer} ({buffer.kind} {one_line(buffer.label)})"
            )
        lines += _body_text(kernel.body, "  ")
    return "\n".join(lines) + "\n"


def _body_text(body: list[Statement], indent: str) -> list[str]:
    lines = []
    for s in body:
        if isinstance(s, For):
            how = " from the end" if s.reverse else " of the chunk" if s.chunked else ""
            lines.append(f"{indent}for {s.var} in {s.extent}: {s.kind}{how}")
            lines += _body_text(s.body, indent + "  ")
        elif isinstance(s, Chunks):
            lines.append(f"{indent}for chunk {s.var} in {s.count}: {s.length} of {s.extent} each")
            lines += _body_text(s.body, indent + "  ")
        elif isinstance(s, Batches):
            lines.append(f"{indent}in batches of {s.most}")
            lines += _body_text([*s.body, *s.after], indent + "  ")
        elif isinstance(s, Finish):
            lines.append(f"{indent}behind the last chunk")
            lines += _body_text(s.body, indent + "  ")
        elif isinstance(s, If):
            lines.append(f"{indent}if {_field(s.condition)}")
            lines += _body_text(s.body, indent + "  ")
        else:
            made = f"  # {s.node.op.name}" if s.node is not None else ""
            fields = ", ".join(f"{k}={_field(v)}" for k, v in vars(s).items() if k != "node" and v is not None)
            lines.append(f"{indent}{type(s).__name__.lower()}({fields}){made}")
    return lines


def _field(value: Any) -> str:
    """A field of a statement; expressions as the printer writes them, with dims by name."""
    if isinstance(value, Expr):
        return Printer(str).text(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_field, value)) + "]"
    return str(value)
