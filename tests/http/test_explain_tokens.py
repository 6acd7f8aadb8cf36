"""The rule that an access token breaks is named by the fact that decides, for every code of `TokenError` that a request
can meet."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from frontdesk.core.sessions import CredentialKind
from frontdesk.jose import jws
from frontdesk.jose.codes import TOKEN_CODES
from tests.http.explained import answered, explained, service_of, signed
from tests.http.sites import Site, make_site

ELSEWHERE = frozenset({"key_invalid"})
"""What no request meets: docs/errors.md says why."""

Make = Callable[[Site, str], str]


def _decoded(part: str) -> dict[str, Any]:
    members: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return members


def _encoded(members: Mapping[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(members).encode()).decode().rstrip("=")


def _headed(**changes: object) -> Make:
    """With another header; that is judged before the signature."""

    def make(_: Site, token: str) -> str:
        head, payload, signature = token.split(".")
        return f"{_encoded(_decoded(head) | changes)}.{payload}.{signature}"

    return make


def _saying(*, typ: str = "at+jwt", **changes: object) -> Make:
    """With other claims, signed with the key of the desk; None takes one away."""

    def make(site: Site, token: str) -> str:
        members = _decoded(token.split(".")[1]) | changes
        claims = {name: value for name, value in members.items() if value is not None}
        return jws.sign(json.dumps(claims).encode(), site.desk.keys.signing, typ=typ)

    return make


def _cut(_: Site, token: str) -> str:
    other = "A" if token[-5] != "A" else "B"
    return f"{token[:-5]}{other}{token[-4:]}"


_BROKEN: Mapping[str, tuple[CredentialKind, Make]] = {
    "token_oversize": ("jwt", lambda _, token: f"{token.rpartition('.')[0]}.{'A' * 16_384}"[:16_390]),
    "token_malformed": ("jwt", lambda _, token: f"!{token}"),
    "header_invalid": ("jwt", _headed(crit=["exp"])),
    "algorithm_not_allowed": ("jwt", _headed(alg="none")),
    "key_unknown": ("jwt", _headed(kid="nobody's")),
    "signature_invalid": ("jwt", _cut),
    "decryption_failed": ("jwe", _cut),
    "claim_missing": ("jwt", _saying(iss=None)),
    "claim_invalid": ("jwt", _saying(sub=7)),
    "type_mismatch": ("jwt", _saying(typ="JWT")),
    "issuer_mismatch": ("jwt", _saying(iss="https://somebody.example")),
    "audience_mismatch": ("jwt", _saying(aud="https://somebody.example")),
    "token_not_yet_valid": ("jwt", _saying(nbf=4102444800)),
    "token_expired": ("jwt", _saying(iat=1, exp=2)),
}


def test_every_code_of_a_token_is_here_or_met_elsewhere() -> None:
    assert {*_BROKEN} | ELSEWHERE == {*TOKEN_CODES}
    assert not {*_BROKEN} & ELSEWHERE


@pytest.mark.parametrize("code", _BROKEN)
def test_the_rule_that_an_access_token_breaks_is_named(code: str) -> None:
    credential, make = _BROKEN[code]
    site = make_site("fastapi")
    with site.client() as client:
        token = signed(client, credential=credential, transport="bearer")["authorization"].removeprefix("Bearer ")
        headers = [(b"authorization", f"Bearer {make(site, token)}".encode())]
        told = explained(client, headers, service_of(site, client), path="/dashboard")
        (cause,) = [fact for fact in told["facts"] if fact["decided"]]
        if code == "token_expired":  # a code of its own, so that it need not be named twice
            assert (told["code"], cause["code"]) == (code, "token_over")
        else:
            assert cause["values"]["token_code"] == code
        assert answered(client, "GET", "/dashboard", headers) == told["code"]


@pytest.mark.parametrize(
    ("values", "because"),
    [
        (["Basic x"], "it does not begin with Bearer and a space"),
        (["Bearer"], "it does not begin with Bearer and a space"),
        (["Bearer "], "nothing follows on Bearer"),
        (["Bearer a.b.c", "Bearer a.b.c"], "it came twice"),
        (["Bearer " + "a" * 16_401], "its token has more than 16400 octets"),
    ],
)
def test_why_an_authorization_is_no_bearer_credential_is_told(values: list[str], because: str) -> None:
    site = make_site("fastapi")
    with site.client() as client:
        headers = [(b"authorization", value.encode()) for value in values]
        told = explained(client, headers, service_of(site, client), path="/dashboard")
        (cause,) = [fact for fact in told["facts"] if fact["decided"]]
        assert (told["code"], cause["code"]) == ("credential_malformed", "authorization_malformed")
        assert cause["sentence"] == f"It is no bearer credential: {because}."
        assert answered(client, "GET", "/dashboard", headers) == "credential_malformed"
