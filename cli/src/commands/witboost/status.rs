//! `terrace witboost status` and `unregister`: access to the platform, and the registrations of the configuration.
//!
//! The published API of Witboost registers adapters, and neither lists nor removes them.

use super::client::Client;
use super::register::{line, plan};
use super::registrations::Registrations;
use crate::args::FormatArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::time::Duration;
use terrace_provider::http::{self, Auth, Base, Options, ParsedError, Request, Vendor, Within};

/// The limit of the wait for the server.
const SERVER_TIMEOUT: Duration = Duration::from_secs(10);

/// Checks the access to the platform and the server, and lists the registrations.
///
/// # Errors
/// When the configuration is invalid, or the platform does not accept the token.
pub(super) async fn run(context: &Context<'_>, format: FormatArguments) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let registrations = Registrations::of(context, &settings)?;
    let client = Client::new(&settings, context.ui)?;
    let access = client.check_access().await;
    let urls: BTreeSet<&str> = registrations.all.iter().map(|registration| registration.url.as_str()).collect();
    let mut servers = Vec::new();
    for url in urls {
        servers.push((url, answers(url).await));
    }
    let word = match &access {
        Ok(true) => "accepted",
        Ok(false) => "unchecked",
        Err(error) if error.is_refused => "refused",
        // The platform did not decide.
        Err(_) => "unknown",
    };
    if format.is_json() {
        let message = access.as_ref().err().and_then(|error| error.failure.message.clone());
        let servers: Vec<Json> = servers
            .iter()
            .map(|(url, state)| json!({"url": url, "answers": state.is_ok(), "message": state.as_ref().err()}))
            .collect();
        let all: Vec<Json> = registrations.all.iter().map(|registration| registration.to_json()).collect();
        context.ui.print_json(&json!({
            "witboost": client.url(), "token": word, "message": message, "servers": servers, "registrations": all,
            "use_case_templates": registrations.use_cases,
        }))?;
    } else {
        let mut text = format!("Witboost   {}: token {word}\n", client.url());
        for (url, state) in &servers {
            let state = match state {
                Ok(()) => "answers".to_owned(),
                Err(why) => format!("no answer to this machine: {why}"),
            };
            text.push_str(&format!("server     {url}: {state}\n"));
        }
        text.push_str(&format!("\n{}\n", plan(&registrations, client.url())));
        text.push_str(
            "\nWitboost publishes no API that lists adapters: compare this list with its page of adapters.\n",
        );
        context.ui.print(&text)?;
    }
    match access {
        Ok(_) => Ok(Exit::Done),
        Err(error) => {
            context.ui.fail(&error.failure);
            Err(Failure::reported(Exit::Error))
        }
    }
}

/// Checks that a server answers. A coordinator in a cluster may reach it where this machine does not.
async fn answers(url: &str) -> Result<(), String> {
    let vendor = Vendor {
        name: "the server",
        parse_error: |_| ParsedError::default(),
        had_no_effect: |_| false,
        reach: "",
        sign_in: "",
    };
    let base = Base::parse(url)?;
    let options = Options { timeout: SERVER_TIMEOUT, retries: 0, retries_after_loss: 0, ..Options::default() };
    let client = http::Client::new(options).map_err(|error| error.message)?;
    let api = client.api(base, Auth::None, vendor, Vec::new());
    let sent = api.send(&Request::get("/health", &[]), &Within::time(SERVER_TIMEOUT)).await;
    sent.map(drop).map_err(|failure| failure.in_words())
}

/// Lists the registrations to remove by hand.
///
/// # Errors
/// Always: the platform publishes no API that removes an adapter.
pub(super) fn unregister(context: &Context<'_>, format: FormatArguments) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let registrations = Registrations::of(context, &settings)?;
    if format.is_json() {
        let all: Vec<Json> = registrations.all.iter().map(|registration| registration.to_json()).collect();
        context.ui.print_json(&json!({
            "removed": [], "registrations": all, "use_case_templates": registrations.use_cases,
        }))?;
    } else {
        let lines: String = registrations.all.iter().map(|registration| format!("{}\n", line(registration))).collect();
        context.ui.print(&lines)?;
    }
    Err(Failure::refused("Witboost publishes no API that removes an adapter, so nothing was changed")
        .hint("remove the listed adapters in Witboost (Administration)"))
}
