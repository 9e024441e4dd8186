-- Roles of one's own, beside those that the service knows. Their names are unique in the installation, in any case.

CREATE TABLE role_definitions (
    id         TEXT   NOT NULL PRIMARY KEY, -- GUID, lower-cased
    name       TEXT   NOT NULL,             -- as written
    name_key   TEXT   NOT NULL UNIQUE,      -- lower-cased
    body       TEXT   NOT NULL,             -- JSON: description, permissions, where it can be assigned
    created_by TEXT   NOT NULL,
    updated_by TEXT   NOT NULL,
    created_us BIGINT NOT NULL,
    updated_us BIGINT NOT NULL
);

CREATE INDEX role_assignments_by_role ON role_assignments (role_id);
