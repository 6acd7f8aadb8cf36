"""The codes of `TokenError`: stable, so that a caller may branch on them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

TOKEN_CODES: Final[Mapping[str, str]] = MappingProxyType(
    {
        # Before any key is used
        "token_oversize": "The token exceeds 16 KiB (encrypted: 64 KiB) or its header 4 KiB; it was not looked at.",
        "token_malformed": "This is no compact JWS or JWE, as expected: parts, base64url or JSON break the rules.",
        "header_invalid": "A header parameter has the wrong type or asks for what is not done here.",
        "algorithm_not_allowed": "The algorithm is `none`, unknown, or not the one of the key.",
        "key_unknown": "No key answers to the key id of the token.",
        # Keys
        "key_invalid": "The key is weak, broken, contradicts itself or may not be used so.",
        # After the key was found
        "signature_invalid": "The signature is not one that this key made over these bytes.",
        "decryption_failed": "The token was not encrypted for this key, or was changed. Which of them is never said.",
        # After the signature was found good or the content was decrypted, in this order
        "claim_missing": "A required claim is absent.",
        "claim_invalid": "A claim has the wrong type or lies outside its range.",
        "type_mismatch": "The token is of another type (`typ`) than the one expected.",
        "issuer_mismatch": "The token was issued by somebody else.",
        "audience_mismatch": "The token was issued for somebody else.",
        "token_not_yet_valid": "The token begins to be valid, or was issued, in the future.",
        "token_expired": "The token is authentic and meant for us, and its time is over. Always decided last.",
    }
)
"""Code → meaning."""
