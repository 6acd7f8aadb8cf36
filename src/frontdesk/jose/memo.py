"""What is remembered of tokens that were verified before, found by their exact bytes: bounded, least recent out first.

Pure: there is no clock here. `frontdesk.jose.jwt.verify` runs its whole policy on what it finds and takes out what
has expired; it asks the keys again, too, so what is remembered of a key that is gone is not believed.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Generic, TypeVar

ENTRIES: Final = 4096
BYTES: Final = 4 * 1024 * 1024

_T = TypeVar("_T")


class TokenMemo(Generic[_T]):
    """At most `entries` tokens of together at most `size` bytes, and something remembered of each.

    `size` counts the tokens alone; what is decoded from them takes a small multiple of it. A token larger than
    that is not kept. Belongs to one thread at a time. ValueError unless both bounds are at least 1.
    """

    __slots__ = ("_entries", "_most", "_size", "_size_most")

    def __init__(self, *, entries: int = ENTRIES, size: int = BYTES) -> None:
        if entries < 1 or size < 1:
            raise ValueError("a TokenMemo has room for at least one entry and one byte")
        self._most: Final = entries
        self._size_most: Final = size
        self._entries: Final[OrderedDict[bytes, tuple[str, _T]]] = OrderedDict()
        self._size = 0

    def find(self, token: bytes) -> _T | None:
        """What was kept for these very bytes; it is now the most recent."""
        entry = self._entries.get(token)
        if entry is None:
            return None
        self._entries.move_to_end(token)
        return entry[1]

    def keep(self, token: bytes, kid: str, remembered: _T) -> None:
        """Remember something of a token that was signed under the key `kid`; the least recent make room."""
        self.drop(token)
        if len(token) > self._size_most:
            return
        self._entries[token] = kid, remembered
        self._size += len(token)
        while len(self._entries) > self._most or self._size > self._size_most:
            oldest, _ = self._entries.popitem(last=False)
            self._size -= len(oldest)

    def drop(self, token: bytes) -> None:
        """Forget one token."""
        if self._entries.pop(token, None) is not None:
            self._size -= len(token)

    def drop_key(self, kid: str) -> int:
        """Forget every token that was signed under the key `kid`; how many there were."""
        found = [token for token, (signer, _) in self._entries.items() if signer == kid]
        for token in found:
            self.drop(token)
        return len(found)

    def clear(self) -> None:
        """Forget every token."""
        self._entries.clear()
        self._size = 0

    @property
    def size(self) -> int:
        """The bytes of all tokens that are kept."""
        return self._size

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<TokenMemo of {len(self)} tokens, {self._size} bytes>"
