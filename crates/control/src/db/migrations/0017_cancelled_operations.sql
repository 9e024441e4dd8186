-- What was asked to stop is few, and looked for often while something runs.
CREATE INDEX operation_cancelled ON operation (due_us) WHERE finished_us IS NULL AND cancel_requested <> 0;
