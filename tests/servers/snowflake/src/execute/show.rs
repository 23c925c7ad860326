//! `SHOW` and `DESCRIBE`, with Snowflake's columns.

use super::rows::Rows;
use crate::account::{Account, Column, CommonAttributes, Container, Kind, Relation};
use crate::error::{Outcome, SqlError};
use crate::grammar::{Scope, Show, ShowTarget};
use crate::name::{is_like, shown};
use jiff::Timestamp;

type Row = Vec<Option<String>>;

/// Maximum number of rows.
const MOST_SHOWN: usize = 10_000;

fn some(text: impl Into<String>) -> Option<String> {
    Some(text.into())
}

/// The SQL API's form of a time with a zone: seconds with nine decimals, and the zone's minutes plus 1440.
pub(crate) fn time(at: Timestamp) -> Option<String> {
    Some(format!("{}.{:09} 1440", at.as_second(), at.subsec_nanosecond()))
}

pub(super) fn show(account: &Account, role: &str, show: &Show) -> Outcome<Rows> {
    match show.what {
        ShowTarget::GrantsTo => return grants_to(account, role, show),
        ShowTarget::GrantsOf => return grants_of(account, role, show),
        ShowTarget::GrantsOn(_) => return grants_on(account, role, show),
        _ => {}
    }
    let scope = match &show.scope {
        Scope::Account => Vec::new(),
        Scope::In(kind, path) => {
            let key = account.find_visible(role, *kind, path)?;
            key.1
        }
    };
    let fits = |name: &str| show.like.as_ref().is_none_or(|pattern| is_like(name, pattern));
    let is_visible =
        |kind: Kind, path: &[String]| path.starts_with(&scope) && account.find_visible(role, kind, path).is_ok();
    let (columns, rows): (Vec<&str>, Vec<Row>) = match show.what {
        ShowTarget::Databases => (
            vec![
                "created_on",
                "name",
                "is_default",
                "is_current",
                "origin",
                "owner",
                "comment",
                "options",
                "retention_time",
                "kind",
            ],
            account
                .databases
                .iter()
                .filter(|(name, _)| fits(name) && is_visible(Kind::Database, std::slice::from_ref(name)))
                .map(|(name, it)| {
                    let mut row = container(name, it);
                    row.insert(4, some(""));
                    row.push(some("STANDARD"));
                    row
                })
                .collect(),
        ),
        ShowTarget::Schemas => (
            vec![
                "created_on",
                "name",
                "is_default",
                "is_current",
                "database_name",
                "owner",
                "comment",
                "options",
                "retention_time",
            ],
            account
                .schemas
                .iter()
                .filter(|(path, _)| fits(&path[1]) && is_visible(Kind::Schema, path))
                .map(|(path, it)| {
                    let mut row = container(&path[1], it);
                    row.insert(4, some(path[0].clone()));
                    row
                })
                .collect(),
        ),
        ShowTarget::Tables | ShowTarget::Views => {
            relations(account, show.what, &|kind, path| fits(&path[2]) && is_visible(kind, path))
        }
        ShowTarget::Roles => (
            vec![
                "created_on",
                "name",
                "is_default",
                "is_current",
                "is_inherited",
                "assigned_to_users",
                "granted_to_roles",
                "granted_roles",
                "owner",
                "comment",
            ],
            account
                .roles
                .iter()
                .filter(|(name, _)| fits(name))
                .map(|(name, attributes)| {
                    let mut row =
                        vec![time(attributes.created_on), some(name.clone()), some("N"), some("N"), some("N")];
                    row.extend([
                        some("0"),
                        some("0"),
                        some("0"),
                        some(attributes.owner.clone()),
                        some(attributes.comment.clone()),
                    ]);
                    row
                })
                .collect(),
        ),
        // Only the columns that clients of the tests read, and those before them.
        // https://docs.snowflake.com/en/sql-reference/sql/show-warehouses
        ShowTarget::Warehouses => (
            vec!["name", "state", "type", "size"],
            account
                .warehouses
                .keys()
                .filter(|name| fits(name))
                .map(|name| vec![some(name), some("STARTED"), some("STANDARD"), some("X-Small")])
                .collect(),
        ),
        ShowTarget::Tags => (
            vec!["created_on", "name", "database_name", "schema_name", "owner", "comment", "allowed_values"],
            account
                .tags
                .iter()
                .filter(|(path, _)| fits(&path[2]) && is_visible(Kind::Tag, path))
                .map(|(path, tag)| {
                    let allowed = (!tag.allowed.is_empty()).then(|| serde_json::json!(tag.allowed).to_string());
                    let mut row = vec![time(tag.attributes.created_on), some(path[2].clone()), some(path[0].clone())];
                    row.extend([
                        some(path[1].clone()),
                        some(tag.attributes.owner.clone()),
                        some(tag.attributes.comment.clone()),
                        allowed,
                    ]);
                    row
                })
                .collect(),
        ),
        ShowTarget::PrimaryKeys | ShowTarget::UniqueKeys => {
            keys(account, show.what, &|path| is_visible(Kind::Table, path))
        }
        ShowTarget::Columns => columns(account, &|kind, path| is_visible(kind, path)),
        ShowTarget::GrantsTo | ShowTarget::GrantsOf | ShowTarget::GrantsOn(_) => {
            return Err(SqlError::unsupported("SHOW"));
        }
    };
    // The limit of `SHOW COLUMNS`. <https://docs.snowflake.com/en/sql-reference/sql/show-columns>
    let rows = rows.into_iter().take(MOST_SHOWN).collect();
    Ok(Rows { columns, names: Vec::new(), rows })
}

