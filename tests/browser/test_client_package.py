"""The client for browsers as npm hands it out: packed, installed without a network, imported and typed by its name."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.browser.test_client_file import CLIENT, LIB, PAGES
from tests.requirements import find_compiler, find_node

PATIENCE = 120.0
STRICT = {
    "target": "es2022",
    "lib": ["es2023", "dom", "dom.iterable", "dom.asynciterable"],
    "types": [],
    "strict": True,
    "exactOptionalPropertyTypes": True,
    "skipLibCheck": False,
    "verbatimModuleSyntax": True,
    "outDir": "out",
}
RESOLUTIONS = {
    "nodenext": {"module": "nodenext", "moduleResolution": "nodenext"},
    "bundler": {"module": "esnext", "moduleResolution": "bundler"},
}
MAIN = """\
import * as client from "@frontdesk/client";
import { createClient, createServerClient, FrontdeskError, type State } from "@frontdesk/client";

const here: State = createClient({ base: "https://desk.example/auth" }).state;
const there: State = createServerClient({ base: "https://desk.example/auth", headers: new Headers() }).state;
// @ts-expect-error what has no types would let this pass
createClient({ transport: "carrier pigeon" });
const known = [here.status, there.status, FrontdeskError.prototype instanceof Error];
console.log(JSON.stringify([...known, Object.keys(client).sort()]));
"""


def find_npm() -> Path:
    """The npm that comes with the Node of the tests."""
    return find_node().parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def run(*command: Path | str, cwd: Path) -> str:
    """What a program says that must succeed; npm asks no network."""
    environ = {**os.environ, "npm_config_offline": "true"}
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has installed what `npm pack` makes of the package, and a cache of npm of its own."""
    root = tmp_path_factory.mktemp("package")
    place = root / "project"
    place.mkdir()
    (place / "package.json").write_text('{"name": "project", "private": true, "type": "module"}')
    npm = (find_node(), find_npm(), f"--cache={root / 'cache'}", "--loglevel=error")
    [packed] = json.loads(run(*npm, "pack", "--json", f"--pack-destination={root}", cwd=CLIENT))
    run(*npm, "install", "--no-audit", "--no-fund", f"{root / packed['filename']}", cwd=place)
    return place


def test_the_package_holds_what_was_built_and_what_says_so_and_nothing_else(project: Path) -> None:
    installed = project / "node_modules" / "@frontdesk" / "client"
    files = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    assert files == {"package.json", "README.md", *(f"lib/{path.name}" for path in LIB.iterdir())}
    assert [path.name for path in (project / "node_modules").iterdir() if not path.name.startswith(".")] == [
        "@frontdesk"
    ]


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_it_is_typed_and_imported_by_its_name(resolution: str, project: Path) -> None:
    sources = project / resolution
    sources.mkdir()
    (sources / "main.ts").write_text(MAIN)
    for page in PAGES:
        samples = re.findall(r"^```ts\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        for number, sample in enumerate(samples):
            (sources / f"{page.stem}{number}.ts").write_text(f"{sample}\nexport {{}};\n")
    settings = {"compilerOptions": {**STRICT, **RESOLUTIONS[resolution]}, "include": ["*.ts"]}
    (sources / "tsconfig.json").write_text(json.dumps(settings))
    run(find_node(), find_compiler(), "--project", sources, cwd=project)
    said = json.loads(run(find_node(), sources / "out" / "main.js", cwd=project))
    assert said == ["unknown", "unknown", True, ["FrontdeskError", "createClient", "createServerClient"]]


def test_its_files_are_reached_by_its_name_alone(project: Path) -> None:
    script = 'import("@frontdesk/client/lib/frontdesk.js").catch((error) => console.log(error.code))'
    said = run(find_node(), "--input-type=module", "--eval", script, cwd=project)
    assert said.strip() == "ERR_PACKAGE_PATH_NOT_EXPORTED"
