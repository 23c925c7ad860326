//! Lookups of tables of any origin, and of the instance's role.

use crate::client::Row;
use crate::failure::Purpose;
use crate::identifier;
use crate::object::{self, table};
use crate::statements::Statements;
use terrace_provider::attributes::{flag, text};
use terrace_provider::{
    Attribute, AttributeType, Attributes, ErrorKind, Lookup, Map, Object, Path, ProviderError, Value,
};

const TABLE: &str = "snowflake_table";
const CURRENT_ROLE: &str = "snowflake_current_role";
const TABLES: &str = "snowflake_tables";
const WAREHOUSES: &str = "snowflake_warehouses";
/// The rows after which Snowflake cuts the result of `SHOW TABLES`:
/// <https://docs.snowflake.com/en/sql-reference/sql/show-tables>.
const MOST_ROWS: usize = 10_000;

/// The lookups of the provider.
pub(crate) fn lookups() -> Vec<Lookup> {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc);
    let names = || AttributeType::list(AttributeType::String);
    let column = Object(vec![
        text("name", "The column's name."),
        text("type", "The type as Snowflake writes it."),
        Attribute::new("nullable", AttributeType::Bool, "The column may be null."),
        text("comment", "The column's comment."),
    ]);
    vec![
        Lookup {
            name: TABLE,
            doc: "An existing table.",
            arguments: Object(vec![
                text("database", "The database.").required(),
                text("schema", "The schema.").required(),
                text("name", "The table's name.").required(),
                Attribute::new(
                    "optional",
                    AttributeType::Bool,
                    "Return no columns for a missing table, instead of an error.",
                )
                .default_value(false),
            ]),
            result: Object(vec![
                text("database", "The database."),
                text("schema", "The schema."),
                text("name", "The requested name."),
                Attribute::new("columns", AttributeType::list(AttributeType::Object(column)), "The columns, in order."),
                Attribute::new("primaryKey", names(), "The columns of the primary key."),
                Attribute::new("unique", AttributeType::list(names()), "The columns of each unique constraint."),
                text("comment", "The table's comment."),
            ]),
            objects: &["snowflake_table"],
        },
        Lookup {
            name: CURRENT_ROLE,
            doc: "The role of an instance.",
            arguments: Object(Vec::new()),
            result: Object(vec![
                text("name", "The role."),
                text("host", "The host of the API: `ab12345.eu-central-1.snowflakecomputing.com`."),
            ]),
            objects: &[],
        },
        Lookup {
            name: TABLES,
            doc: "The tables of a schema that the role may see. More than 9,999 are an error: Snowflake cuts the list.",
            arguments: Object(vec![
                text("database", "The database.").required(),
                text("schema", "The schema.").required(),
            ]),
            result: Object(vec![Attribute::new(
                "tables",
                AttributeType::list(AttributeType::Object(Object(vec![
                    text("id", "`database.schema.name`, without quotes."),
                    text("name", "The table's name."),
                    text("comment", "The table's comment."),
                ]))),
                "The tables, by name.",
            )]),
            objects: &[],
        },
        Lookup {
            name: WAREHOUSES,
            doc: "The warehouses that the role may see.",
            arguments: Object(Vec::new()),
            result: Object(vec![Attribute::new(
                "warehouses",
                AttributeType::list(AttributeType::Object(Object(vec![
                    text("id", "The name."),
                    text("name", "The name."),
                    text("state", "`STARTED`, `SUSPENDED` …"),
                    text("size", "`X-Small` …"),
                ]))),
                "The warehouses, by name.",
            )]),
            objects: &[],
        },
    ]
}

