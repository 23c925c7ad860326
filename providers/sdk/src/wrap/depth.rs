//! Refuses answers of providers that nest too deep to be recorded.

use crate::plan::PlannedChange;
use crate::provider::Found;
use crate::value::DEEPEST;
use crate::{Attributes, Grantee, Observed, Path, ProviderError};

/// An answer of a provider.
pub(super) trait Answer: Sized {
    /// Returns the answer if it can be recorded.
    ///
    /// # Errors
    /// Otherwise, with the recordable part of it.
    fn recordable(self) -> Result<Self, ProviderError>;
}

impl Answer for Attributes {
    fn recordable(self) -> Result<Self, ProviderError> {
        too_deep(&self).map_or(Ok(self), Err)
    }
}

impl Answer for Observed {
    fn recordable(mut self) -> Result<Self, ProviderError> {
        let Some(error) = too_deep(&self.attributes).or_else(|| too_deep(&self.identity)) else { return Ok(self) };
        // The object exists all the same.
        for attributes in [&mut self.attributes, &mut self.identity] {
            attributes.retain(|_, value| !value.is_too_deep());
        }
        Err(error.with_object(self))
    }
}

impl Answer for Found {
    fn recordable(self) -> Result<Self, ProviderError> {
        Ok(match self {
            Self::Own(observed) => Self::Own(observed.recordable()?),
            Self::Foreign(observed) => Self::Foreign(observed.recordable()?),
            other @ (Self::Absent | Self::NoEffect | Self::Pending(_) | Self::Unknown) => other,
        })
    }
}

impl Answer for Vec<Grantee> {
    fn recordable(self) -> Result<Self, ProviderError> {
        self.into_iter().map(|grantee| Ok(Grantee { grant: grantee.grant.recordable()?, ..grantee })).collect()
    }
}

impl Answer for PlannedChange {
    fn recordable(self) -> Result<Self, ProviderError> {
        too_deep(&self.planned).map_or(Ok(self), Err)
    }
}

impl<T: Answer> Answer for Option<T> {
    fn recordable(self) -> Result<Self, ProviderError> {
        self.map(Answer::recordable).transpose()
    }
}

/// The error of a call with an existing object, without the parts of the object that cannot be recorded.
pub(super) fn recordable_error(mut error: ProviderError) -> ProviderError {
    error.object = error.object.map(|object| match object.recordable() {
        Ok(object) => Box::new(object),
        Err(refused) => refused.object.unwrap_or_default(),
    });
    error
}

fn too_deep(attributes: &Attributes) -> Option<ProviderError> {
    let (name, _) = attributes.iter().find(|(_, value)| value.is_too_deep())?;
    let path = Path::attribute(name);
    let message =
        format!("lists and maps in `{path}` are nested deeper than {DEEPEST} levels, which cannot be recorded");
    Some(ProviderError::bug(message).solution("report it to the author of the provider"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    fn nested(levels: usize) -> Value {
        (0..levels).fold(Value::Int(1), |value, _| Value::List(vec![value]))
    }

    fn observed(levels: usize) -> Observed {
        let attributes = [("deep", nested(levels)), ("id", Value::from("x"))];
        let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Observed { attributes, ..Observed::default() }
    }

    #[test]
    fn deep_value_is_refused_and_the_object_kept_without_it() {
        assert_eq!(observed(DEEPEST).recordable().unwrap(), observed(DEEPEST));
        let refused = observed(DEEPEST + 1).recordable().unwrap_err();
        assert!(refused.message.contains("in `deep` are nested deeper than 64 levels"), "{refused}");
        let kept = |error: ProviderError| error.object.unwrap().attributes.into_keys().collect::<Vec<_>>();
        assert_eq!(kept(refused), ["id"]);
        let failed = ProviderError::bug("it failed").with_object(observed(DEEPEST + 1));
        let failed = recordable_error(failed);
        assert_eq!(failed.message, "it failed");
        assert_eq!(kept(failed), ["id"]);
        assert!(Found::Own(observed(DEEPEST + 1)).recordable().is_err());
        assert!(Found::Foreign(observed(DEEPEST)).recordable().is_ok());
    }

    #[test]
    fn marks_count_with_their_written_depth() {
        let marked = |value: Value| Value::Map([("$terrace".to_owned(), value)].into_iter().collect());
        assert!(!marked(nested(DEEPEST - 3)).is_too_deep());
        assert!(marked(nested(DEEPEST - 2)).is_too_deep());
        assert!(Value::sensitive(nested(DEEPEST + 1)).is_too_deep());
    }
}
