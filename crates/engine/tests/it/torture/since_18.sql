-- Named and inherited NOT NULL, virtual columns with domains of expressions, foreign keys that nobody enforces, publications of generated columns.
CREATE TABLE app.nullness (a int CONSTRAINT a_filled NOT NULL, b int CONSTRAINT b_filled NOT NULL NO INHERIT, c int); CREATE TABLE app.nullness_child (CONSTRAINT c_filled NOT NULL c) INHERITS (app.nullness); INSERT INTO app.nullness VALUES (1, 2, NULL);
ALTER TABLE app.set_null ADD CONSTRAINT unenforced FOREIGN KEY (b) REFERENCES app.filtered NOT ENFORCED; COMMENT ON CONSTRAINT a_filled ON app.nullness IS 'named';
CREATE PUBLICATION generated_too FOR TABLE app.computed WITH (publish_generated_columns = stored);
