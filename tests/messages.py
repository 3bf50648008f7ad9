"""Error texts as tests compare them."""

from __future__ import annotations

import re

_WHERE = re.compile(r"^  (at|created at) (.*?\.py):\d+(: .*)?$", re.M)


def text_of(error: BaseException) -> str:
    """The text of an error with the user's line as ``LINE``; the line must be one of a test's."""
    files = [match[2] for match in _WHERE.finditer(str(error))]
    assert all(re.search(r"test_\w+\.py$", file) for file in files), files
    return _WHERE.sub(r"  \1 LINE", str(error))


def without_line(error: BaseException) -> str:
    """The text of an error that names one line of a test, without that line."""
    text = text_of(error)
    assert text.count("\n  at LINE") == 1, text
    return text.replace("\n  at LINE", "")
