//! Roles of the role mapper in a PostgreSQL database.

use super::PostgresStore;
use super::columns::text;
use super::connection::ConnectionClass;
use super::error::Failure;
use super::server::Context;
use super::server::OnUnknownCommit;
use super::session::{Purpose, Session};
use crate::columns::ReadColumns;
use crate::roles::{Members, Put, Role, RoleStore, check_format};
use async_trait::async_trait;
use std::collections::BTreeSet;
use terrace_store::StoreError;

const MIGRATIONS: &[&str] = &[include_str!("../../migrations/roles/postgres/0001_init.sql")];

/// `ROLE` in ASCII: the lock of writers, so that two writers of the same role run one after the other.
const LOCK: i64 = 0x524f_4c45;

/// The table and the column of the members.
const fn table_of(of: Members) -> (&'static str, &'static str) {
    match of {
        Members::Users => ("user_roles", "\"user\""),
        Members::Groups => ("group_roles", "\"group\""),
    }
}

fn listed(names: &BTreeSet<String>) -> Vec<String> {
    names.iter().map(|name| text(name).into_owned()).collect()
}

impl PostgresStore {
    /// Creates the tables, or upgrades them to the newest format.
    pub(super) async fn make_roles(&self) -> Result<(), StoreError> {
        let url = self.identity.url.clone();
        self.write(ConnectionClass::Call, OnUnknownCommit::Repeat, url, |session, _, url| Box::pin(make(session, url)))
            .await
    }
}

/// True if the tables exist. Until the transaction ends, no role mapper can write them.
pub(super) async fn tables_exist(session: &Session) -> Result<bool, Failure> {
    lock(session).await?;
    let sql = "SELECT 1 FROM pg_catalog.pg_class
               WHERE relname = 'role_mapper_schema' AND relkind = 'r'
                 AND relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_schema())";
    session.exists(sql, &[]).await
}

/// Creates the tables, or upgrades them to the newest format.
pub(super) async fn make(session: &Session, url: &str) -> Result<(), Failure> {
    lock(session).await?;
    session.run("CREATE TABLE IF NOT EXISTS role_mapper_schema (version integer PRIMARY KEY)").await?;
    let sql = "SELECT coalesce(max(version), 0)::bigint FROM role_mapper_schema";
    let found = session.first(sql, &[], |columns| columns.count()).await?.unwrap_or_default();
    let done = check_format(url, found, MIGRATIONS.len())?;
    for (number, sql) in (1_i64..).zip(MIGRATIONS).skip(done) {
        session.run(sql).await?;
        session.execute("INSERT INTO role_mapper_schema (version) VALUES ($1::bigint)", &[&number]).await?;
    }
    Ok(())
}

async fn lock(session: &Session) -> Result<(), Failure> {
    session.query("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map(|_| ())
}

/// Roles by an optional condition on the parameter.
async fn find_roles(session: &Session, condition: &str, name: Option<&str>) -> Result<Vec<Role>, Failure> {
    // Root fields are one list, so that a query is one statement with one snapshot.
    let sql = format!(
        "SELECT role_id, component_id,
                ARRAY(SELECT graphql_root_field_name FROM role_graphql_root_field_names AS has
                      WHERE has.role_id = roles.role_id)
         FROM roles {condition} ORDER BY role_id"
    );
    let name = name.map(|name| text(name).into_owned());
    let read = |columns: &mut super::columns::Columns<'_>| {
        let (id, component) = (columns.text()?, columns.text()?);
        Ok(Role { id, component, fields: columns.texts()?.into_iter().collect() })
    };
    match &name {
        Some(name) => session.list(&sql, &[name], read).await,
        None => session.list(&sql, &[], read).await,
    }
}

async fn one(session: &Session, condition: &str, name: &str) -> Result<Option<Role>, Failure> {
    Ok(find_roles(session, condition, Some(name)).await?.into_iter().next())
}

const BY_ID: &str = "WHERE role_id = $1";
const BY_COMPONENT: &str = "WHERE component_id = $1";

async fn put(session: &Session, role: &Role) -> Result<Put, Failure> {
    lock(session).await?;
    let id = text(&role.id);
    match one(session, BY_ID, &role.id).await? {
        Some(there) if there.component != role.component => return Ok(Put::OfAnotherComponent),
        Some(_) => {}
        None => {
            if let Some(other) = one(session, BY_COMPONENT, &role.component).await? {
                return Ok(Put::ComponentTaken(other.id));
            }
            let sql = "INSERT INTO roles (role_id, component_id) VALUES ($1, $2)";
            session.execute(sql, &[&id, &text(&role.component)]).await?;
        }
    }
    let fields = listed(&role.fields);
    let sql = "DELETE FROM role_graphql_root_field_names
               WHERE role_id = $1 AND graphql_root_field_name <> ALL ($2::text[])";
    session.execute(sql, &[&id, &fields]).await?;
    let sql = "INSERT INTO role_graphql_root_field_names (role_id, graphql_root_field_name)
               SELECT $1, name FROM unnest($2::text[]) AS name ON CONFLICT DO NOTHING";
    session.execute(sql, &[&id, &fields]).await?;
    Ok(Put::Done)
}

