"""Every case of Wycheproof's `json_web_signature_test.json` is decided, and as it should be.

Exceptions, each with its reason; everything else must match.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from frontdesk.errors import TokenError
from frontdesk.jose import b64, jwk, jws

# Marked invalid, and byte for byte the token and key of the valid case 357.
SAME_AS_A_VALID_CASE = {367, 370}
# Marked valid although a `?` stands inside their base64url (RFC 7515 §2 allows no such byte).
NOT_BASE64URL = {372, 373}
# Marked valid although the `alg` of the key contradicts the one of the header (RFC 7517 §4.4, RFC 8725 §3.1).
ALG_OF_THE_KEY_CONTRADICTS = {346, 347, 350, 351}
# Algorithms that are not offered: their cases say nothing about us, but each must be refused.
UNSUPPORTED = {"RS384", "RS512", "PS384", "PS512", "ES512"}


def _algorithm(token: str) -> str:
    """What the header says, so that a key without `alg` can be built for it; "" where nothing can be read."""
    try:
        return str(json.loads(b64.decode(token.partition(".")[0].encode())).get("alg", ""))
    except (TokenError, ValueError):
        return ""


def _outcome(group: dict[str, Any], token: str) -> str:
    document = group["public" if "public" in group else "private"]
    try:
        key = jwk.from_jwk(document, alg=None if "alg" in document else _algorithm(token))
        jws.verify(token, key)
    except TokenError:
        return "invalid"
    return "valid"


def _expected(case: dict[str, Any], token: str) -> str:
    if case["tcId"] in SAME_AS_A_VALID_CASE:
        return "valid"
    if case["tcId"] in NOT_BASE64URL | ALG_OF_THE_KEY_CONTRADICTS or _algorithm(token) in UNSUPPORTED:
        return "invalid"
    return str(case["result"])


def test_every_case_is_decided_as_it_should_be(vectors: Path) -> None:
    document = json.loads((vectors / "wycheproof/json_web_signature_test.json").read_text())
    wrong: list[tuple[int, str]] = []
    decided: Counter[str] = Counter()
    for group in document["testGroups"]:
        for case in group["tests"]:
            token = case["jws"] if isinstance(case["jws"], str) else json.dumps(case["jws"])
            outcome = _outcome(group, token)
            decided["unsupported" if _algorithm(token) in UNSUPPORTED else outcome] += 1
            if outcome != _expected(case, token):
                wrong.append((case["tcId"], case["comment"]))
    assert wrong == []
    assert sum(decided.values()) == document["numberOfTests"] == 401
    assert decided["valid"] > 20
    assert decided["unsupported"] == 31
    assert decided["invalid"] > 300
