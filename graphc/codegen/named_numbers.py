"""Numbers that machine code knows by a name: they may be set after it is compiled, and differ between processes."""

from __future__ import annotations

import ctypes

from llvmlite import binding, ir


def address_at(name):
    """Where the number of that name is, of which LLVM is told; it is never freed, as the machine code is not."""
    if not binding.address_of_symbol(name):
        number = ctypes.c_int64(0)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(number))
        binding.add_symbol(name, ctypes.addressof(number))
    return binding.address_of_symbol(name)


def note(name, number):
    """Set it."""
    ctypes.c_int64.from_address(address_at(name)).value = number


def noted(builder, name):
    """Its value, in a function that is being written."""
    address_at(name)
    place = builder.module.globals.get(name) or ir.GlobalVariable(builder.module, ir.IntType(64), name)
    return builder.load(place)
