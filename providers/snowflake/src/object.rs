//! The resource types as statements: read, create, change, remove.

pub(crate) mod container;
pub(crate) mod grant;
pub(crate) mod role;
pub(crate) mod role_grant;
pub(crate) mod table;
pub(crate) mod tag;
pub(crate) mod tag_assignment;
pub(crate) mod view;

use crate::client::Row;
use crate::identifier;
use jiff::Timestamp;
use terrace_provider::attributes::{optional_text, text};
use terrace_provider::{Attributes, Path, ProviderError, ResourceType, Value};

/// The resource types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Database,
    Schema,
    Table,
    View,
    Role,
    RoleGrant,
    Grant,
    Tag,
    TagAssignment,
}

impl Kind {
    pub(crate) fn of(ty: &ResourceType) -> Result<Self, ProviderError> {
        Ok(match ty.name {
            "snowflake_database" => Self::Database,
            "snowflake_schema" => Self::Schema,
            "snowflake_table" => Self::Table,
            "snowflake_view" => Self::View,
            "snowflake_role" => Self::Role,
            "snowflake_role_grant" => Self::RoleGrant,
            "snowflake_grant" => Self::Grant,
            "snowflake_tag" => Self::Tag,
            "snowflake_tag_assignment" => Self::TagAssignment,
            other => return Err(ProviderError::bug(format!("there is no resource type `{other}`"))),
        })
    }

    /// The identity attributes, in the order of the id.
    pub(crate) fn identity(self) -> &'static [&'static str] {
        match self {
            Self::Database | Self::Role => &["name"],
            Self::Schema => &["database", "name"],
            Self::Table | Self::View | Self::Tag => &["database", "schema", "name"],
            Self::RoleGrant => &["role", "granteeType", "grantee"],
            Self::Grant => &["role", "objectType", "object"],
            Self::TagAssignment => &["objectType", "object", "column", "tag"],
        }
    }

    /// True for types with an attribute for the full name.
    pub(crate) fn has_full_name(self) -> bool {
        matches!(self, Self::Database | Self::Schema | Self::Table | Self::View | Self::Tag)
    }
}

/// An existing object.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observation {
    /// Its attributes, without the identity.
    pub(crate) attributes: Attributes,
    /// The creation time; `None` if Snowflake does not report it.
    pub(crate) created_on: Option<Timestamp>,
    /// The owning role, if it has one.
    pub(crate) owner: Option<String>,
    /// The existing privileges.
    pub(crate) privileges: Vec<String>,
}

impl Observation {
    /// The columns that every `SHOW` row has.
    pub(crate) fn of_row(row: &Row<'_>) -> Self {
        let owner = row.get("owner").filter(|owner| !owner.is_empty()).map(str::to_owned);
        Self { created_on: row.get("created_on").and_then(time), owner, ..Self::default() }
    }

    /// Adds an attribute.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.attributes.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a comment if comments are managed: if the configuration has one, or if there is no configuration.
    pub(crate) fn with_comment(self, comment: &str, like: Option<&Attributes>) -> Self {
        let is_managed = like.is_none_or(|like| like.get("comment").is_some_and(|comment| !comment.is_null()));
        match (is_managed, comment.is_empty()) {
            (false, _) => self,
            (true, true) => self.with("comment", Value::Null),
            (true, false) => self.with("comment", comment),
        }
    }
}

/// The comment to set; `None` for no change. An unmanaged comment is not cleared.
pub(crate) fn comment_change<'a>(present: Option<&str>, was_managed: bool, wanted: Option<&'a str>) -> Option<&'a str> {
    match (present, wanted) {
        (present, Some(wanted)) if present != Some(wanted) => Some(wanted),
        (Some(_), None) if was_managed => Some(""),
        _ => None,
    }
}

/// The comment to set on an object, from its present, recorded and planned attributes.
pub(crate) fn new_comment(present: &Observation, prior: &Attributes, planned: &Attributes) -> Option<String> {
    let comment = |attributes: &Attributes| optional_text(attributes, "comment");
    let (present, wanted) = (comment(&present.attributes), comment(planned));
    comment_change(present.as_deref(), comment(prior).is_some(), wanted.as_deref()).map(str::to_owned)
}

/// Parses a time of the SQL API: seconds with decimals, and perhaps the minutes of a zone.
pub(crate) fn time(text: &str) -> Option<Timestamp> {
    let number = text.split(' ').next()?;
    let (seconds, fraction) = number.split_once('.').unwrap_or((number, ""));
    let nanoseconds = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Timestamp::new(seconds.parse().ok()?, nanoseconds).ok()
}

/// The row with exactly this name: patterns of `SHOW … LIKE` match others, too.
pub(crate) fn named<'r>(rows: &'r crate::client::Rows, name: &str) -> Option<Row<'r>> {
    rows.iter().find(|row| row.get("name") == Some(name))
}

/// The schema in the attributes, quoted.
pub(crate) fn schema_of(attributes: &Attributes) -> String {
    identifier::qualified([text(attributes, "database").as_str(), text(attributes, "schema").as_str()])
}

/// The full name in the attributes, quoted.
pub(crate) fn qualified(attributes: &Attributes) -> String {
    let parts: Vec<String> =
        ["database", "schema", "name"].into_iter().filter_map(|name| optional_text(attributes, name)).collect();
    identifier::qualified(parts.iter().map(String::as_str))
}

/// The full name for people.
pub(crate) fn shown(attributes: &Attributes) -> String {
    let parts: Vec<String> =
        ["database", "schema", "name"].into_iter().filter_map(|name| optional_text(attributes, name)).collect();
    identifier::full_name(&parts)
}

/// Refuses known names that Snowflake cannot store.
pub(crate) fn check_names(kind: Kind, attributes: &Attributes) -> Result<(), ProviderError> {
    for name in kind.identity() {
        let is_path = matches!(*name, "object" | "tag") && !matches!(kind, Kind::Tag);
        let is_plain = matches!(*name, "objectType" | "granteeType");
        let Some(value) = attributes.get(*name).and_then(Value::as_str) else { continue };
        let path = Path::attribute(name);
        if is_plain || (*name == "column" && value.is_empty()) {
            continue;
        }
        if !is_path {
            identifier::check(value, &path)?;
            continue;
        }
        if kind == Kind::Grant && value.is_empty() {
            continue;
        }
        let parts = identifier::split(value).ok_or_else(|| {
            ProviderError::invalid(Some(path.clone()), format!("`{value}` is not a full name"))
                .solution("write the parts with dots between them: `DB.SCHEMA.NAME`; put a part with a dot or a quote in double quotes")
        })?;
        parts.iter().try_for_each(|part| identifier::check(part, &path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(time("1700000000.123000000 1440").unwrap().to_string(), "2023-11-14T22:13:20.123Z");
        assert_eq!(time("1700000000").unwrap().as_second(), 1_700_000_000);
        assert_eq!(time("soon"), None);
    }
}
