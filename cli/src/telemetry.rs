//! Traces and logs for a collector of OpenTelemetry, as the `OTEL_*` variables of its specification say: by OTLP over
//! HTTP. Nothing is sent unless they name an endpoint.

mod conventions;
mod records;
mod watched;

use crate::failure::Failure;
use crate::variables::Variables;
use crate::version::VERSION;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{LogExporter, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use records::{Naming, Within};
use std::sync::Arc;
use tracing_subscriber::{Layer, Registry};
use watched::{Losses, Watched};

/// What is sent, as long as the process serves.
#[derive(Default)]
pub(crate) struct Telemetry {
    traces: Option<(SdkTracerProvider, Arc<Losses>)>,
    logs: Option<(SdkLoggerProvider, Arc<Losses>)>,
}

/// A part of what happens with spans and events.
pub(crate) type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

impl Telemetry {
    /// What the variables ask for.
    ///
    /// # Errors
    /// When they cannot be understood.
    pub(crate) fn start(variables: &Variables) -> Result<Self, Failure> {
        let mut telemetry = Self::default();
        if variables.get("OTEL_SDK_DISABLED").is_some_and(|word| word.eq_ignore_ascii_case("true")) {
            return Ok(telemetry);
        }
        let asks = |signal: &str| {
            let is_off = variables.get(&format!("OTEL_{signal}_EXPORTER")).is_some_and(|word| word == "none");
            let endpoints = ["OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")];
            !is_off && endpoints.iter().any(|name| variables.get(name).is_some_and(|url| !url.is_empty()))
        };
        for signal in ["", "TRACES_", "LOGS_"] {
            let name = format!("OTEL_EXPORTER_OTLP_{signal}PROTOCOL");
            let protocol = variables.get(&name).unwrap_or_default();
            if !matches!(protocol, "" | "http/protobuf") && (asks("TRACES") || asks("LOGS")) {
                return Err(Failure::new(format!("`{name}` is `{protocol}`, which is not spoken here"))
                    .hint("set `http/protobuf`, and the port where the collector takes that: 4318 by default"));
            }
        }
        let refuse = |error: &dyn std::fmt::Display| {
            Failure::new(format!("nothing can be sent by OpenTelemetry: {error}"))
                .hint("see `OTEL_EXPORTER_OTLP_ENDPOINT` and its like; `OTEL_SDK_DISABLED=true` sends nothing")
        };
        // What is sent may have to be encrypted. It fails where that was chosen already, which is as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Its service name, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` say another one.
        let resource = || {
            // The name of its own goes before that among others, which the SDK has the other way round.
            let own = variables.get("OTEL_SERVICE_NAME").filter(|name| !name.is_empty());
            let is_name = |one: &str| one.split_once('=').is_some_and(|(key, _)| key.trim() == "service.name");
            let is_among = variables.get("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|all| all.split(',').any(is_name));
            let resource = match own {
                Some(name) => Resource::builder().with_service_name(name.to_owned()),
                None if is_among => Resource::builder(),
                None => Resource::builder().with_service_name("terrace"),
            };
            resource.with_attribute(KeyValue::new("service.version", VERSION)).build()
        };
        if asks("TRACES") {
            let exporter = SpanExporter::builder().with_http().build().map_err(|error| refuse(&error))?;
            let losses = Losses::of("traces");
            let exporter = Watched::new(exporter, &losses);
            let provider = SdkTracerProvider::builder().with_resource(resource()).with_batch_exporter(exporter).build();
            opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
            telemetry.traces = Some((provider, losses));
        }
        if asks("LOGS") {
            let exporter = LogExporter::builder().with_http().build().map_err(|error| refuse(&error))?;
            let losses = Losses::of("logs");
            let exporter = Watched::new(exporter, &losses);
            let provider = SdkLoggerProvider::builder().with_resource(resource()).with_log_processor(Naming);
            let provider = provider.with_batch_exporter(exporter).build();
            telemetry.logs = Some((provider, losses));
        }
        Ok(telemetry)
    }

    /// What turns spans and events into what is sent.
    pub(crate) fn layers(&self) -> Vec<BoxedLayer> {
        let traces = self.traces.as_ref().map(|(provider, _)| {
            let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer(env!("CARGO_PKG_NAME")));
            // Where in the code it is, and what threads do, tells who looks at traces nothing.
            layer.with_location(false).with_threads(false).with_target(false).with_tracked_inactivity(false).boxed()
        });
        let logs = self.logs.as_ref().map(|(provider, _)| Within(OpenTelemetryTracingBridge::new(provider)).boxed());
        traces.into_iter().chain(logs).collect()
    }

    /// Sends what was not sent yet.
    pub(crate) async fn end(self) {
        let Self { traces, logs } = self;
        // It waits for an answer, on this thread.
        let ended = tokio::task::spawn_blocking(move || {
            if let Some((provider, losses)) = traces {
                losses.end(provider.shutdown());
            }
            if let Some((provider, losses)) = logs {
                losses.end(provider.shutdown());
            }
        });
        let _ = ended.await;
    }
}
