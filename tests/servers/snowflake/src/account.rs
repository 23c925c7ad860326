//! The data of the account.

use crate::data_type::DataType;
use crate::error::{Outcome, SqlError};
use crate::name::shown;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// A kind of object, by its keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Account,
    Warehouse,
    Database,
    Schema,
    Table,
    View,
    Tag,
    Role,
    User,
}

impl Kind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Account => "ACCOUNT",
            Self::Warehouse => "WAREHOUSE",
            Self::Database => "DATABASE",
            Self::Schema => "SCHEMA",
            Self::Table => "TABLE",
            Self::View => "VIEW",
            Self::Tag => "TAG",
            Self::Role => "ROLE",
            Self::User => "USER",
        }
    }

    /// The kind in messages.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Account => "Account",
            Self::Warehouse => "Warehouse",
            Self::Database => "Database",
            Self::Schema => "Schema",
            Self::Table | Self::View => "Object",
            Self::Tag => "Tag",
            Self::Role => "Role",
            Self::User => "User",
        }
    }
}

/// The key of an object: its kind and the parts of its name. Tables and views share a namespace.
pub(crate) type Key = (Kind, Vec<String>);

/// Attributes of every object.
#[derive(Debug, Clone)]
pub(crate) struct CommonAttributes {
    pub(crate) created_on: Timestamp,
    pub(crate) owner: String,
    pub(crate) comment: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Container {
    pub(crate) attributes: CommonAttributes,
    pub(crate) retention_days: u64,
    pub(crate) is_transient: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) ty: DataType,
    pub(crate) is_nullable: bool,
    pub(crate) comment: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Column>,
    /// Its name and its columns.
    pub(crate) primary_key: Option<(String, Vec<String>)>,
    pub(crate) unique: Vec<(String, Vec<String>)>,
    /// Values as text; `None` is NULL.
    pub(crate) rows: Vec<Vec<Option<String>>>,
}

#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) columns: Vec<Column>,
    pub(crate) source: Vec<String>,
    /// The columns of the source, in order.
    pub(crate) reads: Vec<String>,
    pub(crate) is_secure: bool,
    pub(crate) text: String,
}

/// A table or a view.
#[derive(Debug, Clone)]
pub(crate) enum Relation {
    Table(Table),
    View(View),
}

impl Relation {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Table(_) => Kind::Table,
            Self::View(_) => Kind::View,
        }
    }

    pub(crate) fn columns(&self) -> &[Column] {
        match self {
            Self::Table(table) => &table.columns,
            Self::View(view) => &view.columns,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Tag {
    pub(crate) attributes: CommonAttributes,
    pub(crate) allowed: Vec<String>,
}

/// A privilege that a role has.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) created_on: Timestamp,
    pub(crate) privilege: String,
    pub(crate) on: Key,
    pub(crate) role: String,
    pub(crate) has_option: bool,
    pub(crate) by: String,
}

/// A role granted to a role or a user.
#[derive(Debug, Clone)]
pub(crate) struct RoleGrant {
    pub(crate) created_on: Timestamp,
    pub(crate) role: String,
    pub(crate) to: (Kind, String),
    pub(crate) by: String,
}

/// A tag on an object or one of its columns.
#[derive(Debug, Clone)]
pub(crate) struct TagReference {
    pub(crate) tag: Vec<String>,
    pub(crate) object: Key,
    pub(crate) column: Option<String>,
    pub(crate) value: String,
}

/// The data of an account.
#[derive(Debug, Clone, Default)]
pub(crate) struct Account {
    pub(crate) users: BTreeSet<String>,
    /// Users with secondary roles.
    pub(crate) with_secondary_roles: BTreeSet<String>,
    /// Roles with their owners; the built-in ones have none.
    pub(crate) warehouses: BTreeMap<String, Option<String>>,
    pub(crate) roles: BTreeMap<String, CommonAttributes>,
    pub(crate) databases: BTreeMap<String, Container>,
    pub(crate) schemas: BTreeMap<Vec<String>, Container>,
    pub(crate) relations: BTreeMap<Vec<String>, (CommonAttributes, Relation)>,
    pub(crate) tags: BTreeMap<Vec<String>, Tag>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) role_grants: Vec<RoleGrant>,
    pub(crate) references: Vec<TagReference>,
    /// Row access policies by name, with the views they protect.
    pub(crate) policies: Vec<(String, Key)>,
    last: Option<Timestamp>,
}