/// Columns of tables and views. <https://docs.snowflake.com/en/sql-reference/sql/show-columns>
fn columns(account: &Account, is_shown: &dyn Fn(Kind, &[String]) -> bool) -> (Vec<&'static str>, Vec<Row>) {
    let mut rows = Vec::new();
    for (path, (_, relation)) in account.relations.iter().filter(|(path, (_, it))| is_shown(it.kind(), path)) {
        for column in relation.columns() {
            let mut ty = column.ty.in_json();
            ty["nullable"] = column.is_nullable.into();
            rows.push(vec![
                some(&path[2]),
                some(&path[1]),
                some(column.name.clone()),
                some(ty.to_string()),
                some(column.is_nullable.to_string()),
                some(""),
                some("COLUMN"),
                some(""),
                column.comment.clone(),
                some(&path[0]),
                some(""),
            ]);
        }
    }
    let names = vec![
        "table_name",
        "schema_name",
        "column_name",
        "data_type",
        "null?",
        "default",
        "kind",
        "expression",
        "comment",
        "database_name",
        "autoincrement",
    ];
    (names, rows)
}

fn container(name: &str, it: &Container) -> Row {
    let CommonAttributes { created_on, owner, comment } = &it.attributes;
    let options = if it.is_transient { "TRANSIENT" } else { "" };
    vec![
        time(*created_on),
        some(name),
        some("N"),
        some("N"),
        some(owner.clone()),
        some(comment.clone()),
        some(options),
        some(it.retention_days.to_string()),
    ]
}

fn relations(
    account: &Account,
    what: ShowTarget,
    is_shown: &dyn Fn(Kind, &[String]) -> bool,
) -> (Vec<&'static str>, Vec<Row>) {
    let mut rows = Vec::new();
    for (path, (attributes, relation)) in &account.relations {
        if !is_shown(relation.kind(), path) {
            continue;
        }
        let [database, schema, name] = path.as_slice() else { continue };
        match relation {
            Relation::Table(table) if what == ShowTarget::Tables => rows.push(vec![
                time(attributes.created_on),
                some(name),
                some(database),
                some(schema),
                some("TABLE"),
                some(attributes.comment.clone()),
                some(""),
                some(table.rows.len().to_string()),
                some("0"),
                some(attributes.owner.clone()),
                some("1"),
            ]),
            Relation::View(view) if what == ShowTarget::Views => rows.push(vec![
                time(attributes.created_on),
                some(name),
                some(""),
                some(database),
                some(schema),
                some(attributes.owner.clone()),
                some(attributes.comment.clone()),
                some(view.text.clone()),
                some(view.is_secure.to_string()),
                some("false"),
            ]),
            _ => {}
        }
    }
    let columns = match what {
        ShowTarget::Tables => {
            vec![
                "created_on",
                "name",
                "database_name",
                "schema_name",
                "kind",
                "comment",
                "cluster_by",
                "rows",
                "bytes",
                "owner",
                "retention_time",
            ]
        }
        _ => vec![
            "created_on",
            "name",
            "reserved",
            "database_name",
            "schema_name",
            "owner",
            "comment",
            "text",
            "is_secure",
            "is_materialized",
        ],
    };
    (columns, rows)
}

fn keys(account: &Account, what: ShowTarget, is_shown: &dyn Fn(&[String]) -> bool) -> (Vec<&'static str>, Vec<Row>) {
    let mut rows = Vec::new();
    for (path, (attributes, relation)) in &account.relations {
        let Relation::Table(table) = relation else { continue };
        if !is_shown(path) {
            continue;
        }
        let keys: Vec<_> = match what {
            ShowTarget::PrimaryKeys => table.primary_key.iter().collect(),
            _ => table.unique.iter().collect(),
        };
        for (name, columns) in keys {
            for (index, column) in columns.iter().enumerate() {
                rows.push(vec![
                    time(attributes.created_on),
                    some(&path[0]),
                    some(&path[1]),
                    some(&path[2]),
                    some(column),
                    some((index + 1).to_string()),
                    some(name),
                    some("false"),
                    None,
                ]);
            }
        }
    }
    let columns = vec![
        "created_on",
        "database_name",
        "schema_name",
        "table_name",
        "column_name",
        "key_sequence",
        "constraint_name",
        "rely",
        "comment",
    ];
    (columns, rows)
}

fn role_of(account: &Account, role: &str, show: &Show) -> Outcome<String> {
    let Scope::In(_, path) = &show.scope else { return Err(SqlError::syntax("<EOF>")) };
    account.find_visible(role, Kind::Role, path).map(|key| key.1[0].clone())
}

