import os
import subprocess
import sys
from pathlib import Path

import numba.core.config as numba_config
import numpy as np
import pytest

from lepton_rl.core import compiled as module
from lepton_rl.core.compiled import cache_dir, compiled
from lepton_rl.core.errors import StateError


@compiled
def quotient(x: float, y: float) -> float:
    return x / y


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of its own, whose sources `cache_dir` looks at instead of ours."""
    package = tmp_path / "lepton_rl"
    for name in ("core/rules", "sim", "policies"):
        (package / name).mkdir(parents=True)
    (package / "core" / "compiled.py").write_text("")
    (package / "core" / "rules" / "orders.py").write_text("score = 1\n")
    (package / "sim" / "events.py").write_text("heap = 1\n")
    (package / "policies" / "guard.py").write_text("guard = 1\n")
    monkeypatch.setattr(module, "__file__", str(package / "core" / "compiled.py"))
    return package


class TestCacheFolder:
    def test_equal_sources_share_a_folder(self, package: Path) -> None:
        before = cache_dir()
        (package / "sim" / "events.py").touch()

        assert cache_dir() == before

    @pytest.mark.parametrize("name", ["core/rules/orders.py", "sim/events.py"])
    def test_a_changed_source_gets_another(self, package: Path, name: str) -> None:
        before = cache_dir()
        text = (package / name).read_text()
        (package / name).write_text(text.replace("1", "2"))
        changed = cache_dir()
        (package / name).write_text(text)

        assert changed != before
        assert cache_dir() == before

    def test_a_new_and_a_renamed_source_get_another(self, package: Path) -> None:
        before = cache_dir()
        (package / "encoding").mkdir()
        (package / "encoding" / "mask.py").write_text("")
        with_mask = cache_dir()
        (package / "encoding" / "mask.py").rename(package / "encoding" / "codec.py")

        assert len({before, with_mask, cache_dir()}) == 3

    def test_sources_without_compiled_code_do_not_count(self, package: Path) -> None:
        before = cache_dir()
        (package / "policies" / "guard.py").write_text("guard = 2\n")

        assert cache_dir() == before

    def test_the_base_folder_can_be_chosen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LEPTON_CACHE_DIR", "/somewhere/else")

        assert cache_dir().parent == Path("/somewhere/else/numba")

    def test_the_base_folder_follows_the_users_cache(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("LEPTON_CACHE_DIR", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
        assert cache_dir().parent == Path("/xdg/lepton-rl/numba")

        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", "/home/someone")
        assert cache_dir().parent == Path("/home/someone/.cache/lepton-rl/numba")


def test_machine_code_is_kept_in_the_chosen_folder(tmp_path: Path) -> None:
    code = "from lepton_rl.core.rules.lepton import load; print(load(1.0, 4.0))"

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "LEPTON_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "0.25\n"
    (kept,) = (tmp_path / "numba").iterdir()
    assert [path.name.split("-")[0] for path in kept.rglob("*.nbi")] == ["lepton.load"]


def test_division_by_zero_follows_numpy() -> None:
    assert quotient(1.0, 0.0) == float("inf")
    assert quotient(-1.0, 0.0) == -float("inf")
    assert np.isnan(quotient(0.0, 0.0))


def test_numbas_own_cache_folder_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba_config, "CACHE_DIR", "/of/someone/else")

    compiled(lambda x: x)

    assert numba_config.CACHE_DIR == "/of/someone/else"


def test_a_source_edited_during_the_start_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Seen for real: code of an edited rule, kept under the digest of the rule before the edit,
    # came back after the edit was undone.
    source = tmp_path / "rule.py"
    source.write_text("def rule(x): return x + 1\n")
    namespace: dict[str, object] = {}
    exec(compile(source.read_text(), str(source), "exec"), namespace)
    monkeypatch.setitem(module._DIGESTS, source, "of another version")

    with pytest.raises(StateError, match="edited while"):
        compiled(namespace["rule"])


def test_an_unwritable_cache_folder_only_costs_time() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from lepton_rl.core.rules.lepton import load; print(load(1.0, 4.0))",
        ],
        env={**os.environ, "LEPTON_CACHE_DIR": "/proc/nowhere"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "0.25\n"
    assert done.stderr == ""
