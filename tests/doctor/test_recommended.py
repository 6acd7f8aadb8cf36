"""The doctor has nothing to say about the recommended deployment, and changes nothing in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doctor.deployments import Authority, Deployment, Site, codes, run, running, text_of


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("recommended")
    # The tests' server hashes with the small profile, which the command line says and the settings do not.
    with running(directory, Authority(directory)) as begun:
        yield begun


def test_nothing_is_found_in_a_running_deployment(site: Site) -> None:
    document = site.document(status=0)
    assert document.pop("measured")["hash_seconds"] is not None
    assert document == {
        "findings": [],
        "unseen": [],
        "counts": {"error": 0, "warning": 0, "note": 0},
    }


def test_nothing_is_found_in_its_settings_files_and_store_alone(site: Site) -> None:
    assert site.deployment.doctor("--fail-on", "note", status=0) == []


def test_people_are_told_that_nothing_was_found(site: Site) -> None:
    with site.reached() as ways:
        said, status = text_of("--config", str(site.deployment.config), *ways)
    assert said.splitlines()[1:] == ["nothing was found"]
    assert said.startswith("a password takes ")
    assert status == 0


def test_nothing_is_found_by_somebody_who_has_the_address_alone(site: Site) -> None:
    with site.reached() as ways:
        assert codes(run("--url-only", *ways, status=0)) == []


def test_looking_leaves_every_file_as_it_was(site: Site) -> None:
    before = _picture(site.deployment.var) | _picture(site.deployment.etc)
    site.deployment.doctor(status=0)
    assert _picture(site.deployment.var) | _picture(site.deployment.etc) == before


def test_looking_at_a_store_that_nobody_has_open_creates_no_file(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.make_store()
    before = _picture(deployment.var)
    assert list(before) == [str(deployment.database)]
    deployment.doctor(status=0)
    assert _picture(deployment.var) == before


def test_a_store_that_is_not_there_is_said_and_not_made(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    assert deployment.doctor(status=2) == ["unseen the store"]
    assert list(deployment.var.iterdir()) == []


def _picture(directory: Path) -> dict[str, tuple[bytes, int, int]]:
    """Every file with its bytes, its mode and when it was written. The index of the log belongs to the server."""
    files = [Path(place) / name for place, _, names in os.walk(directory) for name in names]
    return {
        str(file): (file.read_bytes(), file.stat().st_mode, file.stat().st_mtime_ns)
        for file in files
        if not file.name.endswith("-shm")
    }
