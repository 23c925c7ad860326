//! Metrics of the server as instruments of OpenTelemetry, besides `/metrics`.

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use metrics_util::registry::{Registry, Storage};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{self as otel, Meter};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use terrace_server::SECONDS;

/// Descriptions of instruments by name.
type Descriptions = Arc<Mutex<HashMap<String, String>>>;

/// A recorder that feeds the instruments of a meter.
pub(super) struct MetricsRecorder {
    registry: Registry<Key, Instruments>,
    descriptions: Descriptions,
}

impl MetricsRecorder {
    pub(super) fn new(meter: Meter) -> Self {
        let descriptions = Descriptions::default();
        let instruments = Instruments { meter, descriptions: Arc::clone(&descriptions) };
        Self { registry: Registry::new(instruments), descriptions }
    }

    fn describe(&self, name: &KeyName, description: SharedString) {
        let mut descriptions = self.descriptions.lock().unwrap_or_else(PoisonError::into_inner);
        descriptions.insert(name.as_str().to_owned(), description.into_owned());
    }
}

impl Recorder for MetricsRecorder {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, description: SharedString) {
        self.describe(&name, description);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, description: SharedString) {
        self.describe(&name, description);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, description: SharedString) {
        self.describe(&name, description);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.registry.get_or_create_counter(key, |counter| Counter::from_arc(Arc::clone(counter)))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.registry.get_or_create_gauge(key, |gauge| Gauge::from_arc(Arc::clone(gauge)))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.registry.get_or_create_histogram(key, |histogram| Histogram::from_arc(Arc::clone(histogram)))
    }
}

/// Creates instruments.
struct Instruments {
    meter: Meter,
    descriptions: Descriptions,
}

impl Instruments {
    fn name_and_description(&self, key: &Key) -> (String, String) {
        let descriptions = self.descriptions.lock().unwrap_or_else(PoisonError::into_inner);
        (key.name().to_owned(), descriptions.get(key.name()).cloned().unwrap_or_default())
    }
}

fn attributes(key: &Key) -> Vec<KeyValue> {
    key.labels().map(|label| KeyValue::new(label.key().to_owned(), label.value().to_owned())).collect()
}

impl Storage<Key> for Instruments {
    type Counter = Arc<OtelCounter>;
    type Gauge = Arc<OtelGauge>;
    type Histogram = Arc<OtelHistogram>;

    fn counter(&self, key: &Key) -> Self::Counter {
        let (name, description) = self.name_and_description(key);
        let counter = self.meter.u64_counter(name).with_description(description).build();
        Arc::new(OtelCounter { counter, attributes: attributes(key), total: AtomicU64::new(0) })
    }

    fn gauge(&self, key: &Key) -> Self::Gauge {
        let (name, description) = self.name_and_description(key);
        let gauge = self.meter.f64_gauge(name).with_description(description).build();
        Arc::new(OtelGauge { gauge, attributes: attributes(key), value: Mutex::new(0.0) })
    }

    fn histogram(&self, key: &Key) -> Self::Histogram {
        let (name, description) = self.name_and_description(key);
        let histogram = self.meter.f64_histogram(name).with_description(description).with_boundaries(SECONDS.to_vec());
        Arc::new(OtelHistogram { histogram: histogram.build(), attributes: attributes(key) })
    }
}

struct OtelCounter {
    counter: otel::Counter<u64>,
    attributes: Vec<KeyValue>,
    total: AtomicU64,
}

impl CounterFn for OtelCounter {
    fn increment(&self, value: u64) {
        self.total.fetch_add(value, Ordering::Relaxed);
        self.counter.add(value, &self.attributes);
    }

    fn absolute(&self, value: u64) {
        let before = self.total.fetch_max(value, Ordering::Relaxed);
        self.counter.add(value.saturating_sub(before), &self.attributes);
    }
}

struct OtelGauge {
    gauge: otel::Gauge<f64>,
    attributes: Vec<KeyValue>,
    value: Mutex<f64>,
}

impl OtelGauge {
    fn change(&self, change: impl FnOnce(f64) -> f64) {
        let mut value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        *value = change(*value);
        self.gauge.record(*value, &self.attributes);
    }
}

impl GaugeFn for OtelGauge {
    fn increment(&self, by: f64) {
        self.change(|value| value + by);
    }

    fn decrement(&self, by: f64) {
        self.change(|value| value - by);
    }

    fn set(&self, to: f64) {
        self.change(|_| to);
    }
}

struct OtelHistogram {
    histogram: otel::Histogram<f64>,
    attributes: Vec<KeyValue>,
}

impl HistogramFn for OtelHistogram {
    fn record(&self, value: f64) {
        self.histogram.record(value, &self.attributes);
    }
}
