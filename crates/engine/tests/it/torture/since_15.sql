-- Publications of columns and rows, grants on settings of the server (which belong to the server and not to a database).
CREATE TABLE app.filtered (a int PRIMARY KEY, b int, c text); CREATE PUBLICATION columns_only FOR TABLE app.filtered (a, b) WHERE (a > 5);
CREATE TABLE app.set_null (a int, b int, FOREIGN KEY (a) REFERENCES app.filtered ON DELETE SET NULL (a)); CREATE SEQUENCE app.first_unlogged; CREATE UNLOGGED TABLE app.unlogged_identity (id int GENERATED ALWAYS AS IDENTITY); INSERT INTO app.unlogged_identity DEFAULT VALUES;
