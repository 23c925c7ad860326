//! The resource types, and the object that attributes name.

use crate::attributes::text;
use crate::identifier::{check, check_own, full_name, parts, qualified, quote};
use crate::spelling::grantee_name;
use terrace_provider::{Attributes, Map, Path, ProviderError, ResourceType, Value, object_id};

/// The resource types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Database,
    Schema,
    Table,
    View,
    MaterializedView,
    Index,
    Role,
    Membership,
    Grant,
}

impl Kind {
    /// The kind of a resource type.
    pub(crate) fn of(ty: &ResourceType) -> Result<Self, ProviderError> {
        Ok(match ty.name {
            "postgres_database" => Self::Database,
            "postgres_schema" => Self::Schema,
            "postgres_table" => Self::Table,
            "postgres_view" => Self::View,
            "postgres_materialized_view" => Self::MaterializedView,
            "postgres_index" => Self::Index,
            "postgres_role" => Self::Role,
            "postgres_membership" => Self::Membership,
            "postgres_grant" => Self::Grant,
            other => return Err(ProviderError::bug(format!("there is no resource type `{other}`"))),
        })
    }

    /// The word for people, which is that of SQL for what has one.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Schema => "schema",
            Self::Table => "table",
            Self::View => "view",
            Self::MaterializedView => "materialized view",
            Self::Index => "index",
            Self::Role => "role",
            Self::Membership => "membership",
            Self::Grant => "grant",
        }
    }

    /// True for what has a row type, whose comment holds the mark of who made it.
    pub(crate) fn has_row_type(self) -> bool {
        matches!(self, Self::Table | Self::View | Self::MaterializedView)
    }
}

/// The object that attributes name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) kind: Kind,
    /// The values of the identity, in its order.
    pub(crate) names: Vec<String>,
}

impl Target {
    /// The object that these attributes name.
    ///
    /// # Errors
    /// `InvalidInput` at the name that PostgreSQL cannot hold.
    pub(crate) fn of(ty: &ResourceType, attributes: &Attributes) -> Result<Self, ProviderError> {
        let kind = Kind::of(ty)?;
        let named = |name: &&str| {
            let text = text(attributes, name);
            match (kind, *name) {
                (Kind::Grant, "role") => grantee_name(&text).to_owned(),
                _ => text,
            }
        };
        let names: Vec<String> = ty.identity.iter().map(named).collect();
        for (attribute, name) in ty.identity.iter().zip(&names) {
            let path = Path::attribute(attribute);
            match (kind, *attribute) {
                (Kind::Schema | Kind::Role, "name") => check_own(name, &path)?,
                // These are words or several names at once.
                (Kind::Grant, "objectType") => {}
                (Kind::Grant, "object") => drop(crate::grant::object_names(attributes)?),
                _ => check(name, &path)?,
            }
        }
        Ok(Self { kind, names })
    }

    /// The object of an import id.
    ///
    /// # Errors
    /// When the id is none.
    pub(crate) fn of_id(ty: &ResourceType, id: &str) -> Result<Self, ProviderError> {
        let names = object_id::split(id, ty.identity.len());
        let Some(names) = names.filter(|names| !names.iter().any(String::is_empty)) else {
            let form = ty.identity.iter().map(|name| format!("<{name}>")).collect::<Vec<_>>().join("/");
            return Err(ProviderError::invalid(None, format!("`{id}` is no id of a {}", ty.name))
                .solution(format!("write `{form}`, with `/` and `%` within a name percent-encoded")));
        };
        let attributes: Attributes =
            ty.identity.iter().zip(names).map(|(name, value)| ((*name).to_owned(), value.into())).collect();
        Self::of(ty, &attributes)
    }

    /// One of the values of the identity.
    pub(crate) fn name(&self, at: usize) -> &str {
        self.names.get(at).map_or("", String::as_str)
    }

    /// The last value of the identity: the object's own name.
    pub(crate) fn own_name(&self) -> &str {
        self.names.last().map_or("", String::as_str)
    }

    /// The database whose catalogs have the object; `None` for what belongs to the whole server.
    pub(crate) fn database(&self) -> Option<&str> {
        match self.kind {
            Kind::Database | Kind::Role | Kind::Membership => None,
            // It is there although it may let nobody in.
            Kind::Grant if self.name(1) == "database" => None,
            _ => Some(self.name(0)),
        }
    }

    /// The schema of what is in one.
    pub(crate) fn schema(&self) -> Option<&str> {
        match self.kind {
            Kind::Table | Kind::View | Kind::MaterializedView | Kind::Index => Some(self.name(1)),
            _ => None,
        }
    }

    /// The object as SQL names it.
    pub(crate) fn sql(&self) -> String {
        match self.schema() {
            Some(schema) => qualified(schema, self.own_name()),
            None => quote(self.own_name()),
        }
    }

    /// The object for people.
    pub(crate) fn shown(&self) -> String {
        let (first, last) = (self.name(0), self.own_name());
        match self.kind {
            Kind::Database | Kind::Role => format!("the {} `{last}`", self.kind.word()),
            Kind::Membership => format!("the membership of `{last}` in `{first}`"),
            Kind::Grant => format!("the grant on the {} `{}` to `{last}`", self.name(1), self.name(2)),
            _ => format!("the {} `{}`", self.kind.word(), self.full_name()),
        }
    }

    /// The name within its database: `schema.table`.
    pub(crate) fn full_name(&self) -> String {
        full_name(self.names.get(usize::from(self.database().is_some())..).unwrap_or_default())
    }

    /// The import id.
    pub(crate) fn id(&self) -> String {
        object_id::join(&self.names)
    }

    /// The attributes that name it and are made of its names, as secret as those.
    pub(crate) fn own_attributes(&self, ty: &ResourceType, beside: &Attributes) -> Attributes {
        let mut attributes = self.identity(ty);
        for (name, value) in [("id", self.id()), ("fullName", self.full_name())] {
            if ty.attributes.get(name).is_some() {
                attributes.insert(name.to_owned(), Value::from(value).made_of(beside, ty.identity));
            }
        }
        attributes
    }

    /// The attributes that name it.
    pub(crate) fn identity(&self, ty: &ResourceType) -> Attributes {
        let named = ty.identity.iter().zip(&self.names);
        named.map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect::<Map>()
    }

    /// The names of the object of a grant.
    pub(crate) fn granted(&self) -> Vec<String> {
        parts(self.name(2)).unwrap_or_default()
    }
}
