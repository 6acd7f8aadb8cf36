"""Signing up and in with forms: whoever fails sees the form again, with the address and never with the password."""

from __future__ import annotations

from datetime import timedelta

import pytest

from frontdesk.core.sessions import Epochs
from frontdesk.endpoints.settings import EdgeSettings
from frontdesk.service.settings import DeskSettings
from frontdesk.stores.memory import MemoryStore
from tests.pages.browsing import (
    ALICE,
    BOB,
    FORM,
    House,
    elements_of,
    header_of,
    headers_of,
    play,
    text_of,
)
from tests.service.desks import PASSWORD, TestDesk

SESSION = "__Host-Http-session-8000"
ACCESS = "__Host-Http-access-8000"
REFRESH = "__Host-Http-refresh-8000"
WRONG = "wrong horse battery staple"


def test_who_signs_up_is_signed_in_and_led_to_the_dashboard() -> None:
    async def scenario(house: House) -> None:
        visitor = house.visitor()
        answer = await visitor.sign_up()
        assert (answer.status, header_of(answer, "location")) == (303, "/dashboard")
        assert set(visitor.jar) == {SESSION}
        page = await visitor.get("/dashboard")
        assert page.status == 200
        assert ALICE in text_of(page)
        assert house.desk.names() == ["registered", "signed_in"]

    play(scenario)


