//! The parts of an index: columns and expressions, each with its order, operator class and collation.

use crate::attributes::{flag, maps, optional_text, put};
use crate::expression;
use crate::identifier::{check, full_name, parts, quote, quote_all};
use crate::private::Memory;
use crate::spelling;
use crate::table::is_same;
use serde::Deserialize;
use terrace_provider::{Attributes, Map, Path, ProviderError, Value};

/// Selects the parts of the index `i` (relation `c`) as JSON.
pub(super) const PARTS: &str = "
SELECT coalesce(json_agg(json_build_object(
  'column', a.attname, 'expression', CASE WHEN k.number = 0 THEN pg_get_indexdef(c.oid, k.place::int, true) END,
  'descending', o.flags & 1 <> 0, 'nullsFirst', o.flags & 2 <> 0,
  'operatorClass', (SELECT json_build_object('schema', s.nspname, 'name', p.opcname,
                             'isVisible', pg_opclass_is_visible(p.oid), 'isUsual', p.opcdefault)
                    FROM pg_opclass p JOIN pg_namespace s ON s.oid = p.opcnamespace WHERE p.oid = l.class),
  'collation', (SELECT json_build_object('schema', s.nspname, 'name', q.collname,
                         'isVisible', pg_collation_is_visible(q.oid),
                         'isUsual', coalesce(q.oid = a.attcollation, q.collname = 'default'))
                FROM pg_collation q JOIN pg_namespace s ON s.oid = q.collnamespace WHERE q.oid = e.coll)
  ) ORDER BY k.place)::text, '[]')
FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place)
JOIN unnest(i.indoption::int2[]) WITH ORDINALITY AS o(flags, place) ON o.place = k.place
JOIN unnest(i.indclass::oid[]) WITH ORDINALITY AS l(class, place) ON l.place = k.place
JOIN unnest(i.indcollation::oid[]) WITH ORDINALITY AS e(coll, place) ON e.place = k.place
LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number AND k.number > 0";

/// Selects the included columns.
pub(super) const INCLUDED: &str = "
SELECT coalesce(array_agg(a.attname::text ORDER BY k.place), '{}')
FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
WHERE k.place > i.indnkeyatts";

/// A configured part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) column: Option<String>,
    pub(super) expression: Option<String>,
    is_descending: bool,
    /// `first` or `last`; absent for the default of the order.
    nulls: Option<String>,
    operator_class: Option<String>,
    collation: Option<String>,
}

/// A part in the catalog.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Present {
    column: Option<String>,
    expression: Option<String>,
    descending: bool,
    nulls_first: bool,
    operator_class: Option<Named>,
    collation: Option<Named>,
}

/// An operator class or a collation in the catalog.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    schema: String,
    name: String,
    /// True if the name needs no schema.
    is_visible: bool,
    /// The default operator class of the type, or the collation of the column.
    #[serde(rename = "isUsual")]
    is_default: bool,
}

impl Named {
    /// The name, with its schema if the name alone is ambiguous.
    fn shown(&self) -> String {
        match self.is_visible {
            true => full_name([&self.name]),
            false => full_name([&self.schema, &self.name]),
        }
    }

    /// True if this is the configured name; a name without a schema is the first of the search path.
    fn is(&self, configured: &[String]) -> bool {
        match configured {
            [name] => *name == self.name,
            [schema, name] => *schema == self.schema && *name == self.name,
            _ => false,
        }
    }

    /// The name in the configured spelling; `None` for an unconfigured default.
    fn like(
        this: Option<&Self>,
        configured: Option<&String>,
        names: impl Fn(&str) -> Option<Vec<String>>,
    ) -> Option<String> {
        let this = this?;
        let is_this = |configured: &&String| names(configured).is_some_and(|names| this.is(&names));
        match configured.filter(is_this) {
            Some(configured) => Some(configured.clone()),
            None => (configured.is_some() || !this.is_default).then(|| this.shown()),
        }
    }
}

/// The configured parts; empty for an index with `columns`.
pub(super) fn configured(attributes: &Attributes) -> Vec<Part> {
    maps(attributes, "parts").into_iter().map(Part::of).collect()
}

impl Part {
    fn of(entries: &Map) -> Self {
        Self {
            column: optional_text(entries, "column"),
            expression: optional_text(entries, "expression"),
            is_descending: flag(entries, "descending"),
            nulls: optional_text(entries, "nulls"),
            operator_class: optional_text(entries, "operatorClass"),
            collation: optional_text(entries, "collation"),
        }
    }

    fn are_nulls_first(&self) -> bool {
        self.nulls.as_deref().map_or(self.is_descending, |nulls| nulls == "first")
    }

