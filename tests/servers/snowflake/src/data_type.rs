//! Stored column types, and their permitted changes.
//! <https://docs.snowflake.com/en/sql-reference/intro-summary-data-types>,
//! <https://docs.snowflake.com/en/sql-reference/sql/alter-table-column>

use crate::error::{Outcome, SqlError};
use crate::token::{Token, Tokens};
use serde_json::{Value, json};
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DataType {
    Number(u64, u64),
    Varchar(u64),
    Binary(u64),
    Time(u64),
    /// NTZ, LTZ or TZ.
    Timestamp(&'static str, u64),
    Plain(&'static str),
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(precision, scale) => write!(f, "NUMBER({precision},{scale})"),
            Self::Varchar(length) => write!(f, "VARCHAR({length})"),
            Self::Binary(length) => write!(f, "BINARY({length})"),
            Self::Time(precision) => write!(f, "TIME({precision})"),
            Self::Timestamp(kind, precision) => write!(f, "TIMESTAMP_{kind}({precision})"),
            Self::Plain(name) => f.write_str(name),
        }
    }
}

impl DataType {
    /// The form in `SHOW COLUMNS`. <https://docs.snowflake.com/en/sql-reference/sql/show-columns>
    pub(crate) fn in_json(&self) -> Value {
        match self {
            Self::Number(precision, scale) => json!({"type": "FIXED", "precision": precision, "scale": scale}),
            Self::Varchar(length) => {
                json!({"type": "TEXT", "length": length, "byteLength": length * 4, "fixed": false})
            }
            Self::Binary(length) => json!({"type": "BINARY", "length": length, "byteLength": length, "fixed": true}),
            Self::Time(digits) => json!({"type": "TIME", "precision": 0, "scale": digits}),
            Self::Timestamp(kind, digits) => {
                json!({"type": format!("TIMESTAMP_{kind}"), "precision": 0, "scale": digits})
            }
            Self::Plain("FLOAT") => json!({"type": "REAL"}),
            Self::Plain(name) => json!({"type": name}),
        }
    }

    /// Reads a type and leaves what follows it.
    pub(crate) fn read(tokens: &mut Tokens) -> Outcome<Self> {
        let unknown = tokens.unexpected();
        let Ok(Token::Word { text, is_quoted: false }) = tokens.next() else { return Err(unknown) };
        let name = text.to_uppercase();
        let read = match name.as_str() {
            "NUMBER" | "DECIMAL" | "DEC" | "NUMERIC" => {
                let sizes = sizes(tokens, 2)?;
                let (precision, scale) = (sizes.first().copied().unwrap_or(38), sizes.get(1).copied().unwrap_or(0));
                if precision == 0 || precision > 38 || scale > precision.min(37) {
                    return Err(SqlError::invalid(&format!(
                        "Invalid precision/scale ({precision},{scale}) for NUMBER"
                    )));
                }
                Self::Number(precision, scale)
            }
            "INT" | "INTEGER" | "BIGINT" | "SMALLINT" | "TINYINT" | "BYTEINT" => Self::Number(38, 0),
            "FLOAT" | "FLOAT4" | "FLOAT8" | "REAL" => Self::Plain("FLOAT"),
            "DOUBLE" => {
                let _ = tokens.take("PRECISION");
                Self::Plain("FLOAT")
            }
            "CHAR" | "CHARACTER" | "NCHAR" => {
                let usual = if tokens.take("VARYING") { 16_777_216 } else { 1 };
                Self::Varchar(length(tokens, usual, 134_217_728)?)
            }
            "VARCHAR" | "STRING" | "TEXT" | "NVARCHAR" | "NVARCHAR2" => {
                Self::Varchar(length(tokens, 16_777_216, 134_217_728)?)
            }
            "BINARY" | "VARBINARY" => Self::Binary(length(tokens, 8_388_608, 67_108_864)?),
            "BOOLEAN" => Self::Plain("BOOLEAN"),
            "DATE" => Self::Plain("DATE"),
            "TIME" => Self::Time(fraction(tokens)?),
            "DATETIME" | "TIMESTAMP" | "TIMESTAMP_NTZ" | "TIMESTAMPNTZ" => Self::Timestamp("NTZ", fraction(tokens)?),
            "TIMESTAMP_LTZ" | "TIMESTAMPLTZ" => Self::Timestamp("LTZ", fraction(tokens)?),
            "TIMESTAMP_TZ" | "TIMESTAMPTZ" => Self::Timestamp("TZ", fraction(tokens)?),
            "VARIANT" => Self::Plain("VARIANT"),
            "OBJECT" => Self::Plain("OBJECT"),
            "ARRAY" => Self::Plain("ARRAY"),
            "GEOGRAPHY" => Self::Plain("GEOGRAPHY"),
            "GEOMETRY" => Self::Plain("GEOMETRY"),
            // One structured type represents all of them.
            "MAP" => {
                tokens.expect_symbol("(")?;
                let (key, value) = (Self::read(tokens)?, {
                    tokens.expect_symbol(",")?;
                    Self::read(tokens)?
                });
                tokens.expect_symbol(")")?;
                if (key, value) != (Self::Varchar(16_777_216), Self::Number(38, 0)) {
                    return Err(SqlError::unsupported("MAP of other types"));
                }
                Self::Plain("MAP(VARCHAR(16777216), NUMBER(38,0))")
            }
            _ => return Err(SqlError::invalid(&format!("Unsupported data type '{text}'."))),
        };
        Ok(read)
    }

    /// True if a column may change to the other type in place: longer strings, and numbers with another precision and
    /// the same scale.
    pub(crate) fn can_change_to(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Varchar(old), Self::Varchar(new)) => new >= old,
            (Self::Number(_, old), Self::Number(_, new)) => old == new,
            (one, other) => one == other,
        }
    }
}

fn sizes(tokens: &mut Tokens, most: usize) -> Outcome<Vec<u64>> {
    if !tokens.take_symbol("(") {
        return Ok(Vec::new());
    }
    let mut sizes = vec![tokens.number()?];
    while sizes.len() < most && tokens.take_symbol(",") {
        sizes.push(tokens.number()?);
    }
    tokens.expect_symbol(")")?;
    Ok(sizes)
}

fn length(tokens: &mut Tokens, usual: u64, most: u64) -> Outcome<u64> {
    let length = sizes(tokens, 1)?.first().copied().unwrap_or(usual);
    if length == 0 || length > most {
        return Err(SqlError::invalid(&format!("Length {length} must be between 1 and {most}.")));
    }
    Ok(length)
}

fn fraction(tokens: &mut Tokens) -> Outcome<u64> {
    let digits = sizes(tokens, 1)?.first().copied().unwrap_or(9);
    if digits > 9 { Err(SqlError::invalid(&format!("Invalid precision {digits}"))) } else { Ok(digits) }
}
