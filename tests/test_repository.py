"""Sentences about the repository itself: what may stand in its files, what it depends on, how large its parts are."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.requirements import ROOT

SOURCE = ROOT / "src" / "frontdesk"
MODULES = sorted(SOURCE.rglob("*.py"))
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

# Put together from pieces, so that this file holds none of them itself.
_DOT = r"\."
REGISTRIES = "|".join(
    [f"p{'y'}pi{_DOT}org", f"python{'hosted'}{_DOT}org", f"registry{_DOT}npm{'js'}", f"deb{_DOT}debian{_DOT}org"]
)
MACHINE_PATH = (
    r"(?<![\w.])/(?:" + "|".join(["wor" + "k", "far" + "m", "roo" + "t", "op" + "t", "hom" + "e"]) + r")/[a-z.]"
)
PRIVATE_KEY = "-----BEGIN [A-Z ]*" + "PRIVATE KEY-----"

FRAMEWORKS = {"click", "django", "fastapi", "flask", "jinja2", "litestar", "pydantic", "rich", "starlette", "typer"}
DRIVERS = {"apsw", "argon2", "asyncpg", "httpx", "opentelemetry", "prometheus_client", "redis", "uvicorn"}
IMPORTED_AS = {
    "argon2-cffi": "argon2",
    "opentelemetry-api": "opentelemetry",
    "prometheus-client": "prometheus_client",
}
"""Distributions whose package has another name."""

FUNCTION_LINES = 60
CLASS_LINES = 350
FILE_LINES = 600
ADAPTER_LINES = 250


def tracked_files() -> list[Path]:
    """Every file that git knows; outside a checkout (an unpacked sdist) every file that is there."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listing.returncode == 0:
        files = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    else:
        found = (path.relative_to(ROOT) for path in ROOT.rglob("*"))
        files = [ROOT / path for path in found if not any(part.startswith(".") for part in path.parts)]
    return [path for path in files if path.is_file()]


def text_of(path: Path) -> str | None:
    """The text of a file, or None for one that holds something else."""
    raw = path.read_bytes()
    return None if b"\0" in raw else raw.decode("utf-8", "replace")


def lines_that_match(pattern: str) -> list[str]:
    compiled = re.compile(pattern)
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in tracked_files()
        if path.suffix != ".svg"
        for number, line in enumerate((text_of(path) or "").splitlines(), 1)
        if compiled.search(line)
    ]


