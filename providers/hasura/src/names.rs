//! GraphQL names: <https://spec.graphql.org/October2021/#Name>.

use terrace_provider::{Path, ProviderError};

/// The prefix of reserved names: <https://spec.graphql.org/October2021/#sec-Names.Reserved-Names>.
const RESERVED: &str = "__";

/// True for a GraphQL name.
pub(crate) fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Refuses a text that is not a valid name.
///
/// # Errors
/// When it is invalid, at the attribute.
pub(crate) fn check(text: &str, at: &Path) -> Result<(), ProviderError> {
    let why = if !is_name(text) {
        "is not a GraphQL name: use ASCII letters, digits and `_`, without a leading digit"
    } else if text.starts_with(RESERVED) {
        "begins with `__`, which GraphQL reserves"
    } else {
        return Ok(());
    };
    Err(ProviderError::invalid(Some(at.clone()), format!("`{text}` {why}"))
        .solution("write a name such as `sales_orders_1_port_orders`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_letters_digits_and_underscores() {
        for right in ["a", "_", "A_1", "sales_orders_1_port_orders"] {
            assert!(is_name(right), "{right}");
        }
        for wrong in ["", "1a", "a-b", "a b", "a.b", "é", "a\n", "\u{ff41}"] {
            assert!(!is_name(wrong), "{wrong}");
        }
        assert!(check("__typename", &Path::attribute("customName")).is_err());
    }

    proptest! {
        #[test]
        fn name_with_other_characters_is_invalid(text in "[a-z]{0,3}[^A-Za-z0-9_][a-z]{0,3}") {
            prop_assert!(!is_name(&text));
        }
    }
}
