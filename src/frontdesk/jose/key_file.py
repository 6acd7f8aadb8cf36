"""Keys from a file that a person names: a JWK, a JWK Set, one PEM block, or a bare secret.

What the file is decides the kind of key. The token only chooses where the file leaves a choice (RS256 or PS256 for
an RSA key without `alg`, the hash for a secret), so a public key never becomes a secret (RFC 8725 §3.1). A key
without id answers to the one that the token names: it was named for this token.

Refusals are TokenErrors as in `jwk`, `encryption_jwk` and `pem`.
"""

from __future__ import annotations

from typing import Final

from frontdesk.errors import TokenError
from frontdesk.jose import encryption_jwk, jwk, members, pem
from frontdesk.jose.encryption_jwk import EncryptionKeySet
from frontdesk.jose.encryption_keys import ENCRYPTION_ALGORITHMS, DirectKey, EncryptionKey, WrapKey
from frontdesk.jose.jwk import KeySet
from frontdesk.jose.keys import ALGORITHMS, Key, OctKey

KEY_FILE_MAX: Final = members.JWKS_MAX


def signature_keys(content: bytes, *, alg: str, kid: str | None) -> Key | KeySet:
    """What a token whose header says `alg` and `kid` is verified with."""
    text = content.strip()
    wanted = alg if alg in ALGORITHMS else None
    if _is_pem(text):
        if wanted in OctKey.algorithms:
            raise TokenError(
                "algorithm_not_allowed", f"The token says {alg}, which takes a secret, and the key is a PEM."
            )
        return pem.signature_key(text, alg=wanted, kid=kid)
    if text.startswith(b"{"):
        found = members.document(text, members.JWKS_MAX)
        if "keys" in found:
            return KeySet.from_jwks(found, alg=wanted)
        return jwk.from_jwk(found, alg=None if "alg" in found else wanted, kid=kid)
    if wanted not in OctKey.algorithms:
        raise TokenError("algorithm_not_allowed", f"The token says {alg[:20]}, which takes a key in JWK or PEM.")
    return OctKey(_secret(content), alg=alg, kid=kid)


def encryption_keys(content: bytes, *, alg: str, enc: str, kid: str | None) -> EncryptionKey | EncryptionKeySet:
    """What a token whose header says `alg`, `enc` and `kid` is opened with."""
    text = content.strip()
    wanted = alg if alg in ENCRYPTION_ALGORITHMS else None
    if _is_pem(text):
        return pem.encryption_key(text, alg=wanted, kid=kid)
    if text.startswith(b"{"):
        found = members.document(text, members.JWKS_MAX)
        # The `alg` of a key for `dir` is the name of its content encryption.
        named = enc if wanted == "dir" else wanted
        if "keys" in found:
            return EncryptionKeySet.from_jwks(found, alg=named)
        return encryption_jwk.from_jwk(found, alg=None if found.get("alg", "dir") != "dir" else named, kid=kid)
    if wanted == "dir":
        return DirectKey(_secret(content), enc=enc, kid=kid)
    if wanted in WrapKey.algorithms:
        return WrapKey(_secret(content), kid=kid)
    raise TokenError("algorithm_not_allowed", f"The token says {alg[:20]}, which takes a key in JWK or PEM.")


def _is_pem(text: bytes) -> bool:
    return text.startswith(b"-----BEGIN")


def _secret(content: bytes) -> bytes:
    """The bytes of a bare secret; the line end behind a text is the editor's."""
    is_text = content.isascii() and content.decode("ascii").rstrip("\r\n").isprintable()
    return content.rstrip(b"\r\n") if is_text else content
