-- The audit log. Each entry contains the hash of the previous one. `audit_head` names the last entry, so that a missing
-- end is detected. Writers lock its row.
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