/// Answers a lookup.
///
/// # Errors
/// `NotFound` if the table does not exist.
pub(crate) async fn answer(
    lookup: &str,
    statements: &Statements<'_>,
    arguments: &Attributes,
) -> Result<Attributes, ProviderError> {
    match lookup {
        TABLE => table_of(statements, arguments).await,
        CURRENT_ROLE => {
            let rows = statements.query("SELECT CURRENT_ROLE()", &Purpose::to("read the role")).await?;
            let role = rows.iter().next().and_then(|row| row.first()).unwrap_or_default().to_owned();
            let host = statements.host().to_owned();
            Ok(Map::from_iter([("name".to_owned(), role.into()), ("host".to_owned(), host.into())]))
        }
        TABLES => tables_of(statements, arguments).await,
        WAREHOUSES => {
            let rows = statements.query("SHOW WAREHOUSES", &Purpose::to("list the warehouses")).await?;
            let item = |row: Row<'_>| {
                let name = row.text("name");
                entries([("id", name), ("name", name), ("state", row.text("state")), ("size", row.text("size"))])
            };
            Ok(listed("warehouses", rows.iter().map(item).collect()))
        }
        other => Err(ProviderError::bug(format!("there is no lookup `{other}`"))),
    }
}

async fn tables_of(statements: &Statements<'_>, arguments: &Attributes) -> Result<Attributes, ProviderError> {
    let (database, schema) = (text(arguments, "database"), text(arguments, "schema"));
    for (name, value) in [("database", &database), ("schema", &schema)] {
        identifier::check(value, &Path::attribute(name))?;
    }
    let sql = format!("SHOW TABLES IN SCHEMA {}", identifier::qualified([database.as_str(), schema.as_str()]));
    let Some(rows) = statements.read_optional(&sql).await? else {
        let message = format!("schema {database}.{schema} does not exist, or the role may not see it");
        return Err(ProviderError::new(ErrorKind::NotFound, message));
    };
    if rows.iter().count() >= MOST_ROWS {
        let message = format!("schema {database}.{schema} has too many tables to list: Snowflake returns {MOST_ROWS}");
        return Err(ProviderError::new(ErrorKind::Failed, message).solution("name the table instead of listing all"));
    }
    let item = |row: Row<'_>| {
        let name = row.text("name");
        let id = format!("{database}.{schema}.{name}");
        entries([("id", id.as_str()), ("name", name), ("comment", row.text("comment"))])
    };
    Ok(listed("tables", rows.iter().map(item).collect()))
}

fn entries<const N: usize>(entries: [(&str, &str); N]) -> Map {
    entries.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

/// A list of objects, by name.
fn listed(field: &str, mut items: Vec<Map>) -> Attributes {
    items.sort_by_key(|item| text(item, "name"));
    let items: Vec<Value> = items.into_iter().map(Value::Map).collect();
    Map::from_iter([(field.to_owned(), items.into())])
}

async fn table_of(statements: &Statements<'_>, arguments: &Attributes) -> Result<Attributes, ProviderError> {
    for name in ["database", "schema", "name"] {
        identifier::check(&text(arguments, name), &Path::attribute(name))?;
    }
    let identity: Attributes = arguments
        .iter()
        .filter(|(name, _)| *name != "optional")
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let found = table::observe(statements, &identity, None).await?;
    let empty = || Value::List(Vec::new());
    let attributes = match found {
        Some(observation) => observation.attributes,
        None if flag(arguments, "optional") => {
            Map::from_iter(["columns", "primaryKey", "unique"].map(|name| (name.to_owned(), empty())))
        }
        None => {
            let message = format!("table {} does not exist, or the role may not see it", object::shown(&identity));
            return Err(ProviderError::new(ErrorKind::NotFound, message));
        }
    };
    Ok(identity.into_iter().chain(attributes).collect())
}

/// The columns of a table or a view; `None` if it does not exist.
///
/// # Errors
/// When the read fails.
pub(crate) async fn columns_of(
    statements: &Statements<'_>,
    source: &[String],
) -> Result<Option<Vec<String>>, ProviderError> {
    let name = identifier::qualified(source.iter().map(String::as_str));
    for what in ["TABLE", "VIEW"] {
        if let Some(rows) = statements.read_optional(&format!("DESCRIBE {what} {name}")).await? {
            return Ok(Some(rows.iter().map(|row| row.text("name").to_owned()).collect()));
        }
    }
    Ok(None)
}
