"""Compact JWE (RFC 7516): encryption of any bytes. `frontdesk.jose.jwt` builds on it and adds the policy.

What the header may say, by name (RFC 7516 §4.1, RFC 7518 §4):

- `alg` must be the algorithm of the key, `enc` one that the call lists and that goes with the key.
- `zip`, `crit` and `b64` are refused whatever they hold: nothing is compressed, no extension is understood.
- `epk` must be a sound public key on the curve of the key; `apu` and `apv` enter the derivation of the key.
- `p2s`, `p2c`, `iv` and `tag` belong to algorithms that are not offered. Their types are checked and then they are
  ignored: no work is ever done because a number in a header asks for it.
- The others are treated as `frontdesk.jose.jws` treats them.

Everything that goes wrong behind the header (an encrypted key that does not unwrap, a length, a tag, a padding) is
one refusal, `decryption_failed`, and takes the same way: an unusable content key is replaced by a decoy, whose
result is thrown away (RFC 7516 §11.5). The JSON serialisations and JWS are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from frontdesk.errors import TokenError
from frontdesk.jose import b64, headers, strictjson
from frontdesk.jose.content import CONTENTS, Content
from frontdesk.jose.encryption_jwk import EncryptionKeySet
from frontdesk.jose.encryption_keys import ENCRYPTION_ALGORITHMS, EncryptionKey
from frontdesk.jose.headers import HEADER_MAX, MEMO_MAX, Header

TOKEN_MAX: Final = 64 * 1024

Resolver: TypeAlias = Callable[[str | None], EncryptionKey | None]
"""Finds the key for a key id (None: the token names none). Its own exceptions pass through."""

Keys: TypeAlias = EncryptionKey | EncryptionKeySet | Resolver

_REFUSED: Final = ("crit", "b64", "zip")
_STRINGS: Final = ("enc", "p2s", "iv", "tag")
_BASE64: Final = ("apu", "apv")


@dataclass(frozen=True, slots=True)
class Jwe:
    """A JWE whose content was found authentic. With an asymmetric key anybody may have written it."""

    header: Header
    enc: str
    plaintext: bytes
    key: EncryptionKey


def random_size(key: EncryptionKey, enc: str = "A256GCM") -> int:
    """How many random bytes `encrypt` takes: the content key or what an ephemeral key is made of, and the IV."""
    if not isinstance(key, EncryptionKey):
        raise TypeError("the key is not an EncryptionKey")
    content = _offered(enc)
    return key.random_size(content) + content.iv_size


def encrypt(
    plaintext: bytes,
    key: EncryptionKey,
    *,
    random: bytes,
    enc: str = "A256GCM",
    typ: str | None = None,
    cty: str | None = None,
    apu: bytes = b"",
    apv: bytes = b"",
) -> str:
    """The compact JWE of `plaintext`; its header holds `alg`, `kid`, `enc` and, when given, `typ` and `cty`.

    `random` are `random_size(key, enc)` bytes from a cryptographic source, never used before or again: whoever
    repeats them under one key gives the plaintexts away. `apu` and `apv` name the parties for ECDH-ES.

    TokenError: `key_invalid` when the key may not encrypt, `algorithm_not_allowed` when `enc` does not go with it,
    `token_oversize` when `decrypt` would refuse the size. ValueError for the wrong number of random bytes.
    """
    if not all(isinstance(argument, bytes) for argument in (plaintext, random, apu, apv)):
        raise TypeError("plaintext, random, apu and apv are bytes")
    if not all(text is None or isinstance(text, str) for text in (typ, cty)):
        raise TypeError("typ and cty are strings or None")
    size = random_size(key, enc)
    if len(random) != size:
        raise ValueError(f"encrypting takes {size} random bytes")
    if key.operations.isdisjoint(key.sealing_operations):
        raise TokenError("key_invalid", "The key may not encrypt: `key_ops` says so.")
    if not key.takes(enc):
        raise TokenError("algorithm_not_allowed", "The key is for another content encryption.")
    content = CONTENTS[enc]
    sealing = key.sealing(content, random[content.iv_size :], (apu, apv))
    members: dict[str, Any] = {"alg": key.alg, "kid": key.kid, **sealing.members, "enc": enc}
    members |= {name: text for name, text in (("typ", typ), ("cty", cty)) if text is not None}
    head = b64.encode(strictjson.serialise(members))
    iv = random[: content.iv_size]
    ciphertext, tag = sealing.cipher.seal(iv, plaintext, head)
    token = b".".join((head, *map(b64.encode, (sealing.encrypted_key, iv, ciphertext, tag))))
    if len(head) > HEADER_MAX or len(token) > TOKEN_MAX:
        raise TokenError("token_oversize", "The token would be larger than 64 KiB or its header than 4 KiB.")
    return token.decode("ascii")


def decrypt(token: str | bytes, keys: Keys, *, enc: str | Collection[str] = "A256GCM") -> Jwe:
    """The content of `token`, which one of `keys` opens and whose content encryption is (one of) `enc`.

    Says nothing about what the plaintext means; for a JWT call `frontdesk.jose.jwt.decrypt`. TokenError:
    `token_oversize`, `token_malformed`, `header_invalid`, `algorithm_not_allowed`, `key_unknown`, `key_invalid`,
    `decryption_failed`.
    """
    header, content, plaintext, key = unseal(token, keys, enc)
    return Jwe(header, content.name, plaintext, key)


def unseal(token: str | bytes, keys: Keys, enc: str | Collection[str]) -> tuple[Header, Content, bytes, EncryptionKey]:
    """Header, content encryption, plaintext and key of a token that could be decrypted. As `decrypt`."""
    # Only headers that came with an authentic content are remembered, so a stranger cannot fill the memo.
    memo = getattr(keys, "opened_headers", None)
    if memo is None and not callable(keys):
        raise TypeError("the keys are an EncryptionKey, an EncryptionKeySet or a resolver")
    if not isinstance(enc, str) or enc not in CONTENTS:
        _refuse_bad_list(enc)
    whole = token if type(token) is bytes and len(token) <= TOKEN_MAX else as_bytes(token)
    parts = whole.split(b".", 5)
    if len(parts) != 5:
        raise _wrong_parts(len(parts))
    head, encrypted_key, iv, ciphertext, tag = parts
    known = memo.get(head) if memo else None
    key, header = known or _find(head, keys)
    content = _allowed(header, key, enc)
    wrapped = encrypted_key and b64.decode(encrypted_key)  # none with `dir`
    iv, ciphertext, tag = b64.decode(iv), b64.decode(ciphertext), b64.decode(tag)
    cipher = key.opening(header, wrapped, content)
    plaintext = (cipher or content.decoy).open(iv, ciphertext, tag, head)
    if cipher is None or plaintext is None:
        raise TokenError("decryption_failed", "The token cannot be decrypted with this key.")
    # A header with an ephemeral key never comes again.
    if known is None and memo is not None and len(memo) < MEMO_MAX and "epk" not in header.members:
        memo[head] = key, header
    return header, content, plaintext, key


def as_bytes(token: object) -> bytes:
    """The bytes of a token that is not too large. TokenError: `token_oversize`, `token_malformed`."""
    if not isinstance(token, str | bytes):
        raise TypeError("a token is str or bytes")
    if len(token) > TOKEN_MAX:
        raise TokenError("token_oversize", "The token is larger than 64 KiB.")
    try:
        return token.encode("ascii") if isinstance(token, str) else token
    except UnicodeError:
        raise TokenError("token_malformed", "A token consists of ASCII characters.") from None


def _wrong_parts(count: int) -> TokenError:
    if count == 3:
        return TokenError("token_malformed", "This is a signed token; an encrypted one was expected.")
    return TokenError("token_malformed", "An encrypted token has five parts.")


def _offered(enc: str) -> Content:
    if not isinstance(enc, str):
        raise TypeError("enc is the name of a content encryption")
    content = CONTENTS.get(enc)
    if content is None:
        raise ValueError(f"the content encryptions are {', '.join(CONTENTS)}")
    return content


def _refuse_bad_list(enc: object) -> None:
    names = (enc,) if isinstance(enc, str) else enc
    if not isinstance(names, Collection) or isinstance(names, bytes | bytearray):
        raise TypeError("enc is the name of a content encryption or a collection of them")
    if not names:
        raise ValueError("enc is not empty")
    for name in names:
        _offered(name)


def _allowed(header: Header, key: EncryptionKey, enc: str | Collection[str]) -> Content:
    named: str = header.members["enc"]
    if not is_listed(header, enc) or not key.takes(named):
        raise TokenError("algorithm_not_allowed", "The content encryption of the token is not one that is allowed.")
    return CONTENTS[named]


def is_listed(header: Header, enc: str | Collection[str]) -> bool:
    """Whether the content encryption of the header is (one of) `enc`."""
    named = header.members["enc"]
    return named == enc if isinstance(enc, str) else named in enc


def _find(head: bytes, keys: Keys) -> tuple[EncryptionKey, Header]:
    header = read_header(head)
    if header.alg not in ENCRYPTION_ALGORITHMS:
        raise TokenError("algorithm_not_allowed", "The algorithm of the token is not one that is used here.")
    key = key_for(header, keys)
    if key is None:
        raise TokenError("key_unknown", "No key answers to the key id of the token.")
    if not key.accepts(header.alg):
        raise TokenError("algorithm_not_allowed", "The algorithm of the token is not the one of the key.")
    if key.operations.isdisjoint(key.opening_operations):
        raise TokenError("key_invalid", "The key may not decrypt: `key_ops` says so.")
    return key, header


def key_for(header: Header, keys: Keys) -> EncryptionKey | None:
    """The one of `keys` that a token with this header is opened with."""
    if isinstance(keys, EncryptionKey):
        # A key without a token's key id is found; a token that names another key is not for this one.
        return keys if header.kid is None or header.kid == keys.kid else None
    if isinstance(keys, EncryptionKeySet):
        return keys.find(header.kid, header.alg)
    if not callable(keys):
        raise TypeError("the keys are an EncryptionKey, an EncryptionKeySet or a resolver")
    key = keys(header.kid)
    if key is not None and not isinstance(key, EncryptionKey):
        raise TypeError("a resolver returns an EncryptionKey or None")
    return key


def read_header(head: bytes) -> Header:
    """The header in base64url `head`, checked but NOT authentic: good for finding a key and nothing else."""
    header = headers.read(head, refused=_REFUSED)
    members = header.members
    for name in _STRINGS:
        if name in members and not isinstance(members[name], str):
            raise TokenError("header_invalid", f"The header parameter `{name}` is not a string.")
    if "enc" not in members:
        raise TokenError("header_invalid", "The header names no content encryption; this is no encrypted token.")
    if not isinstance(members.get("epk", {}), dict):
        raise TokenError("header_invalid", "The header parameter `epk` is not an object.")
    count = members.get("p2c", 1)
    if type(count) is not int or count < 1:
        raise TokenError("header_invalid", "The header parameter `p2c` is not a positive integer.")
    for name in _BASE64:
        value = members.get(name, "")
        if not isinstance(value, str) or not value.isascii():
            raise TokenError("header_invalid", f"The header parameter `{name}` is not base64url.")
        b64.decode(value.encode("ascii"), code="header_invalid")
    return header
