-- When each instance's next scheduled backup begins: a round looks only at what is due, however many instances there are.

CREATE TABLE schedule (
    instance_key TEXT   NOT NULL PRIMARY KEY,
    instance     TEXT   NOT NULL,           -- ARM id
    policy_key   TEXT   NOT NULL,           -- as of the last look; empty before the first
    after_us     BIGINT,                    -- every time of the schedule up to here was dealt with; none before the first look
    due_us       BIGINT NOT NULL,
    newest_us    BIGINT                     -- when the newest recovery point was taken; none without any
);

CREATE INDEX schedule_newest ON schedule (newest_us) WHERE newest_us IS NOT NULL;
CREATE INDEX schedule_due ON schedule (due_us);
CREATE INDEX schedule_policy ON schedule (policy_key);

-- Instances of before this table are looked at when the service starts.
INSERT INTO schedule (instance_key, instance, policy_key, after_us, due_us)
    SELECT key, id, '', NULL, 0 FROM resources WHERE kind = 'microsoft.dataprotection/backupvaults/backupinstances';

-- The time for which the schedule wanted a recovery point; none of those that people asked for.
ALTER TABLE recovery_point ADD COLUMN scheduled_us BIGINT;
ALTER TABLE recovery_point ADD COLUMN stored_bytes BIGINT NOT NULL DEFAULT 0;
CREATE INDEX recovery_point_scheduled ON recovery_point (repository, scheduled_us) WHERE scheduled_us IS NOT NULL;

-- How much runs against one server and in one vault, for their limits. The server is lower-cased; none where no limit counts.
ALTER TABLE operation ADD COLUMN server_key TEXT;
CREATE INDEX operation_of_server ON operation (server_key, lease_until_us) WHERE finished_us IS NULL;
CREATE INDEX operation_of_vault ON operation (vault_key, lane, lease_until_us) WHERE finished_us IS NULL;

-- Alerts that the webhook has not taken yet.
CREATE TABLE alert (
    id        TEXT   NOT NULL PRIMARY KEY,  -- GUID; the receiver tells repetitions by it
    body      TEXT   NOT NULL,              -- JSON, as it is sent
    raised_us BIGINT NOT NULL,
    due_us    BIGINT NOT NULL,              -- not before
    attempts  BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX alert_due ON alert (due_us);
