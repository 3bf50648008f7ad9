"""Python's collector while steps are built: off, in whatever order threads come and go, and then as it was."""

from __future__ import annotations

import gc as collector
import os
import threading
from collections.abc import Iterator
from unittest import mock

import pytest

import graphc as gc
from graphc import step as steps
from graphc.runtime.collector import collector_off


@pytest.fixture(autouse=True)
def on() -> Iterator[None]:
    assert collector.isenabled()
    yield
    collector.enable()


def test_off_while_a_step_is_built_and_on_behind_it() -> None:
    seen: list[bool] = []

    def watched(*args: object) -> steps.Compiled:
        seen.append(collector.isenabled())
        return compiled(*args)

    compiled = steps.compiled
    with mock.patch.object(steps, "compiled", watched):
        gc.compile([], gc.asarray([1.0, 2.0]))
    assert seen == [False]
    assert collector.isenabled()


def test_on_behind_an_error_and_off_if_it_was_off() -> None:
    with pytest.raises(KeyError), collector_off():
        raise KeyError
    assert collector.isenabled()
    collector.disable()
    with collector_off():
        pass
    assert not collector.isenabled()


def test_off_until_the_last_has_left() -> None:
    """The first to come leaves first: what the other builds is built without collections to its end."""
    first, second = collector_off(), collector_off()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not collector.isenabled()
    second.__exit__(None, None, None)
    assert collector.isenabled()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
def test_on_in_a_process_forked_while_another_thread_builds() -> None:
    inside, leave = threading.Event(), threading.Event()

    def build() -> None:
        with collector_off():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=build)
    thread.start()
    inside.wait()
    child = os.fork()
    if child == 0:
        os._exit(0 if collector.isenabled() else 1)
    leave.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert collector.isenabled()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
def test_off_in_a_process_forked_inside_until_it_leaves() -> None:
    with collector_off():
        child = os.fork()
        if child == 0:
            was_off = not collector.isenabled()
    if child == 0:
        os._exit(0 if was_off and collector.isenabled() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
