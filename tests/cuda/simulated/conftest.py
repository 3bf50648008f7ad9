"""Small blocks for every test here: a thread of the simulator is a thread of Python."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from graphc.testing.ways import small_launches


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    with small_launches():
        yield
