//! Column types: spellings, normal form, and possible changes.
//!
//! Names and synonyms: <https://docs.snowflake.com/en/sql-reference/intro-summary-data-types>. Changes in place:
//! <https://docs.snowflake.com/en/sql-reference/sql/alter-table-column>.

use crate::tokenizer::meaningful;
use std::fmt;
use terrace_provider::Value;
use terrace_provider::names::closest;
use terrace_provider::sql_tokens::{Token, TokenKind, sizes};

/// The default length of a text.
const USUAL_LENGTH: u64 = 16_777_216;
/// The largest length of a text.
const LONGEST_TEXT: u64 = 134_217_728;
/// The default length of bytes.
const USUAL_BYTES: u64 = 8_388_608;
/// The largest length of bytes.
const MOST_BYTES: u64 = 67_108_864;

/// A column type, independent of its spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DataType {
    /// Precision and scale.
    Number(u64, u64),
    /// A text with its maximum length in characters.
    Varchar(u64),
    /// Bytes with their maximum length.
    Binary(u64),
    /// A time of day with its number of fractional digits.
    Time(u64),
    /// `NTZ`, `LTZ` or `TZ`, with its number of fractional digits.
    Timestamp(&'static str, u64),
    /// A type without sizes.
    Plain(&'static str),
    /// A vector of `INT` or `FLOAT` with its number of dimensions.
    Vector(&'static str, u64),
}

/// The effect of a type change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TypeChange {
    /// The types are the same.
    Same,
    /// The new type holds all values of the old one.
    Widens,
    /// In place, if the existing values fit.
    Narrows,
    /// Snowflake cannot change it in place.
    Impossible,
}

/// The normal form of a column type.
pub(crate) fn normal(value: &Value) -> Value {
    match value.as_str().map(DataType::parse) {
        Some(Ok(ty)) => ty.to_string().into(),
        _ => value.clone(),
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(precision, scale) => write!(f, "NUMBER({precision},{scale})"),
            Self::Varchar(length) => write!(f, "VARCHAR({length})"),
            Self::Binary(length) => write!(f, "BINARY({length})"),
            Self::Time(digits) => write!(f, "TIME({digits})"),
            Self::Timestamp(kind, digits) => write!(f, "TIMESTAMP_{kind}({digits})"),
            Self::Plain(name) => f.write_str(name),
            Self::Vector(of, dimensions) => write!(f, "VECTOR({of}, {dimensions})"),
        }
    }
}

