-- Somebody was told that the operation waits for its turn too long: once is enough.
ALTER TABLE operation ADD COLUMN late_told BIGINT NOT NULL DEFAULT 0;
