//! `terrace witboost register`: registers the server for each infrastructure template and environment.

use super::client::{CallError, Client, Registered};
use super::registrations::{Registration, Registrations};
use crate::args::WitboostRegisterArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::harmless_line;
use crate::ui::counted;
use serde_json::{Value as Json, json};

/// The result of a registration.
enum Sent {
    Done(Registered),
    /// The message of the failure, without secrets.
    Failed(String),
    /// An earlier failure stopped the command.
    Skipped,
}

impl Sent {
    fn word(&self) -> &'static str {
        match self {
            Self::Done(Registered::Taken) => "registered",
            Self::Done(Registered::Exists) => "exists",
            Self::Failed(_) => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// Shows the registrations, asks, and sends them.
///
/// # Errors
/// When the configuration is invalid, the user does not consent, or the platform does not take all registrations.
pub(super) async fn run(context: &Context<'_>, arguments: &WitboostRegisterArguments) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let registrations = Registrations::of(context, &settings)?;
    let client = Client::new(&settings, context.ui)?;
    let plan = plan(&registrations, client.url());
    if arguments.auto_approve {
        context.ui.print_note(&plan);
    } else {
        context.ui.print_message(&plan);
        let question = "Do you want to send these registrations?\n  Witboost will call the server at these addresses.";
        context.ui.confirm(question, "review the registrations, then pass `--auto-approve`")?;
    }
    let mut sent: Vec<(&Registration, Sent)> = Vec::new();
    // A refused token or a silent platform would fail every call.
    let mut is_over = false;
    for registration in &registrations.all {
        if is_over {
            sent.push((registration, Sent::Skipped));
            continue;
        }
        match client.register(registration).await {
            Ok(registered) => sent.push((registration, Sent::Done(registered))),
            Err(CallError { status, failure, .. }) => {
                is_over = matches!(status, None | Some(401 | 403 | 429));
                context.ui.fail(&failure);
                sent.push((registration, Sent::Failed(failure.message.unwrap_or_default())));
            }
        }
    }
    let existing = sent.iter().filter(|(_, sent)| matches!(sent, Sent::Done(Registered::Exists))).count();
    if existing > 0 {
        context.ui.print_message(&format!(
            "warning: Witboost has {} with these ids already, and keeps their addresses: to change one, remove the \
             adapter in Witboost first",
            counted(existing, "adapter")
        ));
    }
    if arguments.format.is_json() {
        let results: Vec<Json> = sent.iter().map(|(registration, sent)| result(registration, sent)).collect();
        context.ui.print_json(&json!({
            "witboost": client.url(), "registrations": results, "use_case_templates": registrations.use_cases,
        }))?;
    } else {
        let lines = sent.iter().map(|(registration, sent)| format!("{:10}  {}\n", sent.word(), line(registration)));
        context.ui.print(&lines.collect::<String>())?;
    }
    let taken = sent.iter().filter(|(_, sent)| matches!(sent, Sent::Done(Registered::Taken))).count();
    match (taken, existing) {
        (taken, _) if taken == sent.len() => Ok(Exit::Done),
        (0, 0) => Err(Failure::reported(Exit::Error)),
        // Existing adapters may have an older address.
        _ => Err(Failure::reported(Exit::PartlyApplied)),
    }
}

fn result(registration: &Registration, sent: &Sent) -> Json {
    let mut json = registration.to_json();
    if let Json::Object(fields) = &mut json {
        fields.insert("result".to_owned(), sent.word().into());
        let message = match sent {
            Sent::Failed(message) => message.as_str().into(),
            _ => Json::Null,
        };
        fields.insert("message".to_owned(), message);
    }
    json
}

/// A registration in a line.
pub(super) fn line(registration: &Registration) -> String {
    let Registration { id, environment, url, .. } = registration;
    harmless_line(&format!("{id}  {environment}  {url}"))
}

/// The registrations, for people.
pub(super) fn plan(registrations: &Registrations, witboost: &str) -> String {
    let lines: String = registrations.all.iter().map(|registration| format!("  + {}\n", line(registration))).collect();
    let mut text = format!(
        "{} for {witboost}: infrastructure template, environment, address of the server\n\n{lines}",
        counted(registrations.all.len(), "registration")
    );
    if !registrations.use_cases.is_empty() {
        let ids: String = registrations.use_cases.iter().map(|id| format!("  {}\n", harmless_line(id))).collect();
        text.push_str(&format!(
            "\nBlueprints answer these use-case templates, which a `template.yaml` in Witboost registers. Each must name one \
             of the infrastructure templates above:\n\n{ids}"
        ));
    }
    text.trim_end().to_owned()
}
