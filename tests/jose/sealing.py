"""Encrypted tokens for these tests, well formed and otherwise, under keys that are made once."""

from __future__ import annotations

import hashlib
import itertools
import json
from datetime import timedelta
from functools import cache
from typing import Any, Final

from frontdesk.jose import b64, jwe, jwt
from frontdesk.jose.content import CONTENTS
from frontdesk.jose.encryption_jwk import (
    DirectKey,
    EcAgreementKey,
    EncryptionKey,
    RsaEncryptionKey,
    WrapKey,
    X25519Key,
)
from tests.jose.minting import AUDIENCE, ISSUER, NOW, attempted

_AGREEMENTS: Final = ("ECDH-ES", "ECDH-ES+A256KW")
_CURVES: Final = ("P-256", "P-384", "P-521", "X25519")
DIRECT: Final = tuple(f"dir {enc}" for enc in CONTENTS)
SECRET_KINDS: Final = (*DIRECT, "A256KW")
PUBLIC_KINDS: Final = (*(f"{alg} {crv}" for alg in _AGREEMENTS for crv in _CURVES), "RSA-OAEP-256")
KINDS: Final = SECRET_KINDS + PUBLIC_KINDS
"""An algorithm, with the content encryption or the curve where there is a choice; the names of keys of these tests."""

_count = itertools.count()


def random(size: int) -> bytes:
    """Bytes that never come twice in a run, and are the same in every run."""
    return hashlib.shake_256(b"random %d" % next(_count)).digest(size)


@cache
def key(kind: str) -> EncryptionKey:
    """The private key of these tests for a kind; its key id is the name of the kind."""
    alg, _, choice = kind.partition(" ")
    if alg == "dir":
        return DirectKey(random(CONTENTS[choice].key_size), enc=choice, kid=kind)
    if alg == "A256KW":
        return WrapKey(random(32), kid=kind)
    if alg == "RSA-OAEP-256":
        return RsaEncryptionKey.generate(bits=2048, kid=kind)
    if choice == "X25519":
        return X25519Key.generate(alg=alg, kid=kind)
    return EcAgreementKey.generate(alg=alg, crv=choice, kid=kind)


def sender(kind: str) -> EncryptionKey:
    """What a sender holds: the public key where there is one."""
    return key(kind).public() if kind in PUBLIC_KINDS else key(kind)


def encs(kind: str) -> tuple[str, ...]:
    """The content encryptions that go with a kind."""
    return (kind.split()[1],) if kind in DIRECT else tuple(CONTENTS)


def seal(plaintext: bytes, kind: str, enc: str | None = None, **arguments: Any) -> str:
    """A good token."""
    enc = enc or encs(kind)[-1 if kind in DIRECT else 1]
    owner = sender(kind)
    return jwe.encrypt(plaintext, owner, random=random(jwe.random_size(owner, enc)), enc=enc, **arguments)


def craft(header: object, plaintext: bytes = b"x", kind: str = "dir A256GCM", encrypted_key: bytes = b"") -> bytes:
    """A token with any header (bytes as they are, other values as JSON) and an authentic content under a `dir` key."""
    head = b64.encode(header if isinstance(header, bytes) else json.dumps(header).encode())
    content = CONTENTS[kind.split()[1]]
    iv = random(content.iv_size)
    sealing = key(kind).sealing(content, b"", (b"", b""))
    ciphertext, tag = sealing.cipher.seal(iv, plaintext, head)
    return b".".join((head, *map(b64.encode, (encrypted_key, iv, ciphertext, tag))))


def refusal(token: Any, keys: Any, enc: Any = tuple(CONTENTS)) -> str:
    """The code with which `jwe.decrypt` refuses a token, or "accepted"."""
    return attempted(lambda: jwe.decrypt(token, keys, enc=enc))[1]


def decrypt(token: str | bytes, keys: Any, **policy: Any) -> jwt.Claims:
    """`jwt.decrypt` with the policy of these tests, parts of it replaced."""
    standard = {"issuer": ISSUER, "audience": AUDIENCE, "typ": "at+jwt", "now": NOW, "leeway": timedelta(0)}
    return jwt.decrypt(token, keys, **{**standard, **policy})
