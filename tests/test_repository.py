"""The repository keeps its own promises: imports go one way, the README is true."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.cli import app

ROOT = Path(__file__).parents[1]
PACKAGES = ("api", "infra", "producers", "stream", "training")

# A module may import from its own layer and those before it.
LAYERS = (
    ("stream.contracts",),
    ("infra.settings",),
    ("producers",),
    ("stream",),
    ("training",),
    ("api",),
    ("infra",),
)

# Of the public modules: what each package must never load, directly or through others.
FORBIDDEN = {
    "api.main": ("torch", "mlflow", "faust", "implicit", "polars", "scipy"),
    "stream.app": ("torch", "mlflow", "fastapi", "implicit"),
    "stream.processor": ("torch", "mlflow", "faust", "fastapi", "implicit"),
    "training.trainer": ("faust", "fastapi", "implicit"),
    "training.baselines.catalogue": ("torch", "mlflow", "faust", "fastapi", "implicit"),
    "producers.publisher": ("torch", "mlflow", "faust", "fastapi"),
}

MAX_LINES = 300


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(module: str) -> int:
    matches = [
        (len(prefix), layer)
        for layer, prefixes in enumerate(LAYERS)
        for prefix in prefixes
        if module == prefix or module.startswith(prefix + ".")
    ]
    return max(matches)[1]


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            # `from stream import features` names a module, `from stream.features import fold` none
            found |= {f"{node.module}.{a.name}" for a in node.names if node.module in PACKAGES}
    return {name for name in found if name.split(".")[0] in PACKAGES and name not in PACKAGES}


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    module = name_of(path)
    if module in PACKAGES:
        return
    upwards = {name for name in imports_of(path) if layer_of(name) > layer_of(module)}
    assert not upwards, f"{module} imports from a later layer: {sorted(upwards)}"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_a_module_stays_small(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= MAX_LINES, f"{path.name} has {lines} lines: it is two modules"


def test_package_markers_are_empty() -> None:
    assert not [p for p in modules() if p.name == "__init__.py" and p.read_text().strip()]


@pytest.mark.parametrize("module", FORBIDDEN)
def test_what_a_process_must_not_load(module: str) -> None:
    code = f"import sys, {module}; print([m for m in {FORBIDDEN[module]!r} if m in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert loaded.stdout.strip() == "[]"


def readme() -> str:
    return (ROOT / "README.md").read_text()


def test_readme_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"\bmake ([a-z]+)", readme()))
    assert named, "the README names no make target"
    assert named <= targets


def test_readme_commands_exist() -> None:
    named = set(re.findall(r"^(?:\$ )?freshet ((?:[a-z]+ ?){1,2})", readme(), re.M))
    assert named, "the README shows no command"
    for command in named:
        words = command.split()
        result = CliRunner().invoke(app, [*words, "--help"])
        if result.exit_code and len(words) == 2:  # the second word is an argument
            result = CliRunner().invoke(app, [words[0], "--help"])
        assert result.exit_code == 0, f"freshet {command}: {result.output}"


def test_readme_paths_exist() -> None:
    named = re.findall(r"\]\((?!https?:|#)([^)#]+)", readme())
    assert named, "the README links to nothing"
    assert not [path for path in named if not (ROOT / path).exists()]


def test_readme_environment_variables_are_settings() -> None:
    from infra.settings import Settings

    named = set(re.findall(r"FRESHET_([A-Z_]+)\b", readme()))
    assert named <= {name.upper() for name in Settings.model_fields}


def test_the_lock_pins_everything_once() -> None:
    pins = [
        line.split(";")[0].strip()
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert all("==" in pin for pin in pins)
    pyproject = (ROOT / "pyproject.toml").read_text()
    locked = {pin.split("==")[0] for pin in pins}
    required = set(re.findall(r'^    "([a-z0-9-]+)[>=]=', pyproject, re.M))
    assert required - {"setuptools"} <= locked
