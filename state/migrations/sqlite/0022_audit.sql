-- The audit log. Each entry has the hash of the one before it; `audit_head` is the last one, so that a missing end is found.
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
