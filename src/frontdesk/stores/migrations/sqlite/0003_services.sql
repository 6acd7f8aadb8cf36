-- Other programs that talk to the desk. `scopes` is JSON; the digest is all that is known of a credential.
CREATE TABLE services (
    realm      TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    digest     BLOB    NOT NULL UNIQUE,
    scopes     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (realm, name)
) STRICT, WITHOUT ROWID;

-- `append_again` looks for what the log says already.
CREATE INDEX revocations_of_target ON revocations (realm, kind, target);
