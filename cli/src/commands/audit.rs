//! `terrace audit`: exports the audit log, checks it, and removes old entries.

use super::Context;
use crate::args::{AuditCommand, AuditExportArguments, Since};
use crate::failure::{Exit, Failure};
use crate::signals::Signals;
use crate::wiring::{recorded_with_requests, server_store_to_read};
use std::time::Duration;
use terrace_engine::store::{AuditLink, Verifier};

/// So many entries are read at once.
const PAGE: usize = 1_000;
/// Younger entries are removed only where a person consents.
const LONG_ENOUGH: Duration = Duration::from_secs(30 * 24 * 3600);

/// Exports or prunes the audit log.
///
/// # Errors
/// When the state cannot be read or written, or an entry was changed or removed.
pub(super) async fn run(context: &Context<'_>, command: AuditCommand, signals: &Signals) -> Result<Exit, Failure> {
    match command {
        AuditCommand::Export(arguments) => export(context, &arguments).await,
        AuditCommand::Prune { keep, auto_approve } => prune(context, signals, keep, auto_approve).await,
    }
}

async fn export(context: &Context<'_>, arguments: &AuditExportArguments) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let store = server_store_to_read(&settings).await?;
    let since = match arguments.since {
        None => None,
        Some(Since::At(at)) => Some(at),
        Some(Since::Ago(age)) => store.now().await?.checked_sub(age).ok(),
    };
    let is_wanted = |link: &&AuditLink| since.is_none_or(|since| link.at >= since);
    let mut verifier = arguments.verify.then(Verifier::default);
    let mut after = 0;
    loop {
        let page = store.audited(after, PAGE).await?;
        let mut lines = String::new();
        let mut broken = None;
        for link in &page.links {
            broken = broken.or_else(|| verifier.as_mut().and_then(|verifier| verifier.take(link).err()));
            if broken.is_some() {
                break;
            }
            if is_wanted(&link) {
                let line = link.line().map_err(|error| {
                    Failure::new(format!("entry {} of the audit log cannot be read: {error}", link.number))
                        .hint("`terrace audit export --verify` says where the log was changed")
                })?;
                lines += &line;
                lines.push('\n');
            }
        }
        if !lines.is_empty() {
            context.ui.print(&lines)?;
        }
        if let Some(broken) = broken {
            return Err(Failure::new(broken.to_string()).hint(COMPARE));
        }
        match page.links.last() {
            Some(last) if page.links.len() == PAGE => after = last.number,
            _ => {
                let head = page.head;
                if let Some(verifier) = verifier {
                    let count = verifier.finish(head.as_ref());
                    let last = count.map_err(|broken| Failure::new(broken.to_string()).hint(COMPARE))?;
                    let end = head.map(|head| format!(" with the hash {}", head.hash)).unwrap_or_default();
                    context.ui.tell(&format!("the audit log is whole: its last entry is {last}{end}"));
                }
                return Ok(Exit::Done);
            }
        }
    }
}

const COMPARE: &str = "compare the entries with the lines that the server logged (`server.audit.log`)";

async fn prune(context: &Context<'_>, signals: &Signals, keep: Duration, auto_approve: bool) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    if keep < LONG_ENOUGH && !auto_approve {
        let question =
            "Do you really want to remove entries that are that young?\n  Nothing else says who changed what.";
        context.ui.confirm(question, "keep more with `--keep 400d`, or pass `--auto-approve`")?;
    }
    let store = recorded_with_requests(&settings).await?;
    signals.begin_changes();
    let removed = store.prune_audit(keep).await?;
    context.ui.print(&format!("entries removed: {removed}\n"))?;
    Ok(Exit::Done)
}
