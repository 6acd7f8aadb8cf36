"""Every secret that a test run has made, and whether one of them stands in what was printed, logged or answered.

    secrets = Secrets()
    secrets.read_key_file(directory / "frontdesk.db.key")
    secrets.read_database(directory / "frontdesk.db")     # after the master secrets: they open what the database holds
    secrets.add_token("cookie of alice", value)
    assert secrets.told_in({"log": server.log, "metrics": metrics}) == []

What is known of a store: every value in it but those that `_TOLD` names, so that a new column or key is a secret until
somebody has decided otherwise; what sealed keys hold once opened; and every session and refresh token that its rows
stand for, though nobody has presented them.

A secret is found by any twelve characters of it that follow each other: in hexadecimal, base64 and base64url, also
where it stands in the middle of something that was encoded; percent-encoded; escaped as JSON, Python and HTML do it;
broken over lines.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote

import apsw
import asyncpg
import msgspec

from frontdesk.core.credentials import derive, mint_refresh_token, mint_session_token
from frontdesk.service.key_ring import _context
from frontdesk.service.keys import MasterKeys
from frontdesk.stores.redis.rows import _made
from tests.servers.redis import RedisServer

_RUN: Final = 12
"""Characters that follow each other. Nine random bytes in base64, six in hexadecimal: no text has them by chance."""
_ENDS: Final = 42
"""Characters at the end of an opaque credential that hold nothing but its tag. Before them stands the public id."""
_TAG_BYTES: Final = 32

_PURPOSES: Final = ("session-token", "refresh-token", "throttle", "password-seal", "signing-key-seal")
_PRIVATE_MEMBERS: Final = ("d", "p", "q", "dp", "dq", "qi", "k")

_TOLD: Final[Mapping[str, frozenset[str]]] = {
    "meta": frozenset({"name", "value"}),
    "sessions": frozenset(
        {
            "realm", "id", "subject", "credential", "transport", "refresh_in", "remember", "created_at", "auth_time",
            "last_seen_at", "expires_at", "idle_timeout", "realm_epoch", "subject_epoch", "generation", "parent",
            "minted_at", "amr", "roles", "scope", "claims", "device", "address", "ended_at", "end_reason",
        }
    ),
    "realms": frozenset({"realm", "epoch", "keys_version"}),
    "subjects": frozenset({"realm", "subject", "epoch"}),
    "accounts": frozenset({"realm", "id", "email", "created_at", "roles"}),
    "attempts": frozenset({"realm", "failures", "moments", "expires_at"}),
    "once": frozenset({"realm", "purpose", "expires_at"}),
    "keys": frozenset({"realm", "id", "algorithm", "state", "public", "created_at", "changed_at"}),
    "key_versions": frozenset({"realm", "version"}),
    "services": frozenset({"realm", "name", "scopes", "created_at"}),
    "revocations": frozenset({"number", "realm", "kind", "target", "epoch", "at", "expires_at"}),
    "log_head": frozenset({"one", "number"}),
}  # fmt: skip
"""By table, the columns that hold no secret: names, numbers, moments and choices."""

_NAMES_ALONE: Final = frozenset(
    {"log", "said", "removable", "realm", "epochs", "unended", "subject", "emails", "addresses", "keys", "services"}
)
"""Kinds of Redis keys that hold the names of other records, and what `_TOLD` lets be told."""

_ESCAPE: Final = re.compile(r"\\x([0-9A-Fa-f]{2})|\\u([0-9A-Fa-f]{4})|\\([\"'\\/bfnrt])")
_ESCAPED: Final = dict(zip("bfnrt", "\b\f\n\r\t", strict=True))
_BREAK: Final = re.compile(r"\s*\n[\s|]*")


class Secrets:
    """What must not be told. Each is known by what it is; that, and not the secret, is told where one was found."""

    def __init__(self) -> None:
        self._runs: dict[str, str] = {}
        self._kinds: dict[str, bytes] = {}
        self._masters: list[str] = []

    def __len__(self) -> int:
        return len(self._runs)

    def __repr__(self) -> str:
        return f"<Secrets of {len(self._kinds)} kinds>"

    @property
    def kinds(self) -> Mapping[str, bytes]:
        """One secret of each kind, by what it is."""
        return self._kinds

    # --- collecting -------------------------------------------------------------------------------------------

    def add(self, what: str, secret: str) -> None:
        """A text, such as a password or a master secret."""
        assert len(secret) >= _RUN, f"{what} is too short to be looked for"
        self._kinds[what] = secret.encode()
        for form in (secret, quote(secret, safe=""), quote_plus(secret)):
            self._look_for(what, form)
        self._look_for_encoded(what, secret.encode())

    def add_bytes(self, what: str, secret: bytes) -> None:
        """Bytes, in every way in which they might be written."""
        assert len(secret) >= _RUN, f"{what} is too short to be looked for"
        self._kinds[what] = secret
        self._look_for(what, secret.decode("latin-1"))
        self._look_for_encoded(what, secret)

    def add_token(self, what: str, token: str) -> None:
        """A credential: an opaque one by its tag, a JWT by every part after its header."""
        if "." not in token:
            self.add(what, token[-_ENDS:])
            self.add_bytes(f"the tag of {what}", _decoded(token[token.index("_") + 1 :])[-_TAG_BYTES:])
            return
        parts = [part for part in token.split(".")[1:] if part]
        for part in parts:
            self.add(what, part)
        self.add_bytes(f"the last part of {what}", _decoded(parts[-1]))

    def add_master(self, secret: str) -> None:
        """A master secret, and every key that is derived from it."""
        self._masters.append(secret)
        self.add("a master secret", secret)
        for purpose in _PURPOSES:
            self.add_bytes(f"the key for {purpose}", derive(secret.encode(), purpose))

    def read_key_file(self, file: Path) -> None:
        """The master secret beside an embedded database."""
        self.add_master(file.read_text().strip())

    def read_database(self, file: Path) -> None:
        """What an embedded database holds."""
        with closing(apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
            for (table,) in connection.execute(tables).fetchall():
                cursor = connection.execute(f"SELECT * FROM {table}")
                for row in cursor:
                    names = [name for name, _ in cursor.get_description()]
                    self._add_record(str(table), dict(zip(names, row, strict=True)))

    async def read_postgresql(self, url: str) -> None:
        """What the schema of a PostgreSQL store holds."""
        connection = await asyncpg.connect(url)
        try:
            tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'frontdesk'")
            for (table,) in tables:
                for row in await connection.fetch(f"SELECT * FROM frontdesk.{table}"):
                    self._add_record(table, dict(row))
        finally:
            await connection.close()

    def read_redis(self, server: RedisServer) -> None:
        """What every key of a Redis server holds."""
        with server.client() as client:
            for key in client.keys("*"):
                kind, *rest = key.decode().partition("}:")[2].split(":")
                if kind in _NAMES_ALONE:
                    continue
                held: Any = client.get(key) if client.type(key) == b"string" else client.hgetall(key)
                for table, row in _records_of(kind, rest, held):
                    self._add_record(table, row)

    def _add_record(self, table: str, row: Mapping[str, Any]) -> None:
        master = MasterKeys(self._masters)
        for column in row.keys() - _TOLD[table]:
            value = row[column]
            if isinstance(value, bytes):
                self.add_bytes(f"{table}.{column}", value)
            elif value is not None:
                self.add(f"{table}.{column}", str(value))
        if table == "sessions":
            self._add_tokens(master, row)
        if table == "keys":
            self._add_key(master, row)

    def _add_tokens(self, master: MasterKeys, row: Mapping[str, Any]) -> None:
        names: tuple[str, str, bytes] = row["realm"], row["id"], row["salt"]
        for key in master.mac:
            self.add_token("a session token", mint_session_token(key, *names))
            for number in range(int(row["generation"]) + 2):
                self.add_token("a refresh token", mint_refresh_token(key, *names, number))

    def _add_key(self, master: MasterKeys, row: Mapping[str, Any]) -> None:
        opened = json.loads(master.unseal(row["sealed"], _context(row["realm"], row["id"])))
        for name in opened.keys() & set(_PRIVATE_MEMBERS):
            self.add_bytes(f"the member {name} of a key", _decoded(opened[name]))

    def _look_for(self, what: str, form: str) -> None:
        for start in range(len(form) - _RUN + 1):
            self._runs.setdefault(form[start : start + _RUN], what)

    def _look_for_encoded(self, what: str, raw: bytes) -> None:
        self._look_for(what, raw.hex())
        self._look_for(what, raw.hex().upper())
        for before in range(3):
            # As it looks where so many bytes stand before it; what its neighbours have a part in is left out.
            text = base64.b64encode(bytes(before) + raw).decode().rstrip("=")[before + (before > 0) : -1]
            self._look_for(what, text)
            self._look_for(what, text.translate(_URLSAFE))

    # --- looking ----------------------------------------------------------------------------------------------

    def told_in(self, outputs: Mapping[str, str]) -> list[str]:
        """What was told where: «sessions.salt in log». Each once."""
        found = {f"{what} in {where}": None for where, text in outputs.items() for what in self._told(text)}
        return list(found)

    def _told(self, text: str) -> Iterator[str]:
        known = self._runs
        for view in _views(text):
            for start in range(len(view) - _RUN + 1):
                run = view[start : start + _RUN]
                if run in known:
                    yield known[run]


_URLSAFE: Final = str.maketrans("+/", "-_")


def _views(text: str) -> set[str]:
    """The text, and what somebody who undoes its escapes and line breaks would read."""
    plain = _ESCAPE.sub(_unescaped, text)
    return {text, plain, unquote(plain, "latin-1"), html.unescape(plain), _BREAK.sub("", plain), _BREAK.sub(" ", plain)}


def _unescaped(found: re.Match[str]) -> str:
    return _ESCAPED.get(found[3], found[3]) if found[3] else chr(int(found[1] or found[2], 16))


def _records_of(kind: str, rest: list[str], held: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows that one Redis key stands for, under the names that the tables have elsewhere."""
    if kind == "digests":
        yield from (("services", {"digest": digest}) for digest in held)
    elif kind == "attempt":
        yield "attempts", {"realm": rest[0], "key": bytes.fromhex(rest[1])}
    elif kind == "once":
        row = {name.decode(): value for name, value in held.items()}
        yield "once", {"realm": rest[0], "purpose": rest[1], "key": bytes.fromhex(rest[2]), **row}
    elif kind == "meta":
        yield from (("meta", {"name": name, "value": value}) for name, value in held.items())
    else:
        table = {"session": "sessions", "account": "accounts", "key": "keys"}[kind]
        row = {name.decode(): value for name, value in held.items()}
        made = msgspec.structs.asdict(_made(row.pop("made"))) if table == "sessions" else {}
        yield table, {"realm": rest[0], "id": rest[1], **_as_text(row), **made}


def _as_text(row: dict[str, bytes]) -> dict[str, str | bytes]:
    return {name: value if name == "sealed" else value.decode() for name, value in row.items()}


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
