"""base64url: one encoding per byte string."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.errors import TokenError
from frontdesk.jose import b64
from tests.jose.minting import attempted


@given(st.binary(max_size=80))
def test_encoding_agrees_with_the_standard_library_and_is_undone(data: bytes) -> None:
    encoded = b64.encode(data)
    assert encoded == base64.urlsafe_b64encode(data).rstrip(b"=")
    assert b64.decode(encoded) == data


@given(st.binary(max_size=12) | st.text("ABQgwxyz019-_=+/. \n", max_size=12).map(str.encode))
def test_whatever_decodes_is_the_one_encoding_of_its_bytes(encoded: bytes) -> None:
    data, code = attempted(lambda: b64.decode(encoded))
    assert code == ("token_malformed" if data is None else "accepted")
    assert data is None or b64.encode(data) == encoded


@pytest.mark.parametrize("byte", range(256))
def test_only_the_64_bytes_of_the_alphabet_are_taken(byte: int) -> None:
    encoded = b"AAA" + bytes([byte]) + b"AAAA"
    expected = chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) in "-_")
    assert attempted(lambda: b64.decode(encoded))[1] == ("accepted" if expected else "token_malformed")


@pytest.mark.parametrize(
    "encoded", [b"A", b"AAAAA", b"AB", b"AAB", b"AA==", b"AAA=", b"=", b"AA\n", b" AA", b"A A", b"Zh", b"Zm9"]
)
def test_padding_white_space_impossible_lengths_and_stray_bits_are_refused(encoded: bytes) -> None:
    with pytest.raises(TokenError) as caught:
        b64.decode(encoded, code="key_invalid")
    assert caught.value.code == "key_invalid"
