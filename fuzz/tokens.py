"""Tokens from mutated bytes, read by us, PyJWT and joserfc; `tests/jose/differences.py` judges.

The first byte chooses: the token as it is, its payload signed, its header signed, or both. So the fuzzer also gets
behind the signature. What it finds is printed with the token and ends the run with a status that is not 0.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["frontdesk.jose"]):
    from tests.jose import differences
from frontdesk.jose import b64
from tests.jose.minting import CLAIMS

SECONDS = 60
_HEAD = b'{"alg":"HS256","kid":"HS256","typ":"at+jwt"}'
_SEEDS = (
    b'\x01{"iss":"https://desk.example","aud":"https://api.example","exp":1790000900,"x":[1.5e3,null]}',
    b'\x02{"alg":"HS256","kid":"HS256","typ":"at+jwt","jwk":{},"x5c":["MIIB"]}',
    b"\x03" + _HEAD + b"\n" + b'{"iss":"https://desk.example","aud":["https://api.example"],"exp":1790000900}',
)


def token_of(data: bytes) -> bytes:
    """The token that some bytes of the fuzzer stand for."""
    choice, rest = data[:1], data[1:]
    payload = b'{"iss":"https://desk.example","aud":"https://api.example","exp":%d}' % int(str(CLAIMS["exp"]))
    if choice == b"\x01":
        return differences.signed(b64.encode(_HEAD), b64.encode(rest))
    if choice == b"\x02":
        return differences.signed(b64.encode(rest), b64.encode(payload))
    if choice == b"\x03":
        head, _, body = rest.partition(b"\n")
        return differences.signed(b64.encode(head), b64.encode(body))
    if choice == b"\x04":
        return differences.signed(*rest.partition(b".")[::2])
    return data


def judge(data: bytes) -> None:
    differences.judge(token_of(data))


def main() -> None:
    corpus = Path(".fuzz/tokens")
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(_SEEDS):
        (corpus / f"seed-{number}").write_bytes(seed)
    seconds = sys.argv[1] if len(sys.argv) > 1 else str(SECONDS)
    options = [f"-max_total_time={int(seconds)}", "-max_len=4096", "-timeout=10", "-artifact_prefix=.fuzz/"]
    atheris.Setup([sys.argv[0], str(corpus), "-verbosity=0", *options], judge)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
