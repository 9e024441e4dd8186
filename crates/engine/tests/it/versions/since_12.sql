-- Generated columns and collations that do not decide equality by bytes.
CREATE TABLE app.computed (a int, doubled int GENERATED ALWAYS AS (a * 2) STORED, b text);
INSERT INTO app.computed (a, b) SELECT i, i::text FROM generate_series(1, 30) i;
CREATE TABLE app.pointing (m app.mood, v int, FOREIGN KEY (m, v) REFERENCES app.hashed); INSERT INTO app.pointing SELECT m, v FROM app.hashed WHERE v < 9;
