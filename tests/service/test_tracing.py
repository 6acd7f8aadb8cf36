"""Spans: which operations have one, what it tells, what it never tells, and that nothing needs the package."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from frontdesk.errors import StoreError
from frontdesk.service import tracing
from frontdesk.service.authenticate import Authenticated
from frontdesk.service.sign_in import Grant, Signed, SignInOptions
from frontdesk.stores.memory import MemoryStore
from tests.http.sites import FailingStore
from tests.requirements import ROOT
from tests.service.desks import PASSWORD, TestDesk, run
from tests.service.test_counts import Seconds, decide, remote_desk, signed_in

EMAIL = "alice@example.com"


class Recording:
    """What the spans of one test told."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def told(self) -> list[tuple[str, dict[str, Any]]]:
        """Name and attributes of the spans since the last call, without our prefix."""
        told: list[tuple[str, dict[str, Any]]] = [
            (
                each.name.removeprefix("frontdesk."),
                {name.removeprefix("frontdesk."): value for name, value in (each.attributes or {}).items()},
            )
            for each in self.spans
        ]
        self.exporter.clear()
        return told


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> Recording:
    recording = Recording()
    monkeypatch.setattr(tracing, "_tracer", recording.provider.get_tracer("frontdesk"))
    return recording


def test_signing_in_tells_how_and_never_who(recording: Recording) -> None:
    async def scenario(desk: TestDesk) -> None:
        await desk.accounts.register(EMAIL, PASSWORD)
        options = SignInOptions(credential="jwt", transport="bearer")
        signed = await desk.accounts.sign_in(EMAIL, PASSWORD, options=options)
        assert isinstance(signed, Signed)
        how = {"credential": "jwt", "transport": "bearer"}
        assert recording.told() == [("sign_in", {"outcome": "granted", **how, "session_id": signed.session.id})]
        await desk.accounts.sign_in(EMAIL, "something else")
        assert recording.told() == [("sign_in", {"outcome": "refused", "code": "invalid_credentials"})]
        own = await desk.sign_in(Grant(subject="bob"), options=options)
        assert isinstance(own, Signed)
        assert recording.told() == [("sign_in", {"outcome": "granted", **how, "session_id": own.session.id})]

    run(TestDesk(MemoryStore()), scenario)


def test_refreshing_tells_the_outcome(recording: Recording) -> None:
    async def scenario(desk: TestDesk) -> None:
        signed = await desk.sign_in(Grant(subject="alice"), options=SignInOptions(credential="jwt", transport="cookie"))
        assert isinstance(signed, Signed)
        assert signed.refresh_token is not None
        recording.told()
        token = signed.refresh_token.encode()
        await desk.refresh(token, "cookie")
        how = {"credential": "jwt", "transport": "cookie", "session_id": signed.session.id}
        assert recording.told() == [("refresh", {"outcome": "renewed", **how})]
        await desk.refresh(token, "body")
        assert recording.told() == [("refresh", {"outcome": "refused", "code": "transport_mismatch"})]

    run(TestDesk(MemoryStore()), scenario)


def test_what_is_ended_is_told_by_kind(recording: Recording) -> None:
    async def scenario(desk: TestDesk) -> None:
        await desk.accounts.register(EMAIL, PASSWORD)
        signed = [await desk.sign_in(Grant(subject=name)) for name in ("a", "b", "b", "c")]
        first = signed[0]
        assert isinstance(first, Signed)
        recording.told()
        await desk.end(first.session.id, reason="signed_out")
        await desk.end("A" * 22, reason="signed_out")
        await desk.end_all("b")
        await desk.end_everyone()
        await desk.give_up_key(desk.keys.signing.kid)
        await desk.accounts.remove(EMAIL)
        await desk.accounts.remove(EMAIL)
        assert recording.told() == [
            ("revoke", {"kind": "session", "outcome": "done"}),
            ("revoke", {"kind": "session", "outcome": "none"}),
            ("revoke", {"kind": "subject", "outcome": "done", "sessions": 2}),
            ("revoke", {"kind": "all", "outcome": "done", "sessions": 1}),
            ("revoke", {"kind": "key", "outcome": "done"}),
            ("revoke", {"kind": "subject", "outcome": "done"}),
            ("revoke", {"kind": "subject", "outcome": "none"}),
        ]

    run(TestDesk(MemoryStore()), scenario)


def test_a_decision_from_what_is_held_has_no_span_and_a_question_has_one(recording: Recording) -> None:
    async def scenario() -> None:
        seconds = Seconds()
        desk = remote_desk(MemoryStore(), seconds)
        await desk.open()
        session, jwt = await signed_in(desk, "session"), await signed_in(desk, "jwt")
        recording.told()
        seconds.now += 0.5
        for token in (session, session, session, jwt, jwt):
            assert isinstance(await decide(desk, token), Authenticated)
        asked = {"about": "session", "freshness": "bounded"}
        assert recording.told() == [("ask_store", {**asked, "lag": 0.5})]
        seconds.now += 60
        await decide(desk, jwt)
        assert recording.told() == [
            ("ask_store", {**asked, "about": "keys", "lag": 60.5}),
            ("ask_store", {**asked, "lag": 60.5}),
        ]
        await desk.close()

    asyncio.run(scenario())


