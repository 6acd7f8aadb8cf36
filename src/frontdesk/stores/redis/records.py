"""Accounts, attempts, values that are good once, and services."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from frontdesk.clock import to_micros
from frontdesk.core import throttle
from frontdesk.core.accounts import Account
from frontdesk.core.services import Service
from frontdesk.core.throttle import AttemptKeys, Tallies, ThrottlePolicy
from frontdesk.errors import Refusal
from frontdesk.stores.redis.client import Line, Value
from frontdesk.stores.redis.rows import (
    ACCOUNT_FIELDS,
    account_fields,
    account_of,
    packed_service,
    packed_tally,
    service_of,
    tally_of,
)
from frontdesk.stores.redis.scripts import load
from frontdesk.stores.redis.sessions import ending_arguments, ending_keys

_CREATE_ACCOUNT: Final = load("create_account")
_ACCOUNT_BY_EMAIL: Final = load("account_by_email")
_LIST_ACCOUNTS: Final = load("list_accounts")
_REPLACE_PASSWORD: Final = load("replace_password")
_REMOVE_ACCOUNT: Final = load("remove_account")
_WRITE_TALLIES: Final = load("write_tallies")
_CLEAR_ATTEMPTS: Final = load("clear_attempts")
_PUT_ONCE: Final = load("put_once")
_CONSUME: Final = load("consume")
_ADD_SERVICE: Final = load("add_service")
_LIST_SERVICES: Final = load("list_services")
_REMOVE_SERVICE: Final = load("remove_service")

# --- accounts -----------------------------------------------------------------------------------------------------


async def create_account(line: Line, account: Account) -> bool:
    realm = account.realm
    keys = (line.names.account(realm, account.id), line.names.emails(realm), line.names.addresses(realm))
    return bool(await line.run(_CREATE_ACCOUNT, keys, account.id, account.email, *account_fields(account)))


async def account_by_email(line: Line, realm: str, email: str) -> Account | None:
    before = line.names.account(realm, "")
    found = await line.run(_ACCOUNT_BY_EMAIL, [line.names.emails(realm)], before, email, *ACCOUNT_FIELDS)
    if found is None:
        return None
    account_id, row = found
    return account_of(realm, account_id.decode(), row)


async def account_by_id(line: Line, realm: str, account_id: str) -> Account | None:
    (row,) = await line.ask(("HMGET", line.names.account(realm, account_id), *ACCOUNT_FIELDS))
    return account_of(realm, account_id, row)


async def list_accounts(line: Line, realm: str, after: str, limit: int) -> tuple[Account, ...]:
    keys = (line.names.addresses(realm), line.names.emails(realm))
    found = await line.run(_LIST_ACCOUNTS, keys, line.names.account(realm, ""), after, max(limit, 0), *ACCOUNT_FIELDS)
    accounts = (account_of(realm, each.decode(), row) for each, row in zip(found[::2], found[1::2], strict=True))
    return tuple(account for account in accounts if account is not None)


async def replace_password(line: Line, realm: str, account_id: str, old: str, new: str) -> bool:
    return bool(await line.run(_REPLACE_PASSWORD, [line.names.account(realm, account_id)], old, new))


async def remove_account(line: Line, realm: str, account_id: str, now: datetime) -> bool:
    keys = (
        *ending_keys(line.names, realm),
        *(line.names.subject(realm, account_id), line.names.epochs(realm)),
        *(line.names.account(realm, account_id), line.names.emails(realm), line.names.addresses(realm)),
    )
    arguments = ending_arguments(line.names, realm, now, "subject")
    return bool(await line.run(_REMOVE_ACCOUNT, keys, *arguments, account_id, "revoked"))


# --- attempts -----------------------------------------------------------------------------------------------------


async def admit_attempt(
    line: Line, realm: str, keys: AttemptKeys, now: datetime, policy: ThrottlePolicy
) -> Refusal | None:
    refusal: Refusal | None = None

    def decided(before: Tallies) -> Tallies:
        nonlocal refusal
        outcome = throttle.admit(before, now, policy)
        if isinstance(outcome, throttle.Exhausted):
            refusal = outcome.refusal()
            return outcome.moved or before
        refusal = None
        return outcome.tallies

    await _move(line, realm, keys, decided)
    return refusal


async def attempt_succeeded(line: Line, realm: str, keys: AttemptKeys, admitted_at: datetime) -> None:
    await _move(line, realm, keys, lambda before: throttle.succeeded(before, admitted_at))


async def read_attempts(line: Line, realm: str, keys: AttemptKeys) -> Tallies:
    return Tallies(*map(tally_of, await _tallies(line, _places(line, realm, keys))))


async def clear_attempts(line: Line, realm: str, key: bytes) -> bool:
    tally = line.names.attempt(realm, key)
    return bool(await line.run(_CLEAR_ATTEMPTS, (line.names.removable, tally), line.names.removal(tally)))


def _places(line: Line, realm: str, keys: AttemptKeys) -> list[str]:
    return [line.names.attempt(realm, key) for key in (keys.account, keys.network, keys.pair)]


async def _tallies(line: Line, at: Sequence[str]) -> list[bytes | None]:
    (packed,) = await line.ask(("MGET", *at))
    return list(packed)


async def _move(line: Line, realm: str, keys: AttemptKeys, decided: Callable[[Tallies], Tallies]) -> None:
    """Store what is decided on the tallies if they are still the same then; else decide again."""
    at = _places(line, realm, keys)
    while True:
        packed = await _tallies(line, at)
        before = Tallies(*map(tally_of, packed))
        after = decided(before)
        if after == before:
            return
        arguments: list[Value] = []
        for key, old, new in zip(at, packed, (after.account, after.network, after.pair), strict=True):
            arguments += (line.names.removal(key), old or b"", packed_tally(new), new.expires_us if new else 0)
        if await line.run(_WRITE_TALLIES, (line.names.removable, *at), *arguments):
            return


# --- values that are good once ------------------------------------------------------------------------------------


async def put_once(line: Line, realm: str, purpose: str, key: bytes, value: bytes, *, expires_at: datetime) -> bool:
    held = line.names.once(realm, purpose, key)
    keys = (line.names.removable, held)
    return bool(await line.run(_PUT_ONCE, keys, line.names.removal(held), value, to_micros(expires_at)))


async def consume(line: Line, realm: str, purpose: str, key: bytes, now: datetime) -> bytes | None:
    value: bytes | None = await line.run(_CONSUME, [line.names.once(realm, purpose, key)], to_micros(now))
    return value


# --- services -----------------------------------------------------------------------------------------------------


async def add_service(line: Line, service: Service) -> bool:
    keys = (line.names.services(service.realm), line.names.digests)
    return bool(await line.run(_ADD_SERVICE, keys, service.name, service.digest, packed_service(service)))


async def service_by_digest(line: Line, realm: str, digest: bytes) -> Service | None:
    (packed,) = await line.ask(("HGET", line.names.digests, digest))
    found = None if packed is None else service_of(digest, packed)
    return found if found is not None and found.realm == realm else None


async def list_services(line: Line, realm: str) -> tuple[Service, ...]:
    found = await line.run(_LIST_SERVICES, (line.names.services(realm), line.names.digests))
    services = map(service_of, found[::2], found[1::2])
    return tuple(sorted(services, key=lambda service: service.name))


async def remove_service(line: Line, realm: str, name: str) -> bool:
    return bool(await line.run(_REMOVE_SERVICE, (line.names.services(realm), line.names.digests), name))
