//! Exporters of each signal, by the variables of OpenTelemetry's specification.

use crate::failure::Failure;
use crate::variables::Variables;

/// The variable with the collector of all signals.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// A signal of OpenTelemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Signal {
    pub(super) const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// The name in variables.
    const fn name(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Metrics => "METRICS",
            Self::Logs => "LOGS",
        }
    }
}

/// Protocols of collectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Grpc,
    Http,
}

/// Destinations of a signal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Exporters {
    /// Protocol of the collector, if any.
    pub(super) otlp: Option<Protocol>,
    /// True to write to standard output.
    pub(super) has_console: bool,
}

/// The exporters of a signal; other words are ignored, with a warning.
///
/// # Errors
/// When the protocol is not supported.
pub(super) fn of(signal: Signal, variables: &Variables, warnings: &mut Vec<String>) -> Result<Exporters, Failure> {
    let variable = format!("OTEL_{}_EXPORTER", signal.name());
    let mut exporters = Exporters::default();
    let (mut is_otlp, mut is_chosen) = (false, false);
    let words = variables.get(&variable).unwrap_or_default();
    for word in words.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match word {
            "otlp" => is_otlp = true,
            "console" => exporters.has_console = true,
            "none" => {}
            // `/metrics` exposes the metrics anyway.
            "prometheus" if signal == Signal::Metrics => {}
            other => {
                warnings.push(format!(
                    "`{variable}` names `{other}`, which is not supported: expected `otlp`, `console` or `none`"
                ));
                continue;
            }
        }
        is_chosen = true;
    }
    // By the specification, data goes to a collector on this machine by default. Most machines have none, so terrace
    // requires an endpoint.
    let names_collector = || {
        let own = format!("OTEL_EXPORTER_OTLP_{}_ENDPOINT", signal.name());
        [ENDPOINT, &own].iter().any(|name| variables.get(name).is_some())
    };
    if is_otlp || !is_chosen && names_collector() {
        exporters.otlp = Some(protocol(signal, variables)?);
    }
    Ok(exporters)
}

fn protocol(signal: Signal, variables: &Variables) -> Result<Protocol, Failure> {
    let own = format!("OTEL_EXPORTER_OTLP_{}_PROTOCOL", signal.name());
    let general = "OTEL_EXPORTER_OTLP_PROTOCOL";
    let named = |name: &str| Some((name.to_owned(), variables.get(name)?));
    match named(&own).or_else(|| named(general)) {
        None | Some((_, "http/protobuf")) => Ok(Protocol::Http),
        Some((_, "grpc")) => Ok(Protocol::Grpc),
        Some((name, other)) => Err(Failure::new(format!("`{name}` is `{other}`, which is not supported"))
            .hint("set `http/protobuf` or `grpc`, and the matching port of the collector: 4318 or 4317 by default")),
    }
}

/// True if the collector of a signal uses TLS.
pub(super) fn is_encrypted(signal: Signal, variables: &Variables) -> bool {
    let own = format!("OTEL_EXPORTER_OTLP_{}_ENDPOINT", signal.name());
    let endpoint = variables.get(&own).or_else(|| variables.get(ENDPOINT));
    endpoint.is_some_and(|url| url.starts_with("https://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(signal: Signal, variables: &[(&str, &str)]) -> (Option<Exporters>, Vec<String>) {
        let variables = variables.iter().copied().collect();
        let mut warnings = Vec::new();
        (of(signal, &variables, &mut warnings).ok(), warnings)
    }

    #[test]
    fn exporters_follow_the_variables_of_the_specification() {
        let http = Exporters { otlp: Some(Protocol::Http), has_console: false };
        let endpoint = (ENDPOINT, "http://collector:4317");
        let cases: &[(&[(&str, &str)], Exporters)] = &[
            (&[], Exporters::default()),
            (&[endpoint], http),
            (&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector")], http),
            (&[("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://collector")], Exporters::default()),
            (&[("OTEL_TRACES_EXPORTER", "otlp")], http),
            (&[endpoint, ("OTEL_TRACES_EXPORTER", "")], http),
            (&[endpoint, ("OTEL_TRACES_EXPORTER", "none")], Exporters::default()),
            (&[endpoint, ("OTEL_TRACES_EXPORTER", "console")], Exporters { otlp: None, has_console: true }),
            (&[("OTEL_TRACES_EXPORTER", "console, otlp")], Exporters { has_console: true, ..http }),
            (&[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], Exporters { otlp: Some(Protocol::Grpc), ..http }),
            (
                &[
                    endpoint,
                    ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
                    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
                ],
                http,
            ),
            // Without exporters the protocol does not matter.
            (&[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")], Exporters::default()),
        ];
        for (variables, expected) in cases {
            assert_eq!(found(Signal::Traces, variables), (Some(*expected), Vec::new()), "{variables:?}");
        }
        assert_eq!(found(Signal::Traces, &[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")]).0, None);
        assert_eq!(
            found(Signal::Metrics, &[endpoint, ("OTEL_METRICS_EXPORTER", "prometheus")]),
            (Some(Exporters::default()), Vec::new())
        );
    }

    #[test]
    fn unknown_exporter_is_ignored_with_a_warning() {
        let (exporters, warnings) =
            found(Signal::Logs, &[(ENDPOINT, "http://collector"), ("OTEL_LOGS_EXPORTER", "jaeger")]);
        assert_eq!(exporters.unwrap().otlp, Some(Protocol::Http));
        assert!(warnings[0].contains("`OTEL_LOGS_EXPORTER` names `jaeger`"), "{warnings:?}");
    }
}