def test_a_new_account_costs_one_hash_and_no_verification(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(house: House) -> None:
        def refuse(*args: object, **kwargs: object) -> None:
            raise AssertionError("a verification was begun")

        monkeypatch.setattr(house.desk.accounts, "sign_in", refuse)
        assert (await house.visitor().sign_up()).status == 303

    play(scenario)


@pytest.mark.parametrize(("credential", "kept"), [("session", {SESSION}), ("jwt", {ACCESS, REFRESH}), ("", {SESSION})])
def test_the_credential_that_was_chosen_is_the_one_in_the_cookie(credential: str, kept: set[str]) -> None:
    async def scenario(house: House) -> None:
        await house.visitor().sign_up()
        visitor = house.visitor()
        answer = await visitor.sign_in(credential=credential, remember="yes")
        assert answer.status == 303
        assert set(visitor.jar) == kept
        assert (await visitor.get("/dashboard")).status == 200

    play(scenario)


@pytest.mark.parametrize("remember", [True, False])
def test_a_cookie_outlives_the_browser_only_when_that_was_asked_for(remember: bool) -> None:
    async def scenario(house: House) -> None:
        await house.visitor().sign_up()
        answer = await house.visitor().sign_in(**({"remember": "yes"} if remember else {}))
        cookie = headers_of(answer, "set-cookie")[0]
        assert cookie.startswith(SESSION)
        assert ("Max-Age=2592000" in cookie) is remember

    play(scenario)


def test_over_https_the_cookie_has_the_plain_prefixed_name() -> None:
    async def scenario(house: House) -> None:
        visitor = house.visitor(scheme="https", host="desk.example")
        await visitor.sign_up()
        assert set(visitor.jar) == {"__Host-Http-session"}

    play(scenario)


@pytest.mark.parametrize(
    ("email", "password", "status", "field", "words"),
    [
        pytest.param(ALICE, PASSWORD, 409, "email", "already an account", id="taken"),
        pytest.param("ALICE@EXAMPLE.COM", PASSWORD, 409, "email", "already an account", id="taken in capitals"),
        pytest.param("alice", PASSWORD, 422, "email", "not an e-mail address", id="no address"),
        pytest.param("", PASSWORD, 422, "email", "enter your e-mail address", id="address missing"),
        pytest.param(BOB, "", 422, "password", "choose a password", id="password missing"),
        pytest.param(BOB, "short", 422, "password", "at least 15 characters", id="too short"),
        pytest.param(BOB, "a" * 1025, 422, "password", "too long", id="too long"),
        pytest.param(BOB, "bob@example.com", 422, "password", "too close", id="the address itself"),
    ],
)
def test_a_refused_sign_up_says_why_at_the_field_concerned(
    email: str, password: str, status: int, field: str, words: str
) -> None:
    async def scenario(house: House) -> None:
        await house.visitor().sign_up()
        visitor = house.visitor()
        page = await visitor.sign_up(email, password)
        assert page.status == status
        assert words in text_of(page)
        assert visitor.jar == {}
        flawed = [element["id"] for element in elements_of(page, "input") if element["aria-invalid"] == "true"]
        assert flawed == [field]
        assert len(house.desk.events) == 2

    play(scenario)


@pytest.mark.parametrize(
    ("email", "password", "status", "words"),
    [
        pytest.param(ALICE, WRONG, 401, "address or the password is not right", id="wrong password"),
        pytest.param(BOB, PASSWORD, 401, "address or the password is not right", id="unknown address"),
        pytest.param("nobody", PASSWORD, 401, "address or the password is not right", id="no address at all"),
        pytest.param(ALICE, PASSWORD + " ", 401, "address or the password is not right", id="a trailing space"),
        pytest.param("", PASSWORD, 422, "enter your e-mail address", id="address missing"),
        pytest.param(ALICE, "", 422, "enter your password", id="password missing"),
    ],
)
def test_a_refused_sign_in_shows_the_form_again(email: str, password: str, status: int, words: str) -> None:
    async def scenario(house: House) -> None:
        await house.visitor().sign_up()
        visitor = house.visitor()
        page = await visitor.sign_in(email, password)
        assert page.status == status
        assert words in text_of(page)
        assert visitor.jar == {}

    play(scenario)


def test_an_unknown_address_and_a_wrong_password_get_the_same_page() -> None:
    async def scenario(house: House) -> None:
        await house.visitor().sign_up()
        known = await house.visitor().sign_in(ALICE, WRONG)
        unknown = await house.visitor().sign_in(BOB, WRONG)

        def shown(page: bytes, email: str, nonces: set[str | None]) -> str:
            text = page.decode().replace(email, "ADDRESS")
            for nonce in nonces:
                assert nonce is not None
                text = text.replace(nonce, "NONCE")
            return text

        pages = [
            shown(page.body, email, {element["nonce"] for element in elements_of(page, "style")})
            for page, email in ((known, ALICE), (unknown, BOB))
        ]
        assert pages[0] == pages[1]

    play(scenario)


@pytest.mark.parametrize("page", ["/signup", "/signin"])
@pytest.mark.parametrize("email", [ALICE, '"><script>alert(1)</script>@example.com', "{{ 7 * 7 }}@example.com"])
def test_the_address_is_kept_escaped_and_the_password_never(page: str, email: str) -> None:
    async def scenario(house: House) -> None:
        password = "Secret\"'<b>&; enough of it"
        await house.visitor().sign_up()
        answer = await house.visitor().post(page, {"email": email, "password": password, "next": "//evil.example"})
        fields = {element["name"]: element["value"] for element in elements_of(answer, "input")}
        assert fields["email"] == email
        assert fields["password"] is None
        assert "next" not in fields
        assert b"Secret" not in answer.body
        assert len(elements_of(answer, "script")) == 1

    # An unknown address at /signin, one that is refused at /signup; Alice herself with another password at both.
    play(scenario)


def test_too_many_attempts_say_how_long_to_wait() -> None:
    async def scenario(house: House) -> None:
        await house.visitor().sign_up()
        for _ in range(6):
            page = await house.visitor().sign_in(ALICE, WRONG)
        assert page.status == 429
        wait = int(header_of(page, "retry-after") or 0)
        assert wait >= 1
        assert f"try again in {wait} second" in text_of(page)
        house.desk.time.advance(timedelta(seconds=wait))
        assert (await house.visitor().sign_in()).status == 303

    play(scenario)


@pytest.mark.parametrize("page", ["/signup", "/signin"])
def test_a_failing_store_is_503_and_signs_nobody_in(page: str) -> None:
    async def scenario(house: House) -> None:
        await house.desk.store.close()
        visitor = house.visitor()
        answer = await visitor.post(page, {"email": ALICE, "password": PASSWORD})
        assert answer.status == 503
        assert header_of(answer, "retry-after") == "1"
        assert "Please try again shortly" in text_of(answer)
        assert ALICE in [element["value"] for element in elements_of(answer, "input")]
        assert visitor.jar == {}
        await house.desk.store.open()

    play(scenario)


class NoSessions(MemoryStore):
    """Keeps accounts, but has lost the connection when a session is to be created."""

    async def epochs(self, realm: str, subject: str) -> Epochs:
        await self.close()
        return await super().epochs(realm, subject)


def test_who_was_registered_but_not_signed_in_is_told_so() -> None:
    async def scenario(house: House) -> None:
        page = await house.visitor().sign_up()
        await house.desk.store.open()
        assert page.status == 503
        assert "Your account has been created" in text_of(page)
        assert [element["action"] for element in elements_of(page, "form")] == ["/signin"]
        assert (await house.account()).email == ALICE

    play(scenario, House(desk=TestDesk(NoSessions())))


@pytest.mark.parametrize(
    "next_",
    [
        "//evil.example", "/\\evil.example", "https://evil.example", "https:evil.example", "/%09/evil.example",
        "///evil.example", "data:text/html,x", "/@evil.example", "javascript:alert(1)", "", "relative", "/\t/x",
    ],
)  # fmt: skip
@pytest.mark.parametrize("page", ["/signup", "/signin"])
def test_a_next_that_leads_elsewhere_is_not_followed(page: str, next_: str) -> None:
    async def scenario(house: House) -> None:
        if page == "/signin":
            await house.visitor().sign_up()
        answer = await house.visitor().post(page, {"email": ALICE, "password": PASSWORD, "next": next_})
        assert (answer.status, header_of(answer, "location")) == (303, "/dashboard")

    play(scenario)


def test_a_next_of_this_origin_survives_the_form_a_mistake_and_the_change_of_page() -> None:
    async def scenario(house: House) -> None:
        await house.visitor().sign_up()
        visitor = house.visitor()
        form = await visitor.get("/signin?next=/reports%3Fyear%3D2026")
        wanted = next(element["value"] for element in elements_of(form, "input") if element["name"] == "next")
        assert wanted == "/reports?year=2026"
        links = [element["href"] for element in elements_of(form, "a")]
        assert "/signup?next=/reports%3Fyear%3D2026" in links
        again = await visitor.sign_in(ALICE, WRONG, next=wanted)
        assert wanted in [element["value"] for element in elements_of(again, "input")]
        answer = await visitor.sign_in(next=wanted)
        assert header_of(answer, "location") == wanted

    play(scenario)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(((b"sec-fetch-site", b"cross-site"),), id="another site"),
        pytest.param(((b"sec-fetch-site", b"same-site"),), id="a sub-domain"),
        pytest.param(((b"origin", b"https://evil.example"),), id="another origin"),
        pytest.param(((b"origin", b"null"),), id="an opaque origin"),
        pytest.param(((b"x-nothing", b""),), id="neither header"),
        pytest.param(((b"sec-fetch-site", b"same-origin"), (b"sec-fetch-site", b"same-origin")), id="twice"),
    ],
)
@pytest.mark.parametrize("page", ["/signup", "/signin"])
def test_a_form_of_another_origin_signs_nobody_in(page: str, headers: tuple[tuple[bytes, bytes], ...]) -> None:
    async def scenario(house: House) -> None:
        await house.visitor().sign_up(BOB)
        visitor = house.visitor()
        answer = await visitor.post(page, {"email": BOB, "password": PASSWORD}, *headers)
        assert answer.status == 403
        assert visitor.jar == {}
        assert "came from another website" in text_of(answer)
        assert house.desk.names()[-1] == "cross_origin_refused"

    play(scenario)


