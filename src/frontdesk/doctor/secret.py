"""Findings about the master secret: whether it was drawn at random, is known to others, is old, or was left behind."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from frontdesk.core.keyring import VERIFIES_AFTER
from frontdesk.core.secrets import HOW_TO_MAKE_ONE, MAKES_ONE, check_secret
from frontdesk.doctor.kinds import Finding, Kind
from frontdesk.doctor.observed import Observations, Secrets, SecretSeen
from frontdesk.errors import ConfigurationError

OLD: Final = timedelta(days=2 * 365)

PUBLISHED: Final = frozenset(
    {
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",  # FastAPI, the tutorial on OAuth2 and JWT
        "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",  # Flask, the quick start on sessions
        "a-string-secret-at-least-256-bits-long",  # jwt.io
        "x8TqzN4vKp2Wm7RcJ5hLd9YbGf3AsQeU",  # a sample of ours
    }
)
"""Sample values that pass every test of randomness and stand in documentation that everybody has read."""

_MAKE_ONE: Final = f"{MAKES_ONE}    # and set it as FRONTDESK_SECRET, or as secret in a file of mode 0600"

SECRET_WEAK: Final = Kind(
    "secret_weak",
    "error",
    "{which} cannot be used ({where}): {fault}",
    "Whoever guesses it forges sessions and refresh tokens of everybody, and opens the keys in a copy of the store.",
    _MAKE_ONE,
)
SECRET_PUBLISHED: Final = Kind(
    "secret_published",
    "error",
    "{which} is a sample value that is printed in documentation ({where})",
    "It is in the first list that anybody tries: sessions and refresh tokens of everybody can be forged.",
    _MAKE_ONE,
)
SECRET_MISSING: Final = Kind(
    "secret_missing",
    "error",
    "no secret is set, and {why}",
    "The server does not start.",
    _MAKE_ONE,
)
SECRET_REPEATED: Final = Kind(
    "secret_repeated",
    "warning",
    "the same secret is listed twice ({where})",
    "The change of the secret has not happened: every token is still made under the one that was to go.",
    'FRONTDESK_SECRET=NEW,OLD    # or, in the file: secret = ["NEW", "OLD"]',
)
SECRET_LEFT_BEHIND: Final = Kind(
    "secret_left_behind",
    "warning",
    "{count} secrets are listed, and have been for {days} days or more ({where})",
    "Nothing rests on the old one any more, yet whoever gets hold of it forges sessions with it.",
    'FRONTDESK_SECRET=NEW    # or, in the file: secret = "NEW"; docs/keys.md says when',
)
SECRET_CHANGING: Final = Kind(
    "secret_changing",
    "note",
    "{count} secrets are listed ({where})",
    "Each of them makes tokens that are believed. Drop the old one when the change is complete.",
    'FRONTDESK_SECRET=NEW    # or, in the file: secret = "NEW"; docs/keys.md says when',
)
SECRET_OLD: Final = Kind(
    "secret_old",
    "note",
    "the secret has not changed for {days} days or more ({where})",
    "Every copy of it that was made since, in a backup or by somebody who has left, still forges sessions.",
    'FRONTDESK_SECRET=NEW,OLD    # or, in the file: secret = ["NEW", "OLD"]; docs/keys.md#the-master-secret',
)
KEY_FILE_IDLE: Final = Kind(
    "key_file_idle",
    "note",
    "{path} is there and not read: the secret is given ({where})",
    "Nobody looks after a secret that nobody uses; if it is still the one in force, it lies beside the database.",
    "rm {quoted}    # when docs/keys.md says that nothing rests on it",
)


def judged(secret: str) -> SecretSeen:
    """What is to be said of a secret, without the secret."""
    try:
        check_secret(secret)
    except ConfigurationError as error:
        return SecretSeen(fault=error.message.removesuffix(f": {HOW_TO_MAKE_ONE}"), published=secret in PUBLISHED)
    return SecretSeen(published=secret in PUBLISHED)


def of_secrets(seen: Observations) -> Iterator[Finding]:
    """What is to be said of the master secrets."""
    secrets = seen.secrets
    if secrets is None:
        return
    if not secrets.seen:
        yield from _of_none(seen)
    for place, secret in enumerate(secrets.seen):
        which = "the secret" if len(secrets.seen) == 1 else f"secret {place + 1} of {len(secrets.seen)}"
        if secret.published:
            yield SECRET_PUBLISHED.found(which=which, where=secrets.where)
        elif secret.fault:
            yield SECRET_WEAK.found(which=which, where=secrets.where, fault=secret.fault)
    if secrets.repeated:
        yield SECRET_REPEATED.found(where=secrets.where)
    elif len(secrets.seen) > 1:
        yield _of_several(secrets, seen)
    elif secrets.listed_for is not None and secrets.listed_for > OLD:
        yield SECRET_OLD.found(where=secrets.where, days=secrets.listed_for.days)
    if secrets.idle_key_file:
        told = {"path": secrets.idle_key_file, "quoted": shlex.quote(secrets.idle_key_file)}
        yield KEY_FILE_IDLE.found(**told, where=secrets.where)
    for file in seen.files:
        if file.role == "key file" and file.age > OLD and file.path != secrets.idle_key_file:
            yield SECRET_OLD.found(where=file.path, days=file.age.days)


def _of_none(seen: Observations) -> Iterator[Finding]:
    if seen.configured is not None and seen.configured.store_is_remote:
        yield SECRET_MISSING.found(why="a store on a network makes none by itself")
    roles = {file.role: file.path for file in reversed(seen.files)}
    if "database" in roles and "key file" not in roles:
        yield SECRET_MISSING.found(why=f"the key file beside {roles['database']} is gone")


def _of_several(secrets: Secrets, seen: Observations) -> Finding:
    """An old secret is good for as long as a session that began under it, and for the keys that it sealed."""
    settings = seen.configured
    longest = (settings.session_absolute if settings is not None else timedelta(days=30)) + VERIFIES_AFTER
    count = len(secrets.seen)
    if secrets.listed_for is not None and secrets.listed_for > longest:
        return SECRET_LEFT_BEHIND.found(count=count, days=secrets.listed_for.days, where=secrets.where)
    return SECRET_CHANGING.found(count=count, where=secrets.where)
