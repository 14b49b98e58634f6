"""An audit that runs for years does not fill the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton_rl.policies.audit_file import BoundedLines


def test_the_newest_lines_are_kept_in_two_files(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    lines = BoundedLines(path, most_bytes=25)
    for number in range(9):
        lines.write(f"line {number} \u00e4\n")  # 10 bytes
        lines.flush()
    lines.close()

    assert [each.name for each in sorted(tmp_path.iterdir())] == ["audit.jsonl", "audit.jsonl.1"]
    assert path.read_text(encoding="utf-8") == "line 8 \u00e4\n"
    older = path.with_name("audit.jsonl.1").read_text(encoding="utf-8")
    assert older == "line 6 \u00e4\nline 7 \u00e4\n"


def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text("0123456789\n", encoding="utf-8")
    lines = BoundedLines(path, most_bytes=15)

    lines.write("new\n")
    lines.write("newer\n")
    lines.close()

    assert path.read_text(encoding="utf-8") == "newer\n"
    assert path.with_name("audit.jsonl.1").read_text(encoding="utf-8") == "0123456789\nnew\n"


def test_a_file_that_cannot_be_put_aside_is_said_and_grows_on(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.with_name("audit.jsonl.1").mkdir()
    lines = BoundedLines(path, most_bytes=5)
    lines.write("first\n")

    with pytest.raises(OSError, match="directory"):
        lines.write("second\n")
    path.with_name("audit.jsonl.1").rmdir()
    lines.write("third\n")
    lines.close()

    assert path.read_text(encoding="utf-8") == "third\n"