def test_a_question_belongs_to_the_request_that_asked_it(recording: Recording) -> None:
    async def scenario() -> None:
        desk = remote_desk(MemoryStore(), Seconds())
        await desk.open()
        token = await signed_in(desk, "session")
        recording.exporter.clear()
        with recording.provider.get_tracer("application").start_as_current_span("request"):
            await decide(desk, token)
        question, request = recording.spans
        assert question.parent is not None
        assert request.context is not None
        assert question.parent.span_id == request.context.span_id
        await desk.close()

    asyncio.run(scenario())


def test_a_log_that_begins_anew_has_a_span(recording: Recording) -> None:
    async def scenario() -> None:
        store = MemoryStore()
        desk = remote_desk(store, Seconds())
        await desk.open()
        await desk.end_all("alice")
        recording.told()
        store._log.clear()
        await store.renew_history()
        assert desk.follower is not None
        await desk.follower.catch_up()
        assert recording.told() == [("log_restarted", {"entries": 1, "appended": 1})]
        await desk.close()

    asyncio.run(scenario())


def test_a_fault_is_told_by_its_code_and_its_text_is_not(recording: Recording) -> None:
    async def scenario() -> None:
        store = FailingStore(MemoryStore())
        desk = remote_desk(store, Seconds())
        await desk.open()
        token = await signed_in(desk, "session")
        recording.told()
        store.failing, store.fault = True, StoreError("the text of the fault", detail="and its detail")
        with pytest.raises(StoreError):
            await decide(desk, token)
        store.fault = RuntimeError("the text of the fault")
        with pytest.raises(RuntimeError):
            await desk.end_all("alice")
        for each, code in zip(recording.spans, ("store_unavailable", "RuntimeError"), strict=True):
            assert each.status.status_code is StatusCode.ERROR
            assert (each.attributes or {})["error.type"] == code
            assert (each.events, each.status.description) == ((), None)
        store.failing = False
        await desk.close()

    asyncio.run(scenario())


def test_no_span_holds_a_credential_a_subject_or_an_address(recording: Recording) -> None:
    async def scenario(desk: TestDesk) -> None:
        secrets = [EMAIL, PASSWORD, "192.0.2.7"]
        await desk.accounts.register(EMAIL, PASSWORD)
        for credential in ("session", "jwt", "jwe"):
            options = SignInOptions(credential=credential, transport="bearer")
            signed = await desk.accounts.sign_in(EMAIL, PASSWORD, options=options)
            assert isinstance(signed, Signed)
            secrets += [signed.session.subject, signed.session_token or "", signed.refresh_token or ""]
            secrets += [signed.access_token.text] if signed.access_token else []
            if signed.refresh_token:
                await desk.refresh(signed.refresh_token.encode(), "body", address="192.0.2.7")
            await desk.end(signed.session.id, reason="revoked", address="192.0.2.7")
        await desk.end_all(secrets[3])
        text = "".join(each.to_json() for each in recording.spans)
        assert "frontdesk.session_id" in text
        assert [secret for secret in secrets if secret and secret in text] == []

    run(TestDesk(MemoryStore()), scenario)


THROUGH_THE_GLOBAL_PROVIDER = """
import asyncio
from frontdesk.service.desk import Desk  # before the application has chosen a provider
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from frontdesk.service.sign_in import Grant
from frontdesk.wiring import build_desk

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)

async def main():
    desk = build_desk("memory:")
    await desk.open()
    await desk.sign_in(Grant(subject="alice"))
    await desk.close()

asyncio.run(main())
[span] = exporter.get_finished_spans()
print(span.name, span.instrumentation_scope.name)
"""

WITHOUT_THE_PACKAGE = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())

import asyncio
from frontdesk.service import tracing
from frontdesk.service.desk import Desk
from frontdesk.service.sign_in import Grant, SignInOptions
from frontdesk.wiring import build_desk

async def main():
    desk = build_desk("memory:")
    await desk.open()
    signed = await desk.sign_in(Grant(subject="alice"), options=SignInOptions(credential="jwt", transport="bearer"))
    refreshed = await desk.refresh(signed.refresh_token.encode(), "body")
    ended = await desk.end_all("alice")
    with tracing.span("x", y=1) as told:
        told.tell(z=2)
    await desk.close()
    print(refreshed.outcome.value, ended, hasattr(Desk.sign_in, "__wrapped__"))

asyncio.run(main())
assert not any(name.startswith("opentelemetry") for name in sys.modules)
"""


@pytest.mark.parametrize(
    ("program", "printed"),
    [
        pytest.param(THROUGH_THE_GLOBAL_PROVIDER, "frontdesk.sign_in frontdesk\n", id="the global provider"),
        pytest.param(WITHOUT_THE_PACKAGE, "renewed 1 False\n", id="no package"),
    ],
)
def test_spans_go_to_the_provider_of_the_application_and_without_the_package_nothing_is_missing(
    program: str, printed: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == (printed, "")
