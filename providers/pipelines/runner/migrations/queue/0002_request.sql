-- The callers of a server that requested runs.

CREATE TABLE request (
    run TEXT PRIMARY KEY REFERENCES run (id) ON DELETE CASCADE,
    -- The name of the caller; nothing if the server requires no tokens.
    caller TEXT,
    organisation TEXT,
    -- The idempotency key together with its caller, and the call that it was first used for.
    key TEXT UNIQUE,
    call TEXT NOT NULL,
    -- The usage log has the end of the run.
    is_logged INTEGER NOT NULL DEFAULT 0 CHECK (is_logged IN (0, 1))
) STRICT;
CREATE INDEX request_caller ON request (caller);
CREATE INDEX request_organisation ON request (organisation);
CREATE INDEX request_unlogged ON request (run) WHERE is_logged = 0;

-- Longer lives of databases that callers requested, for limits by day.
CREATE TABLE extension (
    number INTEGER PRIMARY KEY,
    caller TEXT,
    organisation TEXT,
    database TEXT NOT NULL,
    seconds INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;
