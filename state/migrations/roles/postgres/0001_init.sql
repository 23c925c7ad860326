-- Tables of Hasura's role mapper beside a state, with the names and columns of the previous service. `../sqlite` explains
-- the reasons.

CREATE TABLE roles (
    role_id      text COLLATE "C" PRIMARY KEY,
    component_id text COLLATE "C" NOT NULL UNIQUE
);

CREATE TABLE role_graphql_root_field_names (
    role_id                 text COLLATE "C" NOT NULL REFERENCES roles (role_id) ON DELETE CASCADE,
    graphql_root_field_name text COLLATE "C" NOT NULL,
    PRIMARY KEY (role_id, graphql_root_field_name)
);

CREATE TABLE user_roles (
    "user"      text COLLATE "C" NOT NULL,
    role_id     text COLLATE "C" NOT NULL REFERENCES roles (role_id) ON DELETE CASCADE,
    last_update timestamptz NOT NULL,
    PRIMARY KEY ("user", role_id)
);

CREATE INDEX user_roles_by_role ON user_roles (role_id);

CREATE TABLE group_roles (
    "group"     text COLLATE "C" NOT NULL,
    role_id     text COLLATE "C" NOT NULL REFERENCES roles (role_id) ON DELETE CASCADE,
    last_update timestamptz NOT NULL,
    PRIMARY KEY ("group", role_id)
);

CREATE INDEX group_roles_by_role ON group_roles (role_id);