impl Account {
    /// A new account with its built-in roles and their privileges.
    pub(crate) fn new() -> Self {
        let mut account = Self::default();
        for role in ["ACCOUNTADMIN", "SECURITYADMIN", "USERADMIN", "SYSADMIN", "PUBLIC"] {
            let attributes = account.attributes("", "");
            account.roles.insert(role.to_owned(), attributes);
        }
        for (role, to) in
            [("SYSADMIN", "ACCOUNTADMIN"), ("SECURITYADMIN", "ACCOUNTADMIN"), ("USERADMIN", "SECURITYADMIN")]
        {
            let created_on = account.now();
            let to = (Kind::Role, to.to_owned());
            account.role_grants.push(RoleGrant { created_on, role: role.to_owned(), to, by: String::new() });
        }
        for (privilege, role) in [
            ("CREATE DATABASE", "SYSADMIN"),
            ("CREATE ROLE", "USERADMIN"),
            ("MANAGE GRANTS", "SECURITYADMIN"),
            ("APPLY TAG", "ACCOUNTADMIN"),
        ] {
            account.grant_privilege(privilege, (Kind::Account, Vec::new()), role, "");
        }
        account
    }

    /// A time that no other object has.
    pub(crate) fn now(&mut self) -> Timestamp {
        let step = jiff::SignedDuration::from_millis(1);
        let mut now = Timestamp::now();
        if let Some(last) = self.last.filter(|last| now < *last + step) {
            now = last + step;
        }
        self.last = Some(now);
        now
    }

    pub(crate) fn attributes(&mut self, owner: &str, comment: &str) -> CommonAttributes {
        CommonAttributes { created_on: self.now(), owner: owner.to_owned(), comment: comment.to_owned() }
    }

    /// Grants a privilege to a role, unless it has it.
    pub(crate) fn grant_privilege(&mut self, privilege: &str, on: Key, role: &str, by: &str) {
        let has = |grant: &Grant| grant.privilege == privilege && grant.on == on && grant.role == role;
        if self.grants.iter().any(has) {
            return;
        }
        let (created_on, has_option) = (self.now(), false);
        self.grants.push(Grant {
            created_on,
            privilege: privilege.to_owned(),
            on,
            role: role.to_owned(),
            has_option,
            by: by.to_owned(),
        });
    }

    /// A role and all roles it inherits.
    pub(crate) fn roles_of(&self, role: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::from([role.to_owned(), "PUBLIC".to_owned()]);
        loop {
            let more: Vec<String> = self
                .role_grants
                .iter()
                .filter(|grant| grant.to.0 == Kind::Role && found.contains(&grant.to.1) && !found.contains(&grant.role))
                .map(|grant| grant.role.clone())
                .collect();
            if more.is_empty() {
                return found;
            }
            found.extend(more);
        }
    }

    /// The secondary roles of a user beside the primary one; they don't own new objects.
    /// <https://docs.snowflake.com/en/user-guide/security-access-control-overview#authorization-through-primary-role-and-secondary-roles>
    pub(crate) fn secondary_roles(&self, user: &str, role: &str) -> Vec<String> {
        let counts = |grant: &&RoleGrant| grant.to == (Kind::User, user.to_owned()) && grant.role != role;
        let grants = self.role_grants.iter().filter(|_| self.with_secondary_roles.contains(user));
        grants.filter(counts).map(|grant| grant.role.clone()).collect()
    }

    /// The owner of an object; `None` if it does not exist.
    pub(crate) fn owner(&self, (kind, path): &Key) -> Option<&str> {
        if *kind == Kind::Warehouse {
            return path.first().and_then(|name| self.warehouses.get(name)).and_then(Option::as_deref);
        }
        let attributes = match kind {
            Kind::Database => path.first().and_then(|name| self.databases.get(name)).map(|it| &it.attributes),
            Kind::Schema => self.schemas.get(path).map(|it| &it.attributes),
            Kind::Table | Kind::View => self.relations.get(path).map(|(attributes, _)| attributes),
            Kind::Tag => self.tags.get(path).map(|it| &it.attributes),
            Kind::Role => path.first().and_then(|name| self.roles.get(name)),
            Kind::Warehouse | Kind::Account | Kind::User => None,
        };
        attributes.map(|attributes| attributes.owner.as_str())
    }

    pub(crate) fn owns(&self, role: &str, key: &Key) -> bool {
        self.owner(key).is_some_and(|owner| self.roles_of(role).contains(owner))
    }

    /// True if a role, or one it inherits, has one of the privileges; owners have all.
    pub(crate) fn has_privilege(&self, role: &str, key: &Key, privileges: &[&str]) -> bool {
        let roles = self.roles_of(role);
        let is_meant = |grant: &&Grant| {
            grant.on == *key && roles.contains(&grant.role) && privileges.contains(&grant.privilege.as_str())
        };
        self.owns(role, key) || self.grants.iter().any(|grant| is_meant(&grant))
    }

