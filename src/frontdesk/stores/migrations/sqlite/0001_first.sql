-- Moments and durations are integer microseconds; moments since 1970-01-01T00:00:00Z. Lists and claims are JSON.

CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    realm         TEXT    NOT NULL,
    id            TEXT    NOT NULL,
    subject       TEXT    NOT NULL,
    credential    TEXT    NOT NULL,
    transport     TEXT    NOT NULL,
    refresh_in    TEXT,
    remember      INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    auth_time     INTEGER NOT NULL,
    last_seen_at  INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    idle_timeout  INTEGER NOT NULL,
    salt          BLOB    NOT NULL,
    realm_epoch   INTEGER NOT NULL,
    subject_epoch INTEGER NOT NULL,
    generation    INTEGER NOT NULL,
    parent        INTEGER NOT NULL,
    minted_at     INTEGER NOT NULL,
    amr           TEXT    NOT NULL,
    roles         TEXT    NOT NULL,
    scope         TEXT    NOT NULL,
    claims        TEXT    NOT NULL,
    device        TEXT    NOT NULL,
    address       TEXT    NOT NULL,
    ended_at      INTEGER,
    end_reason    TEXT,
    PRIMARY KEY (realm, id),
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
) STRICT;

CREATE INDEX sessions_of_subject ON sessions (realm, subject) WHERE ended_at IS NULL;
CREATE INDEX sessions_by_expiry ON sessions (expires_at);
CREATE INDEX sessions_by_end ON sessions (ended_at) WHERE ended_at IS NOT NULL;

-- The epochs under which a sign-in is inserted; a missing row is epoch 0.
CREATE TABLE realms (
    realm TEXT    NOT NULL PRIMARY KEY,
    epoch INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE subjects (
    realm   TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    epoch   INTEGER NOT NULL,
    PRIMARY KEY (realm, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE accounts (
    realm      TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    email      TEXT    NOT NULL,
    password   TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    roles      TEXT    NOT NULL,
    PRIMARY KEY (realm, id),
    UNIQUE (realm, email)
) STRICT;

CREATE TABLE attempts (
    realm      TEXT    NOT NULL,
    key        BLOB    NOT NULL,
    failures   INTEGER NOT NULL,
    moments    BLOB    NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (realm, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX attempts_by_expiry ON attempts (expires_at);

-- Values that are good once. A consumed one leaves its key behind, without the value.
CREATE TABLE once (
    realm      TEXT    NOT NULL,
    purpose    TEXT    NOT NULL,
    key        BLOB    NOT NULL,
    value      BLOB,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (realm, purpose, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX once_by_expiry ON once (expires_at);

CREATE TABLE keys (
    realm      TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    algorithm  TEXT    NOT NULL,
    state      TEXT    NOT NULL,
    public     TEXT    NOT NULL,
    sealed     BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (realm, id)
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: a number is never given twice, not even after every entry was purged.
CREATE TABLE revocations (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    realm      TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    target     TEXT    NOT NULL,
    epoch      INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX revocations_by_expiry ON revocations (expires_at);