    /// Validates the part.
    ///
    /// # Errors
    /// `InvalidInput` at the entry.
    pub(super) fn check(&self, path: &Path) -> Result<(), ProviderError> {
        match (&self.column, &self.expression) {
            (Some(column), None) => check(column, &path.key("column"))?,
            (None, Some(expression)) => expression::check(expression, "expression", &path.key("expression"))?,
            _ => {
                let message = "a part of an index is either a `column` or an `expression`";
                return Err(ProviderError::invalid(Some(path.clone()), message));
            }
        }
        if let Some(nulls) = self.nulls.as_deref().filter(|nulls| !["first", "last"].contains(nulls)) {
            let message = format!("`{nulls}` is neither `first` nor `last`");
            return Err(ProviderError::invalid(Some(path.key("nulls")), message));
        }
        for (key, name) in [("operatorClass", &self.operator_class), ("collation", &self.collation)] {
            for part in name.as_deref().map(|name| parts(name).unwrap_or_default()).iter().flatten() {
                check(part, &path.key(key))?;
            }
            if name.as_deref().is_some_and(|name| parts(name).is_none()) {
                return Err(ProviderError::invalid(Some(path.key(key)), "a name is empty or not closed"));
            }
        }
        Ok(())
    }

    /// The part in `CREATE INDEX`.
    pub(super) fn sql(&self) -> String {
        let named = |parts: Vec<String>| parts.iter().map(|part| quote(part)).collect::<Vec<_>>().join(".");
        let mut sql = match (&self.column, &self.expression) {
            (Some(column), _) => quote_all([column]),
            (None, expression) => format!("({})", expression.as_deref().unwrap_or_default()),
        };
        if let Some(collation) = self.collation.as_deref().and_then(parts).map(named) {
            sql.push_str(&format!(" COLLATE {collation}"));
        }
        if let Some(class) = self.operator_class.as_deref().and_then(spelling::operator_class_parts).map(named) {
            sql.push_str(&format!(" {class}"));
        }
        if self.is_descending {
            sql.push_str(" DESC");
        }
        if self.are_nulls_first() != self.is_descending {
            sql.push_str(if self.are_nulls_first() { " NULLS FIRST" } else { " NULLS LAST" });
        }
        sql
    }
}

impl Present {
    /// The column of the table.
    pub(super) fn column(&self) -> Option<&str> {
        self.column.as_deref()
    }

    /// The properties of the part that an entry in `columns` does not describe.
    pub(super) fn beyond_column(&self) -> Option<String> {
        let named = |word: &str, named_object: &Option<Named>| {
            named_object
                .as_ref()
                .filter(|named_object| !named_object.is_default)
                .map(|named_object| format!("the {word} `{}`", named_object.shown()))
        };
        let order = self.descending.then(|| "the order `descending`".to_owned());
        let nulls = (self.nulls_first != self.descending)
            .then(|| format!("nulls {}", if self.nulls_first { "first" } else { "last" }));
        let class = named("operator class", &self.operator_class);
        let properties: Vec<String> =
            [order, nulls, class, named("collation", &self.collation)].into_iter().flatten().collect();
        let column = self.column.as_deref().unwrap_or_default();
        (!properties.is_empty()).then(|| format!("`{column}` has {}", properties.join(", ")))
    }

    /// The column, if everything else is the default.
    pub(super) fn plain(&self) -> Option<&str> {
        let mut named = self.operator_class.iter().chain(&self.collation);
        let is_default = !self.descending && !self.nulls_first && named.all(|name| name.is_default);
        self.column.as_deref().filter(|_| is_default)
    }

    /// The part as a value, in the spelling of `like` if both mean the same.
    pub(super) fn to_value(&self, like: Option<&Part>, memory: &mut Memory) -> Value {
        let expression = match (like.and_then(|like| like.expression.as_ref()), &self.expression) {
            (Some(configured), Some(server)) if is_same(configured, server, memory) => Some(configured.clone()),
            (_, server) => server.clone(),
        };
        let default_order =
            (self.nulls_first != self.descending).then_some(if self.nulls_first { "first" } else { "last" });
        let is_like = like
            .is_some_and(|like| like.is_descending == self.descending && like.are_nulls_first() == self.nulls_first);
        let nulls = match like.filter(|_| is_like) {
            Some(like) => like.nulls.as_deref(),
            None => default_order,
        };
        let mut entries = Map::default();
        put(&mut entries, "column", self.column.as_deref());
        put(&mut entries, "expression", expression.as_deref());
        entries.insert("descending".to_owned(), self.descending.into());
        put(&mut entries, "nulls", nulls);
        let configured = like.and_then(|like| like.operator_class.as_ref());
        let class = Named::like(self.operator_class.as_ref(), configured, spelling::operator_class_parts);
        put(&mut entries, "operatorClass", class.as_deref());
        let configured = like.and_then(|like| like.collation.as_ref());
        // An expression has the collation of its columns, which the server does not distinguish from a configured one.
        let is_derived = self.expression.is_some() && like.is_some() && configured.is_none();
        let collation =
            Named::like(self.collation.as_ref().filter(|_| !is_derived), configured, spelling::collation_parts);
        put(&mut entries, "collation", collation.as_deref());
        entries.into()
    }
}
