-- The secrets of the embedded key vaults: every version of each, its value sealed under the master key.

CREATE TABLE secret_versions (
    vault TEXT NOT NULL,                -- key of the key vault
    name TEXT NOT NULL,                 -- lower-cased
    version TEXT NOT NULL,              -- 32 hexadecimal digits
    sequence BIGINT NOT NULL,           -- grows with every version of the secret; the highest is the current one
    shown_name TEXT NOT NULL,           -- as first written
    sealed TEXT NOT NULL,               -- the value
    body TEXT NOT NULL,                 -- JSON: attributes, content type, tags
    created_us BIGINT NOT NULL,
    updated_us BIGINT NOT NULL,
    PRIMARY KEY (vault, name, version)
);
CREATE UNIQUE INDEX secret_versions_by_sequence ON secret_versions (vault, name, sequence);
