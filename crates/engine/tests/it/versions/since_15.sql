-- Nulls that are not distinct, views with the invoker's rights, publications of schemas with filters.
CREATE TABLE app.nulls (a int UNIQUE NULLS NOT DISTINCT); INSERT INTO app.nulls VALUES (NULL), (1);
CREATE VIEW app.mine WITH (security_invoker = true) AS SELECT a FROM app.nulls;
CREATE PUBLICATION chosen FOR TABLE app.nulls WHERE (a > 0), TABLES IN SCHEMA app;
CREATE UNLOGGED SEQUENCE app.lost; SELECT nextval('app.lost');
