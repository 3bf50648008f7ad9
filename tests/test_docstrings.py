"""Documentation is true: every public function has an example, and every example of the package runs."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import numpy as np
import pytest

import graphc as gc

MODULES = [m.name for m in pkgutil.walk_packages(gc.__path__, "graphc.") if not m.name.endswith("__main__")]
FLAGS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


def with_examples() -> list[str]:
    finder = doctest.DocTestFinder()
    return [name for name in MODULES if any(t.examples for t in finder.find(importlib.import_module(name)))]


def test_every_public_name_has_an_example() -> None:
    lacking = []
    for name in gc.__all__:
        what = getattr(gc, name)
        documented = inspect.getdoc(what) or ""
        short = inspect.ismodule(what) or (inspect.isclass(what) and issubclass(what, Exception))
        if not documented or not (short or ">>> " in documented):
            lacking.append(name)
    assert lacking == []


@pytest.mark.parametrize("name", with_examples())
def test_examples_run(name: str) -> None:
    out: list[str] = []
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner(optionflags=FLAGS)
    module = importlib.import_module(name)
    for test in finder.find(module, extraglobs={"np": np}):
        runner.run(test, out=out.append)
    assert runner.failures == 0, "".join(out)
    assert "+SKIP" not in inspect.getsource(module)
