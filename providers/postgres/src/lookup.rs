//! Lookups of tables and views of any origin, and of role members.

use crate::attributes::{list, put, text, texts};
use crate::error::Failure;
use crate::identifier::check;
use crate::kind::{Kind, Target};
use crate::observation::ReadRequest;
use crate::schema::{names, text as text_attribute};
use crate::server::{Client, Server, column, query};
use crate::sql_type::data_type;
use crate::table;
use terrace_provider::{
    Attribute, AttributeType, Attributes, ErrorKind, Lookup, Map, Object, Path, ProviderError, Value,
};

const TABLE: &str = "postgres_table";
const VIEW: &str = "postgres_view";
const MEMBERS: &str = "postgres_members";
const TABLES: &str = "postgres_tables";

/// The lookups of the provider.
pub(crate) fn lookups() -> Vec<Lookup> {
    let text = text_attribute;
    let objects = |name, object, doc| Attribute::new(name, AttributeType::list(AttributeType::Object(object)), doc);
    let number = |name, doc| Attribute::new(name, AttributeType::Int, doc);
    let arguments = |what| {
        Object(vec![
            text("database", "The database.").required(),
            text("schema", "The schema.").required(),
            text("name", what).required(),
        ])
    };
    let found = || vec![text("database", "The database."), text("schema", "The schema."), text("name", "The name.")];
    let nullable = || Attribute::new("nullable", AttributeType::Bool, "The column may be null.");
    let column = Object(vec![
        text("name", "The column's name."),
        text("type", "The type as the server writes it."),
        nullable(),
        text("default", "The default as SQL."),
        text("identity", "`always` or `byDefault`."),
        text("generated", "The expression of a generated column."),
        text("comment", "The comment."),
    ]);
    // The server chooses the names of constraints, so no plan can know them.
    let key = || Object(vec![names("columns", "Its columns.")]);
    let contract = Object(vec![
        text("name", "The column's name."),
        text("dataType", "The type of OpenMetadata."),
        text("dataTypeDisplay", "The server's type if OpenMetadata has no equivalent."),
        number("dataLength", "The length of a text."),
        number("precision", "The digits of a number."),
        number("scale", "The digits after the decimal point."),
        text("constraint", "`PRIMARY_KEY`, `UNIQUE` or `NOT_NULL`."),
        Attribute::new("required", AttributeType::Bool, "A unique column that must not be null."),
        text("description", "The comment."),
    ]);
    let table = [
        objects("columns", column, "The columns, in order."),
        Attribute::new("primaryKey", AttributeType::Object(key()), "The primary key."),
        objects("unique", key(), "The unique constraints."),
        text("comment", "The comment."),
        objects(
            "dataContract",
            contract,
            "The columns in the form of OpenMetadata; null for a table that is only planned.",
        ),
    ];
    let view = [names("columnNames", "The column names of the view, in order.")];
    let member = Object(vec![
        text("member", "The member."),
        Attribute::new("admin", AttributeType::Bool, "It may add members."),
    ]);
    let listed = Object(vec![
        text("id", "`database.schema.name`, without quotes."),
        text("name", "The table's name."),
        text("comment", "The comment."),
    ]);
    vec![
        Lookup {
            name: TABLE,
            doc: "An existing table.",
            arguments: arguments("The table's name."),
            result: Object(found().into_iter().chain(table).collect()),
            objects: &["postgres_table"],
        },
        Lookup {
            name: VIEW,
            doc: "The columns of an existing view, materialized view or foreign table.",
            arguments: arguments("The view's name."),
            result: Object(found().into_iter().chain(view).collect()),
            objects: &["postgres_view", "postgres_materialized_view"],
        },
        Lookup {
            name: MEMBERS,
            doc: "All members of a role.",
            arguments: Object(vec![text("role", "The role.").required()]),
            result: Object(vec![text("role", "The role."), objects("members", member, "Its members, by name.")]),
            objects: &[],
        },
        Lookup {
            name: TABLES,
            doc: "The tables of a schema.",
            arguments: Object(vec![
                text("database", "The database.").required(),
                text("schema", "The schema.").required(),
            ]),
            result: Object(vec![
                text("database", "The database."),
                text("schema", "The schema."),
                objects("tables", listed, "The tables, by name."),
            ]),
            objects: &[],
        },
    ]
}

/// The object of a lookup, for messages.
pub(crate) fn target(lookup: &str, arguments: &Attributes) -> Result<Target, ProviderError> {
    let (kind, names): (Kind, &[&str]) = match lookup {
        TABLE => (Kind::Table, &["database", "schema", "name"]),
        VIEW => (Kind::View, &["database", "schema", "name"]),
        MEMBERS => (Kind::Role, &["role"]),
        TABLES => (Kind::Schema, &["database", "schema"]),
        other => return Err(ProviderError::bug(format!("there is no lookup `{other}`"))),
    };
    let named = |name: &&str| {
        let value = text(arguments, name);
        check(&value, &Path::attribute(name)).map(|()| value)
    };
    Ok(Target { kind, names: names.iter().map(named).collect::<Result<_, _>>()? })
}