def test_the_session_whose_cookie_came_along_ends() -> None:
    async def scenario(house: House) -> None:
        visitor = house.visitor()
        await visitor.sign_up()
        stolen = dict(visitor.jar)
        await visitor.sign_in(credential="jwt")
        assert len(await house.sessions()) == 1
        assert set(visitor.jar) == {ACCESS, REFRESH}
        thief = house.visitor()
        thief.jar = stolen
        assert (await thief.get("/dashboard")).status == 303

    play(scenario)


def test_a_credential_that_is_not_offered_is_refused() -> None:
    async def scenario(house: House) -> None:
        form = await house.visitor().get("/signin")
        assert elements_of(form, "details") == []
        await house.visitor().sign_up()
        for unknown in ("jwt", "magic"):
            answer = await house.visitor().sign_in(credential=unknown)
            assert answer.status == 422
            assert "not offered here" in text_of(answer)

    play(scenario, House(desk=TestDesk(MemoryStore(), DeskSettings(credentials=("session",)))))


@pytest.mark.parametrize("page", ["/signup", "/signin"])
@pytest.mark.parametrize(
    ("body", "type_", "status"),
    [
        pytest.param(b"email=a&email=b&password=c", FORM[1], 422, id="a field twice"),
        pytest.param(b"x=" + b"a" * 65_536, FORM[1], 413, id="too large"),
        pytest.param(b"&".join(b"f%d=1" % number for number in range(101)), FORM[1], 400, id="too many fields"),
        pytest.param(b"email=%ff&password=c", FORM[1], 400, id="not UTF-8"),
        pytest.param("email=ä&password=c".encode(), FORM[1], 400, id="not ASCII"),
        pytest.param(b"email", FORM[1], 400, id="no field"),
        pytest.param(b'{"email":"a","password":"b"}', b"application/json", 415, id="JSON"),
        pytest.param(b"email=a&password=b", b"text/plain", 415, id="plain text"),
        pytest.param(b"email=a&password=b", b"multipart/form-data; boundary=x", 415, id="multipart"),
    ],
)
def test_a_body_that_is_no_form_is_refused(page: str, body: bytes, type_: bytes, status: int) -> None:
    async def scenario(house: House) -> None:
        answer = await house.visitor().post_body(page, body, (b"content-type", type_))
        assert answer.status == status
        assert house.desk.events == []

    play(scenario)


