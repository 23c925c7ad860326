//! The inputs of planning an instance of a resource.

use super::Deferred;
use super::loaded::LoadedRow;
use super::managed::Managed;
use terrace_language::address::{Address, StackId};
use terrace_language::compile::CompiledImport;
use terrace_language::descriptor::{Adopt, Lifecycle};
use terrace_language::expression::Template;
use terrace_language::source::{Place, Span};
use terrace_provider::schema::Timeouts;
use terrace_provider::{Attributes, Path, ResourceType};

/// The instance to plan. Its declaration lives longer than the rest.
pub(crate) struct ResourceInput<'d, 'a> {
    pub(crate) stack: &'a StackId,
    pub(crate) address: Address,
    pub(crate) ty: &'d ResourceType,
    pub(crate) provider: String,
    pub(crate) config: Attributes,
    pub(crate) deferred: Option<Deferred>,
    pub(crate) depends_on: Vec<Address>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) ignored: Vec<Path>,
    pub(crate) triggered_by: Vec<String>,
    pub(crate) adopt: Adopt,
    pub(crate) timeouts: Timeouts,
    pub(crate) template: &'d Template,
    pub(crate) span: Span,
    pub(crate) place: Option<Place>,
    pub(crate) row: Option<LoadedRow>,
    pub(crate) in_doubt: Option<String>,
    pub(crate) import: Option<CompiledImport>,
    pub(crate) managed: &'a Managed,
}
