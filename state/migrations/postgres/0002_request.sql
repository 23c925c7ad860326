-- Requests of a server: each is an operation that waits, runs under a claim, and has ended when it has a result. The
-- fence counts the claims.

CREATE TABLE request (
    operation bigint PRIMARY KEY REFERENCES operation (sequence),
    stack     bigint NOT NULL REFERENCES stack (id),
    component text COLLATE "C" NOT NULL,
    digest    text NOT NULL,
    body      text NOT NULL,
    result    text,
    fence     bigint NOT NULL DEFAULT 0,
    holder    text,
    expires   timestamptz
);

-- The open requests, in order for each component.
CREATE INDEX request_in_order ON request (stack, component, operation) WHERE result IS NULL;
CREATE INDEX request_unended ON request (operation) WHERE result IS NULL;
