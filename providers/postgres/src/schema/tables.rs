//! Tables, views and indexes.

use super::parts::{
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
            text("name", "The constraint's name. Default: the server chooses one."),
            names("columns", "The columns, in order.").required(),
        ])
    };
    let column = Object(vec![
        text("name", "The column's name.").required(),
        text("type", "The type, such as `character varying(20)`, `numeric(10,2)` or `timestamptz`.")
            .required()
            .normal(spelling::data_type),
        Attribute::new("nullable", AttributeType::Bool, "The column may be null.").default_value(true),
        text("default", "The default, as an SQL expression.").normal(spelling::expression),
        text("identity", "`always` or `byDefault`: the server numbers the rows."),
        text("generated", "An SQL expression: the server computes and stores the value.").normal(spelling::expression),
        text("comment", "A comment.").normal(normal::non_empty),
        text("previousName", "The previous name of the column: it is renamed instead of replaced."),
    ]);
    let references = Object(vec![
        text("schema", "The schema of the other table. Default: the table's own."),
        text("table", "The other table.").required(),
        names("columns", "Its columns, in the order of `columns`.").required(),
    ]);
    let action = |name, doc| text(name, doc).default_value("noAction");
    let foreign_key = Object(vec![
        text("name", "The constraint's name. Default: the server chooses one."),
        names("columns", "The columns, in order.").required(),
        Attribute::new("references", AttributeType::Object(references), "The referenced columns.").required(),
        action("onDelete", "`noAction`, `restrict`, `cascade`, `setNull` or `setDefault`."),
        action("onUpdate", "The action when the referenced key changes."),
    ]);
    let check = Object(vec![
        text("name", "The constraint's name. Default: the server chooses one."),
        text("expression", "An SQL condition that every row must meet.").required().normal(spelling::expression),
    ]);
    let partitioning = Object(vec![
        text("strategy", "`range`, `list` or `hash`.").required(),
        names("columns", "The columns, in order.").required(),
    ]);
    let partition = Object(vec![
        text("name", "The partition's name, in the same schema.").required(),
        text("bounds", "`DEFAULT`, or the part after `FOR VALUES`: `FROM ('2026-01-01') TO ('2027-01-01')`.")
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
            objects("columns", column, "The columns. Their order matters only when the table is created.")
                .required()
                .normal(spelling::columns),
            Attribute::new("primaryKey", AttributeType::Object(key()), "The primary key."),
            objects("unique", key(), "The unique constraints.").default_value(empty()).normal(normal::unordered),
            objects("foreignKeys", foreign_key, "The foreign keys.").default_value(empty()).normal(normal::unordered),
            objects("checks", check, "The check constraints.").default_value(empty()).normal(normal::unordered),
            Attribute::new(
                "partitionBy",
                AttributeType::Object(partitioning),
                "The partitioning of the rows. The key follows a renamed column.",
            )
            .replaces(),
            objects("partitions", partition, "The partitions. Left out: not managed.").normal(normal::unordered),
            comment(),
            Attribute::new("oid", AttributeType::Int, "The server's id of the table. A recreated table has a new one.")
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
        "A materialized view in a schema: the stored rows of a query, until a refresh.",
        IDENTITY,
        of_query(true),
    ))
}

fn of_query(is_materialized: bool) -> Object {
    let source = Object(vec![
        text("schema", "The schema of the source.").required(),
        text("name", "The table or view to read.").required(),
    ]);
    let mut attributes = vec![
        in_database(),
        in_schema(),
        name("The view's name."),
        Attribute::new("source", AttributeType::Object(source), "Table or view to read."),
        names("columns", "The columns of the source in the view; an empty list means all columns at creation.")
            .default_value(empty()),
        text("definition", "The query, instead of `source` and `columns`.").normal(spelling::expression),
    ];
    if is_materialized {
        attributes.push(flag("withData", "Fill the view at creation.", true));
    }
    attributes.extend([comment(), full_name("`schema.name`, for `object` of a `postgres_grant`."), id()]);
    Object(attributes)
}

pub(super) fn index() -> ResourceType {
    let part = Object(vec![
        text("column", "The column; or an `expression`."),
        text("expression", "An SQL expression, such as `lower(name)`."),
        flag("descending", "Sort from the largest value to the smallest.", false),
        text("nulls", "The position of nulls: `first` or `last`. Default: `last`, or `first` if `descending`."),
        text("operatorClass", "The operator class, such as `text_pattern_ops`. Default: the type's default class.")
            .normal(spelling::operator_class),
        text("collation", "The collation. Default: that of the column.").normal(spelling::collation),
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
                "The columns and expressions, in order, with all their options.",
            )
            .replaces()
            .normal(normal::non_empty),
            names("include", "Additional columns in the index that are not search keys.")
                .replaces()
                .normal(normal::non_empty),
            flag("unique", "Require unique values in the columns.", false).replaces(),
            text("where", "An SQL condition: the index contains only rows that meet it.")
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

/// Tables, views and indexes of a schema share a namespace.
fn relation(ty: ResourceType) -> ResourceType {
    ResourceType { identity_space: "relation", needs: &[IN_DATABASE, IN_SCHEMA], ..settled(ty) }
}