async fn put_members(
    session: &Session,
    context: &Context,
    (id, kind, names): &(String, Members, BTreeSet<String>),
) -> Result<bool, Failure> {
    lock(session).await?;
    if one(session, BY_ID, id).await?.is_none() {
        return Ok(false);
    }
    let (now, (table, column), names) = (context.now(session).await?, table_of(*kind), listed(names));
    let id = text(id);
    let sql = format!("DELETE FROM {table} WHERE role_id = $1 AND {column} <> ALL ($2::text[])");
    session.execute(&sql, &[&id, &names]).await?;
    let sql = format!(
        "INSERT INTO {table} ({column}, role_id, last_update)
         SELECT name, $1, $3 FROM unnest($2::text[]) AS name ON CONFLICT DO NOTHING"
    );
    session.execute(&sql, &[&id, &names, &now]).await?;
    Ok(true)
}

#[async_trait]
impl RoleStore for PostgresStore {
    async fn roles(&self) -> Result<Vec<Role>, StoreError> {
        self.read(ConnectionClass::Call, Purpose::ReadOne, |session, _| Box::pin(find_roles(session, "", None))).await
    }

    async fn role(&self, id: &str) -> Result<Option<Role>, StoreError> {
        let id = id.to_owned();
        self.read(ConnectionClass::Call, Purpose::ReadOne, move |session, _| {
            Box::pin(async move { one(session, BY_ID, &id).await })
        })
        .await
    }

    async fn role_of_component(&self, component: &str) -> Result<Option<Role>, StoreError> {
        let component = component.to_owned();
        self.read(ConnectionClass::Call, Purpose::ReadOne, move |session, _| {
            Box::pin(async move { one(session, BY_COMPONENT, &component).await })
        })
        .await
    }

    async fn put_role(&self, role: &Role) -> Result<Put, StoreError> {
        self.write(ConnectionClass::Call, OnUnknownCommit::Repeat, role.clone(), |session, _, role| {
            Box::pin(put(session, role))
        })
        .await
    }

    async fn remove_role(&self, id: &str) -> Result<bool, StoreError> {
        self.write(ConnectionClass::Call, OnUnknownCommit::Repeat, id.to_owned(), |session, context, id| {
            Box::pin(async move {
                lock(session).await?;
                let removed = session.execute("DELETE FROM roles WHERE role_id = $1", &[&text(id)]).await?;
                // An unanswered earlier commit may have removed it.
                Ok(removed > 0 || context.is_repeated)
            })
        })
        .await
    }

    async fn members(&self, id: &str, kind: Members) -> Result<Option<Vec<String>>, StoreError> {
        let id = id.to_owned();
        self.read(ConnectionClass::Call, Purpose::Read, move |session, _| {
            Box::pin(async move {
                if one(session, BY_ID, &id).await?.is_none() {
                    return Ok(None);
                }
                let (table, column) = table_of(kind);
                let sql = format!("SELECT {column} FROM {table} WHERE role_id = $1 ORDER BY {column}");
                session.list(&sql, &[&text(&id)], |columns| columns.text()).await.map(Some)
            })
        })
        .await
    }

    async fn put_members(&self, id: &str, kind: Members, names: &BTreeSet<String>) -> Result<bool, StoreError> {
        let given = (id.to_owned(), kind, names.clone());
        self.write(ConnectionClass::Call, OnUnknownCommit::Repeat, given, |session, context, given| {
            Box::pin(put_members(session, context, given))
        })
        .await
    }

    async fn covering(
        &self,
        user: &str,
        groups: &BTreeSet<String>,
        fields: &BTreeSet<String>,
    ) -> Result<Option<String>, StoreError> {
        let (user, groups, fields) = (text(user).into_owned(), listed(groups), listed(fields));
        self.read(ConnectionClass::Call, Purpose::ReadOne, move |session, _| {
            Box::pin(async move {
                let sql = "SELECT held.role_id
                           FROM (SELECT role_id FROM user_roles WHERE \"user\" = $1
                                 UNION
                                 SELECT role_id FROM group_roles WHERE \"group\" = ANY ($2::text[])) AS held
                           WHERE (SELECT count(*) FROM role_graphql_root_field_names AS has
                                  WHERE has.role_id = held.role_id AND graphql_root_field_name = ANY ($3::text[]))
                                 = cardinality($3::text[])
                           ORDER BY held.role_id LIMIT 1";
                session.first(sql, &[&user, &groups, &fields], |columns| columns.text()).await
            })
        })
        .await
    }
}
