//! Telemetry of builds without OpenTelemetry: does nothing.

use crate::failure::Failure;
use crate::variables::Variables;
use tracing_subscriber::{Layer, Registry};

/// Empty telemetry.
#[derive(Default)]
pub(crate) struct Telemetry;

/// A layer for spans and events.
pub(crate) type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

impl Telemetry {
    #[expect(clippy::unnecessary_wraps, reason = "as in a build with it")]
    pub(crate) fn start(_: &Variables) -> Result<Self, Failure> {
        Ok(Self)
    }

    pub(crate) fn warn(&self) {}

    pub(crate) fn recorder(&self) -> Option<terrace_server::ExtraRecorder> {
        None
    }

    pub(crate) fn layers(&self) -> Vec<BoxedLayer> {
        Vec::new()
    }

    pub(crate) async fn end(self) {}
}
