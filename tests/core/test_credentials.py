"""A token is exactly what the desk minted for one row, or it is nothing."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.core.credentials import (
    ID_BYTES,
    MAX_GENERATION,
    REFRESH_PREFIX,
    REFRESH_TOKEN_LENGTH,
    SALT_BYTES,
    SESSION_PREFIX,
    SESSION_TOKEN_LENGTH,
    MacKey,
    ParsedToken,
    authentic,
    derive,
    encode_id,
    mint_refresh_token,
    mint_session_token,
    parse,
    realm_bytes,
)

KEY = MacKey.from_secret(b"0123456789abcdef0123456789abcdef")
OTHER_KEY = MacKey.from_secret(b"another secret of 32 octets, long")
ID = encode_id(bytes(range(16)))
SALT = bytes(range(100, 116))

SECRETS = st.binary(min_size=32, max_size=64)
IDS = st.binary(min_size=ID_BYTES, max_size=ID_BYTES).map(encode_id)
SALTS = st.binary(min_size=SALT_BYTES, max_size=SALT_BYTES)
GENERATIONS = st.one_of(st.sampled_from([0, 1, MAX_GENERATION - 1, MAX_GENERATION]), st.integers(0, MAX_GENERATION))
BASE64URL = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def session_token(realm: str = "default", session_id: str = ID, salt: bytes = SALT, key: MacKey = KEY) -> bytes:
    return mint_session_token(key, realm, session_id, salt).encode()


def refresh_token(generation: int = 7, realm: str = "default", salt: bytes = SALT, key: MacKey = KEY) -> bytes:
    return mint_refresh_token(key, realm, ID, salt, generation).encode()


BOTH = pytest.mark.parametrize("token", [session_token(), refresh_token()], ids=["session", "refresh"])


def good(token: bytes, key: MacKey = KEY, realm: str = "default", salt: bytes = SALT) -> bool:
    parsed = parse(token)
    return parsed is not None and authentic(parsed, (key,), realm, salt)


def parsed(token: bytes) -> ParsedToken:
    found = parse(token)
    assert found is not None
    return found


# --- what was minted ------------------------------------------------------------------------------------------


@given(SECRETS, st.text(max_size=40), IDS, SALTS)
def test_every_session_token_that_is_minted_is_understood(
    secret: bytes, realm: str, session_id: str, salt: bytes
) -> None:
    key = MacKey.from_secret(secret)
    token = mint_session_token(key, realm, session_id, salt).encode()
    found = parsed(token)
    assert (found.purpose, found.kid, found.realm) == ("session", key.kid, realm_bytes(realm))
    assert (found.session_id, found.generation) == (session_id, 0)
    assert (len(token), token[:4]) == (SESSION_TOKEN_LENGTH, SESSION_PREFIX)
    assert authentic(found, (key,), realm, salt)


@given(SECRETS, st.text(max_size=40), IDS, SALTS, GENERATIONS)
def test_every_refresh_token_that_is_minted_is_understood(
    secret: bytes, realm: str, session_id: str, salt: bytes, generation: int
) -> None:
    key = MacKey.from_secret(secret)
    token = mint_refresh_token(key, realm, session_id, salt, generation).encode()
    found = parsed(token)
    assert (found.purpose, found.kid, found.realm) == ("refresh", key.kid, realm_bytes(realm))
    assert (found.session_id, found.generation) == (session_id, generation)
    assert (len(token), token[:4]) == (REFRESH_TOKEN_LENGTH, REFRESH_PREFIX)
    assert authentic(found, (key,), realm, salt)


def test_the_same_row_has_the_same_token_and_each_generation_its_own() -> None:
    assert session_token() == session_token()
    assert len({refresh_token(generation) for generation in range(100)}) == 100


def test_the_form_of_a_token_does_not_change_between_versions() -> None:
    assert session_token() == (
        b"fds_" + urlsafe_b64encode(_session_fields() + _tag(b"session-token", _session_fields() + SALT))
    )
    fields = _session_fields() + (7).to_bytes(4, "big")
    assert refresh_token(7) == (
        b"fdr_" + urlsafe_b64encode(fields + _tag(b"refresh-token", fields + SALT)).rstrip(b"=")
    )


@pytest.mark.parametrize("generation", [-1, MAX_GENERATION + 1])
def test_a_generation_of_more_than_four_bytes_is_misuse(generation: int) -> None:
    with pytest.raises(ValueError, match="32-bit"):
        mint_refresh_token(KEY, "default", ID, SALT, generation)


@pytest.mark.parametrize("raw", [b"", bytes(15), bytes(17)])
def test_a_session_id_is_made_of_sixteen_bytes(raw: bytes) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        encode_id(raw)


@pytest.mark.parametrize(
    "session_id", ["", "A", "A" * 21, "A" * 23, "A" * 24, "A" * 21 + "B", "A" * 21 + "!", "é" * 11]
)
def test_an_id_that_was_never_encoded_gets_no_token(session_id: str) -> None:
    with pytest.raises(ValueError):
        mint_session_token(KEY, "default", session_id, SALT)
    with pytest.raises(ValueError):
        mint_refresh_token(KEY, "default", session_id, SALT, 0)


# --- what was not ---------------------------------------------------------------------------------------------


@BOTH
def test_no_truncation_and_no_extension_is_a_token(token: bytes) -> None:
    for length in range(len(token)):
        assert parse(token[:length]) is None
        assert parse(token[len(token) - length :]) is None
    for extra in (b"A", b"=", b"==", b"\n", b" ", b"\x00", token):
        assert parse(token + extra) is None
        assert parse(extra + token) is None


@BOTH
def test_no_change_of_one_character_is_authentic(token: bytes) -> None:
    for position in range(len(token)):
        for other in BASE64URL:
            if other != token[position]:
                assert not good(token[:position] + bytes((other,)) + token[position + 1 :]), (position, other)


@BOTH
def test_a_character_outside_base64url_is_refused_wherever_it_stands(token: bytes) -> None:
    for position in range(4, len(token)):
        for other in (*b"+/=. \t\r\n\x00\x7f", 0x80, 0xFF):
            assert parse(token[:position] + bytes((other,)) + token[position + 1 :]) is None


def test_a_refresh_token_has_one_spelling_only() -> None:
    # 94 characters hold 564 bits and the token 560: four bits of the last character are none of it.
    token = refresh_token()
    assert sum(parse(token[:-1] + bytes((last,))) is not None for last in BASE64URL) == 4
    others = [
        token[:-1] + bytes((last,)) for last in BASE64URL if _decoded(token[:-1] + bytes((last,))) == _decoded(token)
    ]
    assert len(others) == 16
    assert [other for other in others if parse(other) is not None] == [token]


@given(st.binary(max_size=120))
def test_garbage_is_no_token(raw: bytes) -> None:
    assert parse(raw) is None
    assert parse(SESSION_PREFIX + raw) is None or len(raw) == SESSION_TOKEN_LENGTH - 4
    assert parse(REFRESH_PREFIX + raw) is None or len(raw) == REFRESH_TOKEN_LENGTH - 4


@given(st.binary(min_size=66, max_size=66), st.binary(min_size=70, max_size=70))
def test_well_formed_bytes_that_nobody_minted_are_not_authentic(session: bytes, refresh: bytes) -> None:
    head = bytes((1, KEY.kid)) + realm_bytes("default")
    assert not good(SESSION_PREFIX + urlsafe_b64encode(head + session[18:]))
    assert not good(REFRESH_PREFIX + urlsafe_b64encode(head + refresh[18:]).rstrip(b"="))


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_version_is_no_token(version: int) -> None:
    for token, prefix in ((session_token(), SESSION_PREFIX), (refresh_token(), REFRESH_PREFIX)):
        raw = bytes((version,)) + _decoded(token)[1:]
        assert parse(prefix + urlsafe_b64encode(raw).rstrip(b"=")) is None


# --- what was minted for something else -----------------------------------------------------------------------


@pytest.mark.parametrize("mint", [session_token, refresh_token], ids=["session", "refresh"])
def test_a_token_is_good_for_its_own_key_realm_and_row_only(mint: Callable[..., bytes]) -> None:
    token = mint()
    assert good(token)
    assert not good(token, key=OTHER_KEY)
    assert not good(token, realm="other")
    assert not good(token, realm="Default")
    assert not good(token, salt=bytes(16))
    assert not good(mint(key=OTHER_KEY))
    assert not good(mint(realm="other"))
    assert not good(mint(salt=bytes(16)))
    assert not good(mint(realm="other"), realm="other", salt=bytes(16))


def test_a_session_token_is_not_good_for_another_session() -> None:
    other = session_token(session_id=encode_id(bytes(16)))
    swapped = SESSION_PREFIX + urlsafe_b64encode(_decoded(session_token())[:34] + _decoded(other)[34:])
    assert parse(swapped) is not None
    assert not good(swapped)


def test_a_generation_is_not_good_for_another_one() -> None:
    raw = _decoded(refresh_token(7))
    for generation in (0, 6, 8, MAX_GENERATION):
        forged = raw[:34] + generation.to_bytes(4, "big") + raw[38:]
        assert not good(REFRESH_PREFIX + urlsafe_b64encode(forged).rstrip(b"="))


def test_a_token_of_one_purpose_is_not_good_for_the_other() -> None:
    session, refresh = _decoded(session_token()), _decoded(refresh_token(0))
    # The tag of one under the fields of the other, and a purpose that somebody mixed up.
    assert not good(SESSION_PREFIX + urlsafe_b64encode(session[:34] + refresh[38:]))
    assert not good(REFRESH_PREFIX + urlsafe_b64encode(refresh[:38] + session[34:]).rstrip(b"="))
    crossed = MacKey(kid=KEY.kid, session=KEY.refresh, refresh=KEY.session)
    assert not good(session_token(), key=crossed)
    assert not good(refresh_token(), key=crossed)
    assert parse(REFRESH_PREFIX + session_token()[4:]) is None
    assert parse(SESSION_PREFIX + refresh_token()[4:]) is None


# --- keys -----------------------------------------------------------------------------------------------------


def test_of_two_secrets_with_one_kid_byte_each_is_tried() -> None:
    twin = MacKey(kid=KEY.kid, session=OTHER_KEY.session, refresh=OTHER_KEY.refresh)
    for keys in ((KEY, twin), (twin, KEY)):
        for key in keys:
            for token in (session_token(key=key), refresh_token(key=key)):
                assert authentic(parsed(token), keys, "default", SALT)
    stranger = MacKey(kid=KEY.kid, session=bytes(32), refresh=bytes(32))
    assert not authentic(parsed(session_token(key=stranger)), (KEY, twin), "default", SALT)


def test_an_older_secret_in_the_list_still_verifies_and_a_dropped_one_does_not() -> None:
    token = parsed(session_token(key=OTHER_KEY))
    assert authentic(token, (KEY, OTHER_KEY), "default", SALT)
    assert not authentic(token, (KEY,), "default", SALT)
    assert not authentic(token, (), "default", SALT)


def test_a_kid_that_names_another_key_is_not_looked_past() -> None:
    raw = _decoded(session_token())
    for kid in range(256):
        if kid != KEY.kid:
            forged = SESSION_PREFIX + urlsafe_b64encode(raw[:1] + bytes((kid,)) + raw[2:])
            assert not authentic(parsed(forged), (KEY, MacKey(kid, KEY.session, KEY.refresh)), "default", SALT)


def test_who_has_the_row_but_no_key_cannot_make_a_token() -> None:
    # All that a row holds, tried as a key; and the key file without the row's salt.
    for guess in (SALT, SALT * 2, bytes(32), ID.encode(), b"", realm_bytes("default")):
        forger = MacKey(kid=KEY.kid, session=guess, refresh=guess)
        assert not good(session_token(key=forger))
        assert not good(refresh_token(key=forger))
    for guess in (b"", bytes(16), ID.encode()[:16]):
        assert not good(session_token(salt=guess))


def test_keys_for_two_purposes_have_nothing_in_common() -> None:
    purposes = ["kid", "session-token", "refresh-token", "anything else"]
    assert len({derive(b"secret" * 6, purpose) for purpose in purposes}) == len(purposes)
    assert derive(b"secret" * 6, "kid", 1) == derive(b"secret" * 6, "kid")[:1]
    assert KEY.session != KEY.refresh


def test_no_representation_shows_a_secret() -> None:
    token = parsed(refresh_token())
    assert repr(KEY) == f"MacKey(kid={KEY.kid})"
    assert repr(token) == f"ParsedToken(refresh, {ID}, generation=7)"


def _decoded(token: bytes) -> bytes:
    return urlsafe_b64decode(token[4:] + b"=" * (-len(token[4:]) % 4))


def _session_fields() -> bytes:
    return bytes((1, KEY.kid)) + hashlib.sha256(b"frontdesk/realm/default").digest()[:16] + bytes(range(16))


def _tag(purpose: bytes, message: bytes) -> bytes:
    """RFC 5869 and RFC 2104, spelled out: one block of HKDF with an empty salt, then HMAC."""
    extracted = hmac.digest(bytes(32), b"0123456789abcdef0123456789abcdef", "sha256")
    key = hmac.digest(extracted, b"frontdesk/v1/" + purpose + b"\x01", "sha256")
    return hmac.digest(key, message, "sha256")
