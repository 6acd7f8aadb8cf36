"""A token taken apart WITHOUT verifying anything: for showing it to a person, never for deciding.

Whatever comes out of here may have been written by anybody. `frontdesk.jose.jwt` decides. Where that refuses the
first fault, this goes on as far as it can, in bounded time and depth, and names what it met.
"""

from __future__ import annotations

import json
import math
from binascii import Error, a2b_base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from frontdesk.errors import TokenError
from frontdesk.jose import b64, jwe, jws, strictjson
from frontdesk.jose.jwt import Claims

UNVERIFIED_MAX: Final = jwe.TOKEN_MAX
"""What is larger is not looked at."""

_SIGNED_PARTS: Final = 3
_ENCRYPTED_PARTS: Final = 5
_NAME_MAX: Final = 40
_NAMED_MOST: Final = 8
_DIGITS_MOST: Final = 400
_TYPES: Final = {field.encode_name: field.type for field in msgspec.structs.fields(Claims) if field.name != "extra"}
_SIGNATURE_SIZES: Final = {
    "HS256": 32, "HS384": 48, "HS512": 64, "ES256": 64, "ES256K": 64, "ES384": 96, "ES512": 132,
    "EdDSA": 64, "Ed25519": 64,
}  # fmt: skip
_URLSAFE_TO_PLAIN: Final = bytes.maketrans(b"-_", b"+/")


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """What a token says of itself. `faults` are reasons why `frontdesk.jose` would refuse it, whatever the key.

    `claims` is None where the payload is encrypted or no JSON object. Of a duplicate member the last is shown.
    """

    encrypted: bool
    header: Mapping[str, Any]
    claims: Mapping[str, Any] | None
    faults: tuple[TokenError, ...]

    def parameter(self, name: str) -> str | None:
        """A header parameter that is a string."""
        value = self.header.get(name)
        return value if isinstance(value, str) else None

    @property
    def is_unsigned(self) -> bool:
        """Whether `alg` is `none` in any spelling."""
        return (self.parameter("alg") or "").lower() == "none"


def take_apart_unverified(token: bytes) -> UnverifiedToken:
    """Header and claims of a compact JWS or JWE. TokenError(`token_oversize`, `token_malformed`): it is no token."""
    if len(token) > UNVERIFIED_MAX:
        raise TokenError("token_oversize", f"This is larger than {UNVERIFIED_MAX // 1024} KiB; it was not looked at.")
    parts = token.split(b".", _ENCRYPTED_PARTS)
    if len(parts) not in (_SIGNED_PARTS, _ENCRYPTED_PARTS) or len(token.split()) > 1:
        raise TokenError("token_malformed", _what_it_is_instead(token))
    encrypted = len(parts) == _ENCRYPTED_PARTS
    faults: list[TokenError] = []
    header = _header(parts[0], faults, encrypted=encrypted)
    if encrypted:
        for name, part in zip(("encrypted key", "IV", "ciphertext", "tag"), parts[1:], strict=True):
            _bytes(part, name, faults)
        return UnverifiedToken(encrypted, header, None, tuple(faults))
    if len(token) > jws.TOKEN_MAX:
        faults.append(TokenError("token_oversize", "The token is larger than 16 KiB."))
    payload = _bytes(parts[1], "payload", faults)
    claims = None
    if payload is not None:
        claims, more = read_unverified_claims(payload)
        faults += more
    _judge_signature(header.get("alg"), _bytes(parts[2], "signature", faults), faults)
    return UnverifiedToken(encrypted, header, claims, tuple(faults))


def read_unverified_claims(payload: bytes) -> tuple[Mapping[str, Any] | None, list[TokenError]]:
    """The claims in a payload, None where it is no JSON object, and why they would be refused."""
    if not payload:
        return None, [TokenError("token_malformed", "The payload is empty.")]
    faults: list[TokenError] = []
    claims = _members(payload, "payload", faults)
    for name, kind in _TYPES.items():
        if claims is not None and name in claims and not _fits(claims[name], kind):
            faults.append(TokenError("claim_invalid", f"The claim `{name}` has the wrong type or is out of range."))
    return claims, faults


