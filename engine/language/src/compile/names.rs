//! Names of variables and fields that the compiler provides to expressions.

/// The variable with the data that a caller sends along with a descriptor.
pub(crate) const REQUEST: &str = "request";
/// Its field with the data product as last provisioned, including the results of the provisioners.
pub(crate) const LATEST: &str = "latestEnriched";
/// The variable that holds the locals.
pub(crate) const LOCALS: &str = "locals";
/// The field of `component` with the wrapped descriptor.
pub(crate) const WRAPPED: &str = "descriptor";
/// The field with the descriptors of the component's dependencies.
pub(crate) const DEPENDENCIES: &str = "dependencies";
/// The field with all components of the data product.
pub(crate) const SIBLINGS: &str = "siblings";
