"""The flow of one request and of one refresh, without any I/O: tables over every refusal code."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.client import FrontdeskAuth
from frontdesk.client.credentials import Credentials, Held, Timers
from frontdesk.client.desk import (
    ATTEMPTS,
    OVER,
    REFUSED_TOKEN,
    REPLY_SECONDS,
    Desk,
    Renewed,
    read_sign_in,
    read_sign_out,
    renewal,
)
from frontdesk.client.errors import SignedOutError, SignInError, UnavailableError
from frontdesk.client.flow import Need, steps
from frontdesk.endpoints.http import problem
from frontdesk.errors import CODES, Refusal
from tests.client.serving import Watch

URL = "https://desk.example"
FOREVER = float("inf")


def desk(*origins: str) -> Desk:
    return Desk(URL, prefix="/auth", origins=origins, insecure_http=False)


def credentials(number: int = 0, **changes: object) -> Credentials:
    kept = {"desk": URL, "access_token": f"access{number}", "refresh_token": f"fdr_{number}", "session": "s", **changes}
    return Credentials(**kept)  # type: ignore[arg-type]


def held(number: int = 0) -> Held:
    return Held(credentials(number), FOREVER, FOREVER)


def refused(code: str, url: str = f"{URL}/orders") -> httpx.Response:
    """The answer that Frontdesk itself makes for a code."""
    answer = problem(Refusal(code))
    return httpx.Response(
        answer.status, headers=list(answer.headers), content=answer.body, request=httpx.Request("GET", url)
    )


def fine(url: str = f"{URL}/orders", status: int = 200) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("GET", url))


def fail(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"the desk is asked: {request.url}")


def stream() -> Iterator[bytes]:
    yield b"once"


# --- a request


def test_a_request_carries_the_access_token_and_its_answer_is_the_last_word() -> None:
    request = httpx.Request("GET", f"{URL}/orders")
    flow = steps(request, desk())
    assert next(flow) == Need()
    assert flow.send(held()) is request
    assert request.headers["authorization"] == "Bearer access0"
    with pytest.raises(StopIteration):
        flow.send(fine())


@pytest.mark.parametrize("code", [code for code, known in CODES.items() if known.status == 401])
def test_of_all_401s_only_an_expired_token_is_answered_with_another_one(code: str) -> None:
    request = httpx.Request("GET", f"{URL}/orders")
    flow = steps(request, desk())
    next(flow)
    flow.send(held())
    if code == "token_expired" or code in OVER:  # a session that is over may have been followed by a new sign-in
        assert flow.send(refused(code)) == Need(held(), code)
    else:
        with pytest.raises(StopIteration):
            flow.send(refused(code))


@pytest.mark.parametrize("code", [code for code, known in CODES.items() if known.status != 401])
def test_no_other_refusal_is_touched(code: str) -> None:
    flow = steps(httpx.Request("GET", f"{URL}/orders"), desk())
    next(flow)
    flow.send(held())
    with pytest.raises(StopIteration):
        flow.send(refused(code))


@pytest.mark.parametrize(
    "challenge",
    ["", "Bearer", 'Basic realm="x"', 'Bearer error="invalid_token"', 'Bearer error_description="odd code"'],
)
def test_a_401_that_frontdesk_did_not_write_is_the_callers(challenge: str) -> None:
    flow = steps(httpx.Request("GET", f"{URL}/orders"), desk())
    next(flow)
    flow.send(held())
    answer = fine(status=401)
    answer.headers["www-authenticate"] = challenge
    with pytest.raises(StopIteration):
        flow.send(answer)


@given(codes=st.lists(st.sampled_from(sorted(CODES)), min_size=2, max_size=2), repeats=st.booleans())
def test_a_request_is_sent_twice_at_most(codes: list[str], repeats: bool) -> None:
    request = httpx.Request("POST", f"{URL}/orders", content=b"a body" if repeats else stream())
    flow = steps(request, desk())
    sent, number = 0, 0
    step = next(flow)
    try:
        while True:
            if isinstance(step, Need):
                number += 1
                step = flow.send(held(number))
            else:
                sent += 1
                step = flow.send(refused(codes[sent - 1]))
    except StopIteration:
        pass
    assert sent <= (2 if repeats else 1)
    assert (sent == 2) == (repeats and codes[0] in {"token_expired", *OVER})


def test_the_second_answer_stands_even_when_it_says_the_same() -> None:
    flow = steps(httpx.Request("GET", f"{URL}/orders"), desk())
    next(flow)
    flow.send(held(0))
    assert flow.send(refused("token_expired")) == Need(held(0), "token_expired")
    again = flow.send(held(1))
    assert isinstance(again, httpx.Request)
    assert again.headers["authorization"] == "Bearer access1"
    with pytest.raises(StopIteration):
        flow.send(refused("token_expired"))


def test_a_session_that_is_over_after_the_second_attempt_is_told_as_well() -> None:
    flow = steps(httpx.Request("GET", f"{URL}/orders"), desk())
    next(flow)
    flow.send(held(0))
    flow.send(refused("token_expired"))
    flow.send(held(1))
    assert flow.send(refused("session_ended")) == Need(held(1), "session_ended")


def test_a_body_that_cannot_be_sent_twice_is_not_repeated_but_the_token_is_renewed() -> None:
    flow = steps(httpx.Request("POST", f"{URL}/orders", content=stream()), desk())
    next(flow)
    flow.send(held(0))
    assert flow.send(refused("token_expired")) == Need(held(0), "token_expired")
    with pytest.raises(StopIteration):
        flow.send(held(1))


@pytest.mark.parametrize("code", ["token_expired", "session_ended"])
def test_what_was_done_before_a_redirect_is_not_done_twice(code: str) -> None:
    asked = []

    def application(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path}")
        if request.method == "POST":
            return httpx.Response(303, headers={"location": f"{URL}/orders/1"})
        return refused(code)

    auth = FrontdeskAuth.from_tokens(URL, "access0", "fdr_0", client=httpx.Client(transport=httpx.MockTransport(fail)))
    transport = httpx.MockTransport(application)
    with httpx.Client(auth=auth, transport=transport, follow_redirects=True) as client:
        answer = client.post(f"{URL}/orders", content=b"a body")
    assert (answer.status_code, str(answer.url)) == (401, f"{URL}/orders/1")
    assert asked == ["POST /orders", "GET /orders/1"]
    assert auth.signed_in, "the next request finds out for itself"


def test_what_only_reads_is_repeated_behind_a_redirect() -> None:
    request = httpx.Request("GET", f"{URL}/orders")
    flow = steps(request, desk())
    next(flow)
    flow.send(held())
    answer = refused("token_expired", f"{URL}/orders/")
    answer.history = [httpx.Response(307, headers={"location": f"{URL}/orders/"})]
    assert flow.send(answer) == Need(held(), "token_expired")
    assert flow.send(held(1)) is request


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/orders",
        "https://desk.example.evil.example/",
        "https://desk.example:444/",
        "http://desk.example/",
        "https://sub.desk.example/",
        "https://desk.example@evil.example/",
        "https://evil.example/?https://desk.example/",
    ],
)
def test_a_request_to_another_origin_goes_out_as_it_is(url: str) -> None:
    request = httpx.Request("GET", url)
    flow = steps(request, desk("https://orders.example"))
    assert next(flow) is request
    assert "authorization" not in request.headers
    with pytest.raises(StopIteration):
        flow.send(refused("token_expired", url))


@pytest.mark.parametrize(
    "url", ["https://DESK.example:443/x", "https://orders.example/", "https://desk.example/auth/me"]
)
def test_the_own_origins_are_known_in_every_spelling(url: str) -> None:
    assert desk("https://orders.example/api").covers(httpx.URL(url))


@pytest.mark.parametrize("code", ["token_expired", "session_ended"])
def test_what_a_stranger_answers_after_a_redirect_decides_nothing(code: str) -> None:
    flow = steps(httpx.Request("GET", f"{URL}/orders"), desk())
    next(flow)
    flow.send(held())
    with pytest.raises(StopIteration):
        flow.send(refused(code, "https://evil.example/"))


@pytest.mark.parametrize("code", ["token_expired", "session_ended"])
@pytest.mark.parametrize(
    ("before", "now", "repeated"), [("alice", "bob", False), ("alice", "alice", True), ("", "bob", True)]
)
def test_a_request_is_not_repeated_as_somebody_else(code: str, before: str, now: str, repeated: bool) -> None:
    request = httpx.Request("POST", f"{URL}/transfers", content=b"a body")
    old, new = (Held(credentials(subject=subject), FOREVER, FOREVER) for subject in (before, now))
    flow = steps(request, desk())
    next(flow)
    flow.send(old)
    assert flow.send(refused(code)) == Need(old, code)
    if repeated:
        assert flow.send(new) is request
    else:
        with pytest.raises(StopIteration):
            flow.send(new)


@pytest.mark.parametrize("code", ["token_expired", *sorted(OVER)])
def test_a_service_that_says_the_session_is_over_is_not_believed_and_the_desk_is_asked(code: str) -> None:
    flow = steps(httpx.Request("GET", "https://orders.example/"), desk("https://orders.example"))
    next(flow)
    flow.send(held())
    assert flow.send(refused(code, "https://orders.example/")) == Need(held(), "token_expired")
    flow.send(held(1))
    with pytest.raises(StopIteration):
        flow.send(refused("session_ended", "https://orders.example/"))


@pytest.mark.parametrize("code", ["token_expired", "session_ended"])
def test_a_service_has_no_session_token_forgotten(code: str) -> None:
    token = Held(credentials(refresh_token=""), FOREVER, FOREVER)
    flow = steps(httpx.Request("GET", "https://orders.example/"), desk("https://orders.example"))
    next(flow)
    flow.send(token)
    with pytest.raises(StopIteration):
        flow.send(refused(code, "https://orders.example/"))


# --- a refresh


def granted(**members: object) -> httpx.Response:
    body = {"subject": "alice", "session": "s", "access_token": "access1", "token_type": "Bearer", "expires_in": 900}
    return httpx.Response(200, json={**body, **members})


def outcome(*answers: httpx.Response | httpx.HTTPError, took: float = 0.0) -> Renewed:
    watch = Watch()
    asking = renewal(desk(), credentials(), Timers(watch, watch))
    request = next(asking)
    for answer in answers:
        assert request.url == f"{URL}/auth/refresh"
        assert request.read() == b'{"refresh_token":"fdr_0"}'
        assert "authorization" not in request.headers, "it would decide"
        watch.seconds += took
        try:
            request = asking.send(answer)
        except StopIteration as end:
            renewed: Renewed = end.value
            return renewed
    raise AssertionError("it asks on")


def test_a_refresh_brings_an_access_token_and_perhaps_a_refresh_token() -> None:
    renewed = outcome(granted(refresh_token="fdr_1"))
    assert renewed.minted
    assert renewed.credentials == Credentials(
        desk=URL,
        access_token="access1",
        refresh_token="fdr_1",
        expires_in=900,
        issued_at=1000.0,
        subject="alice",
        session="s",
    )


def test_within_grace_the_refresh_token_that_we_have_stays() -> None:
    renewed = outcome(granted())
    assert not renewed.minted
    assert (renewed.credentials.access_token, renewed.credentials.refresh_token) == ("access1", "fdr_0")


@pytest.mark.parametrize("code", CODES)
def test_a_refused_refresh_means_signed_out_or_nothing_at_all(code: str) -> None:
    means_signed_out = code in OVER | REFUSED_TOKEN
    with pytest.raises(SignedOutError if means_signed_out else UnavailableError) as caught:
        outcome(refused(code))
    assert caught.value.code == code


def test_those_that_end_everything_are_401s() -> None:
    assert {CODES[code].status for code in OVER | REFUSED_TOKEN} == {401}
    assert not OVER & REFUSED_TOKEN


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"access_token": "two words"}),
        httpx.Response(200, json={"access_token": "fine", "refresh_token": "line\nbreak"}),
        httpx.Response(200, json=[]),
        httpx.Response(204),
        httpx.Response(307, headers={"location": "https://evil.example/"}),
        httpx.Response(401, text="who are you?"),
        httpx.Response(401, json={"code": "session_ended"}),
        httpx.Response(401, content=b"{", headers={"content-type": "application/problem+json"}),
        httpx.Response(401, content=b"[1]", headers={"content-type": "application/problem+json"}),
        httpx.Response(404, text="nothing here"),
        httpx.Response(502, text="bad gateway"),
    ],
    ids=lambda answer: f"{answer.status_code} {answer.text}",
)
def test_what_is_no_answer_of_a_desk_settles_nothing(answer: httpx.Response) -> None:
    with pytest.raises(UnavailableError) as caught:
        outcome(answer)
    assert caught.value.code == "unavailable"
    assert isinstance(caught.value, httpx.TransportError)


def test_a_503_says_when_to_come_again() -> None:
    with pytest.raises(UnavailableError) as caught:
        outcome(refused("store_unavailable"))
    assert (caught.value.code, caught.value.retry_after) == ("store_unavailable", 1)


def test_a_lost_answer_is_asked_for_again_with_the_same_token() -> None:
    renewed = outcome(httpx.ReadError("lost"), httpx.ReadTimeout("slow"), granted(refresh_token="fdr_1"))
    assert renewed.minted


@pytest.mark.parametrize(
    ("answers", "took"),
    [
        ([httpx.ReadError("lost")] * ATTEMPTS, 0.0),
        ([httpx.ReadTimeout("slow")], REPLY_SECONDS + 1),
        ([httpx.ReadTimeout("slow")] * 2, REPLY_SECONDS / 2 + 1),
        ([httpx.ConnectError("nobody listens")], 0.0),
    ],
    ids=["lost too often", "too slow", "too slow together", "nobody there"],
)
def test_a_refresh_is_given_up(answers: list[httpx.Response | httpx.HTTPError], took: float) -> None:
    with pytest.raises(UnavailableError, match="did not answer"):
        outcome(*answers, took=took)


def test_each_attempt_has_the_time_that_is_left() -> None:
    watch = Watch()
    asking = renewal(desk(), credentials(), Timers(watch, watch))
    assert next(asking).extensions["timeout"]["read"] == REPLY_SECONDS
    watch.seconds += 4
    assert asking.send(httpx.ReadError("lost")).extensions["timeout"]["read"] == REPLY_SECONDS - 4
    asking.close()


# --- signing in and out


def test_a_sign_in_without_a_choice_leaves_it_to_the_deployment() -> None:
    assert desk().login("a@example.com", "secret", None).read() == (
        b'{"email":"a@example.com","password":"secret","transport":"bearer"}'
    )
    assert b'"credential":"jwt"' in desk().login("a@example.com", "secret", "jwt").read()


@pytest.mark.parametrize("code", CODES)
def test_a_sign_in_is_refused_or_cannot_be_settled(code: str) -> None:
    with pytest.raises(SignInError if CODES[code].status < 500 else UnavailableError) as caught:
        read_sign_in(desk(), refused(code), 0.0)
    assert caught.value.code == code


def test_a_sign_in_that_is_throttled_says_how_long() -> None:
    answer = problem(Refusal("too_many_attempts", members={"retry_after": 4}))
    with pytest.raises(SignInError) as caught:
        read_sign_in(desk(), httpx.Response(429, headers=list(answer.headers), content=answer.body), 0.0)
    assert caught.value.retry_after == 4


def test_a_session_token_never_expires_by_itself() -> None:
    signed = read_sign_in(desk(), httpx.Response(200, json={"access_token": "fds_x", "subject": "alice"}), 5.0)
    assert (signed.access_token, signed.refresh_token, signed.expires_in) == ("fds_x", "", 0)


@pytest.mark.parametrize("code", CODES)
def test_a_sign_out_is_over_when_the_desk_knows_nothing_of_us(code: str) -> None:
    if CODES[code].status == 401:
        read_sign_out(refused(code))
    else:
        with pytest.raises(UnavailableError):
            read_sign_out(refused(code))


def test_a_sign_out_names_the_session_by_every_token() -> None:
    request = desk().logout(credentials())
    assert request.headers["authorization"] == "Bearer access0"
    assert request.read() == b'{"refresh_token":"fdr_0"}'
    assert desk().logout(credentials(refresh_token="")).read() == b"{}"


def test_a_code_that_is_newer_than_this_client_is_told_all_the_same() -> None:
    answer = httpx.Response(403, json={"code": "moon_phase"}, headers={"content-type": "application/problem+json"})
    with pytest.raises(SignInError, match="moon_phase"):
        read_sign_in(desk(), answer, 0.0)
