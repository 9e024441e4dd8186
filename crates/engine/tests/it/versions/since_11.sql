-- Hash and default partitions, keys of partitioned tables, INCLUDE, procedures, columns added with a stored default.
CREATE TABLE app.hashed (m app.mood, v int, PRIMARY KEY (m, v)) PARTITION BY HASH (m);
CREATE TABLE app.hashed_0 PARTITION OF app.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE app.hashed_1 PARTITION OF app.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO app.hashed SELECT (ARRAY['sad', 'so so', 'happy'])[1 + i % 3]::app.mood, i FROM generate_series(1, 60) i;
CREATE TABLE app.measure_rest PARTITION OF app.measure_new DEFAULT;
INSERT INTO app.measure VALUES ('2030-01-01', 9);
ALTER TABLE app.dropped ADD COLUMN e text DEFAULT 'fast';
CREATE UNIQUE INDEX dropped_a ON app.dropped (a) INCLUDE (e);
CREATE PROCEDURE app.act() LANGUAGE sql AS 'SELECT 1';
