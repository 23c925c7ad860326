//! What `terrace serve` stands on: who is let in, and by which certificate.

use super::Finding;
use crate::commands::serve::certificate;
use crate::settings::Settings;
use crate::ui::Ui;
use terrace_server::auth::{Auth, Oidc};

/// Looks at what the configuration says of the server; nothing where it says nothing.
pub(super) async fn look_at(settings: &Settings, ui: &Ui, findings: &mut Vec<Finding>) {
    if let Err(failure) = settings.server(ui) {
        findings.push(Finding::of_failure("server", &failure));
    }
    match certificate(settings) {
        Ok(None) => {}
        Ok(Some(certificate)) => {
            let message = format!("{}, with its key", certificate.chain.display());
            findings.push(Finding::ok("server certificate", message));
        }
        Err(failure) => findings.push(Finding::of_failure("server certificate", &failure)),
    }
    if let Some(Auth::Oidc(oidc)) = &settings.configuration.server.auth {
        findings.push(issuer(oidc).await);
    }
}

/// Whether tokens can be judged.
async fn issuer(oidc: &Oidc) -> Finding {
    const WHAT: &str = "issuer of tokens";
    match oidc.check().await {
        Err(why) => Finding::fail(WHAT, why, "start it, or correct `server.auth`: nobody is let in without its keys"),
        Ok(()) => Finding::ok(WHAT, format!("{} answers with its keys", oidc.issuer)),
    }
}
