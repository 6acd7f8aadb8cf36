"""Names and credentials of other programs."""

from __future__ import annotations

import string
from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.core.services import (
    CREDENTIAL_BYTES,
    CREDENTIAL_PREFIX,
    SERVICE_SCOPES,
    Service,
    ServiceScope,
    credential_digest,
    credential_of,
    is_service_name,
)

RAW = bytes(range(32))
CREDENTIAL = "fdk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"


@pytest.mark.parametrize(
    "name", ["a", "0", "metrics", "rock-and_roll.2", "a--b", "a..b", "x" * 64, "1.2.3", "a" + "-" * 62 + "z"]
)
def test_a_service_may_be_called_so(name: str) -> None:
    assert is_service_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "A", "Metrics", "a b", "a ", " a", "a\n", "\na", "x" * 65, "-", ".", "_", "-a", "a-", ".a", "a."),
        *("_a", "a_", "a/b", "a:b", "a@b", "\u00e9", "\u0131", "\uff41", "a\x00", "\u0661", "a\u0301"),
    ],
)
def test_a_service_may_not_be_called_so(name: str) -> None:
    assert not is_service_name(name)


def test_a_credential_is_its_prefix_and_32_bytes_in_base64url() -> None:
    assert credential_of(RAW) == CREDENTIAL
    assert credential_of(b"\xff" * 32) == CREDENTIAL_PREFIX + "_" * 42 + "8"
    assert (CREDENTIAL_PREFIX, CREDENTIAL_BYTES, len(CREDENTIAL)) == ("fdk_", 32, 47)


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_a_credential_of_another_size_is_misuse(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes") as caught:
        credential_of(b"s" * size)
    assert "sss" not in str(caught.value)


def test_a_credential_has_one_digest_that_no_version_changes() -> None:
    # printf 'frontdesk/service/fdk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8' | sha256sum
    digest = credential_digest(CREDENTIAL.encode())
    assert digest is not None
    assert digest.hex() == "8b57f4d21c02033b59f6597e079aaf9c4c951936fbe8e2d6c020876a0456bdfd"


@pytest.mark.parametrize(
    "presented",
    [
        b"",
        b"fdk_",
        CREDENTIAL[:-1].encode(),
        CREDENTIAL.encode() + b"A",
        CREDENTIAL.encode() + b"=",
        CREDENTIAL.encode() + b"\n",
        b" " + CREDENTIAL.encode(),
        CREDENTIAL.removeprefix("fdk_").encode(),
        CREDENTIAL.replace("fdk_", "fds_").encode(),
        CREDENTIAL.replace("fdk_", "FDK_").encode(),
        CREDENTIAL.encode()[:-1] + b"+",
        CREDENTIAL.encode()[:-1] + b"/",
        CREDENTIAL.encode()[:-1] + b"\x00",
        CREDENTIAL.encode()[:-1] + b"\xff",
        CREDENTIAL.encode() * 1000,
    ],
)
def test_what_was_never_issued_in_this_form_has_no_digest(presented: bytes) -> None:
    assert credential_digest(presented) is None


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_every_credential_has_a_digest_and_no_two_the_same(one: bytes, other: bytes) -> None:
    digests = [credential_digest(credential_of(raw).encode()) for raw in (one, other)]
    assert all(digest is not None and len(digest) == 32 for digest in digests)
    assert (digests[0] == digests[1]) is (one == other)


ALPHABET = string.ascii_letters + string.digits + "-_"


@given(
    st.binary(max_size=80) | st.text(ALPHABET + "+/= ", min_size=42, max_size=44).map(lambda s: b"fdk_" + s.encode())
)
def test_whatever_is_presented_has_a_digest_or_none_and_raises_nothing(presented: bytes) -> None:
    prefix, text = presented[:4], presented[4:]
    issued = prefix == b"fdk_" and len(text) == 43 and set(text) <= set(ALPHABET.encode())
    assert (credential_digest(presented) is not None) is issued


def test_a_service_shows_neither_its_digest_nor_its_realm() -> None:
    created_at = datetime(2026, 1, 1, tzinfo=UTC)
    service = Service(name="metrics", realm="tenant", digest=b"digest", scopes=("metrics",), created_at=created_at)
    assert repr(service) == "Service('metrics', ['metrics'])"


def test_the_scopes_are_named_in_one_place() -> None:
    assert get_args(ServiceScope) == SERVICE_SCOPES == ("revocations", "revoke", "metrics", "explain")
