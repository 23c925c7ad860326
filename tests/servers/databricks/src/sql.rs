//! Statements about views: <https://docs.databricks.com/aws/en/sql/language-manual/>.
//!
//! `CREATE VIEW`, `CREATE OR REPLACE VIEW` (creates another view, without the grants of the old one), `ALTER VIEW …
//! AS`, `ALTER VIEW … SET TBLPROPERTIES`, `COMMENT ON TABLE`, `COMMENT ON COLUMN`, `DROP VIEW`. Everything else is a
//! syntax error.

mod tokens;

use crate::api::tables;
use crate::world::World;
use serde_json::{Value as Json, json};
use tokens::{Token, Tokens};

/// The error of a cancelled statement.
pub(crate) const CANCELED: &str = "[CANCELED]";

/// The query of a view: columns of a relation; no columns means all.
struct Query {
    columns: Vec<String>,
    source: String,
    text: String,
}

/// Runs a statement.
pub(crate) fn run(world: &mut World, actor: &str, text: &str) -> Result<(), String> {
    if world.denied_sql.iter().any(|it| text.contains(it.as_str())) {
        return Err("[INSUFFICIENT_PERMISSIONS] Insufficient privileges: the user does not have them. SQLSTATE: 42501"
            .to_owned());
    }
    let mut tokens = Tokens::of(text)?;
    match tokens.word()?.as_str() {
        "CREATE" => create(world, actor, &mut tokens),
        "ALTER" => alter(world, &mut tokens),
        "COMMENT" => comment(world, &mut tokens),
        "DROP" => drop_view(world, &mut tokens),
        other => Err(syntax(other)),
    }
}

fn syntax(near: &str) -> String {
    format!("[PARSE_SYNTAX_ERROR] Syntax error at or near '{near}'. SQLSTATE: 42601")
}

fn not_found(name: &str) -> String {
    format!("[TABLE_OR_VIEW_NOT_FOUND] The table or view `{name}` cannot be found. SQLSTATE: 42P01")
}

fn create(world: &mut World, actor: &str, tokens: &mut Tokens) -> Result<(), String> {
    let replaces = tokens.take_word("OR");
    if replaces {
        tokens.expect("REPLACE")?;
    }
    tokens.expect("VIEW")?;
    let if_missing = tokens.take_word("IF");
    if if_missing {
        tokens.expect("NOT")?;
        tokens.expect("EXISTS")?;
    }
    let name = tokens.name(3)?.join(".").to_lowercase();
    let mut named: Vec<(String, Option<String>)> = Vec::new();
    if tokens.take('(') {
        loop {
            let column = tokens.identifier()?;
            let comment = if tokens.take_word("COMMENT") { Some(tokens.literal()?) } else { None };
            named.push((column, comment));
            if !tokens.take(',') {
                break;
            }
        }
        tokens.expect_sign(')')?;
    }
    let comment = if tokens.take_word("COMMENT") { Some(tokens.literal()?) } else { None };
    let properties = if tokens.take_word("TBLPROPERTIES") { properties(tokens)? } else { Vec::new() };
    tokens.expect("AS")?;
    let query = query(tokens)?;
    let schema = name.rsplit_once('.').map_or("", |(schema, _)| schema);
    if !world.schemas.contains_key(schema) {
        return Err(format!("[SCHEMA_NOT_FOUND] The schema `{schema}` cannot be found. SQLSTATE: 42704"));
    }
    let mut columns = columns_of(world, &query)?;
    if world.tables.contains_key(&name) {
        if if_missing {
            return Ok(());
        }
        if !replaces {
            return Err(format!(
                "[TABLE_OR_VIEW_ALREADY_EXISTS] Cannot create table or view `{name}` because it already exists. SQLSTATE: 42P07"
            ));
        }
        if world.tables[&name]["table_type"] != "VIEW" {
            return Err(format!(
                "[EXPECT_VIEW_NOT_TABLE.NO_ALTERNATIVE] `{name}` is a table and no view. SQLSTATE: 42809"
            ));
        }
        tables::remove(world, &name);
    }
    if !named.is_empty() {
        if named.len() != columns.len() {
            return Err("[CREATE_VIEW_COLUMN_ARITY_MISMATCH] The number of columns differs. SQLSTATE: 21S01".to_owned());
        }
        for (column, (name, comment)) in columns.iter_mut().zip(named) {
            column["name"] = json!(name);
            set_comment(column, comment);
        }
    }
    tables::put(world, &name, "VIEW", columns, actor);
    let view = world.tables.get_mut(&name).unwrap();
    view["view_definition"] = json!(query.text);
    set_comment(view, comment);
    for (key, value) in properties {
        set_property(view, &key, value);
    }
    Ok(())
}

