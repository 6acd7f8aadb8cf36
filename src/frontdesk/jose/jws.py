"""Compact JWS (RFC 7515): signatures over any bytes. `frontdesk.jose.jwt` builds on it and adds the policy.

What the header may say, by name (RFC 7515 §4.1, RFC 8725 §3.10):

- `alg` must be the algorithm of the key; `none` in any spelling is just an unknown name.
- `crit` is refused whatever it lists: no extension is understood here, and an empty list is an error by itself.
- `b64` (RFC 7797) is refused, also with a value of true. So are `zip` and `enc`, which belong to encryption.
- `jwk`, `jku`, `x5u`, `x5c`, `x5t`, `x5t#S256` are never used: keys come from the caller alone. Their type is
  checked and then they are ignored, as RFC 7515 §4 asks for parameters that an application does not use.
- Unknown parameters are ignored.

The JSON serialisations and JWE are refused. Nothing is decoded from the payload before the signature is good.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from frontdesk.errors import TokenError
from frontdesk.jose import b64, headers, strictjson
from frontdesk.jose.headers import MEMO_MAX, Header
from frontdesk.jose.jwk import KeySet
from frontdesk.jose.keys import ALGORITHMS, Key

TOKEN_MAX: Final = 16 * 1024

Resolver: TypeAlias = Callable[[str | None], Key | None]
"""Finds the key for a key id (None: the token names none). Its own exceptions pass through."""

Keys: TypeAlias = Key | KeySet | Resolver

_DOT: Final = ord(".")
_REFUSED: Final = ("crit", "b64", "zip", "enc")


@dataclass(frozen=True, slots=True)
class Jws:
    """A JWS whose signature was found good."""

    header: Header
    payload: bytes
    key: Key


def sign(payload: bytes, key: Key, *, typ: str | None = None) -> str:
    """The compact JWS of `payload`; its header holds `alg`, `kid` and, when given, `typ`.

    TokenError: `key_invalid` when the key may not sign, `token_oversize` when `verify` would refuse the size.
    """
    if not isinstance(key, Key):
        raise TypeError("the key is not a Key")
    if not isinstance(payload, bytes):
        raise TypeError("the payload is not bytes")
    if "sign" not in key.operations:
        raise TokenError("key_invalid", "The key may not sign: `key_ops` says so.")
    header = {"alg": key.alg, "kid": key.kid} if typ is None else {"alg": key.alg, "kid": key.kid, "typ": typ}
    signing_input = b64.encode(strictjson.serialise(header)) + b"." + b64.encode(payload)
    token = signing_input + b"." + b64.encode(key.sign(signing_input))
    if len(token) > TOKEN_MAX:
        raise TokenError("token_oversize", "The token would be larger than 16 KiB.")
    return token.decode("ascii")


def verify(token: str | bytes, keys: Keys) -> Jws:
    """The content of `token`, whose signature was made with one of `keys`.

    Says nothing about what the payload means; for a JWT call `frontdesk.jose.jwt.verify`. TokenError:
    `token_oversize`, `token_malformed`, `header_invalid`, `algorithm_not_allowed`, `key_unknown`, `key_invalid`,
    `signature_invalid`.
    """
    header, payload, key = authenticate(token, keys)
    return Jws(header, b64.decode(payload), key)


def authenticate(token: str | bytes, keys: Keys) -> tuple[Header, bytes, Key]:
    """Header, payload still in base64url, and key of a token whose signature is good. As `verify`."""
    # Only headers that came under a good signature are remembered, so a stranger cannot fill the memo.
    memo = getattr(keys, "known_headers", None)
    if memo is None and not callable(keys):
        raise TypeError("the keys are a Key, a KeySet or a resolver")
    whole = token if type(token) is bytes and len(token) <= TOKEN_MAX else as_bytes(token)
    signing_input, _, signature = whole.rpartition(b".")
    head, _, payload = signing_input.partition(b".")
    if len(head) == len(signing_input) or _DOT in payload:
        raise _wrong_parts(signing_input)
    known = memo.get(head) if memo else None
    key, header = known or _find(head, keys)
    if not key.verifies(signing_input, signature):
        raise TokenError("signature_invalid", "The signature is not good.")
    if known is None and memo is not None and len(memo) < MEMO_MAX:
        memo[head] = key, header
    return header, payload, key


def as_bytes(token: object) -> bytes:
    """The bytes of a token that is not too large. TokenError: `token_oversize`, `token_malformed`."""
    if not isinstance(token, str | bytes):
        raise TypeError("a token is str or bytes")
    if len(token) > TOKEN_MAX:
        raise TokenError("token_oversize", "The token is larger than 16 KiB.")
    try:
        return token.encode("ascii") if isinstance(token, str) else token
    except UnicodeError:
        raise TokenError("token_malformed", "A token consists of ASCII characters.") from None


def _wrong_parts(signing_input: bytes) -> TokenError:
    if signing_input.count(b".") == 3:
        return TokenError("token_malformed", "This is an encrypted token; a signed one was expected.")
    return TokenError("token_malformed", "A signed token has three parts.")


def _find(head: bytes, keys: Keys) -> tuple[Key, Header]:
    header = read_header(head)
    if header.alg not in ALGORITHMS:
        raise TokenError("algorithm_not_allowed", "The algorithm of the token is not one that is used here.")
    key = key_for(header, keys)
    if key is None:
        raise TokenError("key_unknown", "No key answers to the key id of the token.")
    if not key.accepts(header.alg):
        raise TokenError("algorithm_not_allowed", "The algorithm of the token is not the one of the key.")
    if "verify" not in key.operations:
        raise TokenError("key_invalid", "The key may not verify: `key_ops` says so.")
    return key, header


def key_for(header: Header, keys: Keys) -> Key | None:
    """The one of `keys` that a token with this header is checked with."""
    if isinstance(keys, KeySet):
        return keys.find(header.kid, header.alg)
    if isinstance(keys, Key):
        # A key without a token's key id is found; a token that names another key is not for this one.
        return keys if header.kid is None or header.kid == keys.kid else None
    if not callable(keys):
        raise TypeError("the keys are a Key, a KeySet or a resolver")
    key = keys(header.kid)
    if key is not None and not isinstance(key, Key):
        raise TypeError("a resolver returns a Key or None")
    return key


def read_header(head: bytes) -> Header:
    """The header in base64url `head`, checked but NOT authentic: good for finding a key and nothing else."""
    return headers.read(head, refused=_REFUSED)
