//! The log: on standard error, or in the file of `TERRACE_LOG_FILE`.

pub(crate) mod levels;

use crate::args::Global;
use crate::configuration::{AuditDestination, LogConfiguration};
use crate::context::Context;
use crate::failure::Failure;
use crate::files::{self, OtherAccess};
use crate::report::report;
use crate::telemetry::BoxedLayer;
use crate::ui::Ui;
use crate::variables::Variables;
use levels::check_level;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::IsTerminal;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use terrace_engine::source::Sources;
use terrace_server::audit::TARGET;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{Directive, filter_fn};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

/// Opens the log.
///
/// # Errors
/// When the log file cannot be written, or `TERRACE_LOG` is invalid.
pub(crate) fn start(global: &Global, variables: &Variables, ui: &Ui) -> Result<(), Failure> {
    if let Some(warning) = variables.get("TERRACE_LOG").and_then(check_level) {
        report(ui, &Sources::default(), &[warning]);
    }
    let Some(directives) = directives(global, variables.get("TERRACE_LOG")) else { return Ok(()) };
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter(&directives)?);
    // Only tests start a second log in a process: the first one stays.
    let _ = match variables.get("TERRACE_LOG_FILE") {
        Some(path) => subscriber.with_ansi(false).with_writer(Arc::new(open_log(path)?)).try_init(),
        None => {
            let is_colored = std::io::stderr().is_terminal() && variables.get("NO_COLOR").is_none();
            subscriber.with_ansi(is_colored).with_writer(std::io::stderr).try_init()
        }
    };
    Ok(())
}

/// The layer that logs audit entries, one JSON object a line, independent of the level of the other log.
///
/// # Errors
/// When its file cannot be written.
pub(crate) fn audit(destination: &AuditDestination, folder: &Path) -> Result<Option<BoxedLayer>, Failure> {
    let writer = match destination {
        AuditDestination::Off => return Ok(None),
        AuditDestination::StandardError => BoxMakeWriter::new(std::io::stderr),
        AuditDestination::File(path) => {
            BoxMakeWriter::new(Arc::new(open(&folder.join(path), "the audit log", "server.audit.log")?))
        }
    };
    let entries = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer).event_format(Entry);
    Ok(Some(entries.with_filter(filter_fn(|metadata| metadata.target() == TARGET)).boxed()))
}

/// Writes only the message of an event.
struct Entry;

impl<S, N> FormatEvent<S, N> for Entry
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        struct Message<'w>(Writer<'w>);
        impl Visit for Message<'_> {
            fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                if field.name() == "message" {
                    // Writing to a string cannot fail.
                    let _ = writeln!(self.0, "{value:?}");
                }
            }
        }
        event.record(&mut Message(writer.by_ref()));
        Ok(())
    }
}

/// The handle of the server's log.
pub(crate) struct ServerLog(reload::Handle<EnvFilter, Layered>);

/// The layers below the filter.
type Layered = tracing_subscriber::layer::Layered<Vec<BoxedLayer>, Registry>;

/// Opens the log of the server: on standard error as text or JSON, and in additional layers.
///
/// # Errors
/// When the log file cannot be written, or the levels are invalid.
pub(crate) fn serve(
    context: &Context<'_>,
    configured: &LogConfiguration,
    mut layers: Vec<BoxedLayer>,
) -> Result<ServerLog, Failure> {
    if configured.is_json {
        context.ui.print_messages_as_json();
    }
    if let Some(warning) = context.variables.get("TERRACE_LOG").and_then(check_level) {
        report(context.ui, &Sources::default(), &[warning]);
    }
    let file = context.variables.get("TERRACE_LOG_FILE").map(open_log).transpose()?;
    let is_colored = file.is_none() && std::io::stderr().is_terminal() && context.variables.get("NO_COLOR").is_none();
    let writer = match file {
        Some(file) => BoxMakeWriter::new(Arc::new(file)),
        None => BoxMakeWriter::new(std::io::stderr),
    };
    let output_layer = tracing_subscriber::fmt::layer().with_ansi(is_colored).with_writer(writer);
    let output_layer = if configured.is_json { output_layer.json().boxed() } else { output_layer.boxed() };
    layers.push(output_layer.with_filter(filter_fn(|metadata| metadata.target() != TARGET)).boxed());
    let (filter, handle) = reload::Layer::new(server_filter(context, configured)?);
    // Only tests start a second log in a process: the first one stays.
    let _ = tracing_subscriber::registry().with(layers).with(filter).try_init();
    Ok(ServerLog(handle))
}

