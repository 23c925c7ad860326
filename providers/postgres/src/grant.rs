//! Privileges of a role on an object, or on columns of it.
//!
//! terrace grants and revokes only the privileges of the row. Earlier privileges of the role are recorded and stay.

mod revoke;

use crate::attributes::{flag, list, text, texts};
use crate::error::Failure;
use crate::granted_object::{PRIVILEGES, object_names};
use crate::identifier::{check, qualified, quote, quote_all};
use crate::kind::Target;
use crate::observation::{Observation, ReadRequest};
use crate::private::Memory;
use crate::script::Script;
use crate::server::{Client, Work, column, query, version};
use crate::spelling::{ALL, privilege};
use revoke::{RevokedPart, revoke, revoke_own};
use std::collections::{BTreeMap, BTreeSet};
use terrace_provider::names::listed;
use terrace_provider::{Attributes, Map, Path, ProviderError};

/// Privileges that can be granted on columns.
const OF_COLUMNS: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "REFERENCES"];

/// A privilege of newer servers, and the first version with it.
const MAINTAIN: (&str, i32) = ("MAINTAIN", 170_000);

/// The privileges of an object type, or of its columns.
fn grantable(ty: &str, is_of_columns: bool) -> &'static [&'static str] {
    if is_of_columns {
        return &OF_COLUMNS;
    }
    PRIVILEGES.iter().find(|(known, _)| *known == ty).map_or(&[], |(_, privileges)| privileges)
}

/// The privileges of a grant by the server's names; only `ALL` if it is among them.
fn privileges(attributes: &Attributes) -> Vec<String> {
    let named: Vec<String> = texts(attributes, "privileges").iter().map(|text| privilege(text)).collect();
    if is_all(&named) { vec![ALL.to_owned()] } else { named }
}

/// True for `ALL` privileges.
fn is_all(privileges: &[String]) -> bool {
    privileges.iter().any(|privilege| privilege == ALL)
}

/// True if a grant includes the privilege.
fn covers(privileges: &[String], privilege: &str) -> bool {
    is_all(privileges) || privileges.iter().any(|other| other == privilege)
}

/// The single privileges of a grant, on a server of that version.
fn each_privilege(attributes: &Attributes, version: i32) -> Vec<String> {
    let named = privileges(attributes);
    if !is_all(&named) {
        return named;
    }
    let all = grantable(&text(attributes, "objectType"), !texts(attributes, "columns").is_empty());
    let is_known = |name: &&&str| **name != MAINTAIN.0 || version >= MAINTAIN.1;
    all.iter().filter(is_known).map(|name| (*name).to_owned()).collect()
}

/// Refuses privileges that the object type does not have.
///
/// # Errors
/// `InvalidInput` at the attribute.
pub(crate) fn check_planned(attributes: &Attributes) -> Result<(), ProviderError> {
    let names = object_names(attributes)?;
    let ty = text(attributes, "objectType");
    let database = text(attributes, "database");
    if ty == "database" && names.first() != Some(&database) {
        let message = format!("`database` is `{database}`, but `object` names another database");
        return Err(
            ProviderError::invalid(Some(Path::attribute("object")), message).solution("write the same name in both")
        );
    }
    let columns = texts(attributes, "columns");
    if !columns.is_empty() && ty != "table" {
        let message = format!("a {ty} has no columns");
        return Err(ProviderError::invalid(Some(Path::attribute("columns")), message));
    }
    for (index, column) in columns.iter().enumerate() {
        check(column, &Path::attribute("columns").index(index))?;
    }
    let privileges: Vec<String> = texts(attributes, "privileges").iter().map(|text| privilege(text)).collect();
    let path = Path::attribute("privileges");
    if privileges.is_empty() {
        return Err(ProviderError::invalid(Some(path), "a grant needs at least one privilege"));
    }
    let known = grantable(&ty, !columns.is_empty());
    for (index, privilege) in privileges.iter().enumerate() {
        let at = path.index(index);
        if privilege != ALL && !known.contains(&privilege.as_str()) {
            let where_to = if columns.is_empty() { format!("a {ty}") } else { "columns".to_owned() };
            return Err(ProviderError::invalid(Some(at), format!("`{privilege}` is not a privilege of {where_to}"))
                .solution(format!("use {}; `{ALL}` means all of them", listed(known))));
        }
        if privileges.iter().take(index).any(|other| other == privilege) {
            return Err(ProviderError::invalid(Some(at), format!("`{privilege}` is listed twice")));
        }
    }
    Ok(())
}

