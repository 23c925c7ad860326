//! Values that wait for an apply.

use crate::address::ComponentKey;
use crate::expression::{Captured, Template};
use std::sync::Arc;

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
