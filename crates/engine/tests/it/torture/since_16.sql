-- Memberships with options, storage at creation, predicates on keys with nulls.
CREATE ROLE member; GRANT reader TO member WITH INHERIT FALSE, SET TRUE; GRANT SELECT ON app.empty_one TO member;
CREATE TABLE app.stored (t text STORAGE EXTERNAL, u text STORAGE MAIN COMPRESSION pglz); INSERT INTO app.stored VALUES (repeat('x', 9000), repeat('y', 9000));
