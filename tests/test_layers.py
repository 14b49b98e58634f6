"""Imports run one way (design, section 9), and `import lepton_rl` stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "lepton_rl"

LAYERS = [
    {"core"},
    {"encoding", "policies", "system", "sim", "workloads", "prediction"},
    {"envs", "evaluate"},
    {"agents", "integrations"},
    {"commands"},
    {"cli"},
]
BESIDE = {
    ("policies", "encoding"),
    ("sim", "encoding"),
    ("prediction", "workloads"),
    ("prediction", "sim"),
}
"""Edges allowed within one layer."""

FACE = {"core", "policies", "system", "workloads"}
"""What `lepton_rl/__init__.py` may offer: everything that needs neither torch nor gymnasium."""


def may_import(importer: str, imported: str) -> bool:
    if importer == imported or imported == "configs":  # YAML files; every layer may read them
        return True
    if importer == "__init__":
        return imported in FACE
    if importer == "__main__":
        return imported == "cli"
    if importer == "configs":
        return False
    if imported == "":  # `import lepton_rl` itself, from below it
        return importer == "cli"
    return level(imported) < level(importer) or (importer, imported) in BESIDE


def level(part: str) -> int:
    for index, layer in enumerate(LAYERS):
        if part in layer:
            return index
    pytest.fail(f"lepton_rl/{part} is in no layer; see the design, section 9")


def part_of(module: str) -> str:
    """`lepton_rl.core.nodes` -> `core`, `lepton_rl` -> the empty string."""
    return module.split(".")[1] if "." in module else ""


def imports_of(path: Path) -> set[str]:
    """Modules of ours that a file imports anywhere in it, absolute names."""
    package = ["lepton_rl", *path.relative_to(PACKAGE).parent.parts]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module == "lepton_rl":  # from lepton_rl import core, Task
                found.update(
                    f"lepton_rl.{alias.name}" if is_part(alias.name) else module
                    for alias in node.names
                )
            else:
                found.add(module)
    return {name for name in found if name.split(".")[0] == "lepton_rl"}


def is_part(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downwards(path: Path) -> None:
    importer = path.relative_to(PACKAGE).with_suffix("").parts[0]

    upward = sorted(name for name in imports_of(path) if not may_import(importer, part_of(name)))

    assert not upward, f"{path.relative_to(ROOT)} must not import {', '.join(upward)}"


def test_the_layers_are_the_designs() -> None:
    allowed = [
        ("encoding", "core"),
        ("policies", "encoding"),
        ("sim", "encoding"),
        ("envs", "sim"),
        ("evaluate", "workloads"),
        ("agents", "envs"),
        ("integrations", "system"),
        ("cli", "agents"),
        ("__init__", "system"),
    ]
    forbidden = [
        ("core", "sim"),
        ("system", "policies"),  # it takes a Policy protocol that is in core
        ("encoding", "policies"),
        ("policies", "sim"),
        ("workloads", "sim"),
        ("envs", "evaluate"),
        ("sim", "envs"),
        ("agents", "integrations"),
        ("integrations", "cli"),
        ("__init__", "agents"),
        ("core", ""),
    ]
    assert [edge for edge in allowed if not may_import(*edge)] == []
    assert [edge for edge in forbidden if may_import(*edge)] == []


def test_importing_the_package_loads_no_heavy_library() -> None:
    code = (
        "import sys, lepton_rl\n"
        "heavy = {'torch', 'gymnasium', 'stable_baselines3', 'sb3_contrib', 'onnx'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["agents", "envs", "configs"])
def test_top_level_links(name: str) -> None:
    link = ROOT / name

    assert link.is_symlink()
    assert link.readlink() == Path("lepton_rl", name)
    assert link.is_dir()