    /// True if a role sees an object: it needs any privilege on it, and the use of its database and schema.
    fn is_visible(&self, role: &str, key: &Key) -> bool {
        let roles = self.roles_of(role);
        let has_any = self.owns(role, key)
            || self.grants.iter().any(|grant| grant.on == *key && roles.contains(&grant.role))
            || self.has_privilege(role, &(Kind::Account, Vec::new()), &["MANAGE GRANTS"]);
        has_any && self.can_use_schema(role, &key.1)
    }

    /// True if a role may use the database and the schema of a name.
    pub(crate) fn can_use_schema(&self, role: &str, path: &[String]) -> bool {
        let manages = self.has_privilege(role, &(Kind::Account, Vec::new()), &["MANAGE GRANTS"]);
        let may_use = |key: Key| {
            manages
                || self.owns(role, &key)
                || self.grants.iter().any(|grant| grant.on == key && self.roles_of(role).contains(&grant.role))
        };
        let database = path.len() < 2 || may_use((Kind::Database, vec![path[0].clone()]));
        let schema = path.len() < 3 || may_use((Kind::Schema, path[..2].to_vec()));
        database && schema
    }

    /// An object that the role can see.
    pub(crate) fn find_visible(&self, role: &str, kind: Kind, path: &[String]) -> Outcome<Key> {
        let missing = || SqlError::missing(kind.title(), &shown(path));
        let depth = match kind {
            Kind::Schema => 2,
            Kind::Table | Kind::View | Kind::Tag => 3,
            _ => 1,
        };
        if path.len() != depth {
            // A session has no current database or schema.
            let message = format!(
                "Cannot perform operation. This session does not have a current {}. Call 'USE', or use a qualified name.",
                if depth - path.len() > 1 { "database" } else { "schema" }
            );
            return Err(SqlError { code: "090105", state: "22000", message });
        }
        let kind = match kind {
            Kind::Table | Kind::View => self.relations.get(path).map(|(_, it)| it.kind()).ok_or_else(missing)?,
            other => other,
        };
        let key = (kind, path.to_vec());
        let is_there = match kind {
            Kind::Warehouse => self.warehouses.contains_key(&path[0]),
            Kind::User => self.users.contains(&path[0]),
            _ => self.owner(&key).is_some(),
        };
        let is_seen = matches!(kind, Kind::Role | Kind::User) || self.is_visible(role, &key);
        if is_there && is_seen { Ok(key) } else { Err(missing()) }
    }

    /// An object that the role owns.
    pub(crate) fn owned(&self, role: &str, kind: Kind, path: &[String]) -> Outcome<Key> {
        let key = self.find_visible(role, kind, path)?;
        if self.owns(role, &key) {
            Ok(key)
        } else {
            Err(SqlError::privilege(&format!(
                "{} '{}'",
                kind.word().to_lowercase(),
                path.last().cloned().unwrap_or_default()
            )))
        }
    }

    /// Removes the grants, policies and tags of an object and of its content.
    pub(crate) fn forget(&mut self, (kind, path): &Key) {
        let is_within = |other: &Key| {
            other == &(*kind, path.clone())
                || (matches!(kind, Kind::Database | Kind::Schema)
                    && other.1.len() > path.len()
                    && other.1.starts_with(path)
                    && !matches!(other.0, Kind::Warehouse | Kind::Role | Kind::User))
        };
        self.grants.retain(|grant| !is_within(&grant.on));
        self.policies.retain(|(_, on)| !is_within(on));
        self.references
            .retain(|reference| !is_within(&reference.object) && !is_within(&(Kind::Tag, reference.tag.clone())));
    }
}

impl Account {
    /// Every object by name, sorted.
    pub(crate) fn inventory(&self) -> Vec<String> {
        let mut all: Vec<String> = self.databases.keys().map(|name| format!("database {name}")).collect();
        all.extend(self.schemas.keys().map(|path| format!("schema {}", shown(path))));
        all.extend(
            self.relations.iter().map(|(path, (_, it))| format!("{} {}", it.kind().word().to_lowercase(), shown(path))),
        );
        all.extend(self.tags.keys().map(|path| format!("tag {}", shown(path))));
        all.extend(self.roles.keys().map(|name| format!("role {name}")));
        all.extend(self.role_grants.iter().map(|grant| format!("{} has role {}", grant.to.1, grant.role)));
        let granted = |grant: &Grant| format!("{} has {} on {}", grant.role, grant.privilege, shown(&grant.on.1));
        all.extend(self.grants.iter().map(granted));
        let tagged = |it: &TagReference| {
            format!(
                "{}.{} is {}={}",
                shown(&it.object.1),
                it.column.as_deref().unwrap_or("*"),
                shown(&it.tag),
                it.value
            )
        };
        all.extend(self.references.iter().map(tagged));
        all.extend(self.policies.iter().map(|(name, on)| format!("{} has policy {name}", shown(&on.1))));
        all.sort();
        all
    }
}
