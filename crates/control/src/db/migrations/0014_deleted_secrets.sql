-- Which secrets are deleted and can be recovered. Their versions stay where they are until they are purged.

CREATE TABLE deleted_secrets (
    vault TEXT NOT NULL,                -- key of the key vault
    name TEXT NOT NULL,                 -- lower-cased
    deleted_us BIGINT NOT NULL,
    purge_us BIGINT NOT NULL,           -- from then on it goes by itself
    PRIMARY KEY (vault, name)
);
CREATE INDEX deleted_secrets_by_purge ON deleted_secrets (purge_us);
