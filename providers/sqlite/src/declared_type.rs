//! Declared column types: valid texts, equal texts, and changes that lose data.
//!
//! SQLite enforces neither lengths nor precisions. A declared type is a promise to readers. A narrower type counts as a
//! loss: existing values that exceed it stay, so readers could not rely on the type.

use crate::tokenizer::tokens;
use terrace_provider::sql_tokens::{Token, TokenKind, sizes};

/// Words that end the type and begin a constraint.
const NOT_IN_A_TYPE: [&str; 15] = [
    "AS",
    "CHECK",
    "COLLATE",
    "CONSTRAINT",
    "DEFAULT",
    "FOREIGN",
    "GENERATED",
    "NOT",
    "NULL",
    "ON",
    "PRIMARY",
    "REFERENCES",
    "TABLE",
    "UNIQUE",
    "WITHOUT",
];

/// A parsed type: `NUMERIC(38, 0)` has the name `NUMERIC` and the sizes 38 and 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeclaredType {
    name: String,
    sizes: Vec<u64>,
}

/// How SQLite converts values in a column of the type (section 3.1 of "Datatypes In SQLite").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}

impl DeclaredType {
    /// Parses a type; `None` if SQLite would not read the whole text as a type.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let tokens = tokens(text);
        let words: Vec<&Token<'_>> = tokens.iter().take_while(|token| token.kind == TokenKind::Word).collect();
        let is_reserved = |word: &&Token<'_>| NOT_IN_A_TYPE.iter().any(|reserved| word.is_word(reserved));
        if words.is_empty() || words.iter().any(is_reserved) {
            return None;
        }
        let name = words.iter().map(|word| word.text.to_ascii_uppercase()).collect::<Vec<_>>().join(" ");
        let sizes = sizes(tokens.get(words.len()..)?)?;
        Some(Self { name, sizes })
    }

    /// True if a column of this type holds every value of the other type without loss.
    fn holds(&self, other: &Self) -> bool {
        match (other.affinity(), self.affinity()) {
            // A column with this affinity stores every value unchanged.
            (_, Affinity::Blob) => true,
            (Affinity::Blob, _) => false,
            (Affinity::Text, Affinity::Text) => match (other.length(), self.length()) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(old), Some(new)) => new >= old,
            },
            (_, Affinity::Text) => self.length().is_none(),
            (Affinity::Integer, Affinity::Integer) => self.integer_bytes() >= other.integer_bytes(),
            (Affinity::Integer, Affinity::Numeric) => {
                self.is_number() && self.whole_digits().is_none_or(|digits| digits >= 19)
            }
            (Affinity::Real, Affinity::Real) => true,
            (Affinity::Numeric, Affinity::Numeric) => self.holds_numeric(other),
            _ => false,
        }
    }

    fn holds_numeric(&self, other: &Self) -> bool {
        if !self.is_number() || !other.is_number() {
            let is_moment = |name: &str| name.starts_with("DATETIME") || name.starts_with("TIMESTAMP");
            return self.name == other.name || (other.name == "DATE" && is_moment(&self.name));
        }
        let (Some(new_digits), Some(old_digits)) = (self.whole_digits(), other.whole_digits()) else {
            return self.whole_digits().is_none();
        };
        new_digits >= old_digits && self.scale() >= other.scale()
    }

    fn affinity(&self) -> Affinity {
        let has = |part: &str| self.name.contains(part);
        if has("INT") {
            Affinity::Integer
        } else if has("CHAR") || has("CLOB") || has("TEXT") {
            Affinity::Text
        } else if has("BLOB") {
            Affinity::Blob
        } else if has("REAL") || has("FLOA") || has("DOUB") {
            Affinity::Real
        } else {
            Affinity::Numeric
        }
    }

    fn is_number(&self) -> bool {
        matches!(self.name.as_str(), "NUMERIC" | "DECIMAL" | "NUMBER")
    }

    fn length(&self) -> Option<u64> {
        self.sizes.first().copied()
    }

    fn scale(&self) -> u64 {
        self.sizes.get(1).copied().unwrap_or(0)
    }

    /// The number of digits before the decimal point; `None` without a limit.
    fn whole_digits(&self) -> Option<u64> {
        self.sizes.first().map(|precision| precision.saturating_sub(self.scale()))
    }

    fn integer_bytes(&self) -> u8 {
        match self.name.as_str() {
            "TINYINT" => 1,
            "SMALLINT" | "INT2" => 2,
            "MEDIUMINT" => 3,
            "INT" | "INT4" => 4,
            _ => 8,
        }
    }
}

/// True if both texts declare the same type; case and white space do not matter.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    one == other || DeclaredType::parse(one).is_some_and(|one| DeclaredType::parse(other) == Some(one))
}

/// The normal form of a declared type, without differences in case and white space.
pub(crate) fn normal(text: &str) -> String {
    let Some(DeclaredType { name, sizes }) = DeclaredType::parse(text) else { return text.to_owned() };
    let sizes: Vec<String> = sizes.iter().map(u64::to_string).collect();
    if sizes.is_empty() { name } else { format!("{name}({})", sizes.join(",")) }
}

/// True if a column with the new type cannot hold all values of the old type.
pub(crate) fn is_narrower(new: &str, old: &str) -> bool {
    match (DeclaredType::parse(new), DeclaredType::parse(old)) {
        (Some(new), Some(old)) => !new.holds(&old),
        // A column without a declared type may hold any value.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_types_are_valid() {
        for text in ["TEXT", "numeric ( 38 , 0 )", "VARCHAR(20)", "character varying(20)", "größe"] {
            assert!(DeclaredType::parse(text).is_some(), "{text}");
        }
        for text in
            ["", "TEXT NOT NULL", "INTEGER PRIMARY KEY", "TEXT)", "TEXT -- x", "N(1,2,3)", "N(x)", "\"a\"", "A; B"]
        {
            assert!(DeclaredType::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn case_and_white_space_do_not_matter() {
        assert!(is_same("numeric(38, 0)", "NUMERIC(38,0)"));
        assert!(!is_same("NUMERIC(38,0)", "NUMERIC(38,1)"));
    }

    #[test]
    fn wider_type_is_not_a_loss() {
        for (old, new) in [
            ("VARCHAR(10)", "VARCHAR(20)"),
            ("VARCHAR(10)", "TEXT"),
            ("NUMERIC(10,2)", "NUMERIC(12,2)"),
            ("NUMERIC(10,2)", "NUMERIC"),
            ("NUMERIC(10,2)", "NUMERIC(12,4)"),
            ("SMALLINT", "BIGINT"),
            ("INTEGER", "NUMERIC(38,0)"),
            ("INTEGER", "TEXT"),
            ("DATE", "TIMESTAMP"),
            ("TEXT", "BLOB"),
        ] {
            assert!(!is_narrower(new, old), "{old} -> {new}");
        }
    }

    #[test]
    fn narrower_type_is_a_loss() {
        for (old, new) in [
            ("VARCHAR(20)", "VARCHAR(10)"),
            ("TEXT", "VARCHAR(10)"),
            ("NUMERIC(12,2)", "NUMERIC(10,2)"),
            ("NUMERIC(12,2)", "NUMERIC(12,4)"),
            ("NUMERIC", "NUMERIC(10,2)"),
            ("BIGINT", "INT"),
            ("INTEGER", "REAL"),
            ("REAL", "INTEGER"),
            ("TEXT", "DATE"),
            ("TIMESTAMP", "DATE"),
            ("BLOB", "TEXT"),
            ("INTEGER", "DATE"),
        ] {
            assert!(is_narrower(new, old), "{old} -> {new}");
        }
    }
}
