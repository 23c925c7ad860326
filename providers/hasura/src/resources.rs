//! The resource types in terms of metadata and roles: read, create, change, remove.

pub(crate) mod binding;
pub(crate) mod permission;
pub(crate) mod role;
pub(crate) mod source;
pub(crate) mod table;

use crate::attributes::{text, texts};
use crate::export::{Export, Source, Table};
use terrace_provider::names::{closest, listed};
use terrace_provider::{
    Attributes, ErrorKind, Map, Observed, Path, Private, ProviderError, Recorded, ResourceType, Value, object_id,
};

/// The resource types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Source,
    Table,
    SelectPermission,
    Role,
    RoleBinding,
}

impl Kind {
    pub(crate) fn of(ty: &ResourceType) -> Result<Self, ProviderError> {
        Ok(match ty.name {
            "hasura_source" => Self::Source,
            "hasura_table" => Self::Table,
            "hasura_select_permission" => Self::SelectPermission,
            "hasura_role" => Self::Role,
            "hasura_role_binding" => Self::RoleBinding,
            other => return Err(ProviderError::bug(format!("there is no resource type `{other}`"))),
        })
    }

    /// The identity attributes, in the order of the id.
    pub(crate) fn identity(self) -> &'static [&'static str] {
        match self {
            Self::Source => &["name"],
            Self::Table => &["source", "table"],
            Self::SelectPermission => &["source", "table", "role"],
            Self::Role | Self::RoleBinding => &["roleId"],
        }
    }
}

/// The identity of an object.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) kind: Kind,
    pub(crate) identity: Attributes,
}

impl Target {
    pub(crate) fn of(ty: &ResourceType, attributes: &Attributes) -> Result<Self, ProviderError> {
        let kind = Kind::of(ty)?;
        check_names(kind, attributes)?;
        let part = |name: &&str| Some(((*name).to_owned(), attributes.get(*name)?.revealed()));
        Ok(Self { kind, identity: kind.identity().iter().filter_map(part).collect() })
    }

    pub(crate) fn recorded(ty: &ResourceType, prior: &Recorded) -> Result<Self, ProviderError> {
        Self::of(ty, if prior.identity.is_empty() { &prior.attributes } else { &prior.identity })
    }

    /// The object of an import id.
    pub(crate) fn of_id(ty: &ResourceType, id: &str) -> Result<Self, ProviderError> {
        let kind = Kind::of(ty)?;
        let parts: Option<Vec<String>> = id.split('/').map(object_id::decode).collect();
        let parts = parts.unwrap_or_default();
        let identity: Option<Map> = match (kind, parts.as_slice()) {
            (Kind::Source, [name]) => Some(Map::from_iter([("name".to_owned(), name.as_str().into())])),
            (Kind::Role | Kind::RoleBinding, [role]) => {
                Some(Map::from_iter([("roleId".to_owned(), role.as_str().into())]))
            }
            (Kind::Table, [source, table @ ..]) if !table.is_empty() => Some(named(source, table)),
            (Kind::SelectPermission, [source, table @ .., role]) if !table.is_empty() => {
                let mut identity = named(source, table);
                identity.insert("role".to_owned(), role.as_str().into());
                Some(identity)
            }
            _ => None,
        };
        let Some(identity) = identity else {
            let names = kind.identity().iter().map(|name| match *name {
                "table" => "<part of the table's name>/…".to_owned(),
                name => format!("<{name}>"),
            });
            return Err(ProviderError::invalid(None, format!("`{id}` is not an id of a {}", ty.name)).solution(
                format!(
                    "write {}, each percent-encoded where it holds a `/` or a `%`",
                    names.collect::<Vec<_>>().join("/")
                ),
            ));
        };
        Self::of(ty, &identity)
    }

    /// A part of the identity.
    pub(crate) fn part(&self, name: &str) -> String {
        text(&self.identity, name)
    }

    /// The parts of the table's name.
    pub(crate) fn table(&self) -> Vec<String> {
        texts(&self.identity, "table")
    }

