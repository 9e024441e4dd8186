-- Who did what. Rows are only ever appended, and go at the front when they are older than the retention: each row's hash covers the
-- one before it.

CREATE TABLE audit (
    sequence BIGINT NOT NULL PRIMARY KEY,   -- 1, 2, 3, … without gaps
    time_us  BIGINT NOT NULL,
    body     TEXT   NOT NULL,               -- JSON, exactly as it was hashed
    hash     TEXT   NOT NULL                -- hexadecimal: of the hash before it, and of sequence, time and body
);

-- One row: where the chain ends, and from where on it is kept.
CREATE TABLE audit_state (
    id              BIGINT NOT NULL PRIMARY KEY,
    head_sequence   BIGINT NOT NULL,
    head_hash       TEXT   NOT NULL,
    anchor_sequence BIGINT NOT NULL,        -- the last row that was cut off at the front; 0 when none was
    anchor_hash     TEXT   NOT NULL,
    anchor_seal     TEXT   NOT NULL         -- of these two, under the chain's key
);
