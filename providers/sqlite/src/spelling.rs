//! Normal forms of attributes: SQLite treats their spellings as equal.

use crate::declared_type;
use crate::tokenizer::tokens;
use terrace_provider::Value;
use terrace_provider::normal::{any_case_each, unordered};
use terrace_provider::sql_tokens::{Token, TokenKind};

/// A declared type; case and white space do not matter.
pub(crate) fn data_type(value: &Value) -> Value {
    value.as_str().map_or_else(|| value.clone(), |text| declared_type::normal(text).into())
}

/// A default; the case of keywords does not matter. NULL counts as absent.
pub(crate) fn default(value: &Value) -> Value {
    let Some(text) = value.as_str() else { return value.clone() };
    if is_null(text) {
        return Value::Null;
    }
    let meaning = |token: &Token<'_>| match token.kind {
        TokenKind::Word => token.text.to_ascii_uppercase(),
        _ => token.text.to_owned(),
    };
    tokens(text).iter().map(meaning).collect::<Vec<_>>().join(" ").into()
}

/// True for NULL, also in parentheses.
pub(crate) fn is_null(sql: &str) -> bool {
    let tokens = tokens(sql);
    let mut inner = tokens.iter().filter(|token| !(token.is_symbol("(") || token.is_symbol(")")));
    inner.next().is_some_and(|token| token.is_word("NULL")) && inner.next().is_none()
}

/// Unique constraints; neither their order nor the case of the columns matters.
pub(crate) fn keys(value: &Value) -> Value {
    let Some(keys) = value.as_list() else { return value.clone() };
    unordered(&keys.iter().map(any_case_each).collect::<Vec<_>>().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn default_null_counts_as_absent_in_any_spelling() {
        for text in ["NULL", " null ", "(Null)"] {
            assert_eq!(default(&text.into()), Value::Null, "{text}");
        }
        for text in ["'NULL'", "\"null\"", "NULL + 1", "", "0"] {
            assert_ne!(default(&text.into()), Value::Null, "{text}");
        }
    }

    proptest! {
        #[test]
        fn normal_form_is_idempotent(text in "[a-zA-Z0-9'\"() ,]{0,20}") {
            for normal in [data_type, default] {
                let once = normal(&text.as_str().into());
                prop_assert_eq!(normal(&once), once);
            }
        }
    }
}
