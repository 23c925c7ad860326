//! Column types: the server's name for each spelling, and the effect of a type change on values.
//!
//! The names are those of `format_type`: <https://www.postgresql.org/docs/current/datatype.html>. Other types are
//! compared by their text; the provider learns the server's text for them after a create.

use crate::lexer::tokens;
use terrace_provider::sql_tokens::{Token, TokenKind};

/// A parsed type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DataType {
    /// The server's name without sizes: `character varying`, `timestamp without time zone`.
    base: String,
    /// The sizes: `[10, 2]`.
    sizes: Vec<i64>,
    /// Modifiers of an extension type, verbatim: `[Point, 4326]`.
    modifiers: Vec<String>,
    /// `[]` of arrays.
    is_array: bool,
    /// `serial` and its variants: an integer with its own sequence.
    pub(crate) is_serial: bool,
}

/// Types whose names mean the same in quotes. For `"char"` and `"int"`, that is not true.
const NAMED: [&str; 23] = [
    "bool",
    "bytea",
    "date",
    "float4",
    "float8",
    "int2",
    "int4",
    "int8",
    "json",
    "jsonb",
    "numeric",
    "text",
    "timestamp",
    "timestamptz",
    "uuid",
    "varchar",
    "bigserial",
    "serial",
    "serial2",
    "serial4",
    "serial8",
    "smallserial",
    "interval",
];

/// Effect of a type change on the values of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TypeChange {
    /// The types are the same.
    Same,
    /// Every value stays the same.
    Widening,
    /// Values may be truncated, rounded or refused.
    Narrowing,
}

