//! The order of requests.

use terrace_language::address::ComponentKey;

/// The order of a request among the requests of its stack: those with the same key run one after the other, and requests for
/// the whole stack run alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderKey(String);

impl OrderKey {
    /// A request that does not change a component: requests with the same text run one after the other.
    pub fn of_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// True for a request for the whole stack.
    #[must_use]
    pub fn is_of_stack(&self) -> bool {
        self.0.is_empty()
    }

    /// The stored text; empty for the whole stack.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A request that changes a component, or the whole stack.
impl From<ComponentKey> for OrderKey {
    fn from(component: ComponentKey) -> Self {
        Self(component.into())
    }
}
