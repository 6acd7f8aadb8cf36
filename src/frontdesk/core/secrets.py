"""Whether a secret that somebody configured was drawn at random: what was typed is guessed (RFC 8725 §3.5)."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import Final

from frontdesk.errors import ConfigurationError

MIN_SECRET_BYTES: Final = 32
MAKES_ONE: Final = 'python3 -c "import secrets; print(secrets.token_urlsafe(32))"'
"""The command that prints a new secret."""
HOW_TO_MAKE_ONE: Final = f"make one with `{MAKES_ONE}`"
_SAMPLES: Final = (
    *("changeme", "changethis", "secret", "password", "example", "insecure", "0123456789abcdef"),
    *("qwertyuiop", "asdfghjkl", "zxcvbnm"),
)
_FEWEST: Final = 12
"""Different characters, below which a secret was typed and not drawn."""
_FEWEST_HEX: Final = 8
"""Of the sixteen that a secret in hexadecimal has; 32 random digits have fewer less than once in a million."""


def check_secret(secret: str | bytes) -> bytes:
    """The bytes of a secret that is fit for use; ConfigurationError, which does not hold it, when it is weak."""
    raw = secret.encode() if isinstance(secret, str) else bytes(secret)
    if len(raw) < MIN_SECRET_BYTES:
        raise ConfigurationError(
            f"the secret has {len(raw)} bytes and needs at least {MIN_SECRET_BYTES}: {HOW_TO_MAKE_ONE}"
        )
    if _is_sample(raw):
        raise ConfigurationError(f"the secret is a sample value: {HOW_TO_MAKE_ONE}")
    if _repeats(raw) or _repeats(_steps(raw)) or _too_few(raw) or _entropy_bits(raw) < 80:
        raise ConfigurationError(f"the secret repeats itself and could be guessed: {HOW_TO_MAKE_ONE}")
    return raw


def _is_sample(raw: bytes) -> bool:
    """Whether little but punctuation is left when the words of sample values are taken out, however they are joined."""
    joined = rest = raw.lower().translate(None, b"-_")
    for sample in _SAMPLES:
        rest = rest.replace(sample.encode(), b"")
    return len(rest) < len(joined) and sum(chr(byte).isalnum() for byte in rest) < MIN_SECRET_BYTES * 3 // 4


def _repeats(raw: bytes) -> bool:
    """Whether half of what follows could be told from what went before: a period, a run, one key held down.

    Sequences of four are counted. A generator's output of this length has hardly any twice.
    """
    return len({raw[start : start + 4] for start in range(len(raw) - 3)}) <= len(raw) // 2


def _steps(raw: bytes) -> bytes:
    """From each byte to the next: "abcd" and "2468" are runs of one step."""
    return bytes((after - before) % 256 for before, after in pairwise(raw))


def _too_few(raw: bytes) -> bool:
    symbols = set(raw.lower()) - set(b"-_")
    hexadecimal = symbols <= set(b"0123456789abcdef") and bool(symbols & set(b"abcdef"))
    return len(symbols) < (_FEWEST_HEX if hexadecimal else _FEWEST)


def _entropy_bits(raw: bytes) -> float:
    """Shannon entropy of the byte counts, times the length: an upper bound of what repetition leaves over."""
    total = len(raw)
    per_byte = -sum(count / total * math.log2(count / total) for count in Counter(raw).values())
    return per_byte * total
