-- Schema of a store in PostgreSQL: that of `../sqlite` with PostgreSQL's types. The reasons are explained there.
--
-- Durations are microseconds. Texts that are compared or sorted have the collation "C", which is the byte order of the
-- engine. Lists are JSON in `text`, because no query reads them. A text cannot contain the character NUL; `columns`
-- encodes it.

-- The executed files. The greatest version is the format of the store.
CREATE TABLE terrace_schema (
    version integer PRIMARY KEY,
    ran_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE store (
    singleton smallint PRIMARY KEY CHECK (singleton = 1),
    id        uuid NOT NULL,
    made_at   timestamptz NOT NULL
);

-- A writer of a stack locks its row first.
CREATE TABLE stack (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text COLLATE "C" NOT NULL,
    environment text COLLATE "C" NOT NULL,
    UNIQUE (name, environment)
);

-- Many versions are written at once, together with the rows that refer to them: their numbers are reserved first.
CREATE SEQUENCE version_id;

CREATE TABLE version (
    id               bigint PRIMARY KEY,
    stack            bigint NOT NULL REFERENCES stack (id),
    address          text COLLATE "C" NOT NULL,
    deposed          text COLLATE "C" NOT NULL,
    generation       bigint NOT NULL,
    written_at       timestamptz NOT NULL,
    operation        uuid NOT NULL,
    status           text,
    provider         text,
    provider_version text,
    schema_version   bigint,
    identity         text,
    attributes       text,
    private          bytea,
    dependencies     text,
    lifecycle        text,
    CHECK ((status IS NULL) = (attributes IS NULL))
);

CREATE UNIQUE INDEX version_by_address ON version (stack, address, generation);

CREATE TABLE resource (
    stack      bigint NOT NULL REFERENCES stack (id),
    component  text COLLATE "C" NOT NULL,
    address    text COLLATE "C" NOT NULL,
    deposed    text COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    version    bigint NOT NULL,
    PRIMARY KEY (stack, component, address, deposed)
);

CREATE TABLE dependent (
    stack     bigint NOT NULL REFERENCES stack (id),
    target    text COLLATE "C" NOT NULL,
    component text COLLATE "C" NOT NULL,
    address   text COLLATE "C" NOT NULL,
    deposed   text COLLATE "C" NOT NULL,
    PRIMARY KEY (stack, target, component, address, deposed)
);

CREATE TABLE component (
    stack      bigint NOT NULL REFERENCES stack (id),
    key        text COLLATE "C" NOT NULL,
    depends_on text NOT NULL,
    outputs    text NOT NULL,
    blueprint  text,
    reads      text NOT NULL,
    PRIMARY KEY (stack, key)
);

CREATE TABLE component_version (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stack      bigint NOT NULL REFERENCES stack (id),
    key        text COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    written_at timestamptz NOT NULL,
    operation  uuid NOT NULL,
    depends_on text,
    outputs    text,
    blueprint  text,
    reads      text NOT NULL DEFAULT '[]',
    CHECK ((depends_on IS NULL) = (outputs IS NULL))
);

CREATE UNIQUE INDEX component_version_by_key ON component_version (stack, key, generation);

CREATE TABLE owner (
    environment text COLLATE "C" NOT NULL,
    address     text COLLATE "C" NOT NULL,
    stack       bigint NOT NULL REFERENCES stack (id),
    component   text COLLATE "C" NOT NULL,
    declaration text NOT NULL,
    PRIMARY KEY (environment, address, stack, component)
);

CREATE INDEX owner_by_stack ON owner (stack);

-- Holders are on many machines, so that leases have no process columns and end by expiry.
CREATE TABLE lease (
    stack     bigint NOT NULL REFERENCES stack (id),
    component text COLLATE "C" NOT NULL,
    fence     bigint NOT NULL,
    id        text UNIQUE,
    holder    text,
    operation uuid,
    since     timestamptz,
    expires   timestamptz,
    PRIMARY KEY (stack, component)
);

CREATE TABLE operation (
    sequence        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id              uuid NOT NULL UNIQUE,
    kind            text NOT NULL,
    actor           text NOT NULL,
    status          text NOT NULL,
    has_held_leases boolean NOT NULL DEFAULT false,
    started_at      timestamptz NOT NULL,
    ended_at        timestamptz,
    summary         text NOT NULL DEFAULT '',
    cancelled_by    text
);

CREATE TABLE operation_stack (
    operation bigint NOT NULL REFERENCES operation (sequence),
    position  bigint NOT NULL,
    stack     bigint NOT NULL REFERENCES stack (id),
    PRIMARY KEY (operation, position)
);

CREATE TABLE step (
    operation  bigint NOT NULL REFERENCES operation (sequence),
    step       bigint NOT NULL,
    stack      bigint NOT NULL REFERENCES stack (id),
    address    text COLLATE "C" NOT NULL,
    action     text NOT NULL,
    result     text,
    message    text,
    started_at timestamptz NOT NULL,
    ended_at   timestamptz,
    PRIMARY KEY (operation, step)
);

CREATE TABLE intent (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operation        bigint NOT NULL REFERENCES operation (sequence),
    step             bigint NOT NULL,
    stack            bigint NOT NULL REFERENCES stack (id),
    component        text COLLATE "C" NOT NULL,
    address          text COLLATE "C" NOT NULL,
    deposed          text COLLATE "C" NOT NULL,
    action           text NOT NULL,
    lease            text,
    prior_generation bigint NOT NULL,
    deposes          boolean NOT NULL,
    timeout          bigint NOT NULL,
    settle           bigint NOT NULL,
    started_at       timestamptz NOT NULL,
    status           text NOT NULL,
    provider         text NOT NULL,
    provider_version text,
    schema_version   bigint NOT NULL,
    identity         text NOT NULL,
    attributes       text NOT NULL,
    private          bytea NOT NULL,
    dependencies     text NOT NULL,
    lifecycle        text NOT NULL,
    UNIQUE (operation, step)
);

CREATE INDEX intent_by_component ON intent (stack, component);

CREATE TABLE log (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operation bigint NOT NULL REFERENCES operation (sequence),
    at        timestamptz NOT NULL,
    level     text NOT NULL,
    phase     text NOT NULL,
    message   text NOT NULL
);

CREATE INDEX log_by_operation ON log (operation);

CREATE TABLE spent_plan (
    plan     uuid PRIMARY KEY,
    spent_at timestamptz NOT NULL
);
