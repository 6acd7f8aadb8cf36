"""An account: a subject that Frontdesk itself knows by e-mail address and password."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One account. `id` is the subject of its sessions; `email` is canonical (`core.addresses`).

    `password` is the sealed password hash (`service.hashing`); without the key that stands outside the store it
    is not even a hash to guess against.
    """

    id: str
    realm: str
    email: str
    password: str
    created_at: datetime
    roles: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Account(id={self.id!r}, realm={self.realm!r})"
