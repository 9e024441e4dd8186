-- The right to maintain, access methods of partitioned tables, event triggers at login.
GRANT MAINTAIN ON app.serial TO reader; CREATE TABLE app.own_method (i int) PARTITION BY LIST (i) USING another_heap; CREATE TABLE app.own_method_1 PARTITION OF app.own_method FOR VALUES IN (1); INSERT INTO app.own_method VALUES (1);
CREATE EVENT TRIGGER at_login ON login EXECUTE FUNCTION app.note_event(); ALTER TABLE app.twice_there ADD COLUMN g int GENERATED ALWAYS AS (i + 1) STORED; ALTER TABLE app.twice_there ALTER COLUMN g SET EXPRESSION AS (i + 2);