impl DataType {
    /// Parses a type; `None` if the text is not exactly one type.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let tokens = tokens(text);
        let mut rest = tokens.as_slice();
        let mut words = Vec::new();
        let (mut sizes, mut modifiers) = (Vec::new(), Vec::new());
        let mut is_array = false;
        // A qualified or quoted name is complete: further words do not belong to the type.
        let mut is_name = false;
        while let [first, behind @ ..] = rest {
            let is_open = words.last().is_none_or(|last| last == ".");
            match first.kind {
                TokenKind::Word if is_open || !(is_name || is_array) => words.push(first.text.to_lowercase()),
                TokenKind::QuotedName if is_open => {
                    is_name = true;
                    words.push(first.text.to_owned());
                }
                TokenKind::Symbol if first.is_symbol(".") && !is_open => {
                    if !(is_name || words.len() == 1) || is_array || !sizes.is_empty() || !modifiers.is_empty() {
                        return None;
                    }
                    is_name = true;
                    words.push(".".to_owned());
                }
                TokenKind::Symbol if first.is_symbol("(") && sizes.is_empty() && modifiers.is_empty() && !is_open => {
                    rest = if let Some((read, behind)) = read_sizes(behind) {
                        sizes = read;
                        behind
                    } else {
                        let (read, behind) = read_modifiers(behind)?;
                        modifiers = read;
                        behind
                    };
                    continue;
                }
                TokenKind::Symbol if first.is_symbol("[") && !is_open => {
                    is_array = true;
                    rest = match behind {
                        [close, behind @ ..] if close.is_symbol("]") => behind,
                        [size, close, behind @ ..] if size.kind == TokenKind::Number && close.is_symbol("]") => behind,
                        _ => return None,
                    };
                    continue;
                }
                _ => return None,
            }
            rest = behind;
        }
        if words.is_empty() || words.last().is_some_and(|last| last == ".") {
            return None;
        }
        let name = if is_name { words.concat() } else { words.join(" ") };
        let name = name.strip_prefix("pg_catalog.").map_or(name.clone(), |name| name.trim_matches('"').to_owned());
        // The server accepts these names in quotes as well.
        let unquoted = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
        let name = unquoted.filter(|name| NAMED.contains(name)).map(str::to_owned).unwrap_or(name);
        let plain = Self { base: name, sizes, modifiers, is_array, is_serial: false };
        // Several words must be a known type. Modifiers are valid for extension types only.
        let is_type = |ty: &Self| match known(&ty.base) {
            Some(_) => ty.modifiers.is_empty(),
            None => !ty.base.contains(' ') || is_name,
        };
        Some(plain.named()).filter(is_type)
    }

    /// True for a known built-in type.
    pub(crate) fn is_built_in(&self) -> bool {
        known(&self.base).is_some()
    }

    /// The name without sizes and modifiers.
    pub(crate) fn name(&self) -> &str {
        &self.base
    }

    /// True for a name with a schema.
    pub(crate) fn is_qualified(&self) -> bool {
        tokens(&self.base).iter().any(|token| token.is_symbol("."))
    }

    /// The type with the server's name and its default sizes.
    fn named(mut self) -> Self {
        let Some((name, is_serial)) = known(&self.base) else { return self };
        self.is_serial = is_serial;
        if self.base == "float" {
            // The number of bits selects the type.
            let bits = self.sizes.first().copied().unwrap_or(53);
            self.sizes.clear();
            name_of_float(bits).clone_into(&mut self.base);
            return self;
        }
        name.clone_into(&mut self.base);
        match (self.base.as_str(), self.sizes.len()) {
            ("numeric", 1) => self.sizes.push(0),
            ("character" | "bit", 0) => self.sizes.push(1),
            _ => {}
        }
        self
    }

    /// The text as `format_type` writes it.
    pub(crate) fn canonical(&self) -> String {
        let sizes = match self.sizes.as_slice() {
            [] if !self.modifiers.is_empty() => format!("({})", self.modifiers.join(",")),
            [] => String::new(),
            sizes => format!("({})", sizes.iter().map(i64::to_string).collect::<Vec<_>>().join(",")),
        };
        // The size follows the first word if a time zone follows.
        let text = match self.base.split_once(' ') {
            Some((first @ ("timestamp" | "time"), zone)) => format!("{first}{sizes} {zone}"),
            _ => format!("{}{sizes}", self.base),
        };
        if self.is_array { format!("{text}[]") } else { text }
    }

    /// True if a cast to `cast` changes no value of a column of this type: a cast without a size, or with the column's size.
    pub(crate) fn is_cast_redundant(&self, cast: &Self) -> bool {
        let is_same_type = self.base == cast.base && self.is_array == cast.is_array;
        let is_same_size = self.sizes == cast.sizes && self.modifiers == cast.modifiers;
        is_same_type && (!cast.is_sized() || is_same_size)
    }

    /// True for a type with sizes or modifiers. A value may be cut off or rounded to them.
    pub(crate) fn is_sized(&self) -> bool {
        !self.sizes.is_empty() || !self.modifiers.is_empty()
    }

    /// True for an interval, also with fields.
    pub(crate) fn is_interval(&self) -> bool {
        self.base.split(' ').next() == Some("interval")
    }

    fn size(&self, at: usize) -> Option<i64> {
        self.sizes.get(at).copied()
    }

    fn is(&self, base: &str) -> bool {
        self.base == base && !self.is_array
    }

    /// The number of digits before the decimal point in a whole number of this type.
    fn digits(&self) -> Option<i64> {
        match self.base.as_str() {
            _ if self.is_array => None,
            "smallint" => Some(5),
            "integer" => Some(10),
            "bigint" => Some(19),
            _ => None,
        }
    }

    /// The effect of a change from this type to another.
    pub(crate) fn change_to(&self, other: &Self) -> TypeChange {
        if self.canonical() == other.canonical() {
            return TypeChange::Same;
        }
        if self.is_wider(other) { TypeChange::Widening } else { TypeChange::Narrowing }
    }

    fn is_wider(&self, other: &Self) -> bool {
        if self.is_array || other.is_array {
            return false;
        }
        if other.is("text") || (other.is("character varying") && other.sizes.is_empty()) {
            return !self.is("bytea");
        }
        let is_text = |ty: &Self| ty.is("character varying") || ty.is("character");
        if is_text(self) && is_text(other) {
            let padded = other.is("character") && self.is("character varying");
            return !padded && matches!((self.size(0), other.size(0)), (Some(old), Some(new)) if new >= old);
        }
        if let Some(old) = self.digits() {
            return match other.digits() {
                Some(new) => new > old,
                None if other.is("numeric") => {
                    other.sizes.is_empty() || other.size(0).zip(other.size(1)).is_some_and(|(p, s)| p - s >= old)
                }
                None => other.is("double precision") && old < 16,
            };
        }
        match (self.base.as_str(), other.base.as_str()) {
            (old, "interval") if old.starts_with("interval ") => {
                other.sizes.is_empty() || self.size(0).zip(other.size(0)).is_some_and(|(old, new)| new >= old)
            }
            ("numeric", "numeric") => match (self.size(0).zip(self.size(1)), other.size(0).zip(other.size(1))) {
                (_, None) => true,
                (Some((p, s)), Some((new_p, new_s))) => new_s >= s && new_p - new_s >= p - s,
                (None, Some(_)) => false,
            },
            // The author alone knows the zone of a time without one.
            ("real", "double precision") | ("date", "timestamp without time zone") => other.sizes.is_empty(),
            (old, new) if old == new => {
                // More digits of a time, or a longer bit string; no size is the largest.
                let is_fixed = old == "bit";
                !is_fixed
                    && (other.sizes.is_empty() || matches!((self.size(0), other.size(0)), (Some(o), Some(n)) if n >= o))
            }
            _ => false,
        }
    }
}

