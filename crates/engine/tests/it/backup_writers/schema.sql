-- Money moves between accounts and every move is in the journal, until the journal is folded into the bases and emptied.
CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL, base int NOT NULL);
INSERT INTO accounts SELECT i, 1000, 1000 FROM generate_series(0, 119) i;
CREATE TABLE journal (id bigint GENERATED ALWAYS AS IDENTITY, giver int, receiver int, amount int, pad text DEFAULT repeat('x', 200));
-- Whoever stays open for long says in which round, and when he means to end.
CREATE TABLE long_ones (round int, ends text);

-- A row says which large object there is, and what is in it.
CREATE TABLE documents (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, content oid NOT NULL UNIQUE, md5 text NOT NULL);

CREATE SEQUENCE tickets CACHE 5;
CREATE TABLE ticketed (id bigint PRIMARY KEY DEFAULT nextval('tickets'));

-- What is taken from one partition is given to another, whether they are attached or not.
CREATE TABLE shares (slot int NOT NULL, amount int NOT NULL) PARTITION BY LIST (slot);
CREATE TABLE share_0 PARTITION OF shares FOR VALUES IN (0);
CREATE TABLE share_1 PARTITION OF shares FOR VALUES IN (1);
CREATE TABLE share_2 (slot int NOT NULL, amount int NOT NULL);
INSERT INTO share_0 VALUES (0, 5000);
CREATE FUNCTION total_of_shares() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE part name; found bigint; total bigint := 0;
BEGIN
    FOR part IN SELECT relname FROM pg_class WHERE relname ~ '^share_' AND relkind = 'r' LOOP
        EXECUTE format('SELECT coalesce(sum(amount), 0) FROM ONLY public.%I WHERE slot = %s', part, substr(part, 7)) INTO found;
        total := total + found;
    END LOOP;
    RETURN total;
END $$;

-- A table says what the labels and attributes are called that the values are written with.
CREATE TYPE mood AS ENUM ('m0', 'm1', 'm2');
CREATE TABLE moods (number int PRIMARY KEY, label text NOT NULL);
INSERT INTO moods VALUES (0, 'm0'), (1, 'm1'), (2, 'm2');
CREATE TYPE pair AS (a int, b int);
CREATE TABLE attributes (added int NOT NULL);
INSERT INTO attributes VALUES (0);
CREATE TABLE felt (id bigint GENERATED ALWAYS AS IDENTITY, number int NOT NULL, mood mood NOT NULL, pair pair);

-- Two schemas that look the same, and who lives in which.
CREATE SCHEMA one;
CREATE SCHEMA two;
CREATE TABLE one.tenants AS SELECT 1 AS tenant FROM generate_series(1, 50);
CREATE TABLE two.tenants AS SELECT 2 AS tenant FROM generate_series(1, 50);
CREATE TABLE houses (schema text, tenant int);
INSERT INTO houses VALUES ('one', 1), ('two', 2);
