-- Since when a key has its state; and how often the keys of a realm changed.
ALTER TABLE keys ADD COLUMN changed_at INTEGER NOT NULL DEFAULT 0;
UPDATE keys SET changed_at = created_at;
ALTER TABLE realms ADD COLUMN keys_version INTEGER NOT NULL DEFAULT 0;
CREATE INDEX keys_by_state ON keys (state, changed_at);
