"""`where` on the simulated device: nothing comes through the branch not taken, to second order."""

from __future__ import annotations

import numpy as np
import pytest
from test_where import CASES, agrees, derivatives

import graphc as gc


@pytest.mark.parametrize("name", CASES)
def test_nothing_comes_through_the_branch_not_taken(name: str) -> None:
    x, case = gc.input("x", ("n",)), CASES[name]
    agrees(gc.compile([x], derivatives(case.f, x), target="cuda")(np.array(case.points)), case)
