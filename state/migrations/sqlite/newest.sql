-- The result of all numbered files on an empty file, for new stores. Do not edit it by hand: a test in `migrate` prints
-- the correct content.
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
    lifecycle      TEXT, provider_version TEXT,
    CHECK ((status IS NULL) = (attributes IS NULL))
) STRICT;
CREATE UNIQUE INDEX version_by_address ON version (stack, address, generation);
CREATE TABLE resource (
    stack      INTEGER NOT NULL REFERENCES stack (id),
    component  TEXT NOT NULL,
    address    TEXT NOT NULL,
    deposed    TEXT NOT NULL,
    generation INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    PRIMARY KEY (stack, component, address, deposed)
) STRICT, WITHOUT ROWID;
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
    blueprint  TEXT, reads TEXT NOT NULL DEFAULT '[]', principals TEXT, access_fields TEXT, ids TEXT,
    PRIMARY KEY (stack, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE owner (
    environment TEXT NOT NULL,
    address     TEXT NOT NULL,
    stack       INTEGER NOT NULL REFERENCES stack (id),
    component   TEXT NOT NULL, declaration TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (environment, address, stack, component)
) STRICT, WITHOUT ROWID;
CREATE INDEX owner_by_stack ON owner (stack);
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
, cancelled_by TEXT) STRICT;
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
    lifecycle        TEXT NOT NULL, deposes INTEGER NOT NULL DEFAULT 0, provider_version TEXT, boot TEXT, pid_namespace INTEGER, pid INTEGER, process_started INTEGER,
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
CREATE TABLE component_version (
    id         INTEGER PRIMARY KEY,
    stack      INTEGER NOT NULL REFERENCES stack (id),
    key        TEXT NOT NULL,
    written_at INTEGER NOT NULL,
    operation  BLOB NOT NULL,
    depends_on TEXT,
    outputs    TEXT,
    blueprint  TEXT,
    reads      TEXT NOT NULL DEFAULT '[]', generation INTEGER NOT NULL DEFAULT 0, principals TEXT, access_fields TEXT, ids TEXT,
    CHECK ((depends_on IS NULL) = (outputs IS NULL))
) STRICT;
CREATE INDEX component_version_by_key ON component_version (stack, key, generation);
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
, can_wait INTEGER NOT NULL DEFAULT 0, claimant BLOB, caller TEXT, most_running INTEGER) STRICT;
CREATE INDEX request_in_order ON request (stack, component, operation) WHERE result IS NULL;
CREATE INDEX operation_of_stack ON operation_stack (stack, operation);
CREATE INDEX request_waiting ON request (can_wait, operation) WHERE result IS NULL AND expires IS NULL;
CREATE INDEX request_taken ON request (operation) WHERE result IS NULL AND expires IS NOT NULL;
CREATE INDEX lease_held ON lease (operation) WHERE id IS NOT NULL;
CREATE TABLE request_key (
    key       TEXT PRIMARY KEY,
    operation INTEGER NOT NULL REFERENCES request (operation)
) STRICT, WITHOUT ROWID;
CREATE INDEX request_key_of ON request_key (operation);
CREATE TABLE request_death (
    operation INTEGER NOT NULL REFERENCES request (operation),
    fence     INTEGER NOT NULL,
    claimant  BLOB NOT NULL,
    holder    TEXT NOT NULL,
    PRIMARY KEY (operation, fence)
) STRICT, WITHOUT ROWID;
CREATE INDEX request_death_of ON request_death (claimant);
CREATE INDEX request_of_caller ON request (caller) WHERE result IS NULL AND caller IS NOT NULL;
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