/// The type as `format_type` writes it; the text itself if it is not a type.
pub(crate) fn canonical(text: &str) -> String {
    DataType::parse(text).map_or_else(|| text.to_owned(), |ty| ty.canonical())
}

/// The same, except that `serial` differs from its integer type.
pub(crate) fn normal(text: &str) -> String {
    match DataType::parse(text) {
        Some(ty) if ty.is_serial => format!("serial of {}", ty.canonical()),
        Some(ty) => ty.canonical(),
        None => text.to_owned(),
    }
}

/// The effect of a change from one spelling to another.
pub(crate) fn change(from: &str, to: &str) -> TypeChange {
    match (DataType::parse(from), DataType::parse(to)) {
        (Some(from), Some(to)) => from.change_to(&to),
        _ if from == to => TypeChange::Same,
        _ => TypeChange::Narrowing,
    }
}

fn read_sizes<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<(Vec<i64>, &'t [Token<'a>])> {
    let mut sizes = Vec::new();
    let mut rest = tokens;
    loop {
        let (sign, behind) = match rest {
            [minus, behind @ ..] if minus.is_symbol("-") => (-1, behind),
            behind => (1, behind),
        };
        let [size, end, behind @ ..] = behind else { return None };
        if size.kind != TokenKind::Number {
            return None;
        }
        sizes.push(sign * size.text.parse::<i64>().ok()?);
        rest = behind;
        if end.is_symbol(")") {
            return Some((sizes, rest));
        }
        if !end.is_symbol(",") {
            return None;
        }
    }
}

/// Modifiers of an extension type: words, texts and numbers, such as `geometry(Point, 4326)`.
fn read_modifiers<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<(Vec<String>, &'t [Token<'a>])> {
    let mut modifiers = Vec::new();
    let mut rest = tokens;
    loop {
        let (sign, behind) = match rest {
            [minus, behind @ ..] if minus.is_symbol("-") => ("-", behind),
            behind => ("", behind),
        };
        let [value, end, behind @ ..] = behind else { return None };
        let is_value = match value.kind {
            TokenKind::Number => true,
            TokenKind::Word | TokenKind::QuotedName | TokenKind::Text => sign.is_empty(),
            TokenKind::Symbol | TokenKind::Comment | TokenKind::Unclosed => false,
        };
        if !is_value {
            return None;
        }
        modifiers.push(format!("{sign}{}", value.text));
        rest = behind;
        if end.is_symbol(")") {
            return Some((modifiers, rest));
        }
        if !end.is_symbol(",") {
            return None;
        }
    }
}

/// `interval` types with fields, by the server's names.
const INTERVALS: [&str; 13] = [
    "interval year",
    "interval month",
    "interval day",
    "interval hour",
    "interval minute",
    "interval second",
    "interval year to month",
    "interval day to hour",
    "interval day to minute",
    "interval day to second",
    "interval hour to minute",
    "interval hour to second",
    "interval minute to second",
];

fn name_of_float(bits: i64) -> &'static str {
    if bits <= 24 { "real" } else { "double precision" }
}

