//! Rows of an answer, and the session that asks for them.

/// Rows with the names and types of their columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) columns: Vec<&'static str>,
    /// The result of a query, whose column names are not known here.
    pub(crate) names: Vec<String>,
    pub(crate) rows: Vec<Vec<Option<String>>>,
}

impl Rows {
    /// The result of a statement without rows.
    pub(super) fn status(text: &str) -> Self {
        Self { columns: vec!["status"], names: Vec::new(), rows: vec![vec![Some(text.to_owned())]] }
    }

    pub(crate) fn column_names(&self) -> Vec<String> {
        if self.names.is_empty() {
            self.columns.iter().map(|it| (*it).to_owned()).collect()
        } else {
            self.names.clone()
        }
    }
}

/// The caller and its session.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) user: String,
    pub(crate) role: String,
    pub(crate) warehouse: Option<String>,
}