/// The sizes of a type.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Number,
    Integer,
    Text(u64),
    Bytes,
    Time,
    Timestamp(&'static str),
    Plain(&'static str),
}

/// All spellings. The meaning of `TIMESTAMP` depends on an account parameter; terrace uses the parameter's default and
/// writes the full name.
const NAMES: [(&str, Shape); 46] = {
    use Shape::{Bytes, Integer, Number, Plain, Text, Time, Timestamp};
    [
        ("ARRAY", Plain("ARRAY")),
        ("BIGINT", Integer),
        ("BINARY", Bytes),
        ("BOOLEAN", Plain("BOOLEAN")),
        ("BYTEINT", Integer),
        ("CHAR", Text(1)),
        ("CHAR VARYING", Text(USUAL_LENGTH)),
        ("CHARACTER", Text(1)),
        ("DATE", Plain("DATE")),
        ("DATETIME", Timestamp("NTZ")),
        ("DEC", Number),
        ("DECFLOAT", Plain("DECFLOAT")),
        ("DECIMAL", Number),
        ("DOUBLE", Plain("FLOAT")),
        ("DOUBLE PRECISION", Plain("FLOAT")),
        ("FILE", Plain("FILE")),
        ("FLOAT", Plain("FLOAT")),
        ("FLOAT4", Plain("FLOAT")),
        ("FLOAT8", Plain("FLOAT")),
        ("GEOGRAPHY", Plain("GEOGRAPHY")),
        ("GEOMETRY", Plain("GEOMETRY")),
        ("INT", Integer),
        ("INTEGER", Integer),
        ("NCHAR", Text(1)),
        ("NCHAR VARYING", Text(USUAL_LENGTH)),
        ("NUMBER", Number),
        ("NUMERIC", Number),
        ("NVARCHAR", Text(USUAL_LENGTH)),
        ("NVARCHAR2", Text(USUAL_LENGTH)),
        ("OBJECT", Plain("OBJECT")),
        ("REAL", Plain("FLOAT")),
        ("SMALLINT", Integer),
        ("STRING", Text(USUAL_LENGTH)),
        ("TEXT", Text(USUAL_LENGTH)),
        ("TIME", Time),
        ("TIMESTAMP", Timestamp("NTZ")),
        ("TIMESTAMPLTZ", Timestamp("LTZ")),
        ("TIMESTAMPNTZ", Timestamp("NTZ")),
        ("TIMESTAMPTZ", Timestamp("TZ")),
        ("TIMESTAMP_LTZ", Timestamp("LTZ")),
        ("TIMESTAMP_NTZ", Timestamp("NTZ")),
        ("TIMESTAMP_TZ", Timestamp("TZ")),
        ("TINYINT", Integer),
        ("VARBINARY", Bytes),
        ("VARCHAR", Text(USUAL_LENGTH)),
        ("VARIANT", Plain("VARIANT")),
    ]
};

impl DataType {
    /// Parses a type.
    ///
    /// # Errors
    /// The reason, in words.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let tokens = meaningful(text);
        let words: Vec<&Token<'_>> = tokens.iter().take_while(|token| token.kind == TokenKind::Word).collect();
        let name = words.iter().map(|word| word.text.to_ascii_uppercase()).collect::<Vec<_>>().join(" ");
        let rest = tokens.get(words.len()..).unwrap_or_default();
        if name == "VECTOR" {
            return vector(rest).ok_or_else(|| "write a vector as `VECTOR(FLOAT, 256)`".to_owned());
        }
        let Some((_, shape)) = NAMES.iter().find(|(known, _)| *known == name) else {
            let shown = text.escape_default();
            let meant = closest(&name, NAMES.iter().map(|(known, _)| *known));
            return Err(match meant {
                Some(meant) => format!("`{shown}` is not a column type of Snowflake; did you mean `{meant}`?"),
                None => format!("`{shown}` is not a column type of Snowflake"),
            });
        };
        let sizes = sizes(rest).ok_or_else(|| format!("`{}` is not a column type", text.escape_default()))?;
        sized(*shape, &sizes)
            .ok_or_else(|| format!("`{}` has sizes that Snowflake does not support", text.escape_default()))
    }

    /// The effect of a change from this type to another.
    pub(crate) fn change_to(&self, new: &Self) -> TypeChange {
        match (self, new) {
            (old, new) if old == new => TypeChange::Same,
            (Self::Varchar(old), Self::Varchar(new)) if new > old => TypeChange::Widens,
            (Self::Number(old, scale), Self::Number(new, new_scale)) if scale == new_scale => {
                if new > old {
                    TypeChange::Widens
                } else {
                    TypeChange::Narrows
                }
            }
            _ => TypeChange::Impossible,
        }
    }
}

/// True if both texts are the same type.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    one == other || matches!((DataType::parse(one), DataType::parse(other)), (Ok(one), Ok(other)) if one == other)
}

fn sized(shape: Shape, sizes: &[u64]) -> Option<DataType> {
    let one = |usual: u64| match sizes {
        [] => Some(usual),
        [size] => Some(*size),
        _ => None,
    };
    let digits = || one(9).filter(|digits| *digits <= 9);
    match shape {
        Shape::Number => {
            let (precision, scale) = match sizes {
                [] => (38, 0),
                [precision] => (*precision, 0),
                [precision, scale] => (*precision, *scale),
                _ => return None,
            };
            let is_right = (1..=38).contains(&precision) && scale <= precision && scale <= 37;
            is_right.then_some(DataType::Number(precision, scale))
        }
        Shape::Integer => sizes.is_empty().then_some(DataType::Number(38, 0)),
        Shape::Text(usual) => one(usual).filter(|size| (1..=LONGEST_TEXT).contains(size)).map(DataType::Varchar),
        Shape::Bytes => one(USUAL_BYTES).filter(|size| (1..=MOST_BYTES).contains(size)).map(DataType::Binary),
        Shape::Time => digits().map(DataType::Time),
        Shape::Timestamp(kind) => digits().map(|digits| DataType::Timestamp(kind, digits)),
        Shape::Plain(name) => sizes.is_empty().then_some(DataType::Plain(name)),
    }
}

