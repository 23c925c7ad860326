//! Values that wait for an apply.

use std::sync::Arc;
use terrace_language::address::ComponentKey;
use terrace_language::expression::{Captured, Template};

/// A configuration that waits for values of other resources.
#[derive(Debug, Clone)]
pub struct Deferred {
    /// The component in whose scope it is evaluated; for a shared resource the declaring component.
    pub component: ComponentKey,
    /// The configuration, or the value.
    pub template: Arc<Template>,
    /// The values that it reads and that are known already.
    pub captured: Arc<Captured>,
}
