//! The parts of an index: columns and expressions, each with its order, operator class and collation.

use crate::attributes::{flag, maps, optional_text, put};
use crate::expression;
use crate::identifier::{check, parts, quote, quote_all};
use crate::private::Memory;
use crate::table::is_same;
use serde::Deserialize;
use terrace_provider::{Attributes, Map, Path, ProviderError, Value};

/// Selects the parts of the index `i` (relation `c`) as JSON.
pub(super) const PARTS: &str = "
SELECT coalesce(json_agg(json_build_object(
  'column', a.attname, 'expression', CASE WHEN k.number = 0 THEN pg_get_indexdef(c.oid, k.place::int, true) END,
  'descending', o.flags & 1 <> 0, 'nullsFirst', o.flags & 2 <> 0,
  'operatorClass', (SELECT CASE WHEN s.nspname = 'pg_catalog' THEN p.opcname ELSE s.nspname || '.' || p.opcname END
                    FROM pg_opclass p JOIN pg_namespace s ON s.oid = p.opcnamespace
                    WHERE p.oid = l.class AND NOT p.opcdefault),
  'collation', (SELECT CASE WHEN s.nspname = 'pg_catalog' THEN q.collname ELSE s.nspname || '.' || q.collname END
                FROM pg_collation q JOIN pg_namespace s ON s.oid = q.collnamespace
                WHERE q.oid = e.coll AND q.collname <> 'default' AND q.oid <> coalesce(a.attcollation, 0))
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
    /// `None` for the default of the type.
    operator_class: Option<String>,
    /// `None` for the collation of the column.
    collation: Option<String>,
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
        let named = |name: &Option<String>| {
            name.as_deref().and_then(parts).map(|parts| parts.iter().map(|it| quote(it)).collect::<Vec<_>>().join("."))
        };
        let mut sql = match (&self.column, &self.expression) {
            (Some(column), _) => quote_all([column]),
            (None, expression) => format!("({})", expression.as_deref().unwrap_or_default()),
        };
        if let Some(collation) = named(&self.collation) {
            sql.push_str(&format!(" COLLATE {collation}"));
        }
        if let Some(class) = named(&self.operator_class) {
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
    /// The column, if everything else is the default.
    pub(super) fn plain(&self) -> Option<&str> {
        let is_usual =
            !self.descending && !self.nulls_first && self.operator_class.is_none() && self.collation.is_none();
        self.column.as_deref().filter(|_| is_usual)
    }

    /// The part as a value, in the spelling of `like` if both mean the same.
    pub(super) fn to_value(&self, like: Option<&Part>, memory: &mut Memory) -> Value {
        let expression = match (like.and_then(|like| like.expression.as_ref()), &self.expression) {
            (Some(configured), Some(server)) if is_same(configured, server, memory) => Some(configured.clone()),
            (_, server) => server.clone(),
        };
        let usual = (self.nulls_first != self.descending).then_some(if self.nulls_first { "first" } else { "last" });
        let is_like = like
            .is_some_and(|like| like.is_descending == self.descending && like.are_nulls_first() == self.nulls_first);
        let nulls = match like.filter(|_| is_like) {
            Some(like) => like.nulls.as_deref(),
            None => usual,
        };
        let mut entries = Map::default();
        put(&mut entries, "column", self.column.as_deref());
        put(&mut entries, "expression", expression.as_deref());
        entries.insert("descending".to_owned(), self.descending.into());
        put(&mut entries, "nulls", nulls);
        let named_like = |configured: Option<&String>, found: &Option<String>| {
            // The schema `pg_catalog` is optional in names.
            let is_same = |configured: &&String| {
                found.as_deref() == Some(configured.strip_prefix("pg_catalog.").unwrap_or(configured))
            };
            configured.filter(is_same).or(found.as_ref()).cloned()
        };
        let class = named_like(like.and_then(|like| like.operator_class.as_ref()), &self.operator_class);
        put(&mut entries, "operatorClass", class.as_deref());
        let collation = named_like(like.and_then(|like| like.collation.as_ref()), &self.collation);
        put(&mut entries, "collation", collation.as_deref());
        entries.into()
    }
}
