-- Requests of a server: each is an operation that waits, runs under a claim, and has ended when it has a result. The
-- fence counts the claims. The claim belongs to the process of the operation.

CREATE TABLE request (
    operation INTEGER PRIMARY KEY REFERENCES operation (sequence),
    stack     INTEGER NOT NULL REFERENCES stack (id),
    component TEXT NOT NULL,
    digest    TEXT NOT NULL,
    body      TEXT NOT NULL,
    result    TEXT,
    fence     INTEGER NOT NULL DEFAULT 0,
    holder    TEXT,
    expires   INTEGER
) STRICT;

-- The open requests, in order for each component.
CREATE INDEX request_in_order ON request (stack, component, operation) WHERE result IS NULL;
CREATE INDEX request_unended ON request (operation) WHERE result IS NULL;
