-- Moments and durations are integer microseconds; moments since 1970-01-01T00:00:00Z. Lists and claims are JSON.
-- Texts are compared and ordered byte by byte (COLLATE "C"), whatever the database's own collation is.

CREATE TABLE frontdesk.meta (
    name  text NOT NULL PRIMARY KEY,
    value text NOT NULL
);

CREATE TABLE frontdesk.sessions (
    realm         text COLLATE "C" NOT NULL,
    id            text COLLATE "C" NOT NULL,
    subject       text COLLATE "C" NOT NULL,
    credential    text     NOT NULL,
    transport     text     NOT NULL,
    refresh_in    text,
    remember      smallint NOT NULL,
    created_at    bigint   NOT NULL,
    auth_time     bigint   NOT NULL,
    last_seen_at  bigint   NOT NULL,
    expires_at    bigint   NOT NULL,
    idle_timeout  bigint   NOT NULL,
    salt          bytea    NOT NULL,
    realm_epoch   bigint   NOT NULL,
    subject_epoch bigint   NOT NULL,
    generation    bigint   NOT NULL,
    parent        bigint   NOT NULL,
    minted_at     bigint   NOT NULL,
    amr           text     NOT NULL,
    roles         text     NOT NULL,
    scope         text     NOT NULL,
    claims        text     NOT NULL,
    device        text     NOT NULL,
    address       text     NOT NULL,
    ended_at      bigint,
    end_reason    text,
    PRIMARY KEY (realm, id),
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
) WITH (fillfactor = 80); -- a refresh or a touch finds room in the page of its row and need not enter any index

CREATE INDEX sessions_of_subject ON frontdesk.sessions (realm, subject) WHERE ended_at IS NULL;
CREATE INDEX sessions_by_expiry ON frontdesk.sessions (expires_at);
CREATE INDEX sessions_by_end ON frontdesk.sessions (ended_at) WHERE ended_at IS NOT NULL;

-- The epochs under which a sign-in is inserted; a missing row is epoch 0.
CREATE TABLE frontdesk.realms (
    realm text COLLATE "C" NOT NULL PRIMARY KEY,
    epoch bigint NOT NULL
);

CREATE TABLE frontdesk.subjects (
    realm   text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    epoch   bigint NOT NULL,
    PRIMARY KEY (realm, subject)
);

CREATE TABLE frontdesk.accounts (
    realm      text COLLATE "C" NOT NULL,
    id         text COLLATE "C" NOT NULL,
    email      text COLLATE "C" NOT NULL,
    password   text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    roles      text   NOT NULL,
    PRIMARY KEY (realm, id),
    UNIQUE (realm, email)
);

CREATE TABLE frontdesk.attempts (
    realm      text COLLATE "C" NOT NULL,
    key        bytea  NOT NULL,
    failures   bigint NOT NULL,
    moments    bytea  NOT NULL,
    expires_at bigint NOT NULL,
    PRIMARY KEY (realm, key)
);

CREATE INDEX attempts_by_expiry ON frontdesk.attempts (expires_at);

-- Values that are good once. A consumed one leaves its key behind, without the value.
CREATE TABLE frontdesk.once (
    realm      text COLLATE "C" NOT NULL,
    purpose    text COLLATE "C" NOT NULL,
    key        bytea  NOT NULL,
    value      bytea,
    expires_at bigint NOT NULL,
    PRIMARY KEY (realm, purpose, key)
);

CREATE INDEX once_by_expiry ON frontdesk.once (expires_at);

CREATE TABLE frontdesk.keys (
    realm      text COLLATE "C" NOT NULL,
    id         text COLLATE "C" NOT NULL,
    algorithm  text   NOT NULL,
    state      text   NOT NULL,
    public     text   NOT NULL,
    sealed     bytea  NOT NULL,
    created_at bigint NOT NULL,
    changed_at bigint NOT NULL,
    PRIMARY KEY (realm, id)
);

CREATE INDEX keys_by_state ON frontdesk.keys (state, changed_at);

-- How often the keys of a realm changed. Apart from its epoch, so that no change of keys waits for everybody's end.
CREATE TABLE frontdesk.key_versions (
    realm   text COLLATE "C" NOT NULL PRIMARY KEY,
    version bigint NOT NULL
);

-- Other programs that talk to the desk. `scopes` is JSON; the digest is all that is known of a credential.
CREATE TABLE frontdesk.services (
    realm      text COLLATE "C" NOT NULL,
    name       text COLLATE "C" NOT NULL,
    digest     bytea  NOT NULL UNIQUE,
    scopes     text   NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (realm, name)
);

CREATE TABLE frontdesk.revocations (
    number     bigint NOT NULL PRIMARY KEY,
    realm      text COLLATE "C" NOT NULL,
    kind       text COLLATE "C" NOT NULL,
    target     text COLLATE "C" NOT NULL,
    epoch      bigint NOT NULL,
    at         bigint NOT NULL,
    expires_at bigint NOT NULL
);

CREATE INDEX revocations_by_expiry ON frontdesk.revocations (expires_at);
CREATE INDEX revocations_of_target ON frontdesk.revocations (realm, kind, target);

-- The highest number that was given. No sequence: numbers are in the order of commits and have no gaps, because the
-- lock on this one row is held from the number to the commit.
CREATE TABLE frontdesk.log_head (
    one    boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    number bigint  NOT NULL
);

INSERT INTO frontdesk.log_head (number) VALUES (0);
