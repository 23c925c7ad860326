-- Schema of a store.
--
-- Content is written once: `version` is append-only and has every version of every row with its texts; `resource` only
-- names the current version. A write costs one large insert and one small upsert. A read of current rows is a range of
-- `resource` with one lookup by rowid for each. History needs no second copy.
--
-- Times are microseconds since the epoch, durations microseconds. IDs are the 16 bytes of a UUID. Addresses have their
-- printed form; the component is repeated in a column of its own, so that it can lead a key. `deposed` is empty for the
-- current object of an address, so that it can be part of a key. Lists are JSON.

CREATE TABLE store (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    id        BLOB NOT NULL,
    made_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE stack (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL,
    environment TEXT NOT NULL,
    UNIQUE (name, environment)
) STRICT;

-- `status` is NULL if the version is a deletion. The generation counts for each address, including its deposed objects,
-- and continues after a deletion: for this reason pruning keeps the newest version of every address. `dependencies` of
-- a current version follow moved rows. `operation` is not a foreign key: imported rows may have operations of another
-- store.
CREATE TABLE version (
    id             INTEGER PRIMARY KEY,
    stack          INTEGER NOT NULL REFERENCES stack (id),
    address        TEXT NOT NULL,
    deposed        TEXT NOT NULL,
    generation     INTEGER NOT NULL,
    written_at     INTEGER NOT NULL,
    operation      BLOB NOT NULL,
    status         TEXT,
    provider       TEXT,
    schema_version INTEGER,
    identity       TEXT,
    attributes     TEXT,
    private        BLOB,
    dependencies   TEXT,
    lifecycle      TEXT,
    CHECK ((status IS NULL) = (attributes IS NULL))
) STRICT;

CREATE UNIQUE INDEX version_by_address ON version (stack, address, generation);

-- `version` is not a foreign key: the check would cost a second index for every write, and the statements keep it
-- correct.
CREATE TABLE resource (
    stack      INTEGER NOT NULL REFERENCES stack (id),
    component  TEXT NOT NULL,
    address    TEXT NOT NULL,
    deposed    TEXT NOT NULL,
    generation INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    PRIMARY KEY (stack, component, address, deposed)
) STRICT, WITHOUT ROWID;

-- The inverse of the `dependencies` of current versions, so that a move finds dependent rows without reading the whole
-- stack.
CREATE TABLE dependent (
    stack     INTEGER NOT NULL REFERENCES stack (id),
    target    TEXT NOT NULL,
    component TEXT NOT NULL,
    address   TEXT NOT NULL,
    deposed   TEXT NOT NULL,
    PRIMARY KEY (stack, target, component, address, deposed)
) STRICT, WITHOUT ROWID;

CREATE TABLE component (
    stack      INTEGER NOT NULL REFERENCES stack (id),
    key        TEXT NOT NULL,
    depends_on TEXT NOT NULL,
    outputs    TEXT NOT NULL,
    blueprint  TEXT,
    PRIMARY KEY (stack, key)
) STRICT, WITHOUT ROWID;

-- `stack` and `component` own the shared row `address` of the environment.
CREATE TABLE owner (
    environment TEXT NOT NULL,
    address     TEXT NOT NULL,
    stack       INTEGER NOT NULL REFERENCES stack (id),
    component   TEXT NOT NULL,
    PRIMARY KEY (environment, address, stack, component)
) STRICT, WITHOUT ROWID;

CREATE INDEX owner_by_stack ON owner (stack);

-- `id` and the following columns are NULL while the lease is free; the row stays, because its fence must never
-- decrease.
CREATE TABLE lease (
    stack           INTEGER NOT NULL REFERENCES stack (id),
    component       TEXT NOT NULL,
    fence           INTEGER NOT NULL,
    id              TEXT UNIQUE,
    holder          TEXT,
    operation       BLOB,
    since           INTEGER,
    expires         INTEGER,
    boot            TEXT,
    pid_namespace   INTEGER,
    pid             INTEGER,
    process_started INTEGER,
    PRIMARY KEY (stack, component)
) STRICT, WITHOUT ROWID;

-- The process columns identify the process that began the operation.
CREATE TABLE operation (
    sequence        INTEGER PRIMARY KEY,
    id              BLOB NOT NULL UNIQUE,
    kind            TEXT NOT NULL,
    actor           TEXT NOT NULL,
    status          TEXT NOT NULL,
    has_held_leases INTEGER NOT NULL DEFAULT 0,
    started_at      INTEGER NOT NULL,
    ended_at        INTEGER,
    summary         TEXT NOT NULL DEFAULT '',
    boot            TEXT,
    pid_namespace   INTEGER,
    pid             INTEGER,
    process_started INTEGER
) STRICT;

CREATE TABLE operation_stack (
    operation INTEGER NOT NULL REFERENCES operation (sequence),
    position  INTEGER NOT NULL,
    stack     INTEGER NOT NULL REFERENCES stack (id),
    PRIMARY KEY (operation, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE step (
    operation  INTEGER NOT NULL REFERENCES operation (sequence),
    step       INTEGER NOT NULL,
    stack      INTEGER NOT NULL REFERENCES stack (id),
    address    TEXT NOT NULL,
    action     TEXT NOT NULL,
    result     TEXT,
    message    TEXT,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER,
    PRIMARY KEY (operation, step)
) STRICT, WITHOUT ROWID;

-- The open steps with their planned rows. An intent is deleted when its step gets its outcome, so that the table has
-- only the work in flight. `lease` is the lease of the write, NULL if no lease of the writer covers the row.
CREATE TABLE intent (
    id               INTEGER PRIMARY KEY,
    operation        INTEGER NOT NULL REFERENCES operation (sequence),
    step             INTEGER NOT NULL,
    stack            INTEGER NOT NULL REFERENCES stack (id),
    component        TEXT NOT NULL,
    address          TEXT NOT NULL,
    deposed          TEXT NOT NULL,
    action           TEXT NOT NULL,
    lease            TEXT,
    prior_generation INTEGER NOT NULL,
    timeout          INTEGER NOT NULL,
    settle           INTEGER NOT NULL,
    started_at       INTEGER NOT NULL,
    status           TEXT NOT NULL,
    provider         TEXT NOT NULL,
    schema_version   INTEGER NOT NULL,
    identity         TEXT NOT NULL,
    attributes       TEXT NOT NULL,
    private          BLOB NOT NULL,
    dependencies     TEXT NOT NULL,
    lifecycle        TEXT NOT NULL,
    UNIQUE (operation, step)
) STRICT;

CREATE INDEX intent_by_component ON intent (stack, component);

CREATE TABLE log (
    id        INTEGER PRIMARY KEY,
    operation INTEGER NOT NULL REFERENCES operation (sequence),
    at        INTEGER NOT NULL,
    level     TEXT NOT NULL,
    phase     TEXT NOT NULL,
    message   TEXT NOT NULL
) STRICT;

CREATE INDEX log_by_operation ON log (operation);

CREATE TABLE spent_plan (
    plan     BLOB PRIMARY KEY,
    spent_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
