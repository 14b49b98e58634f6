"""Every command says in one line what is wrong with what it was given, and never a traceback."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from lepton_rl.cli import main

CASES = [
    # missing files
    ("train --config none.yaml", "cannot read none.yaml: No such file"),
    ("train --config quick --workload none.swf", "none.swf: No such file"),
    ("train --resume --out none", "no checkpoint in none/checkpoints"),
    ("evaluate --workload none.swf", "cannot read none.swf: No such file"),
    ("evaluate --workload quick --policy none.onnx", "cannot read none.onnx: No such file"),
    ("evaluate --protocol fgd --data none", "no openb_pod_list"),
    ("report none", "expected the folder of `lepton-rl train`"),
    ("export none", "expected the folder of `lepton-rl train`"),
    ("inspect none.onnx", "cannot read none.onnx: No such file"),
    ("explain hpc none.json", "cannot read none.json: No such file"),
    ("replay hpc --journal none.db", "there is no such file"),
    ("serve --cluster none.yaml", "cannot read none.yaml: No such file"),
    ("serve --cluster good.yaml --token-file none", "cannot read none: No such file"),
    ("policies publish none --name hpc", "expected the folder of `lepton-rl train`"),
    ("workload describe none.swf", "cannot read none.swf: No such file"),
    # a folder in the place of a file, and a file in that of a folder
    ("train --config folder.yaml", "cannot read folder.yaml: Is a directory"),
    ("evaluate --workload folder.swf", "cannot read folder.swf: Is a directory"),
    ("evaluate --workload quick --policy folder.onnx", "folder.onnx: Is a directory"),
    ("explain hpc folder.json", "cannot read folder.json: Is a directory"),
    ("serve --cluster folder.yaml", "cannot read folder.yaml: Is a directory"),
    ("serve --cluster good.yaml --token-file folder.yaml", "folder.yaml: Is a directory"),
    ("serve --cluster good.yaml --audit folder.json", "cannot write folder.json"),
    ("workload convert quick folder.npz", "this is a folder; choose another name"),
    ("report file", "cannot read file/evaluation.json"),
    ("export file", "expected the folder of `lepton-rl train`"),
    ("evaluate --workload quick --out file", "cannot write file"),
    # empty files, and such as hold something else
    ("train --config quick --workload empty.swf", "expected rows of 18 fields, got none"),
    ("evaluate --workload binary.swf", "expected text in Standard Workload Format"),
    ("evaluate --workload empty.npz", "expected a columnar workload"),
    ("evaluate --workload quick --policy empty.onnx", "damaged or was not written by lepton-rl"),
    ("train --config list.yaml", "expected a mapping of names to values"),
    ("train --config binary.yaml", "cannot read binary.yaml"),
    ("explain hpc empty.json", "expected nodes and pending"),
    ("explain hpc list.json", "expected nodes and pending"),
    ("replay hpc --journal empty.db", "there is none yet"),
    ("replay hpc --journal binary.swf", "no SQLite database"),
    ("serve --cluster empty.yaml", "expected a mapping of names to values"),
    ("serve --cluster list.yaml", "expected a mapping of names to values"),
    ("serve --cluster good.yaml --config list.yaml", "expected the keys http and guard"),
    # unknown names
    ("train --config quik", "did you mean 'quick'?"),
    ("train --config quick --set total_step=3", "did you mean 'total_steps'?"),
    ("train --config quick --device tpu", "should be 'auto', 'cpu' or 'cuda'"),
    ("sweep --config quick --search ppo.epoch=1:4 --out s", "did you mean 'epochs'?"),
    ("evaluate --workload edg", "did you mean 'edge'?"),
    ("evaluate --workload quick --heuristic sal", "unknown name 'sal'"),
    ("evaluate --workload quick --split best", "unknown split 'best'"),
    ("evaluate --workload quick --backfill hard", "expected none, easy or conservative"),
    ("evaluate --workload quick --protocol best", "unknown protocol"),
    ("evaluate --workload quick --backend best", "unknown backend"),
    ("report folder.npz --format pdf", "known: csv, html, json, md"),
    ("simulate --workload quick --policy hpcc", "shipped policies: "),
    ("bench --config quik", "did you mean 'quick'?"),
    ("attach slurm --mode best", "should be 'priority' or 'placement'"),
    ("attach slurm --set intervals=1", "did you mean 'interval_s'?"),
    ("policies card hpcc", "did you mean 'hpc'?"),
    ("policies check hpcc", "did you mean 'hpc'?"),
    ("serve --cluster good.yaml --executor best", "known: local, simulated"),
    ("workload generate a.npz --generator lublim", "did you mean 'lublin'?"),
    # numbers out of range, and what is no number
    ("train --config quick --set total_steps=x", "expected a number, got 'x'"),
    ("train --config quick --set total_steps=-1", "greater than or equal to 1, got -1"),
    ("train --config quick --seed -1", "greater than or equal to 0, got -1"),
    ("sweep --config quick --trials 0", "greater than or equal to 1"),
    ("sweep --config quick --search ppo.epochs=4:1", "with low below high"),
    ("evaluate --workload quick --windows 0", "number of windows must be a whole number"),
    ("evaluate --workload quick --length 0", "window length must be a whole number"),
    ("evaluate --workload quick --jobs 0", "--jobs 0: expected at least 1"),
    ("simulate --workload quick --first -1", "expected a task in 0..9999"),
    ("bench --config quick --seconds 0", "greater than or equal to 0.01"),
    ("explain hpc list.json --features 0", "greater than or equal to 1"),
    ("replay hpc --workload quick --tasks 0", "greater than or equal to 1"),
    ("replay hpc --workload quick --blocks 0", "greater than or equal to 1"),
    ("serve --cluster good.yaml --port 99999", "less than or equal to 65535"),
    ("serve --cluster good.yaml --canary 2 --candidate saf", "a number from 0 to 1"),
    ("policies check hpc --windows 0", "greater than or equal to 1"),
    ("workload generate a.npz --set load=-1", "greater than 0, got -1"),
    # nowhere to write to
    ("train --config quick --out file", "cannot write file"),
    ("workload generate none/a.npz", "expected a folder none"),
    ("workload generate a.txt", "expected a name that ends in .npz"),
    ("serve --cluster good.yaml --audit none/a.json", "cannot write none/a.json"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with good and bad files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEPTON_DATA", raising=False)
    for suffix in ("onnx", "swf", "yaml", "npz", "json"):
        (tmp_path / f"folder.{suffix}").mkdir()
        (tmp_path / f"empty.{suffix}").touch()
        (tmp_path / f"binary.{suffix}").write_bytes(b"\x00\xff\xfe\x80")
    (tmp_path / "empty.db").touch()
    (tmp_path / "file").touch()
    (tmp_path / "list.yaml").write_text("[1, 2]")
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "good.yaml").write_text("nodes:\n- name: a\n  capacity: {cpu: 4}\n")
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("command", "expected"), CASES, ids=[command for command, _ in CASES])
def test_a_line_says_what_is_wrong(
    command: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(shlex.split(command)) in (1, 2)
    captured = capsys.readouterr()
    last = captured.err.splitlines()[-1]
    assert last.startswith("error: ")
    assert expected in last
    assert captured.out == ""


def test_every_command_is_here() -> None:
    used = {tuple(word for word in command.split()[:2]) for command, _ in CASES}
    assert {first for first, _ in used} >= {
        "train", "sweep", "evaluate", "report", "simulate", "export", "bench", "attach",
        "inspect", "explain", "replay", "serve", "policies", "workload",
    }  # fmt: skip
