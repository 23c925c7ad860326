-- Clusters, pools, their workers, and the runs that wait for one.
--
-- Times are milliseconds since 1970 in UTC. `uptime` is milliseconds since the start of the machine that `boot` names: it
-- goes on when somebody sets the clock.

CREATE TABLE cluster (
    kind TEXT PRIMARY KEY,
    is_active INTEGER NOT NULL CHECK (is_active IN (0, 1)),
    workers INTEGER NOT NULL,
    databases INTEGER NOT NULL,
    ttl INTEGER,
    is_ready INTEGER NOT NULL CHECK (is_ready IN (0, 1)),
    created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX cluster_active ON cluster (is_active) WHERE is_active = 1;

CREATE TABLE pool (
    name TEXT PRIMARY KEY,
    size INTEGER NOT NULL CHECK (size >= 0),
    -- How long it lives; nothing of a pool that stays until it is destroyed.
    ttl INTEGER,
    is_closing INTEGER NOT NULL DEFAULT 0 CHECK (is_closing IN (0, 1)),
    -- The settings of the provider's instance, as JSON; they have no secrets.
    settings TEXT NOT NULL,
    -- The call that made it, so that it is found after a crash.
    mark TEXT,
    created_at INTEGER NOT NULL,
    uptime INTEGER,
    boot TEXT,
    -- Workers that were started since the last one that came up, and when the last one was.
    starts INTEGER NOT NULL DEFAULT 0,
    started_at INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE worker (
    name TEXT PRIMARY KEY,
    pool TEXT NOT NULL REFERENCES pool (name) ON DELETE CASCADE,
    state TEXT NOT NULL CHECK (state IN ('pending', 'available', 'assigned', 'expired')),
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX worker_pool ON worker (pool);

CREATE TABLE run (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    -- Nothing where any pool will do.
    pool TEXT,
    root TEXT NOT NULL,
    folder TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    options TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'assigned', 'ended')),
    is_cancelled INTEGER NOT NULL DEFAULT 0 CHECK (is_cancelled IN (0, 1)),
    -- How often it was taken, by whom, and the record of that.
    attempt INTEGER NOT NULL DEFAULT 0,
    worker TEXT,
    record TEXT,
    is_good INTEGER CHECK (is_good IN (0, 1)),
    -- How it ended, as JSON.
    ending TEXT,
    queued_at INTEGER NOT NULL,
    assigned_at INTEGER,
    ended_at INTEGER,
    CHECK ((state = 'assigned') <= (worker IS NOT NULL AND record IS NOT NULL)),
    CHECK ((state = 'ended') = (ending IS NOT NULL AND is_good IS NOT NULL AND ended_at IS NOT NULL))
) STRICT;
CREATE INDEX run_waiting ON run (number) WHERE state = 'queued';
CREATE INDEX run_taken ON run (worker) WHERE state = 'assigned';

-- A run ends once.
CREATE TRIGGER run_ended BEFORE UPDATE ON run WHEN OLD.state = 'ended'
BEGIN
    SELECT RAISE(ABORT, 'a run that ended is not changed');
END;

-- What a run waits for: it is taken when all of these have ended.
CREATE TABLE run_after (
    run TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    before TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    PRIMARY KEY (run, before)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_before ON run_after (before);

-- What became of each run, in order.
CREATE TABLE transition (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    state TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    worker TEXT,
    record TEXT,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX transition_run ON transition (run);
