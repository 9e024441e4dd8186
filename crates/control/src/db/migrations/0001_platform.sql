-- The platform's tables: resources of every provider, principals, role assignments, sealed values.
-- One text for SQLite and PostgreSQL: TEXT and BIGINT only, times in microseconds since 1970, JSON as text.

CREATE TABLE resources (
    key TEXT NOT NULL PRIMARY KEY,      -- the id, lower-cased: ids are compared without regard to case
    id TEXT NOT NULL,                   -- the id as first written
    kind TEXT NOT NULL,                 -- its type, lower-cased
    name TEXT NOT NULL,                 -- its last segment, lower-cased
    parent TEXT,                        -- key of what contains it: resource, group or subscription
    subscription TEXT NOT NULL,         -- lower-cased
    resource_group TEXT,                -- lower-cased
    body TEXT NOT NULL,                 -- JSON
    version BIGINT NOT NULL,            -- grows by one with every write
    created_us BIGINT NOT NULL,
    updated_us BIGINT NOT NULL
);
CREATE INDEX resources_by_parent ON resources (parent, kind, key);
CREATE INDEX resources_by_group ON resources (subscription, resource_group, kind, key);
CREATE INDEX resources_by_subscription ON resources (subscription, kind, key);
CREATE INDEX resources_by_name ON resources (kind, name);

CREATE TABLE principals (
    id TEXT NOT NULL PRIMARY KEY,       -- object id
    kind TEXT NOT NULL,                 -- application | managed
    application_id TEXT NOT NULL UNIQUE,-- client id
    display_name TEXT NOT NULL,
    created_us BIGINT NOT NULL
);

CREATE TABLE principal_secrets (
    id TEXT NOT NULL PRIMARY KEY,
    principal_id TEXT NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
    hash TEXT NOT NULL,                 -- argon2id, PHC string
    created_us BIGINT NOT NULL
);
CREATE INDEX principal_secrets_by_principal ON principal_secrets (principal_id);

CREATE TABLE role_assignments (
    key TEXT NOT NULL PRIMARY KEY,      -- the id, lower-cased
    id TEXT NOT NULL,                   -- the id as first written
    scope TEXT NOT NULL,                -- as first written; "/" is the root
    scope_key TEXT NOT NULL,            -- lower-cased
    principal_id TEXT NOT NULL,         -- lower-cased
    principal_type TEXT NOT NULL,
    role_id TEXT NOT NULL,              -- the definition's GUID, lower-cased
    role_definition_id TEXT NOT NULL,   -- as first written
    created_by TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    updated_us BIGINT NOT NULL
);
CREATE INDEX role_assignments_by_principal ON role_assignments (principal_id);
CREATE INDEX role_assignments_by_scope ON role_assignments (scope_key);

CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL                 -- plain, or wrapped by the master key, as its owner says
);