/// The object in the form of `GRANT … ON`.
pub(crate) fn on(ty: &str, names: &[String]) -> String {
    match names {
        [schema, name] => format!("{} {}", ty.to_uppercase(), qualified(schema, name)),
        names => format!("{} {}", ty.to_uppercase(), quote_all(names)),
    }
}

/// The privileges of a role on an object.
#[derive(Debug, Default, Clone)]
struct Held {
    /// Privileges on the whole object, with their grant option.
    whole: BTreeMap<String, bool>,
    /// Privileges by column, with their grant option.
    columns: BTreeMap<String, BTreeMap<String, bool>>,
    /// The single grants with their grantors.
    grants: Vec<HeldGrant>,
}

/// A privilege from one grantor.
#[derive(Debug, Clone)]
struct HeldGrant {
    privilege: String,
    is_grantable: bool,
    column: Option<String>,
    grantor: String,
}

/// One query per object type.
const READ: [(&str, &str); 4] = [
    (
        "database",
        "SELECT w.place, x.privilege_type, x.is_grantable, NULL::text, pg_get_userbyid(x.grantor)::text
      FROM wanted w JOIN pg_database o ON o.datname = w.first,
        aclexplode(coalesce(o.datacl, acldefault('d', o.datdba))) x WHERE x.grantee = w.grantee",
    ),
    (
        "schema",
        "SELECT w.place, x.privilege_type, x.is_grantable, NULL::text, pg_get_userbyid(x.grantor)::text
      FROM wanted w JOIN pg_namespace o ON o.nspname = w.first,
        aclexplode(coalesce(o.nspacl, acldefault('n', o.nspowner))) x WHERE x.grantee = w.grantee",
    ),
    (
        "table",
        "SELECT w.place, x.privilege_type, x.is_grantable, NULL::text, pg_get_userbyid(x.grantor)::text
      FROM wanted w JOIN pg_namespace n ON n.nspname = w.first
      JOIN pg_class o ON o.relnamespace = n.oid AND o.relname = w.second AND o.relkind <> 'S',
        aclexplode(coalesce(o.relacl, acldefault('r', o.relowner))) x WHERE x.grantee = w.grantee
      UNION ALL
      SELECT w.place, x.privilege_type, x.is_grantable, a.attname::text, pg_get_userbyid(x.grantor)::text
      FROM wanted w JOIN pg_namespace n ON n.nspname = w.first
      JOIN pg_class o ON o.relnamespace = n.oid AND o.relname = w.second AND o.relkind <> 'S'
      JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped,
        aclexplode(a.attacl) x WHERE x.grantee = w.grantee",
    ),
    (
        "sequence",
        "SELECT w.place, x.privilege_type, x.is_grantable, NULL::text, pg_get_userbyid(x.grantor)::text
      FROM wanted w JOIN pg_namespace n ON n.nspname = w.first
      JOIN pg_class o ON o.relnamespace = n.oid AND o.relname = w.second AND o.relkind = 'S',
        aclexplode(coalesce(o.relacl, acldefault('s', o.relowner))) x WHERE x.grantee = w.grantee",
    ),
];

