-- Principals that prove who they are by a token of another issuer: known by that issuer's word for them.

ALTER TABLE principals ADD COLUMN issuer TEXT;
ALTER TABLE principals ADD COLUMN subject TEXT;
CREATE UNIQUE INDEX principals_by_subject ON principals (issuer, subject);
