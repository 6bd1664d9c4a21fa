"""`scripts/bench` as a person meets it; the benchmarks themselves are not timed here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import bench.__main__ as runner


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of benchmarks in place of bench/."""
    (tmp_path / "nap.py").write_text(
        '"""How long nothing takes."""\n\n\ndef run(quick: bool) -> dict:\n'
        '    return {"rows": [{"n": 1, "ms": 0.123456}], "ratio": 2.0, "quick": quick}\n',
        encoding="utf-8",
    )
    (tmp_path / "shared.py").write_text("def prepare() -> None: ...\n", encoding="utf-8")
    monkeypatch.setattr(runner, "FOLDER", tmp_path)
    monkeypatch.setattr("bench.__path__", [str(tmp_path)])
    return tmp_path


def test_only_modules_that_run_are_benchmarks(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["--list"]) == 0
    assert capsys.readouterr().out.split() == ["nap", "How", "long", "nothing", "takes."]


def test_a_result_is_printed_and_written(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["nap", "--quick", "--json", str(shelf / "out.json")]) == 0
    printed = capsys.readouterr().out
    assert "nap (quick): How long nothing takes." in printed
    assert "ms: 0.1235" in printed
    written = json.loads((shelf / "out.json").read_text(encoding="utf-8"))
    assert written["result"] == {"rows": [{"n": 1, "ms": 0.123456}], "ratio": 2.0, "quick": True}
    assert written["machine"]["cores"] >= 1


def test_an_unknown_name_is_a_usage_error(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        runner.main(["naps"])
    assert ended.value.code == 2
    assert "nap" in capsys.readouterr().err
