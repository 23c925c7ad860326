//! Reading configured attributes: what is given, what is known, what is marked.

use crate::project::ProjectPath;
use terrace_provider::{Attributes, Value};

/// The value of an attribute that is given; null counts as absent.
pub(crate) fn given<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a Value> {
    attributes.get(name).filter(|value| !value.is_null())
}

/// The text of an attribute; `None` while it is absent or unknown.
pub(crate) fn text<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    given(attributes, name).and_then(Value::as_str)
}

/// The truth of an attribute; `None` while it is absent or unknown.
pub(crate) fn truth(attributes: &Attributes, name: &str) -> Option<bool> {
    given(attributes, name).and_then(Value::as_bool)
}

/// True when the attribute or a part of it carries a sensitive mark.
pub(crate) fn is_marked(attributes: &Attributes, name: &str) -> bool {
    attributes.get(name).is_some_and(Value::has_sensitive)
}

/// The value, marked when it is to be.
pub(crate) fn marked(value: Value, is_sensitive: bool) -> Value {
    if is_sensitive { Value::sensitive(value) } else { value }
}

/// The attributes without those that are unknown or null: what can be recorded.
pub(crate) fn known(attributes: &Attributes) -> Attributes {
    let is_known = |value: &Value| !value.has_unknown() && !value.is_null();
    attributes.iter().filter(|(_, value)| is_known(value)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The id of what lies at that path, which is as secret as the `path` that is configured.
pub(crate) fn id_of(path: &ProjectPath, attributes: &Attributes) -> Value {
    Value::from(path.display()).made_of(attributes, &["path"])
}
