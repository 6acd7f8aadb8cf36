"""The keys of access tokens. What fits is decided here, on the keys of one version; a script writes if it still is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Final

from frontdesk.clock import to_micros
from frontdesk.core.keyring import Move, StoredKey, applied, removable_at
from frontdesk.core.revocation import entry_expiry
from frontdesk.stores.redis.client import Line, Value
from frontdesk.stores.redis.rows import KEY_FIELDS, key_fields, key_of
from frontdesk.stores.redis.scripts import load

_LIST: Final = load("list_keys")
_WRITE: Final = load("write_keys")


async def of_realm(line: Line, realm: str) -> tuple[StoredKey, ...]:
    _, held = await _held(line, realm)
    return held


async def add(line: Line, key: StoredKey, *, only_if_none_current: bool) -> bool:
    def fits(held: Sequence[StoredKey]) -> Collection[StoredKey] | None:
        taken = any(other.id == key.id for other in held)
        rivalled = only_if_none_current and any(other.rivals(key) for other in held)
        return None if taken or rivalled else (key,)

    # No entry, whatever its state: nothing was signed with a key that was not here before.
    return await _decide(line, key.realm, fits, None)


async def rotate(line: Line, realm: str, moves: Sequence[Move], new: Sequence[StoredKey], now: datetime) -> bool:
    return await _decide(line, realm, lambda held: applied(held, moves, new, now), now)


async def version(line: Line, realm: str) -> int:
    (found,) = await line.ask(("HGET", line.names.realm(realm), "keys_version"))
    return int(found or 0)


async def _held(line: Line, realm: str) -> tuple[int, tuple[StoredKey, ...]]:
    """The realm's keys, oldest first, and the version that they have."""
    keys = (line.names.keys(realm), line.names.realm(realm))
    found_version, *found = await line.run(_LIST, keys, line.names.key(realm, ""), *KEY_FIELDS)
    pairs = zip(found[::2], found[1::2], strict=True)
    return int(found_version), tuple(key_of(realm, key_id.decode(), row) for key_id, row in pairs)


async def _decide(
    line: Line,
    realm: str,
    fits: Callable[[Sequence[StoredKey]], Collection[StoredKey] | None],
    compromised_at: datetime | None,
) -> bool:
    """Write the keys that `fits` names for those that are held; False when it names none.

    A compromised one gets an entry of `compromised_at`, if that is given.
    """
    while True:
        read_version, held = await _held(line, realm)
        written = fits(held)
        if written is None:
            return False
        keys = (
            *line.names.of_log,
            line.names.realm(realm),
            line.names.keys(realm),
            *(line.names.key(realm, key.id) for key in written),
        )
        at = (0, 0) if compromised_at is None else (to_micros(compromised_at), _kept(compromised_at))
        arguments: list[Value] = [read_version, realm, *at, len(KEY_FIELDS)]
        for key in written:
            until = removable_at(key)
            arguments += (key.id, to_micros(key.created_at), line.names.removal(line.names.key(realm, key.id)))
            arguments.append("" if until is None else to_micros(until))
            arguments.append(int(compromised_at is not None and key.state == "compromised"))
            arguments += key_fields(key)
        if await line.run(_WRITE, keys, *arguments):
            return True


def _kept(at: datetime) -> int:
    return to_micros(entry_expiry(at, "key"))
