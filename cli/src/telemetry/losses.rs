//! Detects an unavailable collector. Logs once when data no longer arrives, and once when it does again, with the
//! amount lost.

use super::conventions;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Lost data of a signal.
#[derive(Debug)]
pub(super) struct Losses {
    /// Name for people: `traces`.
    signal: &'static str,
    /// Items lost since the last successful export.
    lost: AtomicUsize,
}

impl Losses {
    pub(super) fn of(signal: &'static str) -> Arc<Self> {
        Arc::new(Self { signal, lost: AtomicUsize::new(0) })
    }

    /// Counts the items of an export.
    fn note(&self, count: usize, sent: &OTelSdkResult) {
        let signal = self.signal;
        match sent {
            Ok(()) => {
                let lost = self.lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    tracing::info!(signal, lost, "OpenTelemetry data arrives again");
                }
            }
            Err(error) => {
                if self.lost.fetch_add(count, Ordering::Relaxed) == 0 {
                    let what = "OpenTelemetry data does not arrive, and is lost until the collector answers";
                    tracing::warn!(signal, %error, "{what}");
                }
            }
        }
    }

    /// Logs the final losses.
    pub(super) fn end(&self, ended: OTelSdkResult) {
        let (signal, lost) = (self.signal, self.lost.load(Ordering::Relaxed));
        match ended {
            // The reason was logged at the first loss.
            _ if lost > 0 => tracing::warn!(signal, lost, "some OpenTelemetry data was not sent"),
            Err(error) => tracing::warn!(signal, %error, "some OpenTelemetry data was not sent"),
            Ok(()) => {}
        }
    }
}

/// An exporter that counts losses.
#[derive(Debug)]
pub(super) struct LossCountingExporter<E> {
    exporter: E,
    losses: Arc<Losses>,
}

impl<E> LossCountingExporter<E> {
    pub(super) fn new(exporter: E, losses: &Arc<Losses>) -> Self {
        Self { exporter, losses: Arc::clone(losses) }
    }
}

impl<E: SpanExporter> SpanExporter for LossCountingExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let batch: Vec<_> = batch.into_iter().filter_map(conventions::convert_span).collect();
        let count = batch.len();
        if count == 0 {
            return Ok(());
        }
        let sent = self.exporter.export(batch).await;
        self.losses.note(count, &sent);
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: LogExporter> LogExporter for LossCountingExporter<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let count = batch.iter().count();
        let sent = self.exporter.export(batch).await;
        self.losses.note(count, &sent);
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for LossCountingExporter<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let sent = self.exporter.export(metrics).await;
        // The next export has the same totals.
        self.losses.note(1, &sent);
        sent
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}
