"""Imports go down: the layers of the package, no cycles, and what `import graphc` loads."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import graphc

ROOT = Path(graphc.__file__).parent

LAYERS = (
    ("errors", "config"),
    ("arguments", "writing"),
    ("ir",),
    ("ops",),
    ("autodiff",),
    ("eager",),
    ("passes",),
    ("schedule",),
    ("codegen",),
    ("runtime",),
    ("verify",),
    ("inspect",),
    ("step",),
    ("compilation",),
    ("tracing",),
    ("derivatives", "vectorise"),
    ("api",),
    ("sympy_matrices",),
    ("contrast", "sympy_io"),
    ("random",),
    ("nn",),
    ("optim",),
    ("data", "archive"),
    ("checkpoint",),
    ("__init__",),
    ("testing", "listing", "doctor", "train"),
    ("__main__",),
)
"""From the bottom up: a module imports from its own layer and those before it.

What stands above the package's own `__init__` is written with its public names."""

LEVEL = {name: k for k, layer in enumerate(LAYERS) for name in layer}
FILES = sorted(ROOT.rglob("*.py"))


def module_of(path: Path) -> tuple[str, ...]:
    """``("graphc", "ir", "dims")`` for a file; a package's own name for its ``__init__.py``."""
    parts = ("graphc", *path.relative_to(ROOT).with_suffix("").parts)
    return parts[:-1] if parts[-1] == "__init__" else parts


MODULES = {module_of(path): path for path in FILES}


def is_module(name: tuple[str, ...]) -> bool:
    return name in MODULES


def imported(node: ast.Import | ast.ImportFrom, path: Path) -> list[tuple[str, ...]]:
    """The modules of graphc that a statement imports: absolute and relative, names that are modules included."""
    if isinstance(node, ast.Import):
        return [tuple(a.name.split(".")) for a in node.names if a.name.split(".")[0] == "graphc"]
    base: tuple[str, ...] = ()
    if node.level:
        package = module_of(path) if path.name == "__init__.py" else module_of(path)[:-1]
        base = package[: len(package) - node.level + 1]
    base += tuple(node.module.split(".")) if node.module else ()
    if not base or base[0] != "graphc":
        return []
    return list(dict.fromkeys((*base, a.name) if is_module((*base, a.name)) else base for a in node.names))


def imports(path: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Line and module of everything of graphc that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((node.lineno, name) for name in imported(node, path))


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported: not those in functions or under TYPE_CHECKING."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from statements(node.orelse)
            continue
        yield node
        for field in ("body", "orelse", "finalbody"):
            yield from statements(getattr(node, field, []))
        for handler in getattr(node, "handlers", []):
            yield from statements(handler.body)


def level(module: tuple[str, ...]) -> int:
    return LEVEL[module[1] if len(module) > 1 else "__init__"]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_module_has_a_layer() -> None:
    unknown = {module[1] for module in MODULES if len(module) > 1 and module[1] not in LEVEL}
    assert not unknown, f"give these a place in LAYERS: {sorted(unknown)}"


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_imports_go_down(path: Path) -> None:
    own = level(module_of(path))
    wrong = [f"{relative(path)}:{line} imports {'.'.join(m)}" for line, m in imports(path) if level(m) > own]
    assert not wrong, "\n".join(wrong)


def test_no_cycles_at_import_time() -> None:
    needs: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for module, path in MODULES.items():
        tree = ast.parse(path.read_text())
        found = [s for s in statements(tree.body) if isinstance(s, (ast.Import, ast.ImportFrom))]
        needs[module] = {name for s in found for name in imported(s, path)} - {module}
        assert all(is_module(name) for name in needs[module]), (relative(path), needs[module])
    needs.pop(("graphc", "__main__"))
    order = list(graphlib.TopologicalSorter(needs).static_order())
    assert len(order) == len(needs)


def loaded_by(code: str) -> set[str]:
    """The names of the modules that are loaded after running `code` in a process of its own."""
    program = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(("package", "owner"), [("numba.cuda", "cuda.py"), ("nvmath", "cublas.py")])
def test_packages_for_devices_have_one_importer(package: str, owner: str) -> None:
    found = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or "", *[f"{node.module}.{name}" for name in names]]
            if any(f"{name}.".startswith(f"{package}.") for name in names):
                found.add(path.relative_to(ROOT).as_posix())
    assert found == {f"runtime/{owner}"}


def test_import_is_light() -> None:
    added = loaded_by("import graphc") - loaded_by("import numpy, numba")
    heavy = ("sympy", "matplotlib", "numba.cuda", "scipy", "tqdm", "platformdirs", "tbb", "mpmath", "nvmath")
    assert sorted(m for m in added if m.startswith(heavy)) == []
    assert "difflib" not in added  # no name was missing on the way
    alone = loaded_by("import graphc")  # what compiles is loaded by the first step
    assert not {"numba", "llvmlite"} & alone


def test_building_and_differentiating_needs_no_sympy_or_matplotlib() -> None:
    added = loaded_by("import graphc as gc\nx = gc.input('x')\nprint(gc.grad(gc.sin(x) ** 2, x))")
    assert not {"sympy", "matplotlib", "numba.cuda"} & added