def length(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def named(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def definitions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield f"{named(path)}: {node.name}", node


def imported_by(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [node.module or ""]
    return []


@pytest.mark.parametrize(
    ("pattern", "example"),
    [
        pytest.param(REGISTRIES, "https://files.python" + "hosted.org/x", id="a registry's host"),
        pytest.param(MACHINE_PATH, "cd /hom" + "e/alice", id="a path of one machine"),
        pytest.param(PRIVATE_KEY, "-----BEGIN EC " + "PRIVATE KEY-----", id="a private key"),
    ],
)
def test_no_file_holds(pattern: str, example: str) -> None:
    assert re.search(pattern, example)
    assert lines_that_match(pattern) == []


def test_the_core_depends_on_four_distributions_and_no_others() -> None:
    names = {re.split(r"[^\w-]", requirement)[0] for requirement in PROJECT["project"]["dependencies"]}
    assert names == {"apsw", "argon2-cffi", "cryptography", "msgspec"}


def test_python_3_11_is_the_floor() -> None:
    assert PROJECT["project"]["requires-python"] == ">=3.11"


def test_the_licence_is_apache_2() -> None:
    licence = (ROOT / "LICENSE").read_text()
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert "Apache License" in licence
    assert "Version 2.0, January 2004" in licence


def locked(lock: Path) -> dict[str, str]:
    """Each requirement of a lock file by name, with all its continuation lines."""
    lines = [line for line in lock.read_text().splitlines() if line and not line.lstrip().startswith("#")]
    entries = re.split(r"\n(?=\S)", "\n".join(lines))
    return {re.split(r"[=@ ]", entry)[0]: entry for entry in entries}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_locked_requirement_has_one_version_and_hashes(lock: Path) -> None:
    entries = locked(lock)
    assert "cryptography" in entries
    wrong = [
        name
        for name, entry in entries.items()
        if not re.match(r"[\w.\[\]-]+==[\w.!+]+( ;[^\\]*)? \\\n", entry) or "--hash=sha256:" not in entry
    ]
    assert wrong == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_file_holds_no_address(lock: Path) -> None:
    assert re.findall(r"\S*://\S*|--(?:extra-)?index-url.*|--find-links.*", lock.read_text()) == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_lock_can_build_the_project_without_fetching_more(lock: Path) -> None:
    assert {"editables", "hatchling"} <= locked(lock).keys()


def test_the_server_is_locked_to_the_versions_that_the_tests_run_against() -> None:
    development = locked(ROOT / "requirements" / "dev.txt")
    server = locked(ROOT / "requirements" / "server.txt")
    assert {name for name, entry in server.items() if development.get(name) != entry} == set()


def test_importing_the_package_imports_no_framework_and_no_driver() -> None:
    program = "import json, sys, frontdesk; print(json.dumps(sorted(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    roots = {name.partition(".")[0] for name in json.loads(loaded.stdout)}
    assert "frontdesk" in roots
    assert roots & (FRAMEWORKS | DRIVERS) == set()


def test_the_source_imports_nothing_that_is_not_declared() -> None:
    project = PROJECT["project"]
    declared = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    distributions = {re.split(r"[^\w-]", requirement)[0] for requirement in declared}
    known = {IMPORTED_AS.get(name, name) for name in distributions}
    imported = {
        name.partition(".")[0]
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        for name in imported_by(node)
    }
    assert imported - known - set(sys.stdlib_module_names) == set()


def test_only_the_clock_reads_the_time() -> None:
    readers = {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "clock_gettime", "clock_gettime_ns"}
    calls = {
        f"{named(path)}:{node.lineno}"
        for path in MODULES
        if named(path) != "clock.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if (node.value.id == "time" and node.attr in readers)
        or (node.value.id in {"datetime", "date"} and node.attr in {"now", "utcnow", "today"})
    }
    assert calls == set()


def test_every_module_says_what_it_is_for() -> None:
    assert [named(path) for path in MODULES if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_no_room_is_a_drawer() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
    assert [named(path) for path in MODULES if {*path.parts, path.stem} & drawers] == []


def test_no_function_is_longer_than_60_lines() -> None:
    assert [
        f"{name}: {length(node)}"
        for name, node in definitions()
        if not isinstance(node, ast.ClassDef) and length(node) > FUNCTION_LINES
    ] == []


def test_no_class_is_longer_than_350_lines() -> None:
    assert [
        f"{name}: {length(node)}"
        for name, node in definitions()
        if isinstance(node, ast.ClassDef) and length(node) > CLASS_LINES
    ] == []


def test_no_file_is_longer_than_600_lines_and_no_adapter_longer_than_250() -> None:
    lengths = {named(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {
        name: lines
        for name, lines in lengths.items()
        if lines > (ADAPTER_LINES if name.startswith("adapters/") else FILE_LINES)
    } == {}


@pytest.mark.parametrize("target", ["serve", "test"])
def test_the_readme_shows_the_command(target: str) -> None:
    assert re.search(rf"^(?:\$ )?make {target}\b", (ROOT / "README.md").read_text(), re.MULTILINE)


def test_every_target_has_a_line_of_help() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):(?!=)", makefile, re.MULTILINE)) - {
        "setup-server",
        "setup-dev",
        "setup-fuzz",
    }
    helped = set(re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE))
    assert {"serve", "test", "test-faults"} <= targets
    assert targets == helped


def test_the_gate_demands_everything_and_runs_both_suites_in_order() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert "export FRONTDESK_REQUIRE=all\n" in script
    assert re.findall(r"^make .*?(test\S*)$", script, re.MULTILINE) == ["test", "test-faults"]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
