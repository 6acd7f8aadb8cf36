"""Keys that look right and are not: each check raises TokenError(`key_invalid`) or returns nothing."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

from frontdesk.errors import TokenError

RSA_BITS_MIN: Final = 2048
RSA_BITS_MAX: Final = 8192  # beyond it one verification costs a server more than a request may

_SSH_NAMES: Final = (b"ssh-", b"ecdsa-sha2-", b"sk-ssh-", b"sk-ecdsa-")


def _roca_residues() -> tuple[tuple[int, frozenset[int]], ...]:
    """For each small prime p the residues that powers of 65537 take modulo p."""
    primes = [p for p in range(3, 168) if all(p % divisor for divisor in range(2, p))]
    return tuple((p, frozenset(pow(65537, exponent, p) for exponent in range(p - 1))) for p in primes)


_ROCA: Final = _roca_residues()


def refuse_weak_rsa(modulus: int, exponent: int) -> None:
    """RSA below 2048 bits, an even or tiny exponent, an even modulus, and the ROCA family.

    ROCA (CVE-2017-15361, «The Return of Coppersmith's Attack», CCS 2017): Infineon chips made primes of the
    form k·M + 65537^a mod M, so their moduli are powers of 65537 modulo every small prime. A sound modulus is
    so for all 38 primes up to 167 with a probability below 2^-27.
    """
    if not RSA_BITS_MIN <= modulus.bit_length() <= RSA_BITS_MAX:
        raise TokenError("key_invalid", f"An RSA key has {RSA_BITS_MIN} to {RSA_BITS_MAX} bits.")
    if not 3 <= exponent < 2**32 or exponent % 2 == 0 or modulus % 2 == 0:
        raise TokenError("key_invalid", "An RSA exponent is odd, at least 3 and below 2^32; a modulus is odd.")
    if all(modulus % prime in residues for prime, residues in _ROCA):
        raise TokenError("key_invalid", "This RSA key comes from a broken generator (ROCA).")


def refuse_public_looking_secret(secret: bytes) -> None:
    """A secret that is a key file or a public key in any usual form (CVE-2015-9235, CVE-2022-29217).

    Whoever verifies HS256 with the bytes of a public key accepts tokens from everybody. The DER and point
    forms are recognised by parsing them, so that a random secret is never refused by accident.
    """
    text = secret.strip()
    looks_textual = (
        b"-----BEGIN" in text
        or b"---- BEGIN" in text
        or text.startswith(_SSH_NAMES)
        or (text.startswith((b"{", b"[")) and (b'"kty"' in text or b'"keys"' in text))
    )
    if looks_textual or _is_ssh_blob(secret) or _is_point(secret) or _is_der(secret) or _is_base64_der(text):
        raise TokenError("key_invalid", "This secret is a key file or a public key; it is no secret.")


def _is_ssh_blob(secret: bytes) -> bool:
    length = int.from_bytes(secret[:4], "big")
    return length < 64 and secret[4:].startswith(_SSH_NAMES)


def _is_point(secret: bytes) -> bool:
    """An uncompressed point of P-256, P-384 or P-521."""
    curves: dict[int, ec.EllipticCurve] = {65: ec.SECP256R1(), 97: ec.SECP384R1(), 133: ec.SECP521R1()}
    curve = curves.get(len(secret))
    if curve is None or secret[0] != 4:
        return False
    return _parses(lambda data: ec.EllipticCurvePublicKey.from_encoded_point(curve, data), secret)


def _is_der(secret: bytes) -> bool:
    """SubjectPublicKeyInfo, PKCS#1, a certificate, or a private key without a passphrase."""
    if not secret.startswith(b"\x30"):
        return False
    loaders: tuple[Callable[[bytes], object], ...] = (
        load_der_public_key,
        x509.load_der_x509_certificate,
        lambda data: load_der_private_key(data, None),
    )
    return any(_parses(loader, secret) for loader in loaders)


def _is_base64_der(text: bytes) -> bool:
    """The inside of a PEM file, which begins with `M` because DER begins with 0x30."""
    if not text.startswith(b"M"):
        return False
    try:
        return _is_der(base64.b64decode(b"".join(text.split()), altchars=b"-_" if b"-" in text else None))
    except (binascii.Error, ValueError):
        return False


def _parses(loader: Callable[[bytes], object], data: bytes) -> bool:
    try:
        loader(data)
    except Exception:  # noqa: BLE001 - whatever a parser says against it, it is not this kind of key
        return False
    return True


_P: Final = 2**255 - 19
_D: Final = -121665 * pow(121666, -1, _P) % _P


def refuse_bad_ed25519_point(encoded: bytes) -> None:
    """A public key that is no point of the curve, is not canonical, or has a small order (RFC 8032 §5.1.3).

    OpenSSL loads any 32 bytes. A key of small order verifies signatures that nobody made.
    """
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    y2 = y * y % _P
    x2 = (y2 - 1) * pow(_D * y2 + 1, -1, _P) % _P
    on_curve = y < _P and (x2 == 0 or pow(x2, (_P - 1) // 2, _P) == 1) and not (x2 == 0 and sign)
    if not on_curve or _has_small_order(x2, y):
        raise TokenError("key_invalid", "This Ed25519 key is not a sound point of the curve.")


def _has_small_order(x2: int, y: int) -> bool:
    """Whether doubling (±x, y) three times gives the neutral element; only x² is needed."""
    for _ in range(3):
        product = _D * x2 * y * y % _P
        denominator_x, denominator_y = pow(1 + product, -1, _P), pow(1 - product, -1, _P)
        x2, y = 4 * x2 * y * y * denominator_x**2 % _P, (y * y + x2) * denominator_y % _P
    return x2 == 0 and y == 1


# The u-coordinates of the points of order 1, 2, 4 and 8 on Curve25519 and its twist (RFC 7748 §6.1).
_SMALL_X25519: Final = frozenset(
    {
        0,
        1,
        _P - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    }
)


def refuse_bad_x25519_point(encoded: bytes) -> None:
    """A public key with which everybody agrees on the same secret: zero. Other points are all usable (RFC 7748)."""
    if (int.from_bytes(encoded, "little") & (2**255 - 1)) % _P in _SMALL_X25519:
        raise TokenError("key_invalid", "This X25519 key has a small order.")