fn alter(world: &mut World, tokens: &mut Tokens) -> Result<(), String> {
    tokens.expect("VIEW")?;
    let name = tokens.name(3)?.join(".").to_lowercase();
    let view = world.tables.get(&name).ok_or_else(|| not_found(&name))?;
    if view["table_type"] != "VIEW" {
        return Err(format!("[EXPECT_VIEW_NOT_TABLE.NO_ALTERNATIVE] `{name}` is a table and no view. SQLSTATE: 42809"));
    }
    if tokens.take_word("AS") {
        let query = query(tokens)?;
        // As if the view were recreated, except that it keeps its grants: comments and properties go.
        let columns = columns_of(world, &query)?;
        let view = world.tables.get_mut(&name).unwrap();
        view["columns"] = json!(columns);
        view["view_definition"] = json!(query.text);
        set_comment(view, None);
        view.as_object_mut().unwrap().shift_remove("properties");
        return Ok(());
    }
    tokens.expect("SET")?;
    tokens.expect("TBLPROPERTIES")?;
    let given = properties(tokens)?;
    tokens.end()?;
    let view = world.tables.get_mut(&name).unwrap();
    for (key, value) in given {
        match key.as_str() {
            "comment" => set_comment(view, Some(value)),
            _ => set_property(view, &key, value),
        }
    }
    Ok(())
}

fn comment(world: &mut World, tokens: &mut Tokens) -> Result<(), String> {
    tokens.expect("ON")?;
    let what = tokens.word()?;
    let parts = match what.as_str() {
        "TABLE" => tokens.name(3)?,
        "COLUMN" => tokens.name(4)?,
        other => return Err(syntax(other)),
    };
    tokens.expect("IS")?;
    let text = if tokens.take_word("NULL") { None } else { Some(tokens.literal()?) };
    tokens.end()?;
    let name = parts[..3].join(".").to_lowercase();
    let table = world.tables.get_mut(&name).ok_or_else(|| not_found(&name))?;
    let Some(column) = parts.get(3) else {
        set_comment(table, text);
        return Ok(());
    };
    let columns = table["columns"].as_array_mut().unwrap();
    let is_meant = |it: &&mut Json| it["name"].as_str().is_some_and(|it| it.eq_ignore_ascii_case(column));
    let found = columns.iter_mut().find(is_meant);
    let found =
        found.ok_or_else(|| format!("[COLUMN_NOT_FOUND] The column `{column}` cannot be found. SQLSTATE: 42703"))?;
    set_comment(found, text);
    Ok(())
}

fn drop_view(world: &mut World, tokens: &mut Tokens) -> Result<(), String> {
    tokens.expect("VIEW")?;
    let if_there = tokens.take_word("IF");
    if if_there {
        tokens.expect("EXISTS")?;
    }
    let name = tokens.name(3)?.join(".").to_lowercase();
    tokens.end()?;
    if !world.tables.contains_key(&name) && !if_there {
        return Err(not_found(&name));
    }
    tables::remove(world, &name);
    Ok(())
}

/// `('key' = 'value', …)`.
fn properties(tokens: &mut Tokens) -> Result<Vec<(String, String)>, String> {
    tokens.expect_sign('(')?;
    let mut given = Vec::new();
    loop {
        let key = tokens.literal()?;
        tokens.expect_sign('=')?;
        given.push((key, tokens.literal()?));
        if !tokens.take(',') {
            break;
        }
    }
    tokens.expect_sign(')')?;
    Ok(given)
}

/// `SELECT a, b FROM c.s.t`.
fn query(tokens: &mut Tokens) -> Result<Query, String> {
    let text = tokens.rest().to_owned();
    tokens.expect("SELECT")?;
    let mut columns = Vec::new();
    if !tokens.take('*') {
        loop {
            columns.push(tokens.identifier()?);
            if !tokens.take(',') {
                break;
            }
        }
    }
    tokens.expect("FROM")?;
    let source = tokens.name(3)?.join(".").to_lowercase();
    tokens.end()?;
    Ok(Query { columns, source, text })
}

