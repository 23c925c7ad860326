//! Traces, metrics and logs for a collector of OpenTelemetry or for the console. The `OTEL_*` variables of its
//! specification configure them. Without an endpoint or an exporter nothing is sent.

mod conventions;
mod exporters;
mod losses;
mod metrics;
mod records;

use crate::failure::Failure;
use crate::variables::Variables;
use crate::version::VERSION;
use exporters::{Exporters, Protocol, Signal};
use losses::{LossCountingExporter, Losses};
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider;
use opentelemetry::trace::TracerProvider;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{LogExporter, MetricExporter, SpanExporter, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use records::{OperationLayer, OperationProcessor};
use std::sync::Arc;
use terrace_server::ExtraRecorder;
use tracing_subscriber::{Layer, Registry};

/// Telemetry of a serving process.
#[derive(Default)]
pub(crate) struct Telemetry {
    traces: Option<(SdkTracerProvider, Arc<Losses>)>,
    metrics: Option<(SdkMeterProvider, Arc<Losses>)>,
    logs: Option<(SdkLoggerProvider, Arc<Losses>)>,
    warnings: Vec<String>,
}

/// A layer for spans and events.
pub(crate) type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

impl Telemetry {
    /// Starts the telemetry that the variables configure.
    ///
    /// # Errors
    /// When the variables are invalid.
    pub(crate) fn start(variables: &Variables) -> Result<Self, Failure> {
        let mut telemetry = Self::default();
        if variables.get("OTEL_SDK_DISABLED").is_some_and(|word| word.eq_ignore_ascii_case("true")) {
            return Ok(telemetry);
        }
        let mut of = |signal| exporters::of(signal, variables, &mut telemetry.warnings);
        let [traces, metrics, logs] = Signal::ALL.map(&mut of);
        let (traces, metrics, logs) = (traces?, metrics?, logs?);
        // Connections may need TLS. An error means that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let resource = resource(variables);
        telemetry.traces = trace(traces, variables, &resource)?;
        telemetry.metrics = measure(metrics, variables, &resource)?;
        telemetry.logs = log(logs, variables, &resource)?;
        Ok(telemetry)
    }

    /// Logs ignored values of variables.
    pub(crate) fn warn(&self) {
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
    }

    /// The recorder for metrics.
    pub(crate) fn recorder(&self) -> Option<ExtraRecorder> {
        let (provider, _) = self.metrics.as_ref()?;
        Some(Box::new(metrics::MetricsRecorder::new(provider.meter(env!("CARGO_PKG_NAME")))))
    }

    /// The layers that convert spans and events.
    pub(crate) fn layers(&self) -> Vec<BoxedLayer> {
        let traces = self.traces.as_ref().map(|(provider, _)| {
            let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer(env!("CARGO_PKG_NAME")));
            // Code locations and threads do not help readers of traces.
            layer.with_location(false).with_threads(false).with_target(false).with_tracked_inactivity(false).boxed()
        });
        let logs =
            self.logs.as_ref().map(|(provider, _)| OperationLayer(OpenTelemetryTracingBridge::new(provider)).boxed());
        traces.into_iter().chain(logs).collect()
    }

    /// Sends the remaining data.
    pub(crate) async fn end(self) {
        let Self { traces, metrics, logs, .. } = self;
        // The shutdown blocks its thread until the collector answers.
        let ended = tokio::task::spawn_blocking(move || {
            if let Some((provider, losses)) = traces {
                losses.end(provider.shutdown());
            }
            if let Some((provider, losses)) = metrics {
                losses.end(provider.shutdown());
            }
            if let Some((provider, losses)) = logs {
                losses.end(provider.shutdown());
            }
        });
        let _ = ended.await;
    }
}

