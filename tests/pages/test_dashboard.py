"""Who you are, your devices, and signing out: here, elsewhere, everywhere else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from frontdesk.core.sessions import CredentialKind
from frontdesk.endpoints.http import Header, Request, Response
from frontdesk.service.sign_in import Grant, Signed, SignInOptions
from tests.pages.browsing import (
    ALICE,
    BOB,
    FORM,
    SAME_ORIGIN,
    House,
    Visitor,
    elements_of,
    header_of,
    play,
    text_of,
)

SESSION = "__Host-Http-session-8000"
ACCESS = "__Host-Http-access-8000"
REFRESH = "__Host-Http-refresh-8000"
CREDENTIALS = ("session", "jwt", "jwe")
MINUTE = timedelta(minutes=1)


async def signed_in(house: House, credential: str = "session", email: str = ALICE) -> Visitor:
    """A visitor who is signed in; the account is created when it is not there."""
    if await house.desk.accounts.by_email(email) is None:
        creator = house.visitor()
        await creator.sign_up(email)
        await creator.post("/signout")
    visitor = house.visitor()
    assert (await visitor.sign_in(email, credential=credential, remember="yes")).status == 303
    return visitor


def end_buttons(page: Response) -> list[str]:
    actions = [element["action"] or "" for element in elements_of(page, "form")]
    return [action for action in actions if action.endswith("/end")]


async def is_recognised(visitor: Visitor) -> bool:
    return (await visitor.get("/dashboard")).status == 200


def test_a_stranger_is_led_to_the_sign_in_page_and_from_there_back() -> None:
    async def scenario(house: House) -> None:
        visitor = house.visitor()
        answer = await visitor.get("/dashboard")
        assert (answer.status, header_of(answer, "location")) == (303, "/signin?next=/dashboard")
        form = await visitor.get("/signin?next=/dashboard")
        assert "/dashboard" in [element["value"] for element in elements_of(form, "input")]

    play(scenario)


def test_a_stranger_that_is_no_browser_is_told_why() -> None:
    async def scenario(house: House) -> None:
        for method, path in (("GET", "/dashboard"), ("POST", "/dashboard/sessions/end-others")):
            answer = await house.pages.answer(
                Request(method=method, path=path, headers=((b"host", b"localhost:8000"), SAME_ORIGIN))
            )
            assert (answer.status, header_of(answer, "content-type")) == (401, "application/problem+json")

    play(scenario)


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_the_dashboard_says_who_you_are_and_by_which_credential(credential: str) -> None:
    async def scenario(house: House) -> None:
        visitor = await signed_in(house, credential)
        house.desk.time.advance(timedelta(minutes=3))
        text = text_of(await visitor.get("/dashboard"))
        assert f"Signed in as {ALICE}" in text
        assert {"session": "Credential Session", "jwt": "Credential JWT", "jwe": "Credential Encrypted JWT"}[
            credential
        ] in text
        assert "Carried In a cookie" in text
        assert "Signed in 3 minutes ago 1 January 2026, 00:00 UTC" in text
        assert "Ends In 29 days 31 January 2026, 00:00 UTC" in text
        assert "Firefox on Linux This device" in text
        assert "198.51.100.7" in text

    play(scenario)


def test_a_bearer_token_opens_the_dashboard_too() -> None:
    async def scenario(house: House) -> None:
        await signed_in(house)
        account = await house.account()
        signed = await house.desk.sign_in(
            Grant(subject=account.id, roles=("teller",)), options=SignInOptions(transport="bearer")
        )
        assert isinstance(signed, Signed)
        page = await house.visitor().get("/dashboard", (b"authorization", f"Bearer {signed.session_token}".encode()))
        assert "Carried As a bearer token" in text_of(page)
        assert "Roles teller" in text_of(page)

    play(scenario)


def test_a_subject_of_the_application_is_shown_by_its_name() -> None:
    async def scenario(house: House) -> None:
        signed = await house.desk.sign_in(Grant(subject="<b>user-17</b>"), options=SignInOptions(transport="cookie"))
        assert isinstance(signed, Signed)
        assert signed.session_token is not None
        visitor = house.visitor()
        visitor.jar[SESSION] = signed.session_token
        page = await visitor.get("/dashboard")
        assert "Signed in as <b>user-17</b>" in text_of(page)
        assert elements_of(page, "b") == []

    play(scenario)


def test_no_page_shows_a_credential() -> None:
    async def scenario(house: House) -> None:
        for credential in CREDENTIALS:
            visitor = await signed_in(house, credential)
            for path in ("/", "/signin", "/dashboard"):
                page = await visitor.get(path)
                assert page.status == 200
                assert [token for token in visitor.jar.values() if token.encode() in page.body] == []

    play(scenario)


def test_a_device_names_itself_and_is_believed_only_as_text() -> None:
    async def scenario(house: House) -> None:
        visitor = await signed_in(house)
        other = house.visitor()
        other.agent = "<script>alert(1)</script>Firefox/1 Linux"
        await other.sign_in()
        page = await visitor.get("/dashboard")
        assert text_of(page).count("Firefox on Linux") == 2
        assert elements_of(page, "script") == []

    play(scenario)


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_a_device_is_ended_from_another_and_knows_it_on_its_next_request(credential: str) -> None:
    async def scenario(house: House) -> None:
        here = await signed_in(house)
        [mine] = await house.sessions()
        there = await signed_in(house, credential)
        [theirs] = [session for session in await house.sessions() if session.id != mine.id]
        page = await here.get("/dashboard")
        assert set(end_buttons(page)) == {f"/dashboard/sessions/{session.id}/end" for session in (mine, theirs)}
        answer = await here.post(f"/dashboard/sessions/{theirs.id}/end")
        assert (answer.status, header_of(answer, "location")) == (303, "/dashboard?done=device-ended")
        assert "That device has been signed out." in text_of(await here.get("/dashboard?done=device-ended"))
        assert not await is_recognised(there)
        assert await is_recognised(here)

    play(scenario)


def test_a_device_that_is_gone_already_is_no_error() -> None:
    async def scenario(house: House) -> None:
        here = await signed_in(house)
        for unknown in ("AAAAAAAAAAAAAAAAAAAAAA", "x" * 5000, "end-others", "{id}", "\udcff"):
            answer = await here.post(f"/dashboard/sessions/{unknown}/end")
            assert header_of(answer, "location") == "/dashboard?done=device-gone"

    play(scenario)


def test_nobody_ends_a_session_of_somebody_else() -> None:
    async def scenario(house: House) -> None:
        alice = await signed_in(house)
        bob = await signed_in(house, email=BOB)
        [of_alice] = await house.sessions()
        answer = await bob.post(f"/dashboard/sessions/{of_alice.id}/end")
        assert header_of(answer, "location") == "/dashboard?done=device-gone"
        assert await is_recognised(alice)

    play(scenario)


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_signing_out_everywhere_else_leaves_this_device(credential: str) -> None:
    async def scenario(house: House) -> None:
        others = [await signed_in(house, kind) for kind in CREDENTIALS]
        here = await signed_in(house, credential)
        answer = await here.post("/dashboard/sessions/end-others")
        assert (answer.status, header_of(answer, "location")) == (303, "/dashboard?done=others-ended")
        assert [await is_recognised(other) for other in others] == [False] * len(CREDENTIALS)
        assert await is_recognised(here)
        page = await here.get("/dashboard?done=others-ended")
        assert len(end_buttons(page)) == 1
        assert "/dashboard/sessions/end-others" not in [element["action"] for element in elements_of(page, "form")]

    play(scenario)


@pytest.mark.parametrize("credential", CREDENTIALS)
@pytest.mark.parametrize("later", [timedelta(0), timedelta(hours=2)])
def test_signing_out_ends_the_session_even_when_the_access_token_has_expired(credential: str, later: timedelta) -> None:
    async def scenario(house: House) -> None:
        visitor = await signed_in(house, credential)
        copy = house.visitor()
        copy.jar = dict(visitor.jar)
        house.desk.time.advance(later)
        answer = await visitor.post("/signout")
        assert (answer.status, header_of(answer, "location")) == (303, "/?done=signed-out")
        assert visitor.jar == {}
        assert await house.sessions() == ()
        assert not await is_recognised(copy)
        assert "You are signed out on this device." in text_of(await visitor.get("/?done=signed-out"))

    play(scenario)


def test_ending_this_very_device_in_the_list_is_signing_out() -> None:
    async def scenario(house: House) -> None:
        visitor = await signed_in(house)
        [mine] = await house.sessions()
        answer = await visitor.post(f"/dashboard/sessions/{mine.id}/end")
        assert header_of(answer, "location") == "/?done=signed-out"
        assert visitor.jar == {}
        assert not await is_recognised(visitor)

    play(scenario)


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_whoever_signs_out_with_a_bearer_token_is_signed_out_too(credential: CredentialKind) -> None:
    async def scenario(house: House) -> None:
        signed = await house.desk.sign_in(
            Grant(subject="user-17"), options=SignInOptions(credential=credential, transport="bearer")
        )
        assert isinstance(signed, Signed)
        token = signed.session_token or (signed.access_token.text if signed.access_token else "")
        bearer = (b"authorization", f"Bearer {token}".encode())
        assert (await house.visitor().post("/signout", None, SAME_ORIGIN, bearer)).status == 303
        assert await house.desk.sessions("user-17") == ()

    play(scenario)


@pytest.mark.parametrize("jar", [{}, {SESSION: "garbage"}, {ACCESS: "a.b.c", REFRESH: "fdr_garbage"}])
def test_signing_out_without_being_signed_in_clears_the_cookies_and_harms_nobody(jar: dict[str, str]) -> None:
    async def scenario(house: House) -> None:
        alice = await signed_in(house)
        visitor = house.visitor()
        visitor.jar = dict(jar)
        answer = await visitor.post("/signout")
        assert answer.status == 303
        assert visitor.jar == {}
        assert await is_recognised(alice)

    play(scenario)


def test_signing_out_while_the_store_fails_is_503_and_keeps_the_cookie() -> None:
    async def scenario(house: House) -> None:
        visitor = await signed_in(house)
        kept = dict(visitor.jar)
        await house.desk.store.close()
        answer = await visitor.post("/signout")
        assert answer.status == 503
        assert visitor.jar == kept
        await house.desk.store.open()
        assert await is_recognised(visitor)

    play(scenario)


def test_the_dashboard_is_503_while_the_store_fails_and_the_front_page_says_what_is_the_matter() -> None:
    async def scenario(house: House) -> None:
        visitor = await signed_in(house)
        await house.desk.store.close()
        assert (await visitor.get("/dashboard")).status == 503
        home = await visitor.get("/")
        assert home.status == 200
        assert "We cannot reach our records at the moment" in text_of(home)
        await house.desk.store.open()

    play(scenario)


def test_a_page_renews_an_expired_access_token_on_the_way_in() -> None:
    async def scenario(house: House) -> None:
        visitor = await signed_in(house, "jwt")
        before = dict(visitor.jar)
        house.desk.time.advance(timedelta(minutes=16))
        assert await is_recognised(visitor)
        assert set(visitor.jar) == {ACCESS, REFRESH}
        assert visitor.jar[ACCESS] != before[ACCESS]
        assert visitor.jar[REFRESH] != before[REFRESH]

    play(scenario)


@pytest.mark.parametrize("path", ["/", "/signin", "/signup", "/dashboard"])
def test_every_page_carries_the_renewed_cookies(path: str) -> None:
    async def scenario(house: House) -> None:
        visitor = await signed_in(house, "jwt")
        before = visitor.jar[ACCESS]
        house.desk.time.advance(timedelta(minutes=16))
        page = await visitor.get(path)
        assert visitor.jar[ACCESS] != before
        assert ALICE in text_of(page)

    play(scenario)


@pytest.mark.parametrize("lost", [True, False])
def test_a_button_works_on_a_page_that_stood_open_longer_than_an_access_token_lives(lost: bool) -> None:
    async def scenario(house: House) -> None:
        other = await signed_in(house)
        visitor = await signed_in(house, "jwt")
        house.desk.time.advance(timedelta(minutes=16))
        if lost:
            del visitor.jar[ACCESS]
        before = visitor.jar[REFRESH]
        answer = await visitor.post("/dashboard/sessions/end-others")
        assert header_of(answer, "location") == "/dashboard?done=others-ended"
        assert visitor.jar[REFRESH] != before
        assert not await is_recognised(other)
        assert await is_recognised(visitor)

    play(scenario)


def test_a_button_on_a_page_whose_session_was_ended_meanwhile_does_nothing() -> None:
    async def scenario(house: House) -> None:
        other = await signed_in(house)
        visitor = await signed_in(house, "jwt")
        [ended] = [session for session in await house.sessions() if session.credential == "jwt"]
        await house.desk.end(ended.id, reason="revoked")
        house.desk.time.advance(timedelta(minutes=16))
        answer = await visitor.post("/dashboard/sessions/end-others")
        assert header_of(answer, "location") == "/signin?next=/dashboard"
        assert await is_recognised(other)

    play(scenario)


def test_the_refresh_cookie_of_a_bearer_client_presses_no_button() -> None:
    async def scenario(house: House) -> None:
        other = await signed_in(house)
        account = await house.account()
        signed = await house.desk.sign_in(
            Grant(subject=account.id),
            options=SignInOptions(credential="jwt", transport="bearer", refresh_in="cookie"),
        )
        assert isinstance(signed, Signed)
        assert signed.refresh_token is not None
        house.desk.time.advance(MINUTE)
        visitor = house.visitor()
        visitor.jar[REFRESH] = signed.refresh_token
        answer = await visitor.post("/dashboard/sessions/end-others")
        assert header_of(answer, "location") == "/signin?next=/dashboard"
        assert set(visitor.jar) == {REFRESH}
        assert visitor.jar[REFRESH] != signed.refresh_token
        assert await is_recognised(other)

    play(scenario)


BUTTONS = ("/signout", "/dashboard/sessions/end-others", "/dashboard/sessions/{id}/end")
FOREIGN: tuple[tuple[Header, ...], ...] = (
    ((b"sec-fetch-site", b"cross-site"),),
    ((b"sec-fetch-site", b"same-site"),),
    ((b"origin", b"https://evil.example"),),
    ((b"origin", b"null"),),
    (FORM,),
)


@pytest.mark.parametrize("button", BUTTONS)
@pytest.mark.parametrize("headers", FOREIGN, ids=lambda headers: str(headers[0][1]))
@pytest.mark.parametrize("credential", CREDENTIALS)
def test_another_origin_presses_no_button(button: str, headers: tuple[Header, ...], credential: str) -> None:
    async def scenario(house: House) -> None:
        other = await signed_in(house)
        visitor = await signed_in(house, credential)
        _, theirs = (await house.sessions())[:2]
        answer = await visitor.post(button.replace("{id}", theirs.id), None, *headers)
        assert answer.status == 403
        assert len(await house.sessions()) == 2
        assert await is_recognised(visitor)
        assert await is_recognised(other)

    play(scenario)


@pytest.mark.parametrize("button", BUTTONS)
def test_a_button_that_is_pressed_by_nobody_leads_to_the_sign_in_page(button: str) -> None:
    async def scenario(house: House) -> None:
        await signed_in(house)
        [standing] = await house.sessions()
        answer = await house.visitor().post(button.replace("{id}", standing.id))
        assert answer.status == 303
        assert await house.sessions() == (standing,)

    play(scenario)


@pytest.mark.parametrize("button", BUTTONS)
@pytest.mark.parametrize(
    ("body", "type_", "status"),
    [(b"{}", b"application/json", 415), (b"a=1&a=2", FORM[1], 422), (b"a" * 65_537, FORM[1], 413)],
)
def test_a_button_takes_a_form_and_nothing_else(button: str, body: bytes, type_: bytes, status: int) -> None:
    async def scenario(house: House) -> None:
        visitor = await signed_in(house)
        answer = await visitor.post_body(button.replace("{id}", "x"), body, (b"content-type", type_))
        assert answer.status == status
        assert await is_recognised(visitor)

    play(scenario)


def test_a_cookie_that_came_twice_signs_nobody_in_and_is_reported() -> None:
    async def scenario(house: House) -> None:
        visitor = await signed_in(house)
        value = visitor.jar[SESSION]
        planted = (b"cookie", f"{SESSION}=evil".encode())
        assert header_of(await visitor.get("/dashboard", planted), "location") == "/signin?next=/dashboard"
        assert "neither was believed" in text_of(await visitor.get("/signin", planted))
        assert house.desk.names().count("duplicate_cookie") == 2
        assert visitor.jar[SESSION] == value
        assert await is_recognised(visitor)

    play(scenario)


@pytest.mark.parametrize("byte", [b"\xa0", b"\x85", b"\x1c", b"\x1f"])
def test_a_planted_look_alike_of_the_cookie_changes_nothing(byte: bytes) -> None:
    async def scenario(house: House) -> None:
        visitor = await signed_in(house)
        bob = await signed_in(house, email=BOB)
        planted = (b"cookie", byte + f"{SESSION}={bob.jar[SESSION]}".encode())
        page = await visitor.get("/dashboard", planted)
        assert f"Signed in as {ALICE}" in text_of(page)

    play(scenario)


def test_a_get_changes_nothing() -> None:
    async def scenario(house: House) -> None:
        visitor = await signed_in(house)
        standing = await house.sessions()
        for path in ("/signout", "/dashboard/sessions/end-others", f"/dashboard/sessions/{standing[0].id}/end"):
            answer = await visitor.get(path)
            assert (answer.status, header_of(answer, "allow")) == (405, "POST")
        for path in ("/", "/signin", "/signup", "/dashboard"):
            await visitor.get(path, SAME_ORIGIN)
        assert await house.sessions() == standing

    play(scenario)
