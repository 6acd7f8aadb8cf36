"""What holds for every page: its headers, its markup, its links, what it loads (nothing)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from frontdesk.core.origin import OriginPolicy
from frontdesk.endpoints.gate import Gate
from frontdesk.endpoints.http import Request, Response
from frontdesk.endpoints.settings import EdgeSettings
from frontdesk.errors import CODES, ConfigurationError, Refusal
from frontdesk.pages import Pages, accepts_html
from tests.pages.browsing import (
    ALICE,
    HTML,
    House,
    Visitor,
    elements_of,
    header_of,
    headers_of,
    play,
    text_of,
)
from tests.service.desks import TestDesk, make_store

FIXED = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "publickey-credentials-get=(self), publickey-credentials-create=(self), camera=(), "
    "microphone=(), geolocation=()",
    "cache-control": "no-store",
}
POLICY = (
    "default-src 'none'; script-src 'nonce-R'; style-src 'nonce-R'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
NONCE = re.compile(r"'nonce-([A-Za-z0-9_-]{22})'")
ADVICE = "/advise?sso=none&services=many&client=pages&machines=several&logout=at-once&store-down=go-on"

Answers = dict[str, Response]


async def answers_of(visitor: Visitor) -> Answers:
    """One answer of each kind: every page as a stranger and signed in, mistakes, redirects, problems."""
    root = {}
    for path in ("/", "/signup", "/signin", "/dashboard", "/dashboard/nowhere", "/signout", "/advise", ADVICE):
        root[f"stranger {path}"] = await visitor.get(path)
    root["mistake /signup"] = await visitor.sign_up(ALICE, "short")
    root["mistake /signin"] = await visitor.sign_in(ALICE, "wrong")
    root["cross origin"] = await visitor.post("/signin", {"email": ALICE}, (b"sec-fetch-site", b"cross-site"))
    root["too many cookies"] = await visitor.get("/", (b"cookie", b"x=" + b"a" * 9000))
    root["signed up"] = await visitor.sign_up()
    for path in ("/", "/signup", "/signin", "/dashboard", ADVICE):
        root[f"signed in {path}"] = await visitor.get(path)
    root["others ended"] = await visitor.post("/dashboard/sessions/end-others")
    root["signed out"] = await visitor.post("/signout")
    await visitor.pages.gate.desk.store.close()
    root["store failing"] = await visitor.sign_in()
    await visitor.pages.gate.desk.store.open()
    return root


def with_answers(
    check: Callable[[Answers], None], *, scheme: str = "http", host: str = "localhost:8000", root: str = ""
) -> None:
    async def scenario(house: House) -> None:
        check(await answers_of(house.visitor(scheme=scheme, host=host, root=root)))

    play(scenario)


def pages_of(answers: Answers) -> dict[str, Response]:
    return {name: answer for name, answer in answers.items() if answer.status != 303}


def test_every_answer_has_exactly_the_headers_of_a_page() -> None:
    def check(answers: Answers) -> None:
        for name, answer in answers.items():
            assert {header: header_of(answer, header) for header in FIXED} == FIXED, name
            policy = header_of(answer, "content-security-policy") or ""
            assert NONCE.sub("'nonce-R'", policy) == POLICY, name

    with_answers(check)


@pytest.mark.parametrize(
    ("scheme", "host", "value"),
    [("http", "localhost:8000", None), ("https", "desk.example", "max-age=63072000; includeSubDomains")],
)
def test_strict_transport_security_is_sent_over_https_only(scheme: str, host: str, value: str | None) -> None:
    def check(answers: Answers) -> None:
        assert {header_of(answer, "strict-transport-security") for answer in answers.values()} == {value}

    with_answers(check, scheme=scheme, host=host)


def test_the_nonce_is_fresh_for_every_answer_and_stands_on_every_style_and_script() -> None:
    def check(answers: Answers) -> None:
        seen: set[str] = set()
        for name, answer in answers.items():
            nonces = set(NONCE.findall(header_of(answer, "content-security-policy") or ""))
            assert len(nonces) == 1, name
            assert not nonces & seen, name
            seen |= nonces
            allowed = [element["nonce"] for element in elements_of(answer) if element.tag in {"style", "script"}]
            assert set(allowed) <= nonces, name
            assert bool(allowed) == (answer.status != 303), name

    with_answers(check)


def test_every_answer_that_sets_a_cookie_is_kept_by_no_cache() -> None:
    def check(answers: Answers) -> None:
        setting = [answer for answer in answers.values() if headers_of(answer, "set-cookie")]
        assert len(setting) == 2
        assert [headers_of(answer, "cache-control") for answer in setting] == [["no-store"], ["no-store"]]

    with_answers(check)


def test_a_page_loads_nothing_from_anywhere() -> None:
    def check(answers: Answers) -> None:
        for name, page in pages_of(answers).items():
            text = page.body.decode()
            assert "@import" not in text, name
            assert set(re.findall(r"url\(([^)]*)\)", text)) <= {"#enamel", "#brass"}, name
            for element in elements_of(page):
                assert element["src"] is None, name
                if element.tag == "link":
                    assert (element["href"] or "").startswith("data:image/svg+xml,"), name
                elif (address := element["href"] or element["action"]) is not None:
                    assert address.startswith(("/", "#")), (name, address)
                    assert not address.startswith("//"), name

    with_answers(check)


def test_no_element_has_a_handler_a_style_or_anything_against_pasting() -> None:
    def check(answers: Answers) -> None:
        for name, page in pages_of(answers).items():
            for element in elements_of(page):
                wrong = [key for key in element.attributes if key.startswith("on") or key == "style"]
                assert wrong == [], (name, element)

    with_answers(check)


def test_every_page_has_a_language_a_title_one_main_heading_and_ids_that_occur_once() -> None:
    def check(answers: Answers) -> None:
        for name, page in pages_of(answers).items():
            assert elements_of(page, "html")[0]["lang"] == "en", name
            assert text_of(page).partition(" · ")[0], name
            assert [len(elements_of(page, tag)) for tag in ("title", "main", "h1")] == [1, 1, 1], name
            ids = [element["id"] for element in elements_of(page) if element["id"]]
            assert len(set(ids)) == len(ids), name

    with_answers(check)


def test_every_field_has_a_label_and_says_what_belongs_into_it() -> None:
    def check(answers: Answers) -> None:
        seen = {}
        for name, page in pages_of(answers).items():
            labels = {element["for"] for element in elements_of(page, "label")}
            for element in elements_of(page, "input"):
                if element["type"] in {"email", "password"}:
                    assert element["id"] in labels, name
                    assert "required" in element.attributes, name
                    seen[name.rpartition(" ")[2], element["type"]] = element["autocomplete"]
        assert seen["/signup", "email"] == seen["/signin", "email"] == "username"
        assert seen["/signup", "password"] == "new-password"
        assert seen["/signin", "password"] == "current-password"

    with_answers(check)


def test_a_mistake_is_announced_takes_the_focus_and_is_tied_to_its_field() -> None:
    def check(answers: Answers) -> None:
        for name in ("mistake /signup", "mistake /signin"):
            [summary] = [element for element in elements_of(answers[name]) if element["role"] == "alert"]
            assert summary["tabindex"] == "-1"
            assert [element["id"] for element in elements_of(answers[name]) if "autofocus" in element.attributes] == [
                summary["id"]
            ]
        [password] = [
            element for element in elements_of(answers["mistake /signup"], "input") if element["type"] == "password"
        ]
        assert (password["aria-invalid"], password["aria-describedby"]) == ("true", "mistake password-hint")

    with_answers(check)


@pytest.mark.parametrize("root", ["/desk", "/a b/<ü>", "//evil.example"])
def test_every_link_and_redirect_stays_under_the_root_path(root: str) -> None:
    inside = {"/desk": "/desk", "/a b/<ü>": "/a%20b/%3C%C3%BC%3E", "//evil.example": "/evil.example"}[root]

    def check(answers: Answers) -> None:
        for name, answer in answers.items():
            links = [header_of(answer, "location")]
            links += [element["href"] or element["action"] for element in elements_of(answer) if element.tag != "link"]
            for link in links:
                if link is not None and not link.startswith("#"):
                    assert link.startswith(inside + "/"), name
        wanted = header_of(answers["stranger /dashboard"], "location")
        assert wanted == f"{inside}/signin?next={inside}/dashboard".replace("next=" + inside, "next=" + quoted)

    quoted = inside.replace("%", "%25")
    with_answers(check, root=root)


@pytest.mark.parametrize("code", CODES)
def test_every_refusal_can_be_a_page_with_the_status_of_its_code(code: str) -> None:
    async def scenario(house: House) -> None:
        request = Request(method="GET", path="/anything", headers=((b"host", b"localhost:8000"), HTML))
        page = house.pages.problem(request, Refusal(code))
        assert page.status == CODES[code].status
        assert f"Code: {code}" in text_of(page)
        assert (header_of(page, "www-authenticate") is not None) == (page.status == 401 or code in CHALLENGED)

    play(scenario)


CHALLENGED = {"step_up_required", "scope_missing", "service_scope_missing"}


def test_a_jar_that_overflows_is_answered_431_with_the_means_to_empty_it() -> None:
    def check(answers: Answers) -> None:
        assert answers["too many cookies"].status == 431
        assert header_of(answers["too many cookies"], "clear-site-data") == '"cookies"'

    with_answers(check)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ((), False),
        ((b"*/*",), False),
        ((b"application/json",), False),
        ((b"text/html",), True),
        ((b"TEXT/HTML;q=0.9",), True),
        ((b"application/json", b"application/xhtml+xml"), True),
        ((b"application/json, text/html ;q=0",), False),
        ((b"text/htmlx",), False),
    ],
)
def test_a_problem_is_a_page_only_for_whoever_names_html(accept: tuple[bytes, ...], expected: bool) -> None:
    async def scenario(house: House) -> None:
        request = Request(method="GET", path="/dashboard/x", headers=tuple((b"accept", value) for value in accept))
        assert accepts_html(request) is expected
        answer = await house.pages.answer(request)
        assert answer.status == 404
        kind = "text/html; charset=utf-8" if expected else "application/problem+json"
        assert header_of(answer, "content-type") == kind

    play(scenario)


def test_a_host_that_is_not_served_gets_no_page() -> None:
    async def scenario(house: House) -> None:
        visitor = house.visitor(host="evil.example")
        for path in ("/", "/signin", "/dashboard", "/advise"):
            assert (await visitor.get(path)).status == 400
        assert (await visitor.sign_up()).status == 400
        assert house.desk.events == []

    play(scenario, House(EdgeSettings(hosts=frozenset({"localhost"}))))


@pytest.mark.parametrize(
    ("path", "owned"),
    [
        ("/", True), ("/signup", True), ("/signin", True), ("/signout", True), ("/dashboard", True),
        ("/dashboard/", True), ("/dashboard/sessions/x/end", True), ("/advise", True), ("/advise/", False),
        ("", False), ("//", False), ("/signin/", False), ("/SIGNIN", False), ("/auth/me", False),
        ("/dashboards", False), ("/favicon.ico", False),
    ],
)  # fmt: skip
def test_the_pages_own_their_paths_and_no_others(path: str, owned: bool) -> None:
    async def scenario(house: House) -> None:
        assert house.pages.owns(path) is owned

    play(scenario)


@pytest.mark.parametrize("path", ["/dashboard/", "/dashboard/sessions", "/dashboard/sessions//end", "/dashboard/x/y/z"])
def test_what_is_below_the_dashboard_and_nothing_is_not_found(path: str) -> None:
    async def scenario(house: House) -> None:
        visitor = house.visitor()
        await visitor.sign_up()
        assert (await visitor.get(path)).status == 404
        assert (await visitor.post(path)).status == 404

    play(scenario)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "get"])
def test_another_method_is_405_and_names_those_that_are_taken(method: str) -> None:
    async def scenario(house: House) -> None:
        answer = await house.pages.answer(Request(method=method, path="/signin", headers=(HTML,)))
        assert (answer.status, header_of(answer, "allow")) == (405, "GET, HEAD, POST")

    play(scenario)


def test_head_is_answered_like_get() -> None:
    async def scenario(house: House) -> None:
        for path, status in (("/", 200), ("/signin", 200), ("/advise", 200), ("/dashboard", 303), ("/signout", 405)):
            answer = await house.pages.answer(Request(method="HEAD", path=path, headers=(HTML,)))
            assert answer.status == status

    play(scenario)


@pytest.mark.parametrize("query", ["", "next=/a&next=/b", "next", "next=%ff", "&".join(["a=1"] * 101), "a=b&&"])
def test_a_query_that_cannot_be_read_names_no_next(query: str) -> None:
    async def scenario(house: House) -> None:
        page = await house.visitor().get(f"/signin?{query}")
        assert page.status == 200
        assert "next" not in [element["name"] for element in elements_of(page, "input")]

    play(scenario)


@pytest.mark.parametrize("done", ["nothing-known", "<b>x</b>", "device-ended&done=device-gone"])
def test_the_address_bar_puts_no_words_of_its_own_on_a_page(done: str) -> None:
    async def scenario(house: House) -> None:
        page = await house.visitor().get(f"/?done={done}")
        assert [element for element in elements_of(page) if element["role"] == "status"] == []

    play(scenario)


def test_origins_that_a_form_may_lead_on_to_stand_in_the_policy() -> None:
    house = House()
    pages = Pages(house.pages.gate, title="Grand Hotel", dev=True, form_action=("https://app.example",))

    async def scenario(house: House) -> None:
        page = await Visitor(pages).get("/signin")
        assert "; form-action 'self' https://app.example; " in (header_of(page, "content-security-policy") or "")
        assert text_of(page).startswith("Sign in · Grand Hotel")
        assert "Development server." in text_of(page)
        assert "Development server." not in text_of(await house.visitor().get("/signin"))

    play(scenario, house)


@pytest.mark.parametrize("origin", ["*", "https://app.example/", "https:", "app.example", "https://x; script-src *"])
def test_what_is_no_origin_is_refused_for_the_policy(origin: str) -> None:
    gate = Gate(TestDesk(make_store("memory", Path())), EdgeSettings(origins=OriginPolicy()))
    with pytest.raises(ConfigurationError, match="form_action"):
        Pages(gate, form_action=(origin,))