async fn held(client: &Client, targets: &[&Target]) -> Result<Vec<Held>, Failure> {
    let mut held: Vec<Held> = vec![Held::default(); targets.len()];
    for (ty, sql) in READ {
        let of_type: Vec<(i64, &Target)> =
            (1_i64..).zip(targets.iter().copied()).filter(|(_, target)| target.name(1) == ty).collect();
        if of_type.is_empty() {
            continue;
        }
        let places: Vec<i64> = of_type.iter().map(|(place, _)| *place).collect();
        let names: Vec<Vec<String>> = of_type.iter().map(|(_, target)| target.granted()).collect();
        let part = |at: usize| names.iter().map(|names| names.get(at).cloned()).collect::<Vec<_>>();
        let roles: Vec<&str> = of_type.iter().map(|(_, target)| target.name(3)).collect();
        let sql = format!(
            "WITH wanted AS (
               SELECT w.place, w.first, w.second, coalesce(r.oid, 0::oid) AS grantee
               FROM unnest($1::int8[], $2::text[]::name[], $3::text[]::name[], $4::text[]) AS w(place, first, second, role)
               LEFT JOIN pg_roles r ON r.rolname = w.role AND w.role <> 'PUBLIC'
               WHERE r.oid IS NOT NULL OR w.role = 'PUBLIC')
             {sql}"
        );
        for row in query(client, &sql, &[&places, &part(0), &part(1), &roles]).await? {
            let place: i64 = column(&row, 0)?;
            let Some(held) = usize::try_from(place - 1).ok().and_then(|at| held.get_mut(at)) else { continue };
            let (privilege, grantable, column): (String, bool, Option<String>) =
                (column(&row, 1)?, column(&row, 2)?, column(&row, 3)?);
            let grantor = crate::server::column(&row, 4)?;
            held.grants.push(HeldGrant {
                privilege: privilege.clone(),
                is_grantable: grantable,
                column: column.clone(),
                grantor,
            });
            let privileges = match column {
                Some(column) => held.columns.entry(column).or_default(),
                None => &mut held.whole,
            };
            *privileges.entry(privilege).or_default() |= grantable;
        }
    }
    Ok(held)
}

/// Reads grants. A grant to a role without privileges counts as missing.
pub(crate) async fn observe(client: &Client, wanted: &[ReadRequest]) -> Result<Vec<Option<Observation>>, Failure> {
    let targets: Vec<&Target> = wanted.iter().map(|wanted| &wanted.target).collect();
    let held = held(client, &targets).await?;
    let names_all = |wanted: &ReadRequest| wanted.like.as_ref().is_some_and(|like| is_all(&privileges(like)));
    let version = if wanted.iter().any(names_all) { version(client).await? } else { 0 };
    Ok(held.iter().zip(wanted).map(|(held, wanted)| observation(held, wanted, version)).collect())
}

fn observation(held: &Held, wanted: &ReadRequest, version: i32) -> Option<Observation> {
    let configured =
        wanted.like.as_ref().map(|like| (privileges(like), texts(like, "columns"), flag(like, "grantOption")));
    let (like, columns_like, option_like) = configured.unwrap_or_default();
    let is_of_columns = !columns_like.is_empty() || (wanted.like.is_none() && held.whole.is_empty());
    // Earlier privileges do not belong to the grant, unless they are configured.
    let is_own = |privilege: &String| covers(&like, privilege) || !wanted.memory.preexisting.contains(privilege);
    let mut columns = Vec::new();
    let granted: BTreeMap<String, bool> = if is_of_columns {
        let mut union: BTreeMap<String, bool> = BTreeMap::new();
        for (privilege, grantable) in held.columns.values().flatten().filter(|(privilege, _)| is_own(privilege)) {
            union.entry(privilege.clone()).and_modify(|option| *option &= grantable).or_insert(*grantable);
        }
        let has_all = |name: &String| {
            held.columns
                .get(name)
                .is_some_and(|of_column| union.keys().all(|privilege| of_column.contains_key(privilege)))
        };
        columns = in_order_of(&columns_like, held.columns.keys().filter(|name| has_all(name)));
        union
    } else {
        held.whole
            .iter()
            .filter(|(privilege, _)| is_own(privilege))
            .map(|(privilege, grantable)| (privilege.clone(), *grantable))
            .collect()
    };
    if granted.is_empty() {
        return None;
    }
    // A grant option on earlier privileges does not belong to the grant, unless it is configured.
    let has_option = granted.values().all(|grantable| *grantable);
    let is_preexisting = !option_like
        && wanted.like.is_some()
        && granted.keys().all(|privilege| wanted.memory.preexisting.contains(privilege));
    let all = wanted.like.as_ref().filter(|_| is_all(&like)).map(|like| each_privilege(like, version));
    let privileges = match all {
        Some(all) if all.iter().all(|privilege| granted.contains_key(privilege)) => like,
        _ => in_order_of(&like, granted.keys()),
    };
    let mut attributes = Map::default();
    attributes.insert("privileges".to_owned(), list(&privileges));
    attributes.insert("columns".to_owned(), list(&columns));
    attributes.insert("grantOption".to_owned(), (has_option && !is_preexisting).into());
    Some(Observation::plain(attributes, wanted))
}

