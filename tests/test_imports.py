"""Imports point one way: core ← local ← wiring ← cli. Read from the source, so that lazy imports count too."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "hms_svc"
LAYERS = {"core": 0, "aws": 1, "local": 1, "settings": 0, "wiring": 2, "serve": 3, "cli": 4}
NOT_IN_THE_CORE = {
    "asyncio", "boto3", "botocore", "concurrent", "http", "httptools", "os", "random", "requests", "secrets", "select",
    "selectors", "signal", "socket", "ssl", "subprocess", "tempfile", "threading", "time", "uuid", "uvloop",
}  # fmt: skip
FILES = sorted(SOURCE.rglob("*.py"))


def imports_of(path: Path) -> set[str]:
    """Every module a file names in an import, wherever the import stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer_of(module: str) -> int | None:
    parts = module.split(".")
    return LAYERS.get(parts[1]) if parts[0] == "hms_svc" and len(parts) > 1 else None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_imports_only_from_its_own_layer_or_below(path: Path) -> None:
    place = path.relative_to(SOURCE).with_suffix("")
    own = LAYERS.get(place.parts[0], 0)
    too_high = {module for module in imports_of(path) if (layer_of(module) or 0) > own}
    assert too_high == set()


@pytest.mark.parametrize(
    "path", sorted((SOURCE / "core").rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE))
)
def test_the_core_has_no_socket_clock_chance_or_thread(path: Path) -> None:
    assert {module.split(".")[0] for module in imports_of(path)} & NOT_IN_THE_CORE == set()


def test_python_jose_and_yaml_stand_behind_one_file_each() -> None:
    def users(library: str) -> set[str]:
        return {path.name for path in FILES if library in {module.split(".")[0] for module in imports_of(path)}}

    assert users("jose") == {"tokens.py"}
    assert users("yaml") == {"yaml_tree.py"}


def test_a_plug_in_imports_nothing_but_the_public_names() -> None:
    for plug_in in sorted((SOURCE.parent.parent / "layers" / "policies").glob("*.py")):
        ours = {module for module in imports_of(plug_in) if module.startswith("hms_svc.")}
        assert ours <= {"hms_svc.Policy", "hms_svc.Verdict", "hms_svc.PolicyRequest"}, plug_in.name


def test_the_public_names_cost_no_heavy_import() -> None:
    """A plug-in, and a cold start, import the core's values and nothing that opens a socket or reads YAML."""
    import subprocess
    import sys

    code = "import hms_svc, sys; print(sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("yaml", "jose", "requests", "asyncio", "typer", "rich", "httptools"):
        assert f"'{heavy}'" not in loaded
