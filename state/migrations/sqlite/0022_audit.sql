-- The audit log. Each entry contains the hash of the previous one. `audit_head` names the last entry, so that a missing
-- end is detected.
CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    id     BLOB NOT NULL UNIQUE,
    at     INTEGER NOT NULL,
    entry  TEXT NOT NULL,
    hash   TEXT NOT NULL
) STRICT;
CREATE TABLE audit_head (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    number    INTEGER NOT NULL,
    hash      TEXT NOT NULL
) STRICT;