/// The columns of a query.
fn columns_of(world: &World, query: &Query) -> Result<Vec<Json>, String> {
    let source = world.tables.get(&query.source).ok_or_else(|| not_found(&query.source))?;
    let all = source["columns"].as_array().unwrap();
    let named = |name: &String| {
        let found = all.iter().find(|it| it["name"].as_str().is_some_and(|it| it.eq_ignore_ascii_case(name)));
        let missing = || {
            format!(
                "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column with name `{name}` cannot be resolved. SQLSTATE: 42703"
            )
        };
        let mut column = found.cloned().ok_or_else(missing)?;
        // The name is as written in the query.
        column["name"] = json!(name);
        Ok(column)
    };
    let mut shown: Vec<Json> = match query.columns.is_empty() {
        true => all.clone(),
        false => query.columns.iter().map(named).collect::<Result<_, String>>()?,
    };
    for (at, column) in shown.iter_mut().enumerate() {
        column["position"] = json!(at);
    }
    Ok(shown)
}

fn set_comment(of: &mut Json, text: Option<String>) {
    match text {
        Some(text) => of["comment"] = json!(text),
        None => drop(of.as_object_mut().unwrap().shift_remove("comment")),
    }
}

fn set_property(of: &mut Json, key: &str, value: String) {
    of["properties"][key] = json!(value);
}

impl From<&Token> for String {
    fn from(token: &Token) -> Self {
        match token {
            Token::Word(text) | Token::Quoted(text) | Token::Literal(text) => text.clone(),
            Token::Sign(sign) => sign.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> World {
        let mut world = World::default();
        tables::add(&mut world, "c.s.t", &[("id", "int"), ("Name", "string")]);
        world
    }

    #[test]
    fn replaced_view_loses_its_grants_and_altered_view_keeps_them() {
        let mut world = world();
        run(&mut world, "me", r"CREATE VIEW `c`.`s`.`v` (`id` COMMENT 'it\'s', `Name`) COMMENT 'a \\ b' AS SELECT `id`, `Name` FROM `c`.`s`.`t`").unwrap();
        assert_eq!(world.tables["c.s.v"]["columns"][0]["comment"], "it's");
        assert_eq!(world.tables["c.s.v"]["comment"], "a \\ b");
        let key = ("table".to_owned(), "c.s.v".to_owned());
        world.grants.insert(key.clone(), [("dev".to_owned(), ["SELECT".to_owned()].into())].into());
        run(&mut world, "me", "ALTER VIEW c.s.v AS SELECT * FROM c.s.t").unwrap();
        assert!(world.grants.contains_key(&key), "an altered view keeps them");
        run(&mut world, "me", "CREATE OR REPLACE VIEW c.s.v AS SELECT id FROM c.s.t;").unwrap();
        assert!(!world.grants.contains_key(&key));
    }

    #[test]
    fn unknown_statement_is_a_syntax_error() {
        for text in [
            "",
            "SELECT 1",
            "CREATE TABLE c.s.x (id int)",
            "DROP VIEW c.s.v; DROP VIEW c.s.t",
            "COMMENT ON TABLE c.s.t IS 'a' 'b' x",
            "CREATE VIEW v AS SELECT 1",
        ] {
            assert!(run(&mut world(), "me", text).unwrap_err().contains("PARSE_SYNTAX_ERROR"), "{text}");
        }
    }

    #[test]
    fn unknown_names_are_errors() {
        for (text, code) in [
            ("CREATE VIEW c.s.v AS SELECT other FROM c.s.t", "UNRESOLVED_COLUMN"),
            ("CREATE VIEW c.s.v AS SELECT id FROM c.s.nothing", "TABLE_OR_VIEW_NOT_FOUND"),
            ("CREATE VIEW c.x.v AS SELECT id FROM c.s.t", "SCHEMA_NOT_FOUND"),
            ("CREATE VIEW c.s.t AS SELECT id FROM c.s.t", "ALREADY_EXISTS"),
            ("ALTER VIEW c.s.t AS SELECT id FROM c.s.t", "EXPECT_VIEW"),
        ] {
            assert!(run(&mut world(), "me", text).unwrap_err().contains(code), "{text}");
        }
    }
}
