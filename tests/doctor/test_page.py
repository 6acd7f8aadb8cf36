"""docs/doctor.md and docs/deployment.md say what happens."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.test_transcripts import FILES
from tests.cli.transcript import play
from tests.doctor.deployments import Deployment, documented_settings, run
from tests.doctor.test_catalogue import PAGE


@pytest.mark.usefixtures("one_processor")
def test_the_transcript_is_what_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    samples = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    assert len(samples) == 1
    play(samples[0] + FILES, tmp_path)


def test_the_document_has_the_shape_that_the_page_prints(tmp_path: Path) -> None:
    (printed,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    shape = json.loads(printed)
    deployment = Deployment(tmp_path)
    deployment.set(open_metrics="true")
    document = run("--config", str(deployment.config), status=1)
    assert document.keys() == shape.keys()
    assert document["counts"].keys() == shape["counts"].keys()
    assert document["measured"].keys() == shape["measured"].keys()
    for member in ("findings", "unseen"):
        assert document[member][0].keys() == shape[member][0].keys()


def test_the_settings_of_the_recommended_deployment_say_what_matters() -> None:
    assert re.findall(r"^(\w+) = ", documented_settings(), re.MULTILINE) == [
        "base_url",
        "store",
        "secret",
        "trusted_proxies",
    ]