/// The service name of the data: terrace, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` set it.
fn resource(variables: &Variables) -> Resource {
    // `OTEL_SERVICE_NAME` has priority; the SDK does the reverse.
    let own = variables.get("OTEL_SERVICE_NAME");
    let is_name = |one: &str| one.split_once('=').is_some_and(|(key, _)| key.trim() == "service.name");
    let is_among = variables.get("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|all| all.split(',').any(is_name));
    let resource = match own {
        Some(name) => Resource::builder().with_service_name(name.to_owned()),
        None if is_among => Resource::builder(),
        None => Resource::builder().with_service_name("terrace"),
    };
    resource.with_attribute(KeyValue::new("service.version", VERSION)).build()
}

fn refuse(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("OpenTelemetry cannot be set up: {error}"))
        .hint("correct `OTEL_EXPORTER_OTLP_ENDPOINT` and related variables, or set `OTEL_SDK_DISABLED=true`")
}

/// Makes gRPC trust the certificates of this machine, if the collector uses TLS.
fn with_native_roots<B: WithTonicConfig>(builder: B, signal: Signal, variables: &Variables) -> B {
    match exporters::is_encrypted(signal, variables) {
        true => builder.with_tls_config(ClientTlsConfig::new().with_native_roots()),
        false => builder,
    }
}

type Started<P> = Result<Option<(P, Arc<Losses>)>, Failure>;

fn trace(exporters: Exporters, variables: &Variables, resource: &Resource) -> Started<SdkTracerProvider> {
    if exporters == Exporters::default() {
        return Ok(None);
    }
    let (builder, losses) = (SpanExporter::builder(), Losses::of("traces"));
    let mut provider = SdkTracerProvider::builder().with_resource(resource.clone());
    if let Some(protocol) = exporters.otlp {
        let exporter = match protocol {
            Protocol::Http => builder.with_http().build(),
            Protocol::Grpc => with_native_roots(builder.with_tonic(), Signal::Traces, variables).build(),
        };
        let exporter = exporter.map_err(|error| refuse(&error))?;
        provider = provider.with_batch_exporter(LossCountingExporter::new(exporter, &losses));
    }
    if exporters.has_console {
        provider = provider
            .with_simple_exporter(LossCountingExporter::new(opentelemetry_stdout::SpanExporter::default(), &losses));
    }
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    Ok(Some((provider.build(), losses)))
}

fn measure(exporters: Exporters, variables: &Variables, resource: &Resource) -> Started<SdkMeterProvider> {
    if exporters == Exporters::default() {
        return Ok(None);
    }
    let (builder, losses) = (MetricExporter::builder(), Losses::of("metrics"));
    let mut provider = SdkMeterProvider::builder().with_resource(resource.clone());
    if let Some(protocol) = exporters.otlp {
        let exporter = match protocol {
            Protocol::Http => builder.with_http().build(),
            Protocol::Grpc => with_native_roots(builder.with_tonic(), Signal::Metrics, variables).build(),
        };
        let exporter = exporter.map_err(|error| refuse(&error))?;
        provider = provider.with_reader(PeriodicReader::builder(LossCountingExporter::new(exporter, &losses)).build());
    }
    if exporters.has_console {
        let exporter = opentelemetry_stdout::MetricExporter::default();
        provider = provider.with_reader(PeriodicReader::builder(exporter).build());
    }
    Ok(Some((provider.build(), losses)))
}

fn log(exporters: Exporters, variables: &Variables, resource: &Resource) -> Started<SdkLoggerProvider> {
    if exporters == Exporters::default() {
        return Ok(None);
    }
    let (builder, losses) = (LogExporter::builder(), Losses::of("logs"));
    let mut provider =
        SdkLoggerProvider::builder().with_resource(resource.clone()).with_log_processor(OperationProcessor);
    if let Some(protocol) = exporters.otlp {
        let exporter = match protocol {
            Protocol::Http => builder.with_http().build(),
            Protocol::Grpc => with_native_roots(builder.with_tonic(), Signal::Logs, variables).build(),
        };
        let exporter = exporter.map_err(|error| refuse(&error))?;
        provider = provider.with_batch_exporter(LossCountingExporter::new(exporter, &losses));
    }
    if exporters.has_console {
        provider = provider
            .with_simple_exporter(LossCountingExporter::new(opentelemetry_stdout::LogExporter::default(), &losses));
    }
    Ok(Some((provider.build(), losses)))
}
