//! Resource types, and the identity of objects.

use crate::attributes::text;
use crate::identifier::{check, check_own, full_name, parts, qualified, quote};
use crate::spelling::grantee_name;
use terrace_provider::{Attributes, Map, Path, ProviderError, ResourceType, Value, object_id};

/// Resource types.
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

    /// The noun for messages; the SQL keyword if there is one.
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

    /// True for relations with a row type, whose comment holds the mark of the creating call.
    pub(crate) fn has_row_type(self) -> bool {
        matches!(self, Self::Table | Self::View | Self::MaterializedView)
    }
}

/// The identity of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) kind: Kind,
    /// The values of the identity, in order.
    pub(crate) names: Vec<String>,
}

impl Target {
    /// The object with this identity.
    ///
    /// # Errors
    /// `InvalidInput` at a name that PostgreSQL cannot store.
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
                // `objectType` is a keyword, `object` holds several names.
                (Kind::Grant, "objectType") => {}
                (Kind::Grant, "object") => drop(crate::granted_object::object_names(attributes)?),
                _ => check(name, &path)?,
            }
        }
        Ok(Self { kind, names })
    }

    /// The object of an import id.
    ///
    /// # Errors
    /// When the id is malformed.
    pub(crate) fn of_id(ty: &ResourceType, id: &str) -> Result<Self, ProviderError> {
        let names = object_id::split(id, ty.identity.len());
        let Some(names) = names.filter(|names| !names.iter().any(String::is_empty)) else {
            let form = ty.identity.iter().map(|name| format!("<{name}>")).collect::<Vec<_>>().join("/");
            return Err(ProviderError::invalid(None, format!("`{id}` is not an id of a {}", ty.name))
                .solution(format!("write `{form}`, with `/` and `%` in names percent-encoded")));
        };
        let attributes: Attributes =
            ty.identity.iter().zip(names).map(|(name, value)| ((*name).to_owned(), value.into())).collect();
        Self::of(ty, &attributes)
    }

    /// A value of the identity.
    pub(crate) fn name(&self, at: usize) -> &str {
        self.names.get(at).map_or("", String::as_str)
    }

    /// The last value of the identity: the object's own name.
    pub(crate) fn own_name(&self) -> &str {
        self.names.last().map_or("", String::as_str)
    }

    /// The database whose catalogs contain the object; `None` for objects of the whole server.
    pub(crate) fn database(&self) -> Option<&str> {
        match self.kind {
            Kind::Database | Kind::Role | Kind::Membership => None,
            // A grant on a database is readable even if the database accepts no connections.
            Kind::Grant if self.name(1) == "database" => None,
            _ => Some(self.name(0)),
        }
    }

    /// The schema of an object within one.
    pub(crate) fn schema(&self) -> Option<&str> {
        match self.kind {
            Kind::Table | Kind::View | Kind::MaterializedView | Kind::Index => Some(self.name(1)),
            _ => None,
        }
    }

    /// The SQL name of the object.
    pub(crate) fn sql(&self) -> String {
        match self.schema() {
            Some(schema) => qualified(schema, self.own_name()),
            None => quote(self.own_name()),
        }
    }

    /// The object for messages.
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

    /// The identity attributes and the attributes that derive from them, with their sensitive marks.
    pub(crate) fn own_attributes(&self, ty: &ResourceType, configured: &Attributes) -> Attributes {
        let mut attributes = self.identity(ty);
        for (name, value) in [("id", self.id()), ("fullName", self.full_name())] {
            if ty.attributes.get(name).is_some() {
                attributes.insert(name.to_owned(), Value::from(value).derived_from(configured, ty.identity));
            }
        }
        attributes
    }

    /// The identity attributes.
    pub(crate) fn identity(&self, ty: &ResourceType) -> Attributes {
        let named = ty.identity.iter().zip(&self.names);
        named.map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect::<Map>()
    }

    /// The parts of a grant's object.
    pub(crate) fn granted(&self) -> Vec<String> {
        parts(self.name(2)).unwrap_or_default()
    }
}
