"""The README is true: its code runs, its output is what it says, and the generated source is the real one."""

from __future__ import annotations

import doctest
import re
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

README = Path(__file__).parents[1] / "README.md"
SHOWN = re.compile(r"(<!-- step\.source of fit\.py.*?-->\n```python\n)(.*?)(```\n)", re.DOTALL)
KEY = re.compile(r"^key +\w+$", re.MULTILINE)


def text() -> str:
    return README.read_text(encoding="utf-8")


def block(title: str) -> str:
    """The code block behind the comment `title`."""
    found = re.search(rf"<!-- {re.escape(title)} -->\n```python\n(.*?)```\n", text(), re.DOTALL)
    assert found, f"no block titled {title}"
    return found[1]


def run(code: str, path: Path) -> dict[str, Any]:
    """Run `code` as the file `path`; its names."""
    path.write_text(code, encoding="utf-8")
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(code, str(path), "exec"), names)
    return names


def without_key(source: str) -> str:
    """The key depends on the machine and on versions; nothing else does."""
    return KEY.sub("key      (of this machine)", source)


def test_the_example_and_its_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    code = block("fit.py")
    assert len(code.splitlines()) == 10
    source = without_key(run(code, tmp_path / "fit.py")["step"].source)
    printed = capsys.readouterr().out.strip()
    assert f"prints `{printed}`" in text()
    shown = SHOWN.search(text())
    assert shown
    if request.config.getoption("--update-goldens"):
        README.write_text(text().replace(shown[0], f"{shown[1]}{source}{shown[3]}"), encoding="utf-8")
    else:
        assert shown[2] == source, "run pytest tests/test_readme.py --update-goldens if the source is meant to change"


def test_the_training_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It prints what it says; other vector widths may round the loss differently."""
    monkeypatch.chdir(tmp_path)
    names = run(block("digits.py"), tmp_path / "digits.py")
    printed = capsys.readouterr().out.strip()
    claimed = re.search(r"It prints `loss ([\d.]+), ([\d.]+)% of test images right`", text())
    assert claimed
    loss, right = re.findall(r"[\d.]+", printed)
    assert abs(float(loss) - float(claimed[1])) < 0.02 and abs(float(right) - float(claimed[2])) < 2
    before = {name: value.copy() for name, value in names["model"].state_dict().items()}
    names["step"](names["images"][:50], names["labels"][:50])
    assert names["gc"].load("digits.npz", model=names["model"], opt=names["opt"])["epoch"] == 19
    for name, value in names["model"].state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    first, over = re.findall(r"`(first = gc.load.*?)`|loop over `(.*?)`", text(), re.DOTALL)
    code = block("digits.py").replace("for epoch in range(20):", f"{first[0]}\nfor epoch in {over[1]}:")
    assert run(code, tmp_path / "digits.py")["epoch"] == 24
    assert "test images right" in capsys.readouterr().out


def test_lines_of_the_example() -> None:
    lines = block("lines of examples/lenet_mnist.py")
    example = README.parent / "examples" / "lenet_mnist.py"
    assert textwrap.indent(lines, "    ") in example.read_text(encoding="utf-8")


def test_the_sessions() -> None:
    names: dict[str, Any] = {}
    exec("import numpy as np\nimport graphc as gc", names)
    flags = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    sessions = "\n".join(re.findall(r"```pycon\n(.*?)```\n", text(), re.DOTALL))
    test = doctest.DocTestParser().get_doctest(sessions, names, "README", str(README), 0)
    assert len(test.examples) > 10
    out: list[str] = []
    failed = doctest.DocTestRunner(optionflags=flags).run(test, out=out.append).failed
    assert failed == 0, "".join(out)


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+?)\)", text())
    missing = [t for t in targets if not t.startswith("http") and not (README.parent / t).exists()]
    assert not missing


def test_every_name_it_mentions_exists() -> None:
    import graphc as gc

    names = set(re.findall(r"\bgc\.([a-z_][a-z_0-9]*)", text()))
    assert sorted(n for n in names if not hasattr(gc, n)) == []
    step = gc.compile([], [gc.param(1.0)])
    members = set(re.findall(r"\bstep\.([a-z_]+)", text()))
    assert sorted(n for n in members if not hasattr(step, n)) == []


def test_commands_are_those_of_the_package() -> None:
    from graphc.__main__ import main

    assert ".venv/bin/python -m graphc demo\n" in text() and ".venv/bin/python -m pytest\n" in text()
    with pytest.raises(SystemExit) as stopped:
        main(["demo", "--help"])
    assert stopped.value.code == 0