/// The present names, those of `like` first and in its order.
fn in_order_of<'a>(like: &[String], present: impl Iterator<Item = &'a String>) -> Vec<String> {
    let present: BTreeSet<&String> = present.collect();
    let known = like.iter().filter(|name| present.contains(name));
    let others = present.iter().filter(|name| !like.contains(name)).copied();
    known.chain(others).cloned().collect()
}

/// The earlier privileges of the role: they stay when the grant is deleted.
pub(crate) async fn preexisting(
    client: &Client,
    target: &Target,
    planned: &Attributes,
) -> Result<BTreeSet<String>, Failure> {
    let held = held(client, &[target]).await?.into_iter().next().unwrap_or_default();
    let columns = texts(planned, "columns");
    let holds = |privilege: &String| match columns.is_empty() {
        true => held.whole.contains_key(privilege),
        false => columns.iter().all(|name| held.columns.get(name).is_some_and(|all| all.contains_key(privilege))),
    };
    let mut found: BTreeSet<String> = match columns.is_empty() {
        true => held.whole.keys().cloned().collect(),
        false => held.columns.values().flat_map(BTreeMap::keys).cloned().collect(),
    };
    found.retain(|privilege| holds(privilege) || !covers(&privileges(planned), privilege));
    Ok(found)
}

/// True if the role has all planned privileges, on a server of any version.
pub(crate) fn is_whole(planned: &Attributes, preexisting: &BTreeSet<String>) -> bool {
    each_privilege(planned, i32::MAX).iter().all(|privilege| preexisting.contains(privilege))
}

