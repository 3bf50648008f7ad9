"""Guards: who may touch the values of params, and when. Any number of readers, or one writer; cheap if nobody waits.

Every step takes guards in the order of their numbers, so two steps never wait for each other. A thread that holds a
guard may take it again: Python code (a signal handler, say) never runs in the middle of a compiled step.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
import weakref
from array import array
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

_AWAY = 0
"""Stands for a thread among the readers where values are away: no thread has this number."""
_numbers = itertools.count()
_registry = threading.RLock()
_guards: weakref.WeakSet[Guard] = weakref.WeakSet()
_PAUSES = (2e-5, 1e-3)
"""First and longest pause, in seconds, while waiting for readers that are already in."""


class Away(Protocol):
    """Values of a param that are newer elsewhere; `place` says where."""

    place: str

    def come_home(self) -> None:
        """Copy them into the host's memory."""


class Guard:
    """A readers-writer lock of the values of some params.

    turn     held while writing, and for a moment by a reader that enters
    readers  the readings in flight: a token of each, and its thread. A token is entered and removed by one atomic
             operation that may be repeated, so that an interrupt at any point leaves nothing behind
    waiting  tokens of those who wait for their turn; writers give way to them, for Python's locks are not fair
    writes   how often steps wrote, in one cell; changed under `turn` only
    away     values that are newer elsewhere (on a device) than in the host's memory: `come_home` of each brings them.
             Each is a token among the readers, too, so that a writer that finds none need not look here
    shared   whether steps rely on it already; then it stays with its params
    """

    __slots__ = ("__weakref__", "away", "number", "readers", "shared", "turn", "waiting", "writes")

    def __init__(self) -> None:
        self.number = next(_numbers)
        self.turn = threading.RLock()
        self.readers: dict[object, int] = {}
        self.waiting: dict[object, None] = {}
        self.away: dict[Away, None] = {}
        self.shared = False
        self.writes = array("q", [0])
        with _registry:
            _guards.add(self)

    def drain(self, place: str | None = None) -> None:
        """Wait until no other thread reads; the caller holds `turn`, so nobody new gets in.

        Readers leave without a lock and wake nobody, so this looks again after short pauses: what it waits for are
        calls already running, and only when readers and writers meet. Then values that are newer elsewhere are in the
        host's memory, too; those that are newer at `place`, where they are to be used, stay there.
        """
        me = threading.get_ident()
        pause, longest = _PAUSES
        while any(thread not in (me, _AWAY) for thread in list(self.readers.values())):
            time.sleep(pause)
            pause = min(2 * pause, longest)
        if self.away:
            self.bring_home(place)

    def leave(self, values: Away) -> None:
        """Note that `values` are newer elsewhere; the caller holds `turn`."""
        self.away[values] = None
        self.readers[values] = _AWAY

    def bring_home(self, place: str | None = None) -> None:
        """Bring values that are newer elsewhere, but for `place`, into the host's memory; the caller holds `turn`."""
        for values in list(self.away):
            if values.place != place:
                values.come_home()
                self.readers.pop(values, None)
                self.away.pop(values, None)

    def give_way(self) -> None:
        """Let those who wait take their turn, before this thread asks again; at most for some milliseconds."""
        pause, longest = _PAUSES
        while self.waiting and pause <= longest:
            time.sleep(pause)
            pause *= 2

    def enter(self, token: object, place: str | None = None) -> None:
        """Begin to read; ``readers.pop(token, None)`` ends it, and is due even if this was interrupted.

        What is read is the host's memory, or, where values are newer there, that of `place`.
        """
        self.waiting[token] = None
        try:
            with self.turn:
                if self.away:
                    self.bring_home(place)
                self.readers[token] = threading.get_ident()
        finally:
            self.waiting.pop(token, None)

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Nobody writes inside this block."""
        token = object()
        try:
            self.enter(token)
            yield
        finally:
            self.readers.pop(token, None)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Nobody else reads or writes inside this block."""
        token = object()
        self.waiting[token] = None
        try:
            with self.turn:
                self.waiting.pop(token, None)
                self.drain()
                yield
        finally:
            self.waiting.pop(token, None)


def share(states: Iterable[Any]) -> None:
    """Give states whose guards no step relies on yet one guard, so that a step that uses them all takes one lock."""
    with _sharing:
        fresh = [s for s in states if not s.guard.shared]
        if not fresh:
            return
        common = fresh[0].guard
        for state in fresh[1:]:
            with state.guard.writing(), common.turn:
                state.since += state.guard.writes[0] - common.writes[0]
                state.guard = common
        common.shared = True


_sharing = threading.RLock()


@contextlib.contextmanager
def held(states: Iterable[Any]) -> Iterator[None]:
    """No step, and no other thread, reads or writes the values of any of `states` inside this block."""
    states = list(states)
    while True:
        guards = {s.guard for s in states}
        with contextlib.ExitStack() as stack:
            for guard in sorted(guards, key=lambda g: g.number):  # the order in which steps take them
                stack.enter_context(guard.writing())
            if {s.guard for s in states} == guards:  # else a step being compiled has just replaced one
                yield
                return


# fork: taken while every param is at a whole step, and with every guard free in the child

_held: dict[int, list[Guard]] = {}


def _before_fork() -> None:
    _sharing.acquire()
    _registry.acquire()
    held = _held[threading.get_ident()] = sorted(_guards, key=lambda g: g.number)
    for guard in held:
        guard.turn.acquire()
        guard.drain()


def _after_fork() -> None:
    for guard in reversed(_held.pop(threading.get_ident())):
        guard.turn.release()
    _registry.release()
    _sharing.release()


def _in_child() -> None:
    _after_fork()
    for guard in list(_guards):
        guard.waiting.clear()
        guard.readers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