impl ServerLog {
    /// Applies the levels of a reloaded configuration.
    ///
    /// # Errors
    /// When they are invalid.
    pub(crate) fn reload(&self, context: &Context<'_>, configured: &LogConfiguration) -> Result<(), Failure> {
        let filter = server_filter(context, configured)?;
        self.0.reload(filter).map_err(|error| Failure::new(format!("the log keeps its levels: {error}")))
    }
}

fn server_filter(context: &Context<'_>, configured: &LogConfiguration) -> Result<EnvFilter, Failure> {
    let requested = directives(context.global, context.variables.get("TERRACE_LOG"));
    let requested = requested.or_else(|| directives(context.global, configured.level.as_deref()));
    let filter = filter(&requested.unwrap_or_else(|| terrace_level("info")))?;
    // Levels of the other log do not silence the audit log.
    Ok(match format!("{TARGET}=info").parse::<Directive>() {
        Ok(audited) => filter.add_directive(audited),
        Err(_) => filter,
    })
}

fn filter(directives: &str) -> Result<EnvFilter, Failure> {
    EnvFilter::try_new(directives).map_err(|error| {
        Failure::new(format!("`TERRACE_LOG` is invalid: {error}"))
            .hint("write `error`, `warn`, `info`, `debug` or `trace`")
    })
}

fn open_log(path: &str) -> Result<File, Failure> {
    open(Path::new(path), "the log", "TERRACE_LOG_FILE")
}

/// Opens a log file that only this user can read. `setting` is the name of its setting.
fn open(path: &Path, what: &str, setting: &str) -> Result<File, Failure> {
    let shown = path.display();
    if files::access_of_others(path) == OtherAccess::Write {
        return Err(Failure::new(format!("{what} `{shown}` can be changed by other users of this machine"))
            .hint(files::make_private(path)));
    }
    // A log may hold confidential names and values.
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(|error| {
        Failure::new(format!("{what} `{shown}` cannot be written: {error}"))
            .hint(format!("set `{setting}` to the path of a file in an existing folder"))
    })
}

/// A level alone applies to terrace: libraries log only warnings unless named. The client of Kubernetes logs each failed request,
/// and answers, which may have secrets: its callers report their errors. Its warnings about certificates have no caller.
fn terrace_level(level: &str) -> String {
    format!("warn,kube_client::client=off,kube_client::client::tls=warn,terrace={level}")
}

/// The directives of the log; `None` without a flag or a variable.
fn directives(global: &Global, variable: Option<&str>) -> Option<String> {
    match (global.verbose, variable) {
        (0, Some(level @ ("error" | "warn" | "info" | "debug" | "trace"))) => Some(terrace_level(level)),
        (0, Some(directives)) => Some(directives.to_owned()),
        (0, None) => None,
        (1, _) => Some(terrace_level("debug")),
        (_, _) => Some(terrace_level("trace")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verbose(verbose: u8) -> Global {
        Global { verbose, ..Global::default() }
    }

    #[test]
    fn nothing_is_logged_by_default() {
        assert_eq!(directives(&verbose(0), None), None);
    }

    #[test]
    fn unknown_level_gets_a_suggestion() {
        assert_eq!(
            check_level("foo").unwrap().message,
            "`foo` in `TERRACE_LOG` is not a level: nothing is logged for it"
        );
        assert_eq!(check_level("warn,debgu").unwrap().hint.as_deref(), Some("did you mean `debug`?"));
        for fine in ["debug", "WARN", "hyper=info", "terrace_engine", "warn,terrace_state=trace", "off", "[span]=info"]
        {
            assert_eq!(check_level(fine), None, "{fine}");
        }
    }

    #[test]
    fn client_of_kubernetes_logs_only_certificates() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let file = Arc::new(File::create(&path).unwrap());
        let log = tracing_subscriber::fmt().with_env_filter(filter(&terrace_level("debug")).unwrap()).with_writer(file);
        tracing::subscriber::with_default(log.finish(), || {
            tracing::error!(target: "kube_client::client::builder", "a failed request");
            tracing::warn!(target: "kube_client::client::tls", "a stale certificate");
        });
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("a stale certificate") && !text.contains("a failed request"), "{text}");
    }

    #[test]
    fn flag_has_priority_over_variable() {
        assert_eq!(directives(&verbose(2), Some("error")), Some(terrace_level("trace")));
        assert_eq!(directives(&verbose(0), Some("debug")), Some(terrace_level("debug")));
        assert_eq!(directives(&verbose(0), Some("hyper=info")).as_deref(), Some("hyper=info"));
    }
}
