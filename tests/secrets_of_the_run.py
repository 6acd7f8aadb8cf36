"""Every secret that a test run has made, and whether one of them stands in what was printed, logged or answered.

    secrets = Secrets()
    secrets.read_key_file(directory / "frontdesk.db.key")
    secrets.read_database(directory / "frontdesk.db")     # after the key file: it opens what the database holds
    secrets.add_token("cookie of alice", value)
    assert secrets.told_in({"log": server.log, "metrics": metrics}) == []

What is known of a database: salts, password hashes, sealed keys and what they hold once opened, digests of services'
credentials, keys of the throttle; and every session and refresh token that its rows stand for, though nobody has
presented them. Bytes are looked for in hexadecimal, base64 and base64url.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import apsw

from frontdesk.core.credentials import derive, mint_refresh_token, mint_session_token
from frontdesk.service.key_ring import _context
from frontdesk.service.keys import MasterKeys

_SHORTEST = 8
_TAIL = 20
"""Characters at the end of a token: tag or signature. Who tells these has told the secret part of it."""

_PURPOSES = ("session-token", "refresh-token", "throttle", "password-seal", "signing-key-seal")
_PRIVATE_MEMBERS = ("d", "p", "q", "dp", "dq", "qi", "k")


class Secrets:
    """What must not be told. Each is known by what it is; that, and not the secret, is told where one was found."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._masters: list[str] = []

    def __len__(self) -> int:
        return len(self._known)

    def __repr__(self) -> str:
        return f"<Secrets: {len(self)} texts>"

    # --- collecting -------------------------------------------------------------------------------------------

    def add(self, what: str, secret: str) -> None:
        """A text, such as a password or a master secret."""
        assert len(secret) >= _SHORTEST, f"{what} is too short to be looked for"
        self._known[secret] = what

    def add_bytes(self, what: str, secret: bytes) -> None:
        """Bytes, in every way in which they might be written."""
        plain, urlsafe = base64.b64encode(secret).decode(), base64.urlsafe_b64encode(secret).decode()
        for written in (secret.hex(), secret.hex().upper(), plain.rstrip("="), urlsafe.rstrip("=")):
            self.add(what, written)

    def add_token(self, what: str, token: str) -> None:
        """A credential: whole, and by its end alone."""
        self.add(what, token)
        self.add(f"the end of {what}", token[-_TAIL:])

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
        """What an embedded database holds, opened with the master secrets that are known by now."""
        master = MasterKeys(self._masters)
        connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            for realm, session_id, salt, generation in connection.execute(
                "SELECT realm, id, salt, generation FROM sessions"
            ):
                self._add_row(master, str(realm), str(session_id), bytes(salt), int(generation))
            for (password,) in connection.execute("SELECT password FROM accounts"):
                self.add("a password hash", str(password))
            for realm, key_id, sealed in connection.execute("SELECT realm, id, sealed FROM keys"):
                self._add_key(master, str(realm), str(key_id), bytes(sealed))
            for (digest,) in connection.execute("SELECT digest FROM services"):
                self.add_bytes("the digest of a service", bytes(digest))
            for (key,) in connection.execute("SELECT key FROM attempts"):
                self.add_bytes("a key of the throttle", bytes(key))
        finally:
            connection.close()

    def _add_row(self, master: MasterKeys, realm: str, session_id: str, salt: bytes, generation: int) -> None:
        self.add_bytes("a salt", salt)
        for key in master.mac:
            self.add_token("a session token", mint_session_token(key, realm, session_id, salt))
            for number in range(generation + 2):
                self.add_token("a refresh token", mint_refresh_token(key, realm, session_id, salt, number))

    def _add_key(self, master: MasterKeys, realm: str, key_id: str, sealed: bytes) -> None:
        self.add_bytes("a sealed key", sealed)
        opened = master.unseal(sealed, _context(realm, key_id))
        self.add_bytes("an opened key", opened)
        for name, value in _members(opened):
            if name in _PRIVATE_MEMBERS:
                self.add(f"the member {name} of a key", value)

    # --- looking ----------------------------------------------------------------------------------------------

    def told_in(self, outputs: Mapping[str, str]) -> list[str]:
        """What was told where: «a salt in log»."""
        return [
            f"{what} in {where}"
            for where, text in outputs.items()
            for secret, what in self._known.items()
            if secret in text
        ]


def _members(opened: bytes) -> Iterator[tuple[str, str]]:
    try:
        document = json.loads(opened)
    except ValueError:
        return
    if isinstance(document, dict):
        yield from ((name, value) for name, value in document.items() if isinstance(value, str))
