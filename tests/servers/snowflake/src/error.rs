//! Errors with Snowflake's codes.

/// A failed statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SqlError {
    /// Six digits.
    pub(crate) code: &'static str,
    /// The SQLSTATE.
    pub(crate) state: &'static str,
    pub(crate) message: String,
}

pub(crate) type Outcome<T> = Result<T, SqlError>;

impl SqlError {
    fn new(code: &'static str, state: &'static str, message: String) -> Self {
        Self { code, state, message }
    }

    pub(crate) fn syntax(near: &str) -> Self {
        Self::new("001003", "42000", format!("SQL compilation error:\nsyntax error unexpected '{near}'."))
    }

    /// A missing or invisible object: Snowflake does not distinguish them.
    pub(crate) fn missing(kind: &str, name: &str) -> Self {
        let message = format!("SQL compilation error:\n{kind} '{name}' does not exist or not authorized.");
        Self::new("002003", "02000", message)
    }

    pub(crate) fn exists(name: &str) -> Self {
        Self::new("002002", "42710", format!("SQL compilation error:\nObject '{name}' already exists."))
    }

    pub(crate) fn privilege(what: &str) -> Self {
        let message = format!("SQL access control error:\nInsufficient privileges to operate on {what}.");
        Self::new("003001", "42501", message)
    }

    pub(crate) fn identifier(name: &str) -> Self {
        Self::new("000904", "42000", format!("SQL compilation error:\ninvalid identifier '{name}'"))
    }

    pub(crate) fn no_warehouse() -> Self {
        let message = "No active warehouse selected in the current session.  Select an active warehouse with the 'use warehouse' command.";
        Self::new("000606", "57P03", message.to_owned())
    }

    /// A compilation error with the generic code.
    pub(crate) fn invalid(message: &str) -> Self {
        Self::new("002262", "22023", format!("SQL compilation error:\n{message}"))
    }

    pub(crate) fn not_null(column: &str) -> Self {
        Self::new("100072", "22000", format!("NULL result in a non-nullable column '{column}'"))
    }

    pub(crate) fn unsupported(what: &str) -> Self {
        Self::new("000002", "0A000", format!("Unsupported feature '{what}'."))
    }

    pub(crate) fn canceled() -> Self {
        Self::new("000604", "57014", "SQL execution canceled".to_owned())
    }
}
