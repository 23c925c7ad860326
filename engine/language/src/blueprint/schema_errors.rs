//! Places of the errors of JSON Schemas, and their largest number.

use terrace_provider::{Path, Step};

/// Maximum number of reported errors of a component.
pub(super) const MAX_ERRORS: usize = 100;

/// The path of a JSON Schema error, from the component's root.
pub(super) fn component_path(location: &jsonschema::paths::Location) -> Path {
    path_under("specific", location)
}

/// The path of a JSON Schema error in a value of this name.
pub(crate) fn path_under(name: &str, location: &jsonschema::paths::Location) -> Path {
    Path(std::iter::once(Step::Key(name.to_owned())).chain(steps(location)).collect())
}

/// The steps to the place of a JSON Schema error.
pub(super) fn steps(location: &jsonschema::paths::Location) -> impl Iterator<Item = Step> {
    location.segments().map(|segment| match segment {
        jsonschema::paths::LocationSegment::Property(name) => Step::Key(name.into_owned()),
        jsonschema::paths::LocationSegment::Index(index) => Step::Index(index),
    })
}
