-- How much each repository's packs take, as far as it is known: what backups have added, and what collections have found.
CREATE TABLE repository_size (
    repository   TEXT   NOT NULL PRIMARY KEY, -- GUID
    stored_bytes BIGINT NOT NULL
);

INSERT INTO repository_size (repository, stored_bytes)
    SELECT repository, CAST(SUM(stored_bytes) AS BIGINT) FROM recovery_point GROUP BY repository;
