//! Roles of the role mapper in a SQLite file.

use super::SqliteStore;
use super::error::Failure;
use crate::roles::{Members, Put, Role, RoleStore, check_format};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Transaction};
use std::collections::BTreeSet;
use terrace_store::StoreError;

const MIGRATIONS: &[&str] = &[include_str!("../../migrations/roles/sqlite/0001_init.sql")];

/// The table and the column of the members.
const fn table_of(of: Members) -> (&'static str, &'static str) {
    match of {
        Members::Users => ("user_roles", "\"user\""),
        Members::Groups => ("group_roles", "\"group\""),
    }
}

/// Names as one parameter, which `json_each` turns into rows. SQLite's JSON in this build keeps a NUL; others end the
/// text there.
fn listed(names: &BTreeSet<String>) -> String {
    serde_json::Value::from_iter(names.iter().cloned()).to_string()
}

/// True if the tables exist.
pub(super) fn tables_exist(connection: &Connection) -> Result<bool, Failure> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'role_mapper_schema'";
    Ok(connection.prepare(sql)?.exists([])?)
}

/// Creates the tables, or upgrades them to the newest format.
pub(super) fn make(connection: &Connection, url: &str) -> Result<(), Failure> {
    connection.execute_batch("CREATE TABLE IF NOT EXISTS role_mapper_schema (version INTEGER PRIMARY KEY) STRICT")?;
    let sql = "SELECT coalesce(max(version), 0) FROM role_mapper_schema";
    let found = connection.query_row(sql, [], |row| row.get(0))?;
    let done = check_format(url, found, MIGRATIONS.len())?;
    for (number, sql) in (1_u32..).zip(MIGRATIONS).skip(done) {
        connection.execute_batch(sql)?;
        connection.execute("INSERT INTO role_mapper_schema (version) VALUES (?1)", [number])?;
    }
    Ok(())
}

impl SqliteStore {
    /// Creates the tables, or upgrades them to the newest format.
    pub(crate) async fn make_roles(&self) -> Result<(), StoreError> {
        let url = self.identity.url.clone();
        self.write(move |transaction, _| make(transaction, &url)).await
    }
}

