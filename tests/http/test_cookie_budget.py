"""How much of a Cookie header is ours: servers and proxies cap all headers of a request at 8 KiB or less."""

from __future__ import annotations

from typing import get_args

import pytest

from frontdesk.core.sessions import CredentialKind
from frontdesk.service.settings import DeskSettings, SigningAlgorithm
from frontdesk.testing import Client
from tests.http.answers import cookies_set, login, register
from tests.http.sites import make_site

BUDGET = 1024
"""For all our cookies together, with the claims that a sign-in at `/auth/login` gives."""

ISSUER = "https://accounts.some-long-name.example.com"

# An RS256 or PS256 signature alone takes 342 characters; whoever chooses them chooses larger cookies.
SMALL_SIGNATURES = tuple(sorted(set(get_args(SigningAlgorithm)) - {"RS256", "PS256"}))


def cookie_bytes(client: Client, credential: CredentialKind) -> int:
    """Octets of the Cookie header of the next request, from the Set-Cookie headers of a sign-in."""
    register(client)
    signed = login(client, credential=credential, transport="cookie")
    assert signed.status_code == 200
    pairs = [f"{name}={value.partition(';')[0]}" for name, value in cookies_set(signed).items()]
    assert len(pairs) == (1 if credential == "session" else 2)
    return len("; ".join(pairs))


@pytest.mark.parametrize("signing", SMALL_SIGNATURES)
@pytest.mark.parametrize("credential", get_args(CredentialKind))
def test_all_our_cookies_together_stay_within_one_kibibyte(
    adapter: str, credential: CredentialKind, signing: SigningAlgorithm
) -> None:
    site = make_site(adapter, settings=DeskSettings(issuer=ISSUER, signing=signing))
    with site.client() as client:
        assert 0 < cookie_bytes(client, credential) <= BUDGET
