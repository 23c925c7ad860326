//! Objects as the server has them, and what they are asked for with.

use crate::attributes::optional_text;
use crate::kind::Target;
use crate::private::Memory;
use terrace_provider::Attributes;

/// An object that is looked for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) target: Target,
    /// In whose spelling it is answered, and which attributes are managed; without, it is answered with all there is.
    pub(crate) like: Option<Attributes>,
    /// The server's words for that spelling.
    pub(crate) memory: Memory,
}

impl Wanted {
    /// What is there, whatever it is.
    pub(crate) fn anything(target: Target) -> Self {
        Self { target, like: None, memory: Memory::default() }
    }

    /// True when an attribute is to be answered: it was configured, or everything is asked for.
    pub(crate) fn is_managed(&self, name: &str) -> bool {
        self.like.as_ref().is_none_or(|like| like.get(name).is_some_and(|value| !value.is_null()))
    }

    /// A configured text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        optional_text(self.like.as_ref()?, name)
    }
}

/// An object that is there.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Its attributes, without those that are made of its name.
    pub(crate) attributes: Attributes,
    /// The mark of the call that made it.
    pub(crate) mark: Option<String>,
    /// What is remembered of it from now on.
    pub(crate) memory: Memory,
}

impl Seen {
    /// An object without a mark of its own.
    pub(crate) fn plain(attributes: Attributes, wanted: &Wanted) -> Self {
        Self { attributes, mark: None, memory: wanted.memory.clone() }
    }
}