fn fields(transaction: &Transaction<'_>, id: &str) -> Result<BTreeSet<String>, Failure> {
    let sql = "SELECT graphql_root_field_name FROM role_graphql_root_field_names WHERE role_id = ?1";
    let mut statement = transaction.prepare_cached(sql)?;
    let fields = statement.query_map([id], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(fields)
}

fn find_role(transaction: &Transaction<'_>, sql: &str, name: &str) -> Result<Option<Role>, Failure> {
    let mut statement = transaction.prepare_cached(sql)?;
    let found = statement.query_row([name], |row| Ok((row.get::<_, String>(0)?, row.get(1)?))).optional()?;
    let Some((id, component)) = found else { return Ok(None) };
    let fields = fields(transaction, &id)?;
    Ok(Some(Role { id, component, fields }))
}

fn put(transaction: &Transaction<'_>, role: &Role) -> Result<Put, Failure> {
    let text = |sql, name: &str| {
        transaction.query_row(sql, [name], |row| row.get::<_, String>(0)).optional().map_err(Failure::from)
    };
    match text("SELECT component_id FROM roles WHERE role_id = ?1", &role.id)? {
        Some(component) if component != role.component => return Ok(Put::OfAnotherComponent),
        Some(_) => {}
        None => {
            if let Some(other) = text("SELECT role_id FROM roles WHERE component_id = ?1", &role.component)? {
                return Ok(Put::ComponentTaken(other));
            }
            let sql = "INSERT INTO roles (role_id, component_id) VALUES (?1, ?2)";
            transaction.execute(sql, [&role.id, &role.component])?;
        }
    }
    let listed = listed(&role.fields);
    transaction.execute(
        "DELETE FROM role_graphql_root_field_names
         WHERE role_id = ?1 AND graphql_root_field_name NOT IN (SELECT value FROM json_each(?2))",
        [&role.id, &listed],
    )?;
    transaction.execute(
        "INSERT OR IGNORE INTO role_graphql_root_field_names (role_id, graphql_root_field_name)
         SELECT ?1, value FROM json_each(?2)",
        [&role.id, &listed],
    )?;
    Ok(Put::Done)
}

fn is_there(transaction: &Transaction<'_>, id: &str) -> Result<bool, Failure> {
    Ok(transaction.prepare_cached("SELECT 1 FROM roles WHERE role_id = ?1")?.exists([id])?)
}

#[async_trait]
impl RoleStore for SqliteStore {
    async fn roles(&self) -> Result<Vec<Role>, StoreError> {
        self.read(|transaction, _| {
            let mut statement =
                transaction.prepare_cached("SELECT role_id, component_id FROM roles ORDER BY role_id")?;
            let all = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
            let all = all.collect::<Result<Vec<_>, _>>()?;
            let whole =
                |(id, component): (String, String)| Ok(Role { fields: fields(transaction, &id)?, id, component });
            all.into_iter().map(whole).collect()
        })
        .await
    }

    async fn role(&self, id: &str) -> Result<Option<Role>, StoreError> {
        let id = id.to_owned();
        let sql = "SELECT role_id, component_id FROM roles WHERE role_id = ?1";
        self.read(move |transaction, _| find_role(transaction, sql, &id)).await
    }

    async fn role_of_component(&self, component: &str) -> Result<Option<Role>, StoreError> {
        let component = component.to_owned();
        let sql = "SELECT role_id, component_id FROM roles WHERE component_id = ?1";
        self.read(move |transaction, _| find_role(transaction, sql, &component)).await
    }

    async fn put_role(&self, role: &Role) -> Result<Put, StoreError> {
        let role = role.clone();
        self.write(move |transaction, _| put(transaction, &role)).await
    }

    async fn remove_role(&self, id: &str) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.write(move |transaction, _| Ok(transaction.execute("DELETE FROM roles WHERE role_id = ?1", [&id])? > 0))
            .await
    }

    async fn members(&self, id: &str, kind: Members) -> Result<Option<Vec<String>>, StoreError> {
        let (id, (table, column)) = (id.to_owned(), table_of(kind));
        self.read(move |transaction, _| {
            if !is_there(transaction, &id)? {
                return Ok(None);
            }
            let sql = format!("SELECT {column} FROM {table} WHERE role_id = ?1 ORDER BY {column}");
            let mut statement = transaction.prepare_cached(&sql)?;
            let names = statement.query_map([&id], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(Some(names))
        })
        .await
    }

    async fn put_members(&self, id: &str, kind: Members, names: &BTreeSet<String>) -> Result<bool, StoreError> {
        let (id, listed, (table, column)) = (id.to_owned(), listed(names), table_of(kind));
        self.write(move |transaction, context| {
            if !is_there(transaction, &id)? {
                return Ok(false);
            }
            let gone =
                format!("DELETE FROM {table} WHERE role_id = ?1 AND {column} NOT IN (SELECT value FROM json_each(?2))");
            transaction.execute(&gone, [&id, &listed])?;
            let new = format!(
                "INSERT OR IGNORE INTO {table} ({column}, role_id, last_update)
                 SELECT value, ?1, ?3 FROM json_each(?2)"
            );
            transaction.execute(&new, (&id, &listed, context.clock.now().as_microsecond()))?;
            Ok(true)
        })
        .await
    }

    async fn covering(
        &self,
        user: &str,
        groups: &BTreeSet<String>,
        fields: &BTreeSet<String>,
    ) -> Result<Option<String>, StoreError> {
        let (user, groups, wanted, count) = (user.to_owned(), listed(groups), listed(fields), fields.len());
        self.read(move |transaction, _| {
            let sql = "SELECT held.role_id
                       FROM (SELECT role_id FROM user_roles WHERE \"user\" = ?1
                             UNION
                             SELECT role_id FROM group_roles WHERE \"group\" IN (SELECT value FROM json_each(?2))) AS held
                       WHERE (SELECT count(*) FROM role_graphql_root_field_names AS has
                              WHERE has.role_id = held.role_id
                                AND graphql_root_field_name IN (SELECT value FROM json_each(?3))) = ?4
                       ORDER BY held.role_id LIMIT 1";
            let mut statement = transaction.prepare_cached(sql)?;
            Ok(statement.query_row((&user, &groups, &wanted, count as i64), |row| row.get(0)).optional()?)
        })
        .await
    }
}