def test_a_hundred_fields_are_read() -> None:
    async def scenario(house: House) -> None:
        fields = {"email": ALICE, "password": PASSWORD, **{f"f{number}": "" for number in range(98)}}
        assert (await house.visitor().post("/signup", fields)).status == 303

    play(scenario)


@pytest.mark.parametrize(
    ("wait", "words"),
    [
        (timedelta(days=7), "You have not been here for a while"),
        (timedelta(days=30), "has reached its time limit"),
    ],
)
def test_the_sign_in_page_says_why_the_last_sign_in_no_longer_counts(wait: timedelta, words: str) -> None:
    async def scenario(house: House) -> None:
        visitor = house.visitor()
        await visitor.sign_up()
        house.desk.time.advance(wait)
        assert words in text_of(await visitor.get("/signin"))

    play(scenario)


def test_who_is_signed_in_already_is_told_so() -> None:
    async def scenario(house: House) -> None:
        visitor = house.visitor()
        await visitor.sign_up()
        assert f"You are signed in as {ALICE}." in text_of(await visitor.get("/signin"))

    play(scenario)


def test_without_accounts_there_is_no_page_to_sign_up_or_in() -> None:
    async def scenario(house: House) -> None:
        visitor = house.visitor()
        assert [house.pages.owns(path) for path in ("/", "/signup", "/signin", "/dashboard")] == [
            True, False, False, True,
        ]  # fmt: skip
        home = await visitor.get("/")
        assert home.status == 200
        assert [element["href"] for element in elements_of(home, "a")] == ["#main", "/"]
        assert (await visitor.get("/dashboard")).status == 401

    play(scenario, House(EdgeSettings(accounts=False)))
