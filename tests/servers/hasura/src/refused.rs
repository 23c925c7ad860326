//! graphql-engine's errors: <https://hasura.io/docs/2.0/api-reference/metadata-api/index/>, with the codes of its
//! source (`Hasura/Base/Error.hs`).

use serde_json::{Value as Json, json};

/// A refused command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) error: String,
    pub(crate) path: String,
    /// Details for developers only.
    pub(crate) internal: Option<Json>,
}

pub(crate) type Outcome<T> = Result<T, Refused>;

impl Refused {
    pub(crate) fn new(status: u16, code: &'static str, error: impl Into<String>) -> Self {
        Self { status, code, error: error.into(), path: "$.args".to_owned(), internal: None }
    }

    /// With status 400, as nearly all errors.
    pub(crate) fn bad(code: &'static str, error: impl Into<String>) -> Self {
        Self::new(400, code, error)
    }

    pub(crate) fn parse(error: impl Into<String>) -> Self {
        Self::bad("parse-failed", error)
    }

    pub(crate) fn at(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// The same inside the list of a `bulk`.
    pub(crate) fn within(mut self, index: usize) -> Self {
        let rest = self.path.trim_start_matches('$');
        self.path = format!("$.args[{index}]{rest}");
        self
    }

    pub(crate) fn body(&self) -> Json {
        let mut body = json!({"path": self.path, "error": self.error, "code": self.code});
        if let (Some(body), Some(internal)) = (body.as_object_mut(), &self.internal) {
            body.insert("internal".to_owned(), internal.clone());
        }
        body
    }
}
