//! Helpers to read configured attributes.

use crate::project::ProjectPath;
use std::path::{Component, Path, PathBuf};
use terrace_provider::{Attributes, Need, Value};

/// The value of an attribute; null counts as absent.
pub(crate) fn given<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a Value> {
    attributes.get(name).filter(|value| !value.is_null())
}

/// The text of an attribute; `None` if it is absent or unknown.
pub(crate) fn text<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    given(attributes, name).and_then(Value::as_str)
}

/// The parent folders of a file or folder.
pub(crate) const FOLDERS: Need = Need { ty: super::directory::NAME, identities: folders_above };

/// The identities of all parent folders of a path; each has `path` and `id` in the normal form.
fn folders_above(attributes: &Attributes) -> Vec<Attributes> {
    let mut normal = PathBuf::new();
    for component in Path::new(text(attributes, "id").or(text(attributes, "path")).unwrap_or_default()).components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            // The location of the project folder is not known here.
            Component::RootDir | Component::Prefix(_) => return Vec::new(),
        }
    }
    let folders = normal.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
    let identity = |folder: &Path| {
        let path = Value::from(folder.display().to_string());
        Attributes::from_iter(["path", "id"].map(|name| (name.to_owned(), path.clone())))
    };
    folders.map(identity).collect()
}

/// The boolean of an attribute; `None` if it is absent or unknown.
pub(crate) fn boolean(attributes: &Attributes, name: &str) -> Option<bool> {
    given(attributes, name).and_then(Value::as_bool)
}

/// True if the attribute or a part of it is marked as sensitive.
pub(crate) fn is_marked(attributes: &Attributes, name: &str) -> bool {
    attributes.get(name).is_some_and(Value::has_sensitive)
}

/// Marks the value as sensitive if required.
pub(crate) fn marked(value: Value, is_sensitive: bool) -> Value {
    if is_sensitive { Value::sensitive(value) } else { value }
}

/// The attributes that are neither unknown nor null: they can be recorded.
pub(crate) fn known(attributes: &Attributes) -> Attributes {
    let is_known = |value: &Value| !value.has_unknown() && !value.is_null();
    attributes.iter().filter(|(_, value)| is_known(value)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The id of the object at a path. It is sensitive if the configured `path` is.
pub(crate) fn id_of(path: &ProjectPath, attributes: &Attributes) -> Value {
    Value::from(path.display()).derived_from(attributes, &["path"])
}