    pub(crate) fn id(&self) -> String {
        let parts = self.kind.identity().iter().flat_map(|name| match *name {
            "table" => self.table(),
            name => vec![self.part(name)],
        });
        object_id::join(parts)
    }

    /// The id, marked sensitive if its parts are.
    pub(crate) fn id_value(&self, configured: &Attributes) -> Value {
        Value::from(self.id()).derived_from(configured, self.kind.identity())
    }

    /// The object with these attributes.
    pub(crate) fn observed(&self, current: Attributes, configured: &Attributes, private: Private) -> Observed {
        let mut attributes = self.identity.clone();
        attributes.extend(current);
        attributes.insert("id".to_owned(), self.id_value(configured));
        Observed { identity: self.identity.clone(), attributes, private }
    }

    /// The error for an existing object that must not be taken.
    pub(crate) fn exists(&self, what: &str) -> ProviderError {
        let kind = ErrorKind::AlreadyExists { import_id: Some(self.id()) };
        ProviderError::new(kind, format!("{what} already exists"))
    }

    /// The error for a missing object that was to be changed.
    pub(crate) fn gone(&self) -> ProviderError {
        ProviderError::new(ErrorKind::NotFound, format!("`{}` no longer exists", self.id()))
            .solution("plan again: the plan will create it")
    }
}

fn named(source: &str, table: &[String]) -> Map {
    let table = table.iter().map(|part| part.as_str().into()).collect();
    Map::from_iter([("source".to_owned(), source.into()), ("table".to_owned(), Value::List(table))])
}

/// Refuses invalid names; unknown values are not checked.
pub(crate) fn check_names(kind: Kind, attributes: &Attributes) -> Result<(), ProviderError> {
    for name in kind.identity() {
        let Some(value) = attributes.get(*name).filter(|value| !value.has_unknown()) else { continue };
        let at = Path::attribute(name);
        let empty = |at: Path| {
            ProviderError::invalid(Some(at), format!("`{name}` is empty"))
                .solution("write the name of an existing object")
        };
        match value.as_list() {
            Some([]) => return Err(empty(at)),
            Some(parts) => {
                if let Some(index) = parts.iter().position(|part| part.as_str().is_none_or(str::is_empty)) {
                    return Err(empty(at.index(index)));
                }
                if parts.len() > 3 {
                    let message = format!("the name of a table has at most three parts, not {}", parts.len());
                    return Err(
                        ProviderError::invalid(Some(at), message).solution("write a name such as `[DB, SCHEMA, VIEW]`")
                    );
                }
            }
            None if value.as_str().is_none_or(|text| text.trim().is_empty()) => return Err(empty(at)),
            None => {}
        }
    }
    Ok(())
}

/// The source with this name.
pub(crate) fn source_in<'e>(export: &'e Export, name: &str) -> Result<&'e Source, ProviderError> {
    export.source(name).ok_or_else(|| {
        let names: Vec<&str> = export.sources().iter().map(|source| source.name.as_str()).collect();
        let error = ProviderError::invalid(Some(Path::attribute("source")), format!("Hasura has no source `{name}`"));
        let error = error.problem(format!("it has {}", listed(&names)));
        match closest(name, names.iter().copied()) {
            Some(meant) => error.solution(format!("did you mean `{meant}`?")),
            None => error.solution("create it first with a `hasura_source`"),
        }
    })
}

/// The tracked table with this name.
pub(crate) fn table_in<'e>(source: &'e Source, parts: &[String]) -> Result<&'e Table, ProviderError> {
    source.table(parts).ok_or_else(|| {
        let message = format!("the source `{}` has no tracked table `{}`", source.name, parts.join("."));
        let names: Vec<String> =
            source.tables.iter().map(|table| crate::export::parts_of(&table.name).join(".")).collect();
        ProviderError::invalid(Some(Path::attribute("table")), message)
            .problem(format!("it has {}", listed(&names)))
            .solution("track it first with a `hasura_table`")
    })
}
