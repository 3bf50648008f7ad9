"""The arena: temps alive at the same time never share memory, and few temps are packed well."""

from __future__ import annotations

import random

import pytest

from graphc.ir import dtypes
from graphc.schedule import memory


def random_temps(seed: int, count: int, longest: int) -> list[memory.Buffer]:
    """Temps of random sizes and lifetimes."""
    draw = random.Random(seed)
    temps = []
    for number in range(count):
        first = draw.randrange(count)
        last = first + draw.randrange(longest)
        temps.append(memory.Buffer(number, "temp", dtypes.FLOAT32, draw.choice([0, 1, 7, 100, 5000]), 0, first, last))
    return temps


@pytest.mark.parametrize("count", [0, 1, 30, memory.PACKED_WELL, memory.PACKED_WELL + 300])
@pytest.mark.parametrize("longest", [1, 5, 200])
def test_temps_alive_together_do_not_overlap(count: int, longest: int):
    temps = random_temps(count + longest, count, longest)
    offsets, size = memory.place(temps, {})
    assert set(offsets) == {t.number for t in temps}
    for t in temps:
        start, end = offsets[t.number], offsets[t.number] + max(t.nbytes({}), 1)
        assert start % memory.ALIGNMENT == 0 <= start and end <= size
        for other in temps[: t.number]:
            if other.last < t.first or t.last < other.first:
                continue
            there = offsets[other.number]
            assert end <= there or there + max(other.nbytes({}), 1) <= start


def test_temps_of_different_times_share_one_place():
    temps = [memory.Buffer(k, "temp", dtypes.FLOAT64, 8, 0, k, k) for k in range(4 * memory.PACKED_WELL)]
    _, size = memory.place(temps, {})
    assert size == 2 * 64  # one place where packed well, and one behind it
