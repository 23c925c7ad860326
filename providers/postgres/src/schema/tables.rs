//! Tables, views and indexes.

use super::{
    IN_DATABASE, IN_SCHEMA, comment, empty, flag, full_name, id, in_database, in_schema, name, names, settled, text,
};
use crate::spelling;
use crate::table;
use terrace_provider::normal;
use terrace_provider::{Attribute, AttributeType, Object, ResourceType};

const IDENTITY: &[&str] = &["database", "schema", "name"];

pub(super) fn table() -> ResourceType {
    let objects = |name, object, doc| Attribute::new(name, AttributeType::list(AttributeType::Object(object)), doc);
    let key = || {
        Object(vec![
            text("name", "The constraint's name. Left out: the server chooses one."),
            names("columns", "The columns, in order.").required(),
        ])
    };
    let column = Object(vec![
        text("name", "The column's name.").required(),
        text("type", "The type, such as `character varying(20)`, `numeric(10,2)` or `timestamptz`.")
            .required()
            .normal(spelling::data_type),
        Attribute::new("nullable", AttributeType::Bool, "The column may hold no value.").default_value(true),
        text("default", "The default as one expression of SQL.").normal(spelling::expression),
        text("identity", "`always` or `byDefault`: the column counts up by itself."),
        text("generated", "An expression of SQL: the column is computed from others and stored.")
            .normal(spelling::expression),
        text("comment", "A comment.").normal(normal::non_empty),
        text("previousName", "The name that the column had before: it is renamed instead of dropped and added."),
    ]);
    let references = Object(vec![
        text("schema", "The schema of the other table. Left out: the table's own."),
        text("table", "The other table.").required(),
        names("columns", "Its columns, in the order of ours.").required(),
    ]);
    let action = |name, doc| text(name, doc).default_value("noAction");
    let foreign_key = Object(vec![
        text("name", "The constraint's name. Left out: the server chooses one."),
        names("columns", "The columns, in order.").required(),
        Attribute::new("references", AttributeType::Object(references), "What they refer to.").required(),
        action("onDelete", "`noAction`, `restrict`, `cascade`, `setNull` or `setDefault`."),
        action("onUpdate", "The same, when the other row's key changes."),
    ]);
    let check = Object(vec![
        text("name", "The constraint's name. Left out: the server chooses one."),
        text("expression", "A condition of SQL that every row meets.").required().normal(spelling::expression),
    ]);
    let partitioning = Object(vec![
        text("strategy", "`range`, `list` or `hash`.").required(),
        names("columns", "The columns, in order.").required(),
    ]);
    let partition = Object(vec![
        text("name", "The partition's name, in the same schema.").required(),
        text("bounds", "`DEFAULT`, or what follows `FOR VALUES`: `FROM ('2026-01-01') TO ('2027-01-01')`.")
            .required()
            .normal(spelling::expression),
    ]);
    let ty = ResourceType::new(
        "postgres_table",
        "A table in a schema.",
        IDENTITY,
        Object(vec![
            in_database(),
            in_schema(),
            name("The table's name."),
            text("previousName", "The table's previous name: the table is renamed instead of replaced."),
            objects("columns", column, "The columns. Their order counts when the table is made, not afterwards.")
                .required()
                .normal(spelling::columns),
            Attribute::new("primaryKey", AttributeType::Object(key()), "The primary key."),
            objects("unique", key(), "The unique constraints.").default_value(empty()).normal(normal::unordered),
            objects("foreignKeys", foreign_key, "The foreign keys.").default_value(empty()).normal(normal::unordered),
            objects("checks", check, "The check constraints.").default_value(empty()).normal(normal::unordered),
            Attribute::new(
                "partitionBy",
                AttributeType::Object(partitioning),
                "How its rows are spread over partitions. The key follows a column that is renamed.",
            )
            .replaces(),
            objects("partitions", partition, "Its partitions. Left out: not managed.").normal(normal::unordered),
            comment(),
            Attribute::new(
                "oid",
                AttributeType::Int,
                "The server's number of the table. A recreated table has another one.",
            )
            .stable(),
            full_name("`schema.name`, for `object` of a `postgres_grant`."),
            id(),
        ]),
    );
    ResourceType { holds_data: true, fold: table::fold, ..relation(ty) }
}

pub(super) fn view() -> ResourceType {
    relation(ResourceType::new("postgres_view", "A view in a schema.", IDENTITY, of_query(false)))
}

pub(super) fn materialized_view() -> ResourceType {
    relation(ResourceType::new(
        "postgres_materialized_view",
        "A materialized view in a schema: the rows of a query, kept until they are refreshed.",
        IDENTITY,
        of_query(true),
    ))
}

fn of_query(is_materialized: bool) -> Object {
    let source = Object(vec![
        text("schema", "The schema of what is read.").required(),
        text("name", "The table or view that is read.").required(),
    ]);
    let mut attributes = vec![
        in_database(),
        in_schema(),
        name("The view's name."),
        Attribute::new("source", AttributeType::Object(source), "Table or view to read."),
        names(
            "columns",
            "The columns of the source that the view shows; none means all that it has when the view is made.",
        )
        .default_value(empty()),
        text("definition", "The query, instead of `source` and `columns`.").normal(spelling::expression),
    ];
    if is_materialized {
        attributes.push(flag("withData", "It is filled when it is made.", true));
    }
    attributes.extend([comment(), full_name("`schema.name`, for `object` of a `postgres_grant`."), id()]);
    Object(attributes)
}

pub(super) fn index() -> ResourceType {
    let part = Object(vec![
        text("column", "The column; or an `expression`."),
        text("expression", "An expression of SQL, such as `lower(name)`."),
        flag("descending", "From the largest value to the smallest.", false),
        text(
            "nulls",
            "Where rows without a value stand: `first` or `last`. Left out: last, and first where `descending`.",
        ),
        text("operatorClass", "The operator class, such as `text_pattern_ops`. Left out: the usual one of the type.")
            .normal(spelling::operator_class),
        text("collation", "The collation. Left out: that of the column.").normal(spelling::collation),
    ]);
    let ty = ResourceType::new(
        "postgres_index",
        "An index on columns or expressions of a table or a materialized view.",
        IDENTITY,
        Object(vec![
            in_database(),
            in_schema(),
            name("The index's name."),
            text("table", "The table, in the same schema.").required().replaces(),
            names("columns", "The columns, in order; or `parts`.").replaces(),
            Attribute::new(
                "parts",
                AttributeType::list(AttributeType::Object(part)),
                "The columns and expressions, in order, with all that can be said of each.",
            )
            .replaces()
            .normal(normal::non_empty),
            names("include", "Columns that the index holds and does not search by.")
                .replaces()
                .normal(normal::non_empty),
            flag("unique", "No two rows have the same values in the columns.", false).replaces(),
            text("where", "A condition of SQL: only rows that meet it are in the index.")
                .replaces()
                .normal(spelling::expression),
            text("method", "`btree`, `hash`, `gin`, `gist`, `brin` or another method of the server.")
                .default_value("btree")
                .replaces()
                .normal(normal::any_case),
            flag("concurrently", "Creates the index without blocking writes, outside a transaction.", false),
            Attribute::new("valid", AttributeType::Bool, "False after a failed concurrent creation.")
                .computed()
                .stable(),
            id(),
        ]),
    );
    relation(ty)
}

/// Tables, views and indexes of a schema share their names.
fn relation(ty: ResourceType) -> ResourceType {
    ResourceType { identity_space: "relation", needs: &[IN_DATABASE, IN_SCHEMA], ..settled(ty) }
}
