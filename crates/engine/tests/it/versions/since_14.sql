-- Multiranges, bodies in standard SQL, compression of columns, subscripts' types.
CREATE TABLE app.many (r int4multirange, t text COMPRESSION pglz); INSERT INTO app.many VALUES ('{[1,3),[5,8)}', repeat('long ', 2000)), ('{}', NULL);
CREATE FUNCTION app.thrice(i int) RETURNS int LANGUAGE sql RETURN i * 3;
CREATE STATISTICS app.expression ON (lower(v)) FROM app.parent;
