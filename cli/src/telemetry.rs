//! Traces and logs for a collector of OpenTelemetry, as the `OTEL_*` variables of its specification say: by OTLP over
//! HTTP. Nothing is sent unless they name an endpoint.

use crate::failure::Failure;
use crate::variables::Variables;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{LogExporter, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::{Layer, Registry};

/// What is sent, as long as the process serves.
#[derive(Default)]
pub(crate) struct Telemetry {
    traces: Option<SdkTracerProvider>,
    logs: Option<SdkLoggerProvider>,
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
            let named = variables.get("OTEL_SERVICE_NAME").is_some()
                || variables.get("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|all| all.contains("service.name="));
            let resource = Resource::builder();
            let resource = if named { resource } else { resource.with_service_name("terrace") };
            resource.with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))).build()
        };
        if asks("TRACES") {
            let exporter = SpanExporter::builder().with_http().build().map_err(|error| refuse(&error))?;
            let provider = SdkTracerProvider::builder().with_resource(resource()).with_batch_exporter(exporter).build();
            opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
            telemetry.traces = Some(provider);
        }
        if asks("LOGS") {
            let exporter = LogExporter::builder().with_http().build().map_err(|error| refuse(&error))?;
            let provider = SdkLoggerProvider::builder().with_resource(resource()).with_batch_exporter(exporter).build();
            telemetry.logs = Some(provider);
        }
        Ok(telemetry)
    }

    /// What turns spans and events into what is sent.
    pub(crate) fn layers(&self) -> Vec<BoxedLayer> {
        let traces = self.traces.as_ref().map(|provider| {
            tracing_opentelemetry::layer().with_tracer(provider.tracer(env!("CARGO_PKG_NAME"))).boxed()
        });
        let logs = self.logs.as_ref().map(|provider| OpenTelemetryTracingBridge::new(provider).boxed());
        traces.into_iter().chain(logs).collect()
    }

    /// Sends what was not sent yet.
    pub(crate) async fn end(self) {
        let Self { traces, logs } = self;
        // It waits for an answer, on this thread.
        let ended = tokio::task::spawn_blocking(move || {
            for error in [traces.map(|it| it.shutdown()), logs.map(|it| it.shutdown())].into_iter().flatten() {
                if let Err(error) = error {
                    tracing::warn!(%error, "not all could be sent by OpenTelemetry");
                }
            }
        });
        let _ = ended.await;
    }
}
