"""Functions that the kernels of many files call: which there are, what they are called, and the files that have them.

Numba would compile a function again in each kernel that calls it. These have files of their own, one for each dtype,
and kernels know no more of them than the name of a word with the address: it may be set after a kernel is compiled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from .mend import MEND, MEND_OF_DTYPE
from .multiply import MULTIPLY, MULTIPLY_OF_DTYPE

ROUTINES = '''\
if not numba.config.DISABLE_JIT:
    routine_names = {}
    """What the words are called that have the addresses of these functions, by what they do and the dtype."""

    def call_routine(builder, what, dtype, values):
        """What one of them gives; that and all that it is given are words."""
        word, name = ir.IntType(64), routine_names[what, dtype]
        words = [builder.ptrtoint(v, word) if v.type.is_pointer else builder.zext(v, word) for v in values]
        kind = ir.FunctionType(word, [word] * len(words))
        return builder.call(builder.inttoptr(noted(builder, name), kind.as_pointer()), words)

    def routine(function):
        """Compile one of them, and note where it is."""
        made = c_function(types.int64(*[types.int64] * function.__code__.co_argcount))(function)
        note(f"graphc_{function.__name__}_DIGEST", made.address)
        return made
'''

_TEXTS = {"multiply": (MULTIPLY, MULTIPLY_OF_DTYPE), "mend": (MEND, MEND_OF_DTYPE)}
_DIGEST = hashlib.blake2b("".join([ROUTINES, *sum(_TEXTS.values(), ())]).encode(), digest_size=8).hexdigest()
ROUTINES = ROUTINES.replace("DIGEST", _DIGEST)

Routine = tuple[str, str]
"""What a function does, and its dtype."""
ALL: tuple[Routine, ...] = tuple((what, dtype) for what in _TEXTS for dtype in ("float32", "float64"))
"""In an order in which they can be compiled."""


def name_of(routine: Routine) -> str:
    """What the word with its address is called; with another text it is another name."""
    return f"graphc_{'_'.join(routine)}_{_DIGEST}"


def named(routine: Routine) -> str:
    """The text that tells a file how to call a function."""
    (what, dtype), name = routine, name_of(routine)
    lines = [
        "if not numba.config.DISABLE_JIT:",
        f'routine_names["{what}", types.{dtype}] = "{name}"',
        f'address_at("{name}")',
    ]
    return "\n    ".join(lines) + "\n"


def named_in(source: str) -> list[Routine]:
    """The functions that a file calls."""
    return [routine for routine in ALL if name_of(routine) in source]


def text_of(routines: Iterable[Routine]) -> str:
    """The text of functions; behind `ROUTINES`."""
    parts: dict[str, None] = {}
    for what, dtype in routines:
        shared, own = _TEXTS[what]
        calls = [named(("multiply", dtype))] if what == "mend" else []
        parts |= dict.fromkeys([shared, *calls, own.replace("DTYPE", dtype)])
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"
