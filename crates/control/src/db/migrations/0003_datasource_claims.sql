-- Which backup instance a datasource belongs to. At most one instance of the whole installation holds a datasource; a soft deleted
-- one keeps its row without holding it.

CREATE TABLE datasource_claims (
    instance TEXT NOT NULL PRIMARY KEY, -- key of {vault}/backupInstances/{name}
    datasource TEXT NOT NULL,           -- key of the datasource's ARM id
    vault TEXT NOT NULL,                -- key of the vault
    holds BIGINT NOT NULL               -- 1 when it is this instance that protects the datasource
);
CREATE UNIQUE INDEX datasource_claims_held ON datasource_claims (datasource) WHERE holds = 1;
CREATE INDEX datasource_claims_by_datasource ON datasource_claims (datasource);
