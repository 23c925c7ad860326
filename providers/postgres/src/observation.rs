//! Requests for objects, and the objects that the server returns.

use crate::attributes::optional_text;
use crate::error::Failure;
use crate::kind::Target;
use crate::private::Memory;
use crate::server::column;
use terrace_provider::Attributes;
use tokio_postgres::Row;

/// A request for an object.
#[derive(Debug, Clone)]
pub(crate) struct ReadRequest {
    pub(crate) target: Target,
    /// The attributes whose spelling the answer uses, and which are managed; without, the answer holds all attributes.
    pub(crate) like: Option<Attributes>,
    /// The server's texts for that spelling.
    pub(crate) memory: Memory,
}

impl ReadRequest {
    /// A request for all attributes of an object.
    pub(crate) fn all_attributes(target: Target) -> Self {
        Self { target, like: None, memory: Memory::default() }
    }

    /// True if the answer must hold an attribute: it is configured, or all are requested.
    pub(crate) fn is_managed(&self, name: &str) -> bool {
        self.like.as_ref().is_none_or(|like| like.get(name).is_some_and(|value| !value.is_null()))
    }

    /// A configured text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        optional_text(self.like.as_ref()?, name)
    }
}

/// The objects in rows, by request: each row begins with the place of its request, from 1.
pub(crate) fn placed(
    rows: &[Row],
    wanted: &[ReadRequest],
    read: impl Fn(&Row, &ReadRequest) -> Result<Observation, Failure>,
) -> Result<Vec<Option<Observation>>, Failure> {
    let mut answers = vec![None; wanted.len()];
    for row in rows {
        let place: i64 = column(row, 0)?;
        let Some(at) = usize::try_from(place - 1).ok() else { continue };
        if let (Some(answer), Some(wanted)) = (answers.get_mut(at), wanted.get(at)) {
            *answer = Some(read(row, wanted)?);
        }
    }
    Ok(answers)
}

/// An existing object.
#[derive(Debug, Clone)]
pub(crate) struct Observation {
    /// Its attributes, without those that derive from its name.
    pub(crate) attributes: Attributes,
    /// The mark of the call that created it.
    pub(crate) mark: Option<String>,
    /// The recorded facts from now on.
    pub(crate) memory: Memory,
}

impl Observation {
    /// An object without a mark.
    pub(crate) fn plain(attributes: Attributes, wanted: &ReadRequest) -> Self {
        Self { attributes, mark: None, memory: wanted.memory.clone() }
    }
}
