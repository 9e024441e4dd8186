-- Durable operations, the jobs that users watch, and the recovery points that backups leave.
-- Times are microseconds since 1970, keys are lower-cased ARM ids, JSON is text.

CREATE TABLE operation (
    id               TEXT   NOT NULL PRIMARY KEY,
    kind             TEXT   NOT NULL,
    lane             TEXT   NOT NULL,
    vault            TEXT   NOT NULL,
    vault_key        TEXT   NOT NULL,
    instance         TEXT,
    instance_key     TEXT,
    location         TEXT   NOT NULL,
    input            TEXT   NOT NULL,
    api_version      TEXT   NOT NULL,
    activity_id      TEXT   NOT NULL,
    job_id           TEXT,
    -- What the client sees: Inprogress, Succeeded, Failed.
    status           TEXT   NOT NULL,
    error            TEXT,
    started_us       BIGINT NOT NULL,
    ended_us         BIGINT,
    -- What the executor needs. Of a finished operation nothing runs any more, whatever its status says before.
    finished_us      BIGINT,
    cancel_requested BIGINT NOT NULL DEFAULT 0,
    -- Name of the step to run next; empty before the first.
    step             TEXT   NOT NULL DEFAULT '',
    checkpoint       TEXT   NOT NULL DEFAULT 'null',
    -- Claims since the last step that was written down.
    attempts         BIGINT NOT NULL DEFAULT 0,
    owner            TEXT,
    lease_until_us   BIGINT NOT NULL DEFAULT 0,
    -- Grows with every claim; every later write names the one it was claimed under.
    generation       BIGINT NOT NULL DEFAULT 0,
    -- Not before.
    due_us           BIGINT NOT NULL
);

-- The executor looks only at what is not finished, so its cost does not grow with history.
CREATE INDEX operation_due ON operation (lane, due_us) WHERE finished_us IS NULL;
CREATE INDEX operation_instance ON operation (instance_key) WHERE finished_us IS NULL;
CREATE INDEX operation_finished ON operation (finished_us) WHERE finished_us IS NOT NULL;

CREATE TABLE job (
    id           TEXT   NOT NULL PRIMARY KEY,
    operation_id TEXT   NOT NULL,
    vault_key    TEXT   NOT NULL,
    instance_key TEXT   NOT NULL,
    status       TEXT   NOT NULL,
    started_us   BIGINT NOT NULL,
    ended_us     BIGINT,
    updated_us   BIGINT NOT NULL,
    body         TEXT   NOT NULL
);

CREATE INDEX job_vault ON job (vault_key, started_us DESC, id);
CREATE INDEX job_ended ON job (ended_us) WHERE ended_us IS NOT NULL;

CREATE TABLE recovery_point (
    -- The instance's repository: a new instance under an old name never shows another's recovery points.
    repository TEXT   NOT NULL,
    id         TEXT   NOT NULL,
    taken_us   BIGINT NOT NULL,
    body       TEXT   NOT NULL,
    PRIMARY KEY (repository, id)
);

CREATE INDEX recovery_point_taken ON recovery_point (repository, taken_us DESC, id);

-- What is softly deleted, by the time at which its data goes: the purge looks only at what is due.
CREATE TABLE purge (
    -- Lower-cased id of the deleted instance.
    instance_key TEXT   NOT NULL PRIMARY KEY,
    due_us       BIGINT NOT NULL
);

CREATE INDEX purge_due ON purge (due_us);
