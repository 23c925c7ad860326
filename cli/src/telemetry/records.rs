//! Adds the operation to log records, because log tools do not know spans.

use super::conventions::OPERATION;
use opentelemetry::logs::{AnyValue, LogRecord};
use opentelemetry::{Context as TelemetryContext, InstrumentationScope};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogProcessor, SdkLogRecord};
use std::fmt::Debug;
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// The id of an operation.
#[derive(Debug, Clone)]
struct Operation(String);

impl Visit for Operation {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "id" {
            self.0 = format!("{value:?}");
        }
    }
}

/// Passes the operation of an event to the layer that creates records.
pub(super) struct OperationLayer<L>(pub(super) L);

impl<S, L> Layer<S> for OperationLayer<L>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    L: Layer<S>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().name() == "operation"
            && let Some(span) = context.span(id)
        {
            let mut operation = Operation(String::new());
            attributes.record(&mut operation);
            span.extensions_mut().insert(operation);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut spans = context.event_scope(event).into_iter().flatten();
        let operation = spans.find_map(|span| span.extensions().get::<Operation>().cloned());
        let _within = operation.map(|operation| TelemetryContext::current_with_value(operation).attach());
        self.0.on_event(event, context);
    }
}

/// Adds the operation to records.
#[derive(Debug)]
pub(super) struct OperationProcessor;

impl LogProcessor for OperationProcessor {
    fn emit(&self, record: &mut SdkLogRecord, _: &InstrumentationScope) {
        let within = TelemetryContext::map_current(|context| context.get::<Operation>().cloned());
        // Some records are about an operation but outside of its span.
        let attribute =
            || record.attributes_iter().find(|(name, _)| name.as_str() == "operation").map(|it| it.1.clone());
        if let Some(operation) = within.map(|it| AnyValue::from(it.0)).or_else(attribute) {
            record.add_attribute(OPERATION, operation);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}
