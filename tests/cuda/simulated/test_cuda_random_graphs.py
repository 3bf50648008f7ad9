"""Random graphs on the simulated device against the reference; ``GRAPHC_RANDOM_GRAPHS=5000`` sets how many."""

from __future__ import annotations

import os

import pytest

from graphc.testing import check_program
from graphc.testing.targets import TARGETS
from graphc.testing.ways import SIMULATED

COUNT = int(os.environ.get("GRAPHC_RANDOM_GRAPHS", "200"))
GROUP = 10
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.mark.parametrize("mode", SIMULATED)
@pytest.mark.parametrize("first", range(0, COUNT, GROUP))
def test_equals_reference(first: int, mode: str) -> None:
    for seed in range(first, min(first + GROUP, COUNT)):
        check_program(TARGETS[mode].program(seed), [mode], eager=False)
