//! Tables of a state, each after the tables that it refers to.
//!
//! One description serves every database. The key columns come first, and also define the order. A migration that adds
//! a table or a column must add it here: a test compares both.

/// A transferred table.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The number of key columns, which come first.
    pub(crate) keys: usize,
    /// Its columns.
    pub columns: &'static [Column],
    /// The PostgreSQL sequence of its first column.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "SQLite numbers rows by itself"))]
    pub(crate) sequence: Option<&'static str>,
}

/// A column of a table.
#[derive(Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// The type of its values.
    pub(crate) kind: Kind,
}

/// The type of a column, independent of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Number,
    Flag,
    Time,
    Text,
    Id,
    Bytes,
}

use Kind::{Bytes, Flag, Id, Number, Text, Time};

const fn table(name: &'static str, keys: usize, columns: &'static [Column], sequence: Option<&'static str>) -> Table {
    Table { name, keys, columns, sequence }
}

macro_rules! columns {
    ($($name:literal $kind:ident),+ $(,)?) => { &[$(Column { name: $name, kind: $kind }),+] };
}

/// The transferred tables.
pub const TABLES: &[Table] = &[
    table("store", 1, columns!["singleton" Number, "id" Id, "made_at" Time], None),
    table("stack", 1, columns!["id" Number, "name" Text, "environment" Text], Some("stack_id_seq")),
    table(
        "version",
        1,
        columns![
            "id" Number, "stack" Number, "address" Text, "deposed" Text, "generation" Number, "written_at" Time,
            "operation" Id, "status" Text, "provider" Text, "provider_version" Text, "schema_version" Number,
            "identity" Text, "attributes" Text, "private" Bytes, "dependencies" Text, "lifecycle" Text,
        ],
        Some("version_id"),
    ),
    table(
        "resource",
        4,
        columns![
            "stack" Number, "component" Text, "address" Text, "deposed" Text, "generation" Number, "version" Number,
        ],
        None,
    ),
    table(
        "dependent",
        5,
        columns!["stack" Number, "target" Text, "component" Text, "address" Text, "deposed" Text],
        None,
    ),
    table(
        "component",
        2,
        columns![
            "stack" Number, "key" Text, "depends_on" Text, "outputs" Text, "blueprint" Text, "reads" Text,
            "principals" Text, "access_fields" Text, "ids" Text,
        ],
        None,
    ),
    table(
        "component_version",
        1,
        columns![
            "id" Number, "stack" Number, "key" Text, "generation" Number, "written_at" Time, "operation" Id,
            "depends_on" Text, "outputs" Text, "blueprint" Text, "reads" Text, "principals" Text,
            "access_fields" Text, "ids" Text,
        ],
        Some("component_version_id_seq"),
    ),
    table(
        "owner",
        4,
        columns!["environment" Text, "address" Text, "stack" Number, "component" Text, "declaration" Text],
        None,
    ),
    table(
        "operation",
        1,
        columns![
            "sequence" Number, "id" Id, "kind" Text, "actor" Text, "status" Text, "has_held_leases" Flag,
            "started_at" Time, "ended_at" Time, "summary" Text, "cancelled_by" Text,
        ],
        Some("operation_sequence_seq"),
    ),
    table("operation_stack", 2, columns!["operation" Number, "position" Number, "stack" Number], None),
    table(
        "step",
        2,
        columns![
            "operation" Number, "step" Number, "stack" Number, "address" Text, "action" Text, "result" Text,
            "message" Text, "started_at" Time, "ended_at" Time,
        ],
        None,
    ),
    table(
        "request",
        1,
        columns![
            "operation" Number, "stack" Number, "component" Text, "digest" Text, "body" Text, "result" Text,
            "fence" Number, "holder" Text, "expires" Time, "can_wait" Flag, "caller" Text, "most_running" Number,
        ],
        None,
    ),
    table("request_key", 1, columns!["key" Text, "operation" Number], None),
    table(
        "log",
        1,
        columns!["id" Number, "operation" Number, "at" Time, "level" Text, "phase" Text, "message" Text],
        Some("log_id_seq"),
    ),
    table("spent_plan", 1, columns!["plan" Id, "spent_at" Time], None),
    table("audit", 1, columns!["number" Number, "id" Id, "at" Time, "entry" Text, "hash" Text], None),
    table("audit_head", 1, columns!["singleton" Number, "number" Number, "hash" Text], None),
];

/// The tables of a role mapper beside a state, which move with it.
pub const ROLE_TABLES: &[Table] = &[
    table("roles", 1, columns!["role_id" Text, "component_id" Text], None),
    table("role_graphql_root_field_names", 2, columns!["role_id" Text, "graphql_root_field_name" Text], None),
    table("user_roles", 2, columns!["user" Text, "role_id" Text, "last_update" Time], None),
    table("group_roles", 2, columns!["group" Text, "role_id" Text, "last_update" Time], None),
];

/// Tables that are not transferred: work in flight, which a movable state does not have, and the formats of a database
/// (`terrace_schema` and `role_mapper_schema`).
pub const UNTRANSFERRED_TABLES: &[&str] = &["lease", "intent", "request_death", "terrace_schema", "role_mapper_schema"];

/// Columns that are not transferred: the process that runs an operation, or claimed a request.
pub const UNTRANSFERRED_COLUMNS: &[(&str, &str)] = &[
    ("operation", "boot"),
    ("operation", "pid_namespace"),
    ("operation", "pid"),
    ("operation", "process_started"),
    ("request", "claimant"),
];

/// Open steps with their operations, which block a transfer, in every database.
pub(crate) const OPEN_STEPS: &str = "SELECT name, environment, address, operation.id
    FROM intent JOIN operation ON operation.sequence = intent.operation JOIN stack ON stack.id = intent.stack
    ORDER BY intent.id";

/// Requests that have not ended.
pub(crate) const UNENDED_REQUESTS: &str = "SELECT operation.id, kind, name, environment, component, status
    FROM request JOIN operation ON operation.sequence = request.operation JOIN stack ON stack.id = request.stack
    WHERE result IS NULL ORDER BY sequence";

/// Operations without an end and without a request, with their numbers and cancelling callers.
pub(crate) const UNENDED_OPERATIONS: &str = "SELECT sequence, id, kind, actor, cancelled_by FROM operation
    WHERE ended_at IS NULL AND sequence NOT IN (SELECT operation FROM request) ORDER BY sequence";

impl Table {
    /// The names of its columns in the form of `write`.
    pub(crate) fn column_list(&self, write: impl Fn(&Column) -> String) -> String {
        self.columns.iter().map(write).collect::<Vec<_>>().join(", ")
    }

    /// The names of its key columns.
    pub(crate) fn key(&self) -> String {
        let names = self.columns.iter().take(self.keys).map(|column| format!("\"{}\"", column.name));
        names.collect::<Vec<_>>().join(", ")
    }

    /// The SQL that reads a page in order. With `after`, the page starts after that key, whose values are the
    /// parameters.
    pub(crate) fn page(&self, columns: &str, after: Option<&str>, most: usize) -> String {
        let (name, key) = (self.name, self.key());
        let condition = after.map_or_else(String::new, |after| format!("WHERE ({key}) > ({after}) "));
        format!("SELECT {columns} FROM \"{name}\" {condition}ORDER BY {key} LIMIT {most}")
    }
}
