-- The process that claimed a request; NULL for a claim of an older terrace.
ALTER TABLE request ADD COLUMN claimant uuid;
-- The claims on open requests whose processes died: they expired without a release.
CREATE TABLE request_death (
    operation bigint NOT NULL REFERENCES request (operation),
    fence     bigint NOT NULL,
    claimant  uuid NOT NULL,
    holder    text NOT NULL,
    PRIMARY KEY (operation, fence)
);
CREATE INDEX request_death_of ON request_death (claimant);
