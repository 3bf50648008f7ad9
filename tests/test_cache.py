"""Generated files: found again by other processes, made again when broken, put elsewhere when nothing is writable."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from graphc.runtime import files
from graphc.runtime.files import SEAL, TEXT

PROGRAM = """
import numpy as np, graphc as gc
from graphc.runtime.files import compile_counter
x, w = gc.input("x", ("n",)), gc.param(2.0, name="w")
step = gc.compile([x], [gc.sum(w * x)], {w: w + 1.0})
print([float(v) for v in (*step([1.0, 2.0]), *step.run([1.0], steps=2)[0])], compile_counter())
"""
ANSWER = "[6.0, 3.0, 4.0]"


def start(cache: Path, program: str = PROGRAM, **environment: str) -> subprocess.Popen[str]:
    """A process that runs `program` with this cache folder, unless `environment` says otherwise."""
    variables = {**os.environ, "GRAPHC_CACHE_DIR": str(cache), **environment}
    return subprocess.Popen(
        [sys.executable, "-c", program], env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, int]:
    """What it printed: the answer, and how many functions it compiled."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    answer, _, count = out.strip().rpartition(" ")
    return answer, int(count)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that one process has filled, with NUMBA_CACHE_DIR set elsewhere."""
    folder = tmp_path_factory.mktemp("filled")
    answer, count = finish(start(folder / "cache", NUMBA_CACHE_DIR=str(folder / "numba")))
    assert answer == ANSWER and count >= 3  # one function or more of each of the three
    assert not (folder / "numba").exists()
    return folder / "cache"


@pytest.fixture
def cache(filled: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(filled, tmp_path / "cache"))


def entries(cache: Path) -> list[Path]:
    return sorted(p.parent for p in cache.rglob(TEXT))


def test_a_second_process_compiles_nothing(filled: Path) -> None:
    assert finish(start(filled)) == (ANSWER, 0)
    assert finish(start(filled, NUMBA_CACHE_DIR="/nonexistent", PYTHONHASHSEED="7")) == (ANSWER, 0)
    kinds = {p.suffix for e in entries(filled) for p in e.rglob("*") if p.is_file()}
    assert len(entries(filled)) == 4 and kinds == {".py", "", ".nbi", ".nbc"}


def test_names_and_lines_do_not_recompile(filled: Path) -> None:
    renamed = "\n\n\n" + PROGRAM.replace('"x"', '"other"').replace('name="w"', 'name="v"').replace('"n"', '"rows"')
    assert finish(start(filled, renamed)) == (ANSWER, 0)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(os.urandom(len(path.read_bytes())))


def flip(path: Path) -> None:
    """One bit in the middle, as in machine code."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


DAMAGE: dict[str, tuple[str, Callable[[Path], None]]] = {
    "text cut short": ("step.py", cut_short),
    "text empty": ("step.py", empty),
    "index cut short": ("*.nbi", cut_short),
    "index of zeros": ("*.nbi", garbage),
    "code cut short": ("*.nbc", cut_short),
    "code garbage": ("*.nbc", garbage),
    "one bit of code": ("*.nbc", flip),
    "code missing": ("*.nbc", Path.unlink),
    "index missing": ("*.nbi", Path.unlink),
    "seal garbage": (SEAL, garbage),
    "seal missing": (SEAL, Path.unlink),
}


@pytest.mark.parametrize(("pattern", "damage"), DAMAGE.values(), ids=DAMAGE)
def test_what_is_broken_is_made_again(cache: Path, pattern: str, damage: Callable[[Path], None]) -> None:
    for path in list(cache.rglob(pattern)):
        damage(path)
    found = [files._whole(e, (e / TEXT).read_bytes()) for e in entries(cache)]
    assert not any(found) or pattern == TEXT


def test_broken_entries_are_replaced(cache: Path) -> None:
    first, second, third, _ = entries(cache)
    flip(next(first.rglob("*.nbc")))
    cut_short(second / TEXT)
    shutil.rmtree(third / "__pycache__")
    (third.parent / f"{third.name}.left").mkdir()
    os.utime(third.parent / f"{third.name}.left", (0, 0))
    answer, count = finish(start(cache))
    assert answer == ANSWER and count >= 3  # one function or more of each of the three
    assert finish(start(cache)) == (ANSWER, 0)
    assert sorted(p.name for e in entries(cache) for p in e.parent.iterdir()) == sorted(e.name for e in entries(cache))


def test_many_processes_at_once(tmp_path: Path) -> None:
    processes = [start(tmp_path / "cache") for _ in range(4)]
    assert [finish(p)[0] for p in processes] == [ANSWER] * 4
    assert finish(start(tmp_path / "cache")) == (ANSWER, 0)
    assert len(entries(tmp_path / "cache")) == 4
    assert not [p for e in entries(tmp_path / "cache") for p in e.parent.iterdir() if "." in p.name]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert finish(start(tmp_path / "file" / "cache", TMPDIR=str(tmp_path)))[0] == ANSWER
    assert [p.name for p in tmp_path.iterdir()] == ["file"]  # the temporary folder is gone


def test_no_home(tmp_path: Path) -> None:
    nowhere = {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": "", "GRAPHC_CACHE_DIR": ""}
    assert finish(start(tmp_path, TMPDIR=str(tmp_path), **nowhere))[0] == ANSWER
    assert not list(tmp_path.iterdir())


def test_a_read_only_folder_is_read(cache: Path) -> None:
    folders = [cache, *(p for p in cache.rglob("*") if p.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert finish(start(cache)) == (ANSWER, 0)
    finally:
        for folder in folders:
            folder.chmod(0o755)


WIDTHS = """
import numpy as np, graphc as gc
x = gc.input("x", "n")
step = gc.compile([x], gc.sum(x * x))
print([k.vectors for k in step.kernels])
"""


def test_vector_widths_are_found_without_the_note(tmp_path: Path) -> None:
    """They are noted when they are asked for first; where the code comes from the cache, it is compiled again."""
    settings = {**os.environ, "GRAPHC_CACHE_DIR": str(tmp_path)}

    def widths() -> str:
        run = subprocess.run([sys.executable, "-c", WIDTHS], env=settings, capture_output=True, text=True, check=True)
        return run.stdout

    first = widths()
    (note,) = tmp_path.rglob("vectors.json")
    assert widths() == first
    note.unlink()
    assert widths() == first and note.exists()
    assert not [p for p in note.parent.iterdir() if p.name.startswith("vectors.json.")]
