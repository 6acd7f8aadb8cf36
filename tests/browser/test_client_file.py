"""The client for browsers as it is kept in the repository: built from its sources, typed, alone."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from frontdesk.client.desk import OVER, REFUSED_TOKEN
from tests.advisor.paths import configurations
from tests.requirements import ROOT, find_compiler, find_node

CLIENT = ROOT / "client"
LIB = CLIENT / "lib"
SERVED = ROOT / "src" / "frontdesk" / "endpoints" / "assets" / "frontdesk.js"
PAGES = [ROOT / "docs" / "browser-client.md", CLIENT / "README.md"]
_SOURCE = re.compile(r'from "[^"]*/auth/frontdesk\.js";')
_SAMPLE = re.compile(r"^```ts\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATIENCE = 120.0


def run(*command: Path | str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_kept_is_what_its_sources_build_byte_for_byte(tmp_path: Path) -> None:
    find_compiler()
    run(find_node(), CLIENT / "build.mjs", tmp_path / "lib")
    built = {path.name: path.read_bytes() for path in (tmp_path / "lib").iterdir()}
    assert built == {path.name: path.read_bytes() for path in LIB.iterdir()}, "run `make client`"
    assert SERVED.read_bytes() == built["frontdesk.js"], "run `make client`"


def check_types(directory: Path, samples: Sequence[str]) -> None:
    """Compile each sample against the types of the client, strictly."""
    compiler = find_compiler()
    for number, sample in enumerate(samples):
        (directory / f"sample{number}.ts").write_text(sample + "\nexport {};\n")
    settings = {
        "extends": str(CLIENT / "tsconfig.json"),
        "compilerOptions": {
            "noEmit": True,
            "emitDeclarationOnly": False,
            "declaration": False,
            "rootDir": "/",
            "noUnusedLocals": False,
            "paths": {
                "@frontdesk/client": [str(LIB / "index.d.ts")],
            },
        },
        "include": ["*.ts"],
    }
    (directory / "tsconfig.json").write_text(json.dumps(settings))
    run(find_node(), compiler, "--project", directory)


def test_every_sample_of_the_docs_has_the_right_types(tmp_path: Path) -> None:
    samples = [sample for page in PAGES for sample in _SAMPLE.findall(page.read_text(encoding="utf-8"))]
    assert len(samples) > 3
    check_types(tmp_path, samples)


def test_every_script_that_the_advisor_prints_has_the_right_types(tmp_path: Path) -> None:
    printed = {each.configuration.client.text for each in configurations().values()}
    scripts = {text for text in printed if "createClient" in text}
    assert len(scripts) > 3
    known = "declare const email: string, password: string, tokenOfTheProvider: string;\n"
    check_types(tmp_path, [known + _SOURCE.sub('from "@frontdesk/client";', text) for text in sorted(scripts)])


def test_it_depends_on_nothing_and_its_tools_are_locked_without_addresses() -> None:
    package = json.loads((CLIENT / "package.json").read_text())
    assert package.keys() & {"dependencies", "peerDependencies", "optionalDependencies"} == set()
    text = (CLIENT / "package-lock.json").read_text()
    tools = json.loads(text)["packages"]
    assert "resolved" not in text
    assert all("integrity" in tool for name, tool in tools.items() if name)


def test_it_keeps_nothing_where_a_script_could_find_it_again_and_writes_into_no_page() -> None:
    code = (LIB / "frontdesk.js").read_text()
    assert (
        re.findall(r"localStorage|sessionStorage|indexedDB|caches|document\.cookie|innerHTML|eval\(|import\(", code)
        == []
    )
    sources = "".join(path.read_text() for path in sorted((CLIENT / "src").glob("*.ts")))
    assert re.findall(r"localStorage|sessionStorage|indexedDB|caches\b|\.cookie\b", sources) == []


def test_it_knows_that_a_session_is_over_by_the_codes_that_the_python_client_knows() -> None:
    listed = re.search(r"const OVER.*?\[(.*?)\]", (CLIENT / "src" / "errors.ts").read_text(), re.DOTALL)
    assert listed is not None
    assert set(re.findall(r'"(\w+)"', listed[1])) == OVER | REFUSED_TOKEN | {"not_signed_in"}


def test_the_docs_say_how_large_it_is() -> None:
    code = (LIB / "frontdesk.js").read_bytes()
    said = re.search(r"(\d+) kB, (\d+) kB gzipped", (ROOT / "docs" / "browser-client.md").read_text())
    assert said is not None
    assert [round(len(code) / 1000), round(len(gzip.compress(code, 9, mtime=0)) / 1000)] == [int(said[1]), int(said[2])]


@pytest.mark.parametrize("path", sorted((CLIENT / "src").glob("*.ts")), ids=lambda path: path.name)
def test_a_source_of_it_is_as_long_and_as_wide_as_others_are(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 600
    assert [line for line in lines if len(line) > 120] == []


def test_the_page_tells_every_option_and_every_member() -> None:
    types, page = (LIB / "types.d.ts").read_text(), PAGES[0].read_text()
    told = set(re.findall(r"`(\w+)", page))
    for name in ("ClientOptions", "Client", "Requests", "ServerOptions", "ServerClient", "Changed", "SignIn"):
        body = types.partition(f"export interface {name} ")[2].partition("\n}")[0]
        members = set(re.findall(r"^    readonly (\w+)", body, re.MULTILINE))
        assert members
        assert members - told - {"email", "password", "remember"} == set(), name
