"""Python's collector while steps are built: rare, in whatever order threads come and go, and then as it was."""

from __future__ import annotations

import gc as collector
import os
import threading
from unittest import mock

import pytest

import graphc as gc
from graphc import step as steps
from graphc.runtime.collector import RARELY, collecting_rarely

USUAL = collector.get_threshold()


def test_rare_while_a_step_is_built_and_usual_behind_it() -> None:
    seen: list[tuple[int, int, int]] = []

    def watched(*args: object) -> steps.Compiled:
        seen.append(collector.get_threshold())
        return compiled(*args)

    compiled = steps.compiled
    with mock.patch.object(steps, "compiled", watched):
        gc.compile([], gc.asarray([1.0, 2.0]))
    assert seen == [RARELY] and collector.get_threshold() == USUAL != RARELY


def test_usual_behind_an_error_whatever_that_is() -> None:
    collector.set_threshold(123, 4, 5)
    try:
        with pytest.raises(KeyError), collecting_rarely():
            raise KeyError
        assert collector.get_threshold() == (123, 4, 5)
    finally:
        collector.set_threshold(*USUAL)


def test_rare_until_the_last_has_left() -> None:
    """The first to come leaves first: what the other builds is built with few collections to its end."""
    first, second = collecting_rarely(), collecting_rarely()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert collector.get_threshold() == RARELY
    second.__exit__(None, None, None)
    assert collector.get_threshold() == USUAL


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
def test_a_process_forked_while_another_thread_builds_builds_too() -> None:
    inside, leave = threading.Event(), threading.Event()

    def build() -> None:
        with collecting_rarely():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=build)
    thread.start()
    inside.wait()
    child = os.fork()
    if child == 0:
        with collecting_rarely():
            os._exit(0 if collector.isenabled() else 1)
    leave.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert collector.get_threshold() == USUAL
