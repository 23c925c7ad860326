//! Checks of the prerequisites of `terrace serve`: authentication and certificate.

use super::finding::Finding;
use crate::commands::serve::certificate;
use crate::settings::Settings;
use crate::ui::Ui;
use terrace_server::auth::{Auth, Oidc};

/// Checks the server's configuration, if there is any.
pub(super) async fn check(settings: &Settings, ui: &Ui, findings: &mut Vec<Finding>) {
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

/// Checks that the server can verify tokens.
async fn issuer(oidc: &Oidc) -> Finding {
    const SUBJECT: &str = "issuer of tokens";
    match oidc.check().await {
        Err(why) => Finding::fail(
            SUBJECT,
            why,
            "start it, or correct `server.auth`: the server refuses all callers without its keys",
        ),
        Ok(()) => Finding::ok(SUBJECT, format!("{} answers with its keys", oidc.issuer)),
    }
}
