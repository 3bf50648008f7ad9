"""Params on devices: where the values are that steps change there, and how they come and go."""

from __future__ import annotations

import weakref

from ..ir.leaves import ParamState
from . import cuda
from .cuda_devices import Device


class Resident:
    """The value of a param on one device.

    version  of the value in the host's memory that it is, if it is not newer
    newer    whether steps there may have changed it since
    """

    def __init__(self, state: ParamState, device: Device):
        self.state, self.device, self.place = weakref.ref(state), device, device.name
        with device.here():
            self.memory = device.allocate(state.array.nbytes)
        self.version = -1
        self.newer = False

    def arrive(self) -> None:
        """Be the present value; the caller holds the state's guard, for this device."""
        if self.newer:
            return
        state = self.state()
        assert state is not None
        version = state.version
        if self.version != version:
            self.device.upload(self.memory, 0, state.array, self.device.work)
            self.device.finish(self.device.work)  # the host's memory is the param's own again
            self.version = version

    def changed(self) -> None:
        """A step that is about to run here may change the value; the caller holds the state's guard."""
        if not self.newer:
            state = self.state()
            assert state is not None
            self.newer = True
            state.guard.leave(self)

    def come_home(self) -> None:
        """Bring the value into the host's memory; the caller holds the state's guard."""
        state = self.state()
        if state is not None and self.newer:
            with cuda.lock, self.device.here():
                self.device.download(self.memory, 0, state.array, self.device.work)
                self.device.finish(self.device.work)
            self.newer, self.version = False, state.version


_residents: weakref.WeakKeyDictionary[ParamState, dict[str, Resident]] = weakref.WeakKeyDictionary()


def resident(state: ParamState, device: Device) -> Resident:
    """Where a param's value stands on a device, for all programs."""
    with cuda.lock:
        known = _residents.setdefault(state, {})
        if device.name not in known:
            known[device.name] = Resident(state, device)
        return known[device.name]
