"""Every finding is documented, planted by a test, links to a place that exists, and is worth reading."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from frontdesk.core.condition import StoreCondition
from frontdesk.core.passwords import PROFILES
from frontdesk.core.revocation import LARGEST_ACCESS_TOKEN
from frontdesk.core.sessions import LARGEST_ABSOLUTE
from frontdesk.doctor.kinds import LONGEST, SEVERITIES, Kind
from frontdesk.doctor.observed import Configured, FileSeen, Machine, Observations, SiteSeen, StoreSeen, Unseen
from frontdesk.doctor.report import CATALOGUE, examine
from frontdesk.doctor.settings import ACCESS_TOKEN_TOO_LONG, HASHING_SMALL, LIMITS_OUT_OF_ORDER, POLL_INTERVAL
from frontdesk.doctor.storage import KEYS_CACHED
from frontdesk.server import reading
from frontdesk.server.settings import ServerSettings
from frontdesk.verifier.follow import LONGEST_WAIT
from frontdesk.verifier.remote_keys import FRESH_SECONDS
from scripts.site.links import anchors
from tests.doctor import test_machine, test_settings_faults, test_site_faults, test_store_faults
from tests.requirements import ROOT

PAGE = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
GIBIBYTE = 1024**3

MACHINE = Machine(cores=2, memory_bytes=4 * GIBIBYTE, hashing_at_once=1, hash_bytes=64 * 1024 * 1024)
WAL = {"journal_mode": "wal"}
SQLITE = StoreCondition(
    engine="sqlite",
    name="desk.db",
    schema=1,
    newest=1,
    facts={"version": "3.51.3", **WAL},
)

WITH_NUMBERS: Mapping[str, tuple[Observations, Observations]] = {
    "sqlite_unsound": (
        Observations(store=StoreSeen(condition=SQLITE)),
        Observations(
            store=StoreSeen(condition=msgspec.structs.replace(SQLITE, facts={**SQLITE.facts, "version": "3.51.2"}))
        ),
    ),
    "hashing_small": (
        Observations(configured=Configured(), machine=MACHINE),
        Observations(configured=Configured(hashing="small"), machine=MACHINE),
    ),
    "hashing_memory": (
        Observations(configured=Configured(workers=2), machine=MACHINE),
        Observations(configured=Configured(workers=2), machine=replace(MACHINE, memory_bytes=GIBIBYTE // 8)),
    ),
    "hashing_slow": (
        Observations(configured=Configured(), machine=replace(MACHINE, hash_seconds=2.0, hash_work=2.0)),
        Observations(configured=Configured(), machine=replace(MACHINE, hash_seconds=2.1, hash_work=2.1)),
    ),
    "workers_many": (
        Observations(configured=Configured(workers=2), machine=MACHINE),
        Observations(configured=Configured(workers=3), machine=MACHINE),
    ),
}
"""Code → what is sound, and the nearest that is not."""

PLANTED = test_settings_faults.PLANTED | test_store_faults.PLANTED | test_site_faults.PLANTED | test_machine.PLANTED


@pytest.mark.parametrize("code", WITH_NUMBERS)
def test_a_finding_that_rests_on_a_number_begins_where_it_should(code: str) -> None:
    sound, unsound = WITH_NUMBERS[code]
    assert [finding.code for finding in examine(sound).findings] == []
    assert [finding.code for finding in examine(unsound).findings] == [code]


def test_every_finding_is_planted_by_a_test() -> None:
    assert CATALOGUE.keys() - PLANTED == set()
    assert PLANTED - CATALOGUE.keys() == set()


def test_the_page_has_a_row_for_every_finding_as_the_tables_say_it() -> None:
    assert re.findall(r"^\| <a id=.*$", PAGE, re.MULTILINE) == [
        row_of(kind) for severity in SEVERITIES for kind in CATALOGUE.values() if kind.severity == severity
    ]


def row_of(kind: Kind) -> str:
    """A finding as the page shows it."""
    change = re.sub(r"\{(\w+)\}", lambda found: found[1].upper(), kind.change.replace("{quoted}", "{path}"))
    shown = " ".join(f"`{line}`" for line in change.replace("|", "\\|").splitlines())
    return f'| <a id="{kind.code}"></a>`{kind.code}` | {kind.lets} | {shown} |'


@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=lambda kind: kind.code)
def test_a_finding_is_a_sentence_a_consequence_and_a_line_to_change(kind: Kind) -> None:
    assert re.fullmatch("[a-z][a-z_]+", kind.code)
    assert kind.lets.endswith(".")
    assert "{" not in kind.lets
    assert not kind.seen.endswith(".")
    assert kind.change
    page, _, anchor = kind.page.partition("#")
    assert anchor in anchors((ROOT / "docs" / page).read_text(encoding="utf-8"))


def test_what_is_not_configured_is_what_the_server_does_by_default() -> None:
    defaults = {field.name: field.default for field in fields(ServerSettings)}
    theirs = {field.name: field.default for field in fields(Configured) if field.name in defaults}
    assert len(theirs) > 20
    assert {name: value for name, value in theirs.items() if value != defaults[name]} == {}


def test_the_bounds_that_findings_speak_of_are_those_of_the_product() -> None:
    assert POLL_INTERVAL == LONGEST_WAIT
    assert timedelta(seconds=FRESH_SECONDS) == KEYS_CACHED
    assert "60 minutes" in ACCESS_TOKEN_TOO_LONG.seen
    assert timedelta(minutes=60) == LARGEST_ACCESS_TOKEN
    assert "400 days" in LIMITS_OUT_OF_ORDER.lets
    assert timedelta(days=400) == LARGEST_ABSOLUTE
    assert "19 MiB, 2 passes" in HASHING_SMALL.seen
    assert (PROFILES["small"].memory_kib, PROFILES["small"].passes) == (19 * 1024, 2)


@pytest.mark.parametrize("written", ["500ms", "90s", "61m", "5m", "12h", "7d", "0"])
def test_a_duration_is_shown_as_settings_write_it(written: str) -> None:
    kind = Kind("a_code", "note", "it is {length}", "Nothing.", "length = 1")
    assert kind.found(length=reading.duration(written)).seen == f"it is {written}"


def test_the_worst_comes_first() -> None:
    seen = Observations(
        configured=Configured(cookie_prefix="__Host-", insecure_cookies=True, key_rotation=timedelta(0))
    )
    assert [finding.severity for finding in examine(seen).findings] == ["error", "warning", "note"]


def test_what_was_not_looked_at_is_no_success() -> None:
    report = examine(Observations(unseen=(Unseen("the store", "it is away"),)))
    assert [report.status(severity) for severity in SEVERITIES] == [2, 2, 2]


def test_what_others_chose_is_not_shown_at_any_length() -> None:
    seen = Observations(configured=Configured(cookie_suffix="8" * 10_000))
    (finding,) = examine(seen).findings
    assert len(finding.seen) < 2 * LONGEST


def test_a_sticky_directory_is_no_finding() -> None:
    file = FileSeen(
        role="database",
        path="/tmp/desk.db",
        directory="/tmp",
        mode=0o600,
        directory_mode=0o1777,
        age=timedelta(0),
    )
    assert examine(Observations(files=(file,))).findings == ()


def test_a_deployment_on_this_machine_need_not_be_what_a_public_one_must() -> None:
    site = SiteSeen(url="http://localhost:8000", api={"x-content-type-options": "nosniff"}, serves_any_host=True)
    seen = Observations(now=datetime.now(UTC), configured=Configured(dev=True, open_metrics=True), site=site)
    assert examine(seen).findings == ()
