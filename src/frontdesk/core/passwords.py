"""What a password may be, and how dearly it is hashed. Pure: the hashing itself is `service.hashing`.

Rules (NIST SP 800-63B-4 section 3.1.1.2, OWASP ASVS 5.0 6.2): length and a block-list, nothing else. No
composition rules, no truncation, no case folding, no trimming: a trailing space is part of the password. One
code point counts as one character. The password is normalised to NFC, so that the same text typed on two
keyboards is the same password; nothing else about it changes before it is hashed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from frontdesk.errors import Refusal

MAX_CODE_POINTS: Final = 1024
MAX_BYTES: Final = 4096
"""Of the UTF-8 form, as sent and as normalised. Also bounds the normalisation, whose cost grows as a square."""

MIN_CODE_POINTS: Final = 15
MIN_CODE_POINTS_WITH_SECOND_FACTOR: Final = 8
_SHORTEST_WORD: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordPolicy:
    """What this deployment asks of a new password.

    `min_length` in code points: at least 15, or 8 where `second_factor` says that one is enforced for every
    sign-in with a password. `words` are the documented context words (ASVS 6.1.2): the names of the service, of
    the organisation, of its products. Anything weaker is refused when constructed (ValueError).
    """

    min_length: int = MIN_CODE_POINTS
    max_length: int = MAX_CODE_POINTS
    second_factor: bool = False
    words: tuple[str, ...] = ("frontdesk",)

    def __post_init__(self) -> None:
        floor = MIN_CODE_POINTS_WITH_SECOND_FACTOR if self.second_factor else MIN_CODE_POINTS
        if self.min_length < floor:
            raise ValueError(f"min_length must be at least {floor}, not {self.min_length}")
        if not max(64, self.min_length) <= self.max_length <= MAX_CODE_POINTS:
            raise ValueError(f"max_length must lie between 64 and {MAX_CODE_POINTS} and not under min_length")
        for word in self.words:
            if len(word) < _SHORTEST_WORD:
                raise ValueError(f"a context word has at least {_SHORTEST_WORD} characters, not {word!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordContext:
    """What an attacker knows of this one account: its address and, if the application has any, further words."""

    address: str = ""
    words: tuple[str, ...] = ()


def password_bytes(password: str) -> bytes | Refusal:
    """The octets to hash: UTF-8 of the NFC form, whole.

    Refused are text that has no UTF-8 form (lone surrogates: `body_invalid`) and text over the fixed limits
    (`password_too_long`). Every path, sign-up and sign-in, takes the octets from here.
    """
    try:
        sent = len(password.encode())
    except UnicodeEncodeError:
        return Refusal("body_invalid", "The password contains something that is not a character.")
    if sent > MAX_BYTES:
        return _too_long(MAX_CODE_POINTS)
    normalised = unicodedata.normalize("NFC", password)
    encoded = normalised.encode()
    if len(encoded) > MAX_BYTES or len(normalised) > MAX_CODE_POINTS:
        return _too_long(MAX_CODE_POINTS)
    return encoded


def check(password: str, policy: PasswordPolicy, context: PasswordContext, *, common: Container[str]) -> Refusal | None:
    """May `password` become the password of an account? None: yes.

    `common` is the block-list: the passwords that are tried first, each in the form of `folded`
    (`service.common_passwords`). Outcomes: `body_invalid`, `password_too_long`, `password_too_short`,
    `password_common`, `password_context`. For new passwords only, never at sign-in: a rule that is made stricter
    shuts nobody out.
    """
    encoded = password_bytes(password)
    if isinstance(encoded, Refusal):
        return encoded
    normalised = encoded.decode()
    if len(normalised) > policy.max_length:
        return _too_long(policy.max_length)
    if len(normalised) < policy.min_length:
        return Refusal(
            "password_too_short",
            f"A password has at least {policy.min_length} characters; a few words in a row will do.",
            {"min_length": policy.min_length},
        )
    text = folded(normalised)
    if text in common:
        return Refusal("password_common")
    if 2 * len(_without(text, _words(policy, context))) < policy.min_length:
        return Refusal("password_context")
    return None


def folded(text: str) -> str:
    """The form in which the block-list and context words compare, and nothing else does: case and NFC ignored.

    NIST compares whole passwords. Case is ignored because an attacker who tries `password` tries `Password` too;
    look-alikes are not folded, because whoever types them chose something else.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def _too_long(limit: int) -> Refusal:
    return Refusal(
        "password_too_long",
        f"A password has at most {limit} characters and {MAX_BYTES} bytes.",
        {"max_length": limit},
    )


def _words(policy: PasswordPolicy, context: PasswordContext) -> list[str]:
    """Every context word, folded, longest first: the lists, the address, and the parts of the address."""
    local, _, domain = context.address.rpartition("@")
    labels = domain.split(".")[:-1]
    parts = re.split(r"[^a-z0-9]", local.lower())
    words = {folded(word) for word in (*policy.words, *context.words, context.address, local, domain, *labels, *parts)}
    return sorted((word for word in words if len(word) >= _SHORTEST_WORD), key=len, reverse=True)