/// Answers a lookup.
///
/// # Errors
/// `NotFound` if the object does not exist.
pub(crate) async fn answer(
    server: &Server,
    wanted: &ReadRequest,
    arguments: &Attributes,
) -> Result<Attributes, Failure> {
    let target = &wanted.target;
    let client = server.client(target.database()).await?;
    let missing = || {
        Failure::from(ProviderError::new(
            ErrorKind::NotFound,
            format!("there is no {} `{}`", target.kind.word(), target.full_name()),
        ))
    };
    let mut found = arguments.clone();
    match target.kind {
        Kind::Table => {
            let observation = table::observe(&client, std::slice::from_ref(wanted)).await?.into_iter().flatten().next();
            let observation = observation.ok_or_else(missing)?.attributes;
            found.insert("dataContract".to_owned(), contract(&observation));
            for name in ["columns", "primaryKey", "unique", "comment"] {
                found.insert(name.to_owned(), observation.get(name).map(in_common).unwrap_or_default());
            }
        }
        Kind::View => {
            let names = table::column_names(&client, target.name(1), target.own_name()).await?;
            found.insert("columnNames".to_owned(), list(&names.ok_or_else(missing)?));
        }
        Kind::Schema => {
            found.insert("tables".to_owned(), tables(&client, target).await?.ok_or_else(missing)?);
        }
        _ => {
            let sql = "SELECT r.oid IS NOT NULL, u.rolname::text, bool_or(m.admin_option)
                       FROM pg_roles r LEFT JOIN pg_auth_members m ON m.roleid = r.oid LEFT JOIN pg_roles u ON u.oid = m.member
                       WHERE r.rolname = $1 GROUP BY 1, 2 ORDER BY 2";
            let rows = query(&client, sql, &[&target.own_name()]).await?;
            if rows.is_empty() {
                return Err(missing());
            }
            let mut members: Vec<Value> = Vec::with_capacity(rows.len());
            for row in &rows {
                let Some(name) = column::<Option<String>>(row, 1)? else { continue };
                let admin = column::<Option<bool>>(row, 2)?.unwrap_or_default();
                let member = [("member".to_owned(), name.into()), ("admin".to_owned(), admin.into())];
                members.push(member.into_iter().collect());
            }
            found.insert("members".to_owned(), members.into());
        }
    }
    Ok(found)
}

/// The tables of a schema, by name; `None` if the schema does not exist.
async fn tables(client: &Client, target: &Target) -> Result<Option<Value>, Failure> {
    let sql = "SELECT c.relname::text, obj_description(c.oid, 'pg_class')
               FROM pg_namespace n LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p')
               WHERE n.nspname = $1 ORDER BY 1";
    let rows = query(client, sql, &[&target.own_name()]).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let mut tables: Vec<Value> = Vec::with_capacity(rows.len());
    for row in &rows {
        // A schema without tables has one row without a name.
        let Some(name) = column::<Option<String>>(row, 0)? else { continue };
        let id = format!("{}.{}.{name}", target.name(0), target.name(1));
        let mut entries = Map::from_iter([("id".to_owned(), id.into()), ("name".to_owned(), name.into())]);
        put(&mut entries, "comment", column::<Option<&str>>(row, 1)?);
        tables.push(Value::Map(entries));
    }
    Ok(Some(tables.into()))
}

/// Columns and keys without entries that only the plan or only the server has.
fn in_common(value: &Value) -> Value {
    match value {
        Value::List(items) => Value::List(items.iter().map(in_common).collect()),
        Value::Map(entries) => {
            let is_column = entries.contains_key("type");
            let is_common = |name: &str| name != "previousName" && (is_column || name != "name");
            entries.iter().filter(|(name, _)| is_common(name)).map(|(n, v)| (n.clone(), v.clone())).collect()
        }
        other => other.clone(),
    }
}

/// The columns of a table in the form of OpenMetadata.
fn contract(table: &Attributes) -> Value {
    let key = table.get("primaryKey").and_then(Value::as_map).map(|key| texts(key, "columns")).unwrap_or_default();
    let unique: Vec<Vec<String>> =
        crate::attributes::maps(table, "unique").into_iter().map(|key| texts(key, "columns")).collect();
    let columns = crate::attributes::maps(table, "columns");
    columns
        .into_iter()
        .map(|column| {
            let name = text(column, "name");
            let mut entries = Map::from_iter([("name".to_owned(), Value::from(name.as_str()))]);
            let ty = crate::data_type::canonical(&text(column, "type"));
            entries.extend(data_type(&ty));
            let is_required = column.get("nullable").and_then(Value::as_bool) == Some(false);
            let is_unique = unique.iter().any(|columns| columns.as_slice() == std::slice::from_ref(&name));
            let constraint = match (key.contains(&name), is_unique, is_required) {
                (true, _, _) => Some("PRIMARY_KEY"),
                (_, true, _) => Some("UNIQUE"),
                (_, _, true) => Some("NOT_NULL"),
                _ => None,
            };
            put(&mut entries, "constraint", constraint);
            if constraint == Some("UNIQUE") && is_required {
                entries.insert("required".to_owned(), true.into());
            }
            put(&mut entries, "description", column.get("comment").and_then(Value::as_str));
            Value::Map(entries)
        })
        .collect::<Vec<_>>()
        .into()
}
