"""Settings of every test run: a cache folder of its own, the graph verifier on, fixed seeds."""

from __future__ import annotations

import os
import tempfile

import numpy as np
import pytest
from round_trip import watch

os.environ.setdefault("GRAPHC_CHECK", "1")
_OWN_CACHE = "GRAPHC_CACHE_DIR" not in os.environ
if _OWN_CACHE:
    _FOLDER = tempfile.TemporaryDirectory(prefix="graphc-tests-")
    os.environ["GRAPHC_CACHE_DIR"] = _FOLDER.name


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-goldens", action="store_true", help="write tests/golden anew instead of comparing")
    parser.addoption("--all-mutants", action="store_true", help="test_mutations: every mutant, not a sample")


_WATCH = watch()


def pytest_terminal_summary(terminalreporter) -> None:
    terminalreporter.write_line(str(_WATCH))


def pytest_unconfigure() -> None:
    if _OWN_CACHE:
        _FOLDER.cleanup()


@pytest.fixture(autouse=True)
def _seeds() -> None:
    np.random.seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that do not depend on which tests ran before."""
    return np.random.default_rng(20240607)