def _without(text: str, words: list[str]) -> str:
    """What an attacker who knows the words still has to guess: `text` with every word taken out.

    Less than half of the required length means that the password consists of these words. «Contains a word» would
    refuse good passphrases; «equals a word» would let `frontdesk-frontdesk!` pass.
    """
    for word in words:
        # NUL keeps what stands on both sides apart: nothing new may be read across the gap.
        text = text.replace(word, "\0")
    return text.replace("\0", "")


# --- what hashing costs -------------------------------------------------------------------------------------------

SALT_BYTES: Final = 16
TAG_BYTES: Final = 32

_FLOOR: Final = ((47104, 1), (19456, 2), (12288, 3))
"""Memory in KiB and passes: the weakest combinations of ASVS 5.0 appendix C for argon2id, each with one lane."""

_MAX_MEMORY_KIB: Final = 1 << 21
_MAX_PASSES: Final = 64
_MAX_LANES: Final = 64


def _within_ceiling(memory_kib: int, passes: int, lanes: int) -> bool:
    # Eight blocks of 1 KiB per lane are the least that argon2 can work with (RFC 9106 section 3.1).
    return 1 <= lanes <= _MAX_LANES and 1 <= passes <= _MAX_PASSES and 8 * lanes <= memory_kib <= _MAX_MEMORY_KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class HashParameters:
    """The cost of one argon2id hash: memory in KiB, passes over it, lanes (RFC 9106 section 3.1: m, t, p).

    Weaker than every row of ASVS 5.0 appendix C (46 MiB/1/1, 19 MiB/2/1, 12 MiB/3/1): ValueError. So is anything
    over 2 GiB, 64 passes or 64 lanes, which would let one sign-in stop the machine.
    """

    memory_kib: int = 65536
    passes: int = 3
    lanes: int = 4

    def __post_init__(self) -> None:
        if not _within_ceiling(self.memory_kib, self.passes, self.lanes):
            raise ValueError("argon2 parameters exceed 2 GiB of memory, 64 passes or 64 lanes, or are not positive")
        if not any(self.memory_kib >= memory and self.passes >= passes for memory, passes in _FLOOR):
            raise ValueError(
                f"argon2id with {self.memory_kib} KiB and {self.passes} passes is too weak; at least"
                " 47104 KiB and 1, 19456 KiB and 2, or 12288 KiB and 3 are needed"
            )


DEFAULT_PARAMETERS: Final = HashParameters()
"""RFC 9106 section 4, second recommended option."""

SMALL_PARAMETERS: Final = HashParameters(memory_kib=19456, passes=2, lanes=1)
"""For small machines: the ASVS minimum."""

PROFILES: Final = MappingProxyType({"default": DEFAULT_PARAMETERS, "small": SMALL_PARAMETERS})


@dataclass(frozen=True, slots=True)
class HashCost:
    """What a stored hash says about itself. Unlike `HashParameters` it may be weak: hashes grow old."""

    memory_kib: int
    passes: int
    lanes: int
    salt_bytes: int
    tag_bytes: int


_NUMBER: Final = r"(0|[1-9][0-9]{0,9})"
_PHC: Final = re.compile(
    rf"\$argon2id\$v=19\$m={_NUMBER},t={_NUMBER},p={_NUMBER}\$([A-Za-z0-9+/]{{11,86}})\$([A-Za-z0-9+/]{{22,86}})",
    re.ASCII,
)
_UNUSED_BITS: Final = MappingProxyType({0: "", 2: "AQgw", 3: "AEIMQUYcgkosw048"})
"""Digits in the last group of base64 → which last digits leave the unused bits at zero ("": any)."""


def parse_phc(phc: str) -> HashCost:
    """The parameters in an argon2id string of the PHC format: this version, this order, no extras. Else ValueError.

    Strict, since the parameters decide how much memory a verification takes: leading zeros, signs, padding,
    non-canonical base64 and parameters over the ceilings of `HashParameters` are refused.
    """
    match = _PHC.fullmatch(phc)
    if match is None:
        raise ValueError("not an argon2id hash in PHC form")
    memory, passes, lanes = (int(number) for number in match.group(1, 2, 3))
    if not _within_ceiling(memory, passes, lanes):
        raise ValueError("an argon2id hash with parameters that no desk would have made")
    return HashCost(memory, passes, lanes, _octets(match[4]), _octets(match[5]))


def needs_rehash(phc: str, parameters: HashParameters) -> bool:
    """Was `phc` made with other parameters, salt or tag size than would be used now? ValueError as `parse_phc`."""
    wanted = HashCost(parameters.memory_kib, parameters.passes, parameters.lanes, SALT_BYTES, TAG_BYTES)
    return parse_phc(phc) != wanted


def _octets(base64: str) -> int:
    """How many octets the unpadded base64 text stands for; ValueError unless it is their canonical form."""
    last_digits = _UNUSED_BITS.get(len(base64) % 4)
    if last_digits is None or (last_digits and base64[-1] not in last_digits):
        raise ValueError("an argon2id hash with malformed base64")
    return len(base64) * 3 // 4