fn vector(tokens: &[Token<'_>]) -> Option<DataType> {
    let [open, of, comma, dimensions, close] = tokens else { return None };
    let is_right = open.is_symbol("(") && comma.is_symbol(",") && close.is_symbol(")");
    let of = ["INT", "FLOAT"].into_iter().find(|known| is_right && of.is_word(known))?;
    let dimensions = dimensions.text.parse().ok().filter(|count| (1..=4096).contains(count))?;
    Some(DataType::Vector(of, dimensions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_one_type() {
        let shown: String = NAMES
            .iter()
            .map(|(name, _)| format!("{name} = {}\n", DataType::parse(name).unwrap()))
            .chain(
                [
                    "NUMBER(10)",
                    "number ( 10 , 2 )",
                    "varchar(20)",
                    "Double  Precision",
                    "timestamp_ltz(3)",
                    "VECTOR(FLOAT, 3)",
                ]
                .iter()
                .map(|text| format!("{text} = {}\n", DataType::parse(text).unwrap())),
            )
            .collect();
        insta::assert_snapshot!(shown);
        assert!(NAMES.is_sorted_by_key(|(name, _)| name), "sorted, to find duplicates");
        for (name, _) in NAMES {
            let canonical = DataType::parse(name).unwrap().to_string();
            assert_eq!(DataType::parse(&canonical).unwrap().to_string(), canonical, "{name}");
        }
    }

    #[test]
    fn text_that_is_not_a_type_is_refused() {
        for text in [
            "",
            "VARCHR(20)",
            "NUMBER(39,0)",
            "NUMBER(10,11)",
            "INT(3)",
            "VARCHAR(0)",
            "DATE(3)",
            "TIME(10)",
            "VARCHAR(134217729)",
            "VARCHAR) ; DROP TABLE x",
            "NUMBER NOT NULL",
            "TEXT -- x\n NOT NULL",
            "NUMBER(1,2,3)",
            "VECTOR(TEXT, 3)",
            "\"NUMBER\"",
        ] {
            assert!(DataType::parse(text).is_err(), "{text}");
        }
        assert!(DataType::parse("VARCHR(20)").unwrap_err().contains("did you mean `VARCHAR`?"));
    }

    #[test]
    fn only_longer_texts_and_numbers_of_the_same_scale_change_in_place() {
        let change = |old: &str, new: &str| DataType::parse(old).unwrap().change_to(&DataType::parse(new).unwrap());
        for (old, new, expected) in [
            ("TEXT", "STRING", TypeChange::Same),
            ("INT", "NUMBER(38,0)", TypeChange::Same),
            ("VARCHAR(10)", "VARCHAR(20)", TypeChange::Widens),
            ("VARCHAR(20)", "TEXT", TypeChange::Widens),
            ("VARCHAR(20)", "VARCHAR(10)", TypeChange::Impossible),
            ("NUMBER(10,2)", "NUMBER(12,2)", TypeChange::Widens),
            ("NUMBER(12,2)", "NUMBER(10,2)", TypeChange::Narrows),
            ("NUMBER(12,2)", "NUMBER(14,4)", TypeChange::Impossible),
            ("NUMBER", "FLOAT", TypeChange::Impossible),
            ("DATE", "TIMESTAMP", TypeChange::Impossible),
            ("BINARY(10)", "BINARY(20)", TypeChange::Impossible),
            ("TIMESTAMP_NTZ(3)", "TIMESTAMP_NTZ", TypeChange::Impossible),
        ] {
            assert_eq!(change(old, new), expected, "{old} -> {new}");
        }
    }
}
