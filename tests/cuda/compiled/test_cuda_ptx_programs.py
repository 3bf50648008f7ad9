"""Whole programs compile to PTX, for an old and a new device: random graphs, the examples, training of LeNet.

A process of their own compiles them, with a limit of time: NVVM has been seen not to come to an end.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from test_cuda_ptx import DEVICES

GRAPHS, GROUP = 200, 50
LIMIT = 900
"""Seconds for one process, which takes some ten."""


def compiled(device: tuple[int, int], folder: Path, *what: str) -> str:
    """What the process says that compiles some programs."""
    script = Path(__file__).with_name("programs.py")
    command = [sys.executable, str(script), *map(str, device), str(folder), *what]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("device", DEVICES, ids=lambda d: f"sm_{d[0]}{d[1]}")
@pytest.mark.parametrize("first", range(0, GRAPHS, GROUP))
def test_random_graphs(first: int, device: tuple[int, int], tmp_path: Path) -> None:
    assert compiled(device, tmp_path, "random", str(first), str(first + GROUP)).startswith(f"{GROUP} programs, ")


@pytest.mark.parametrize("device", DEVICES, ids=lambda d: f"sm_{d[0]}{d[1]}")
def test_examples_and_lenet(device: tuple[int, int], tmp_path: Path) -> None:
    assert compiled(device, tmp_path, "examples").startswith("5 programs, ")