def _what_it_is_instead(token: bytes) -> str:
    if not token:
        return "Nothing came."
    if token.startswith(b"-----BEGIN"):
        return "This is a key or a certificate in PEM, not a token."
    if token.startswith(b"{"):
        return "This is JSON, not a token; of tokens in JSON only the compact form is read, the one with dots."
    if len(token.split()) > 1:
        return "There is white space inside; a line may have been broken when it was copied."
    count = token.count(b".") + 1
    return (
        "A token has three parts (signed) or five (encrypted) with dots between them; "
        f"this has {'one' if count == 1 else count}."
    )


def _header(part: bytes, faults: list[TokenError], *, encrypted: bool) -> Mapping[str, Any]:
    raw = _bytes(part, "header", faults)
    header = None if raw is None else _members(raw, "header", faults)
    if header is None:
        raise TokenError("token_malformed", "The first part is not the header of a token: base64url of a JSON object.")
    if not faults:
        try:
            (jwe if encrypted else jws).read_header(part)
        except TokenError as error:
            faults.append(error)
    return header


def _judge_signature(alg: object, signature: bytes | None, faults: list[TokenError]) -> None:
    if isinstance(alg, str) and alg.lower() == "none":
        sentence = "The algorithm is `none`: nobody signed this, anybody may have written it."
        faults.append(TokenError("algorithm_not_allowed", sentence))
        return
    if signature is None:
        return
    wanted = _SIGNATURE_SIZES.get(alg) if isinstance(alg, str) else None
    if not signature:
        faults.append(TokenError("signature_invalid", "There is no signature."))
    elif wanted is not None and len(signature) != wanted:
        sentence = f"A signature by {alg} has {wanted} bytes, and this one has {len(signature)}: it was cut or changed."
        faults.append(TokenError("signature_invalid", sentence))


def _bytes(part: bytes, where: str, faults: list[TokenError]) -> bytes | None:
    """The bytes of a part, also where others would read it and we do not; None where nobody could."""
    try:
        return b64.decode(part)
    except TokenError:
        pass
    plain = part.rstrip(b"=").translate(_URLSAFE_TO_PLAIN)
    try:
        raw = a2b_base64(plain + b"=" * (-len(plain) % 4), strict_mode=True)
    except Error:
        faults.append(TokenError("token_malformed", f"The {where} is not base64url."))
        return None
    faults.append(TokenError("token_malformed", f"The {where} is base64url, but not in its one canonical spelling."))
    return raw


def _members(document: bytes, where: str, faults: list[TokenError]) -> Mapping[str, Any] | None:
    """The JSON object in `document`, read strictly or else as most would read it. Safe to be written as JSON."""
    try:
        return strictjson.parse(document)
    except TokenError as error:
        refusal = error
    twice: dict[str, None] = {}

    def collect(members: list[tuple[str, Any]]) -> dict[str, Any]:
        value: dict[str, Any] = {}
        for name, member in members:
            if name in value:
                twice[name] = None
            value[name] = member
        return value

    try:
        text = document.decode("utf-8-sig", "replace")
        value = json.loads(text, object_pairs_hook=collect, parse_constant=str, parse_float=_float, parse_int=_integer)
    except (ValueError, RecursionError):
        value = None
    faults += [
        TokenError(
            "token_malformed", f"The {where} holds `{name[:_NAME_MAX]}` twice; readers differ in what they take."
        )
        for name in list(twice)[:_NAMED_MOST]
    ]
    if not twice:
        faults.append(TokenError("token_malformed", f"In the {where}: {refusal.message}"))
    return value if isinstance(value, dict) and not _is_too_deep(value, 1) else None


def _float(digits: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) else digits[:_DIGITS_MOST]


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= _DIGITS_MOST else digits[:_DIGITS_MOST]


def _is_too_deep(value: object, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return depth > strictjson.MAX_DEPTH or any(_is_too_deep(member, depth + 1) for member in inner)


def _fits(value: object, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except (msgspec.ValidationError, OverflowError, UnicodeError):  # a lone surrogate is no text
        return False
    return True
