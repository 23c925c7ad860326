-- Tables of Hasura's role mapper beside a state, with the names and columns of the previous service.
--
-- Times are microseconds since the epoch. Names are compared byte by byte.

CREATE TABLE roles (
    role_id      TEXT NOT NULL PRIMARY KEY,
    component_id TEXT NOT NULL UNIQUE
) STRICT, WITHOUT ROWID;

CREATE TABLE role_graphql_root_field_names (
    role_id                 TEXT NOT NULL REFERENCES roles (role_id) ON DELETE CASCADE,
    graphql_root_field_name TEXT NOT NULL,
    PRIMARY KEY (role_id, graphql_root_field_name)
) STRICT, WITHOUT ROWID;

-- Queries look up the roles of a user and of its groups: their names lead the keys.
CREATE TABLE user_roles (
    user        TEXT NOT NULL,
    role_id     TEXT NOT NULL REFERENCES roles (role_id) ON DELETE CASCADE,
    last_update INTEGER NOT NULL,
    PRIMARY KEY (user, role_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX user_roles_by_role ON user_roles (role_id);

CREATE TABLE group_roles (
    "group"     TEXT NOT NULL,
    role_id     TEXT NOT NULL REFERENCES roles (role_id) ON DELETE CASCADE,
    last_update INTEGER NOT NULL,
    PRIMARY KEY ("group", role_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX group_roles_by_role ON group_roles (role_id);
