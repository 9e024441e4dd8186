-- What is to be done for every repository again and again, by the time at which it is due: a round looks only at what is due.

CREATE TABLE upkeep (
    repository   TEXT   NOT NULL,           -- GUID
    duty         TEXT   NOT NULL,           -- collection | verification
    instance     TEXT   NOT NULL,           -- ARM id of the instance that it belongs to
    due_us       BIGINT NOT NULL,
    state        TEXT   NOT NULL DEFAULT 'null', -- JSON: how far the duty is, as it says itself
    PRIMARY KEY (repository, duty)
);

CREATE INDEX upkeep_due ON upkeep (duty, due_us);