const GRANTS: [&str; 8] =
    ["created_on", "privilege", "granted_on", "name", "granted_to", "grantee_name", "grant_option", "granted_by"];

fn grant_row(grant: &crate::account::Grant) -> Row {
    let name = if grant.on.0 == Kind::Account { "TEST".to_owned() } else { shown(&grant.on.1) };
    vec![
        time(grant.created_on),
        some(grant.privilege.clone()),
        some(grant.on.0.word()),
        some(name),
        some("ROLE"),
        some(grant.role.clone()),
        some(grant.has_option.to_string()),
        some(grant.by.clone()),
    ]
}

fn ownership(attributes: &CommonAttributes, kind: Kind, path: &[String]) -> Row {
    owned(attributes.created_on, &attributes.owner, kind, path)
}

fn owned(since: Timestamp, owner: &str, kind: Kind, path: &[String]) -> Row {
    vec![
        time(since),
        some("OWNERSHIP"),
        some(kind.word()),
        some(shown(path)),
        some("ROLE"),
        some(owner),
        some("true"),
        some(owner),
    ]
}

fn grants_to(account: &Account, role: &str, show: &Show) -> Outcome<Rows> {
    let wanted = role_of(account, role, show)?;
    let mut rows: Vec<Row> = account.grants.iter().filter(|grant| grant.role == wanted).map(grant_row).collect();
    for grant in account.role_grants.iter().filter(|grant| grant.to == (Kind::Role, wanted.clone())) {
        rows.push(vec![
            time(grant.created_on),
            some("USAGE"),
            some("ROLE"),
            some(shown(std::slice::from_ref(&grant.role))),
            some("ROLE"),
            some(wanted.clone()),
            some("false"),
            some(grant.by.clone()),
        ]);
    }
    let relations = account.relations.iter().filter(|(_, (attributes, _))| attributes.owner == wanted);
    rows.extend(relations.map(|(path, (attributes, it))| ownership(attributes, it.kind(), path)));
    let schemas = account.schemas.iter().filter(|(_, it)| it.attributes.owner == wanted);
    rows.extend(schemas.map(|(path, it)| ownership(&it.attributes, Kind::Schema, path)));
    let warehouses = account.warehouses.iter().filter(|(_, owner)| owner.as_ref() == Some(&wanted));
    let since = Timestamp::UNIX_EPOCH;
    rows.extend(warehouses.map(|(name, _)| owned(since, &wanted, Kind::Warehouse, std::slice::from_ref(name))));
    Ok(Rows { columns: GRANTS.to_vec(), names: Vec::new(), rows })
}

fn grants_of(account: &Account, role: &str, show: &Show) -> Outcome<Rows> {
    let wanted = role_of(account, role, show)?;
    let of_it = account.role_grants.iter().filter(|grant| grant.role == wanted);
    let row = |grant: &crate::account::RoleGrant| {
        vec![
            time(grant.created_on),
            some(grant.role.clone()),
            some(grant.to.0.word()),
            some(grant.to.1.clone()),
            some(grant.by.clone()),
        ]
    };
    let columns = vec!["created_on", "role", "granted_to", "grantee_name", "granted_by"];
    Ok(Rows { columns, names: Vec::new(), rows: of_it.map(row).collect() })
}

fn grants_on(account: &Account, role: &str, show: &Show) -> Outcome<Rows> {
    let Scope::In(kind, path) = &show.scope else { return Err(SqlError::syntax("<EOF>")) };
    let key = account.find_visible(role, *kind, path)?;
    let rows = account.grants.iter().filter(|grant| grant.on == key).map(grant_row).collect();
    Ok(Rows { columns: GRANTS.to_vec(), names: Vec::new(), rows })
}

pub(super) fn describe(account: &Account, role: &str, kind: Kind, path: &[String]) -> Outcome<Rows> {
    let key = account.find_visible(role, kind, path)?;
    if key.0 != kind {
        return Err(SqlError::missing(kind.title(), &shown(path)));
    }
    let (_, relation) = &account.relations[path];
    let (primary, unique): (Vec<String>, Vec<String>) = match relation {
        Relation::Table(table) => (
            table.primary_key.iter().flat_map(|(_, columns)| columns.clone()).collect(),
            table.unique.iter().flat_map(|(_, columns)| columns.clone()).collect(),
        ),
        Relation::View(_) => (Vec::new(), Vec::new()),
    };
    let letter = |is: bool| some(if is { "Y" } else { "N" });
    let row = |column: &Column| {
        vec![
            some(column.name.clone()),
            some(column.ty.to_string()),
            some("COLUMN"),
            letter(column.is_nullable),
            None,
            letter(primary.contains(&column.name)),
            letter(unique.contains(&column.name)),
            None,
            None,
            column.comment.clone(),
            None,
        ]
    };
    let columns = vec![
        "name",
        "type",
        "kind",
        "null?",
        "default",
        "primary key",
        "unique key",
        "check",
        "expression",
        "comment",
        "policy name",
    ];
    Ok(Rows { columns, names: Vec::new(), rows: relation.columns().iter().map(row).collect() })
}
