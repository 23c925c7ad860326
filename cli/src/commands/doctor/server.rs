//! Checks of the prerequisites of `terrace serve`: authentication and certificate.

use super::finding::Finding;
use crate::commands::pipelines::check_server;
use crate::commands::serve::certificate;
use crate::context::Context;
use crate::report::harmless_line;
use crate::settings::Settings;
use crate::sign_in::Issuer;
use crate::ui::Ui;
use terrace_server::auth::{Auth, GitHub, Oidc, SignInOffer};

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
    match &settings.configuration.server.auth {
        Some(Auth::Oidc(oidc)) => {
            findings.push(issuer(oidc).await);
            if let Some(offer) = &oidc.sign_in {
                findings.push(sign_in(offer).await);
            }
        }
        Some(Auth::GitHub(site)) => findings.push(github(site).await),
        _ => {}
    }
}

/// The subject of findings about the issuer.
const ISSUER: &str = "issuer of tokens";

/// Checks that GitHub knows the application of the server.
async fn github(site: &GitHub) -> Finding {
    match site.check().await {
        Err(why) => Finding::fail(
            ISSUER,
            why,
            "correct `url`, `clientId` and `clientSecret` of `server.auth`: the server refuses all callers without GitHub",
        ),
        Ok(()) => Finding::ok(ISSUER, format!("{} knows the application `{}`", site.url, site.client_id)),
    }
}

/// Checks that the server can verify tokens.
async fn issuer(oidc: &Oidc) -> Finding {
    match oidc.check().await {
        Err(why) => Finding::fail(
            ISSUER,
            why,
            "start it, or correct `server.auth`: the server refuses all callers without its keys",
        ),
        Ok(()) => Finding::ok(ISSUER, format!("{} answers with its keys", oidc.issuer)),
    }
}

/// Checks that people can sign in.
async fn sign_in(offer: &SignInOffer) -> Finding {
    const SUBJECT: &str = "sign-in of people";
    match Issuer::of(offer).await {
        Err(error) => {
            Finding::fail(SUBJECT, harmless_line(&error.to_string()), "correct `server.auth.signIn`, or remove it")
        }
        Ok(issuer) => Finding::ok(SUBJECT, format!("{} starts it", harmless_line(&issuer.device_url))),
    }
}

/// Checks the server of `terrace pipelines --server`, if the variable names one.
pub(super) async fn of_pipelines(context: &Context<'_>) -> Option<Finding> {
    const SUBJECT: &str = "server of pipelines";
    match check_server(context).await {
        Err(failure) => Some(Finding::of_failure(SUBJECT, &failure)),
        Ok(url) => url.map(|url| Finding::ok(SUBJECT, format!("{url} answers, and accepts the token"))),
    }
}
