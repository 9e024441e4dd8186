-- Virtual columns, constraints that are not enforced, keys over time.
CREATE EXTENSION btree_gist;
CREATE TABLE app.virtual (a int, doubled int GENERATED ALWAYS AS (a * 2) VIRTUAL, CONSTRAINT never CHECK (a < 0) NOT ENFORCED); INSERT INTO app.virtual (a) VALUES (1), (2);
CREATE TABLE app.stay (room int, during daterange, PRIMARY KEY (room, during WITHOUT OVERLAPS)); INSERT INTO app.stay VALUES (1, '[2024-01-01,2024-02-01)');
CREATE TABLE app.guest (room int, during daterange, FOREIGN KEY (room, PERIOD during) REFERENCES app.stay (room, PERIOD during)); INSERT INTO app.guest VALUES (1, '[2024-01-05,2024-01-09)');
ALTER TABLE app.old_rules ADD CONSTRAINT filled NOT NULL i NOT VALID;