/// Grants the planned privileges, then revokes those that are no longer planned.
pub(crate) async fn put(
    work: &Work,
    target: &Target,
    (prior, planned): (Option<&Attributes>, &Attributes),
    memory: &Memory,
) -> Result<(), Failure> {
    check_planned(planned)?;
    let columns = texts(planned, "columns");
    let option = if flag(planned, "grantOption") { " WITH GRANT OPTION" } else { "" };
    work.run(&statement("GRANT", target, &privileges(planned), &columns, option)).await?;
    let Some(prior) = prior else { return Ok(()) };
    let held_now = held(work.reader().await?, &[target]).await?.into_iter().next().unwrap_or_default();
    // Privileges follow a renamed column, and vanish with a dropped column.
    let exists = |name: &String| held_now.columns.contains_key(name);
    let version = version(work.reader().await?).await?;
    let privileges = each_privilege(planned, version);
    let (old, was_of_columns) = (each_privilege(prior, version), !texts(prior, "columns").is_empty());
    let old_columns: Vec<String> = texts(prior, "columns").into_iter().filter(exists).collect();
    let is_preexisting = |privilege: &String| memory.preexisting.contains(privilege);
    let has_remaining = !was_of_columns || !old_columns.is_empty();
    if has_remaining && was_of_columns != columns.is_empty() {
        let gone: Vec<String> =
            old.iter().filter(|it| !privileges.contains(it) && !is_preexisting(it)).cloned().collect();
        revoke(work, target, RevokedPart::Privileges, &gone, &old_columns).await?;
        let gone_columns: Vec<String> = old_columns.iter().filter(|it| !columns.contains(it)).cloned().collect();
        if !gone_columns.is_empty() {
            let own_privileges: Vec<String> = old.iter().filter(|it| !is_preexisting(it)).cloned().collect();
            revoke(work, target, RevokedPart::Privileges, &own_privileges, &gone_columns).await?;
        }
    } else if has_remaining {
        let own_privileges: Vec<String> = old.iter().filter(|it| !is_preexisting(it)).cloned().collect();
        revoke(work, target, RevokedPart::Privileges, &own_privileges, &old_columns).await?;
    }
    // The row omits columns with only some of the privileges: their surplus privileges are revoked here.
    let held = held(work.reader().await?, &[target]).await?.into_iter().next().unwrap_or_default();
    for (column, of_column) in held.columns.iter().filter(|_| !columns.is_empty()) {
        let is_wanted = |it: &&String| columns.contains(column) && privileges.contains(it);
        let extra: Vec<String> = of_column.keys().filter(|it| !is_wanted(it) && !is_preexisting(it)).cloned().collect();
        revoke(work, target, RevokedPart::Privileges, &extra, std::slice::from_ref(column)).await?;
    }
    if flag(prior, "grantOption") && option.is_empty() {
        let (preexisting_privileges, own_privileges): (Vec<String>, Vec<String>) =
            privileges.into_iter().partition(is_preexisting);
        revoke(work, target, RevokedPart::Option, &own_privileges, &columns).await?;
        revoke_own(work, target, RevokedPart::Option, &preexisting_privileges, &columns).await?;
    }
    Ok(())
}

/// Revokes the privileges of the grant. Missing privileges, objects and roles are not an error.
pub(crate) async fn delete(work: &Work, target: &Target, prior: &Attributes, memory: &Memory) -> Result<(), Failure> {
    let held = held(work.reader().await?, &[target]).await?.into_iter().next().unwrap_or_default();
    let columns: Vec<String> =
        texts(prior, "columns").into_iter().filter(|name| held.columns.contains_key(name)).collect();
    let is_of_columns = !texts(prior, "columns").is_empty();
    let is_held = |privilege: &String| match is_of_columns {
        true => columns.iter().any(|name| held.columns.get(name).is_some_and(|of| of.contains_key(privilege))),
        false => held.whole.contains_key(privilege),
    };
    let own_privileges: Vec<String> = each_privilege(prior, i32::MAX)
        .into_iter()
        .filter(|privilege| is_held(privilege) && !memory.preexisting.contains(privilege))
        .collect();
    revoke(work, target, RevokedPart::Privileges, &own_privileges, &columns).await
}

fn statement(verb: &str, target: &Target, privileges: &[String], columns: &[String], end: &str) -> Script {
    let names = target.granted();
    let columns = if columns.is_empty() { String::new() } else { format!(" ({})", quote_all(columns)) };
    let privileges: Vec<String> = privileges.iter().map(|privilege| format!("{privilege}{columns}")).collect();
    let mut script = Script::of(format!("{verb} "));
    script.push_at(&Path::attribute("privileges"), &privileges.join(", "));
    script.push(" ON ");
    script.push_at(&Path::attribute("object"), &on(target.name(1), &names));
    script.push(if verb == "GRANT" { " TO " } else { " FROM " });
    let role = target.name(3);
    script.push_at(&Path::attribute("role"), &if role == "PUBLIC" { role.to_owned() } else { quote(role) });
    script.push(end);
    script
}
