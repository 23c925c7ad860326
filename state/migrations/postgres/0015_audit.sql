-- The audit log. Each entry has the hash of the one before it; `audit_head` is the last one, so that a missing end is found.
-- A writer locks its row.
CREATE TABLE audit (
    number bigint PRIMARY KEY,
    id     uuid NOT NULL UNIQUE,
    at     timestamptz NOT NULL,
    entry  text NOT NULL,
    hash   text NOT NULL
);
CREATE TABLE audit_head (
    singleton bigint PRIMARY KEY CHECK (singleton = 1),
    number    bigint NOT NULL,
    hash      text NOT NULL
);
