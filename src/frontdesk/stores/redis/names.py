"""The names of keys. One store has one hash tag, so that a script may touch the log together with a realm's records.

    {frontdesk}:meta                      hash    schema, history, head of the log
    {frontdesk}:log                       zset    entries by number; also the channel that tells of new ones
    {frontdesk}:said                      zset    what each entry says, in lexical order
    {frontdesk}:removable                 zset    whatever `purge` will remove, by the moment from which on it may
    {frontdesk}:realm:REALM               hash    epoch, keys_version
    {frontdesk}:epochs:REALM              hash    subject: epoch
    {frontdesk}:unended:REALM             set     ids of the sessions that have not ended
    {frontdesk}:session:REALM:ID          hash
    {frontdesk}:subject:REALM:SUBJECT     zset    ids of the subject's sessions that have not ended, by created_at
    {frontdesk}:account:REALM:ID          hash
    {frontdesk}:emails:REALM              hash    address: account id
    {frontdesk}:addresses:REALM           zset    addresses, in lexical order
    {frontdesk}:attempt:REALM:KEY         string  one tally
    {frontdesk}:once:REALM:PURPOSE:KEY    hash    value, expires_at
    {frontdesk}:keys:REALM                zset    key ids by created_at
    {frontdesk}:key:REALM:ID              hash
    {frontdesk}:services:REALM            hash    name: digest
    {frontdesk}:digests                   hash    digest: service

A tag per realm would spread realms over a cluster, but the log is one for all of them. No key has a time to live: what
is over is decided with the caller's `now`.
"""

from __future__ import annotations

import re
from typing import Final

_PREFIX: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Names:
    """The key names of the store with one prefix."""

    def __init__(self, prefix: str) -> None:
        if _PREFIX.fullmatch(prefix) is None:
            raise ValueError("a prefix is 1 to 64 letters, digits, dots, dashes and underscores")
        self.base = f"{{{prefix}}}:"
        self.meta = self.base + "meta"
        self.log = self.base + "log"
        self.said = self.base + "said"
        self.removable = self.base + "removable"
        self.digests = self.base + "digests"
        self.nothing = self.base + "nothing"
        """Never exists; a primary removes it without complaint, and a replica refuses to."""
        self.of_log = (self.meta, self.log, self.said, self.removable)
        """The first keys of each script that may append an entry."""

    def removal(self, key: str) -> str:
        """How `removable` calls the record under `key`."""
        return key.removeprefix(self.base)

    def realm(self, realm: str) -> str:
        return f"{self.base}realm:{escaped(realm)}"

    def epochs(self, realm: str) -> str:
        return f"{self.base}epochs:{escaped(realm)}"

    def unended(self, realm: str) -> str:
        return f"{self.base}unended:{escaped(realm)}"

    def session(self, realm: str, session_id: str) -> str:
        return f"{self.base}session:{escaped(realm)}:{session_id}"

    def subject(self, realm: str, subject: str) -> str:
        return f"{self.base}subject:{escaped(realm)}:{subject}"

    def account(self, realm: str, account_id: str) -> str:
        return f"{self.base}account:{escaped(realm)}:{account_id}"

    def emails(self, realm: str) -> str:
        return f"{self.base}emails:{escaped(realm)}"

    def addresses(self, realm: str) -> str:
        return f"{self.base}addresses:{escaped(realm)}"

    def attempt(self, realm: str, key: bytes) -> str:
        return f"{self.base}attempt:{escaped(realm)}:{key.hex()}"

    def once(self, realm: str, purpose: str, key: bytes) -> str:
        return f"{self.base}once:{escaped(realm)}:{escaped(purpose)}:{key.hex()}"

    def keys(self, realm: str) -> str:
        return f"{self.base}keys:{escaped(realm)}"

    def key(self, realm: str, key_id: str) -> str:
        return f"{self.base}key:{escaped(realm)}:{key_id}"

    def services(self, realm: str) -> str:
        return f"{self.base}services:{escaped(realm)}"


def escaped(text: str) -> str:
    """`text` without a colon, so that names which are put together from parts never meet."""
    return text.replace("%", "%25").replace(":", "%3A")
