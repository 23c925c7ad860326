-- The process that claimed a request; NULL for a claim of an older terrace.
ALTER TABLE request ADD COLUMN claimant BLOB;
-- The claims on open requests whose processes died: they expired without a release.
CREATE TABLE request_death (
    operation INTEGER NOT NULL REFERENCES request (operation),
    fence     INTEGER NOT NULL,
    claimant  BLOB NOT NULL,
    holder    TEXT NOT NULL,
    PRIMARY KEY (operation, fence)
) STRICT, WITHOUT ROWID;
CREATE INDEX request_death_of ON request_death (claimant);
