//! Databases behind sources: their tables, as agents and PostgreSQL report them.

use crate::refused::{Outcome, Refused};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use terrace_test_listening::decode;

/// A table or view of a database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Its columns.
    pub columns: Vec<String>,
    /// The columns of its primary key; a view has none.
    pub key: Vec<String>,
}

/// The place of a table: database, schema and name.
pub(crate) type Place = (String, String, String);

/// All databases, and the environment variables of Hasura that configurations may name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Databases {
    pub(crate) tables: BTreeMap<Place, Table>,
    pub(crate) variables: BTreeMap<String, String>,
    /// The password that databases require, if a test sets one.
    pub(crate) password: Option<String>,
}

/// The database that a source connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceDatabase {
    is_postgres: bool,
    database: String,
    schema: String,
    is_qualified: bool,
}

impl Databases {
    /// Connects to the database of a configuration.
    pub(crate) fn connect(&self, kind: &str, configuration: &Json) -> Outcome<SourceDatabase> {
        if kind == "postgres" {
            let parts = &configuration["connection_info"]["database_url"]["connection_parameters"];
            if parts.is_object() {
                return self.by_parts(parts);
            }
            let url = self.text(&configuration["connection_info"]["database_url"]).map_err(|why| why.0)?;
            let (database, _) = self.parts(&url, "postgres")?;
            return Ok(SourceDatabase { is_postgres: true, database, schema: String::new(), is_qualified: true });
        }
        let value = &configuration["value"];
        let url = self.text(&value["jdbc_url"]).map_err(|why| why.0)?;
        let (_, query) = self.parts(&url, kind)?;
        let part = |name: &str| query.get(name).cloned().unwrap_or_default();
        let is_qualified = value["fully_qualify_all_names"].as_bool().unwrap_or(false);
        Ok(SourceDatabase { is_postgres: false, database: part("db"), schema: part("schema"), is_qualified })
    }

    /// The database of URL parts: <https://hasura.io/docs/2.0/api-reference/syntax-defs/#pgconnectionparameters>.
    fn by_parts(&self, parts: &Json) -> Outcome<SourceDatabase> {
        let known = ["username", "password", "database", "host", "port"];
        if let Some(name) =
            parts.as_object().into_iter().flatten().map(|(name, _)| name).find(|it| !known.contains(&it.as_str()))
        {
            return Err(Refused::parse(format!("unexpected field '{name}'")).at("$.args.configuration"));
        }
        let database =
            parts["database"].as_str().filter(|_| parts["host"].is_string() && parts["username"].is_string());
        let Some(database) = database.filter(|_| parts["port"].is_u64()) else {
            return Err(Refused::parse("the key 'database', 'host', 'port' or 'username' was not present"));
        };
        if self.password.is_some() && self.password.as_deref() != parts["password"].as_str() {
            let why = "Inconsistent object: connection error: password authentication failed";
            return Err(Refused::bad("invalid-configuration", why));
        }
        Ok(SourceDatabase {
            is_postgres: true,
            database: database.to_owned(),
            schema: String::new(),
            is_qualified: true,
        })
    }

    fn text(&self, value: &Json) -> Result<String, Unusable> {
        if let Some(text) = value.as_str() {
            return Ok(text.to_owned());
        }
        // PostgreSQL sources name a variable as `from_env`, agents' sources as `value_from: {env}`.
        let named = value["from_env"].as_str().or_else(|| value["value_from"]["env"].as_str());
        let Some(name) = named else {
            return Err(Unusable::new("a connection string or the name of a variable is missing"));
        };
        self.variables
            .get(name)
            .cloned()
            .ok_or_else(|| Unusable::new(&format!("environment variable '{name}' not set")))
    }

    /// The database in a URL's path, and the query.
    fn parts(&self, url: &str, kind: &str) -> Outcome<(String, BTreeMap<String, String>)> {
        let failed = |why: &str| Refused::bad("invalid-configuration", format!("Inconsistent object: {why}"));
        let (scheme, rest) = url.split_once("://").ok_or_else(|| failed("the connection string is not a URL"))?;
        if !matches!((kind, scheme), ("postgres", "postgres" | "postgresql") | ("snowflake", "jdbc:snowflake")) {
            return Err(failed("the connection string is of another kind of database"));
        }
        let (host, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query: BTreeMap<String, String> = pairs.map(|(name, text)| (name.to_owned(), decode(text))).collect();
        let in_host = host.rsplit_once('@').and_then(|(user, _)| user.split_once(':')).map(|(_, it)| decode(it));
        let password = query.get("password").cloned().or(in_host);
        if self.password.is_some() && self.password != password {
            return Err(failed("connection error: incorrect username or password was specified"));
        }
        Ok((decode(path), query))
    }

    /// The table with a name of a source.
    pub(crate) fn table(&self, source_database: &SourceDatabase, name: &Json) -> Option<&Table> {
        self.tables.get(&place(source_database, name)?)
    }

    /// An agent's description of a table.
    pub(crate) fn info(&self, source_database: &SourceDatabase, name: &Json) -> Json {
        let Some(table) = self.table(source_database, name) else { return Json::Null };
        let column = |column: &String| json!({"name": column, "type": "string", "nullable": true, "insertable": false, "updatable": false});
        let columns: Vec<Json> = table.columns.iter().map(column).collect();
        let mut info =
            json!({"name": name, "type": if table.key.is_empty() { "view" } else { "table" }, "columns": columns});
        if !table.key.is_empty() {
            info["primary_key"] = json!(table.key);
        }
        info
    }

    /// The names of all tables of a source.
    pub(crate) fn names(&self, source_database: &SourceDatabase) -> Vec<Json> {
        let is_within = |(database, schema, _): &&Place| {
            *database == source_database.database
                && (source_database.is_postgres || source_database.is_qualified || *schema == source_database.schema)
        };
        let name = |(database, schema, table): &Place| match (source_database.is_postgres, source_database.is_qualified)
        {
            (true, _) => json!({"schema": schema, "name": table}),
            (false, true) => json!([database, schema, table]),
            (false, false) => json!([table]),
        };
        self.tables.keys().filter(is_within).map(name).collect()
    }
}

struct Unusable(Refused);

impl Unusable {
    fn new(why: &str) -> Self {
        Self(Refused::bad("invalid-configuration", format!("Inconsistent object: {why}")))
    }
}

fn place(source_database: &SourceDatabase, name: &Json) -> Option<Place> {
    if source_database.is_postgres {
        let schema = name["schema"].as_str().unwrap_or("public").to_owned();
        return Some((source_database.database.clone(), schema, name["name"].as_str()?.to_owned()));
    }
    let parts: Vec<&str> = name.as_array()?.iter().filter_map(Json::as_str).collect();
    match (source_database.is_qualified, parts.as_slice()) {
        (false, [table]) => {
            Some((source_database.database.clone(), source_database.schema.clone(), (*table).to_owned()))
        }
        (true, [database, schema, table]) => Some(((*database).to_owned(), (*schema).to_owned(), (*table).to_owned())),
        _ => None,
    }
}