/// The server's name of a built-in type, and whether it creates a sequence.
fn known(name: &str) -> Option<(&'static str, bool)> {
    let plain = |name| Some((name, false));
    match name {
        "int2" | "smallint" => plain("smallint"),
        "int" | "int4" | "integer" => plain("integer"),
        "int8" | "bigint" => plain("bigint"),
        "smallserial" | "serial2" => Some(("smallint", true)),
        "serial" | "serial4" => Some(("integer", true)),
        "bigserial" | "serial8" => Some(("bigint", true)),
        "float4" | "real" => plain("real"),
        "float" | "float8" | "double precision" => plain("double precision"),
        "decimal" | "dec" | "numeric" => plain("numeric"),
        "bool" | "boolean" => plain("boolean"),
        "varchar" | "character varying" | "char varying" | "national character varying" | "nchar varying" => {
            plain("character varying")
        }
        "char" | "character" | "national character" | "nchar" => plain("character"),
        "timestamp" | "timestamp without time zone" => plain("timestamp without time zone"),
        "timestamptz" | "timestamp with time zone" => plain("timestamp with time zone"),
        "time" | "time without time zone" => plain("time without time zone"),
        "timetz" | "time with time zone" => plain("time with time zone"),
        "bit" => plain("bit"),
        "varbit" | "bit varying" => plain("bit varying"),
        "text" => plain("text"),
        "bpchar" => plain("bpchar"),
        "date" => plain("date"),
        "bytea" => plain("bytea"),
        "json" => plain("json"),
        "jsonb" => plain("jsonb"),
        "uuid" => plain("uuid"),
        "interval" => plain("interval"),
        _ => INTERVALS.iter().find(|interval| **interval == name).map(|interval| (*interval, false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_have_one_name() {
        for (spelling, name) in [
            ("INT4", "integer"),
            ("varchar(20)", "character varying(20)"),
            ("Numeric(10)", "numeric(10,0)"),
            ("decimal ( 10 , 2 )", "numeric(10,2)"),
            ("timestamptz(3)", "timestamp(3) with time zone"),
            ("timestamp(3) without time zone", "timestamp(3) without time zone"),
            ("float(24)", "real"),
            ("float", "double precision"),
            ("char", "character(1)"),
            ("int[]", "integer[]"),
            ("serial", "integer"),
            ("pg_catalog.int8", "bigint"),
            ("sales.kind", "sales.kind"),
            ("\"Kind\"", "\"Kind\""),
            ("\"Sales\" . \"Kind\"[]", "\"Sales\".\"Kind\"[]"),
            ("sales.\"of days\"(3)", "sales.\"of days\"(3)"),
            ("citext", "citext"),
            ("Geometry ( Point , 4326 )", "geometry(Point,4326)"),
            ("public.vector(3)[]", "public.vector(3)[]"),
            ("INTERVAL Day to  Second (3)", "interval day to second(3)"),
            ("interval second(3)", "interval second(3)"),
            ("interval year to month", "interval year to month"),
            ("\"int4\"", "integer"),
            ("\"int\"", "\"int\""),
            ("\"char\"", "\"char\""),
        ] {
            assert_eq!(canonical(spelling), name, "{spelling}");
        }
    }

    #[test]
    fn text_that_is_not_a_type_is_refused() {
        for text in [
            "",
            "int; DROP TABLE t",
            "int NOT NULL",
            "int DEFAULT 0",
            "int)",
            "varchar(a)",
            "geometry(point, srid => 1)",
            "geometry(point); DROP TABLE t",
            "geometry(a b)",
            "interval day to year",
            "interval to second",
            "'int'",
            "int, b int",
            "a.",
            "a..b",
            ".a",
            "int REFERENCES \"other\"",
            "int COLLATE \"C\"",
            "\"Kind\" UNIQUE",
            "\"Kind\" \"other\"",
            "sales.kind UNIQUE",
            "sales.kind REFERENCES \"other\"",
            "sales kind.x",
            "sales.kind(3) UNIQUE",
            "varchar(20) \"x\"",
            "(3)",
        ] {
            assert_eq!(DataType::parse(text), None, "{text}");
        }
    }

    #[test]
    fn only_lossless_changes_are_widening() {
        use TypeChange::{Narrowing, Same, Widening};
        for (from, to, expected) in [
            ("int4", "integer", Same),
            ("int", "bigint", Widening),
            ("bigint", "int", Narrowing),
            ("int", "numeric(12,2)", Widening),
            ("int", "numeric(11,2)", Narrowing),
            ("varchar(20)", "varchar(40)", Widening),
            ("varchar(40)", "varchar(20)", Narrowing),
            ("varchar", "varchar(20)", Narrowing),
            ("varchar(20)", "text", Widening),
            ("numeric(10,2)", "numeric(12,2)", Widening),
            ("numeric(10,2)", "numeric(12,4)", Widening),
            ("numeric(10,2)", "numeric(10,4)", Narrowing),
            ("numeric(10,2)", "numeric", Widening),
            ("date", "timestamp", Widening),
            ("timestamptz", "timestamp", Narrowing),
            ("timestamp", "timestamptz", Narrowing),
            ("date", "timestamptz", Narrowing),
            ("timestamp(3)", "timestamp", Widening),
            ("timestamp", "timestamp(3)", Narrowing),
            ("text", "integer", Narrowing),
            ("json", "jsonb", Narrowing),
            ("interval day to second(3)", "interval", Widening),
            ("interval", "interval day", Narrowing),
            ("interval second(3)", "interval(2)", Narrowing),
            ("int[]", "bigint[]", Narrowing),
        ] {
            assert_eq!(change(from, to), expected, "{from} to {to}");
        }
    }
}
