-- Recovery points are copied to a vault's second region.

ALTER TABLE recovery_point ADD COLUMN copied_us BIGINT; -- when its copy was whole; none before that
CREATE INDEX recovery_point_waiting ON recovery_point (repository, taken_us) WHERE copied_us IS NULL;

-- What retention has deleted, and is to be deleted from the copy as well: nothing else ever is.
CREATE TABLE copy_deletion (
    repository     TEXT NOT NULL,           -- GUID
    recovery_point TEXT NOT NULL,           -- its id
    PRIMARY KEY (repository, recovery_point)
);

-- Repositories of which an alert has told that their copies are late; gone when they have caught up.
CREATE TABLE copy_late (
    repository TEXT NOT NULL PRIMARY KEY    -- GUID
);
