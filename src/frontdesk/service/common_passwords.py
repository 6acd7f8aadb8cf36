"""The shipped block-list of `core.passwords.check`, read when the first password is chosen."""

from __future__ import annotations

import gzip
from functools import cache
from importlib.resources import files


@cache
def common_passwords() -> frozenset[str]:
    """The passwords that are tried first, each in the form of `core.passwords.folded`. Read once per process.

    frontdesk/data/common-passwords.md says where they come from. Takes some 10 ms and 5 MB the first time.
    """
    packed = files("frontdesk").joinpath("data/common-passwords.txt.gz").read_bytes()
    return frozenset(gzip.decompress(packed).decode().splitlines())
