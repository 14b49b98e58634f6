"""Policies by name: heuristics, files, shipped ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lepton_rl.core.errors import ArtifactError, ConfigError
from lepton_rl.policies import shipped
from lepton_rl.policies.learned import LearnedPolicy, load_policy
from lepton_rl.policies.named import policy_named
from tests.trained import random_policy_file


def test_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "_FOLDER", tmp_path)
    with pytest.raises(ArtifactError, match="expected a policy file or a shipped name; this vers"):
        load_policy("hpc")
    shutil.copy(random_policy_file(), tmp_path / "hpc.onnx")

    assert load_policy("hpc").name == "random"
    assert isinstance(policy_named("hpc"), LearnedPolicy)
    assert isinstance(policy_named(str(random_policy_file())), LearnedPolicy)
    assert policy_named("f4+easy").name == "f4+easy"
    with pytest.raises(ArtifactError, match="did you mean 'hpc'"):
        load_policy("hpcc")
    with pytest.raises(ConfigError, match="unknown name"):
        policy_named("hpcc")


def test_every_shipped_policy_is_good() -> None:
    for name in shipped.shipped_policies():
        assert load_policy(name).name
