//! `auth` of the server in `mode: github`: the application at GitHub, and the roles of people, organisations and teams.

use crate::configuration::fields::{read, secret};
use crate::configuration::server::grants::{Owner, role};
use std::time::Duration;
use terrace_engine::decode::Fields;
use terrace_engine::diagnostic::Diagnostic;
use terrace_engine::duration;
use terrace_engine::source::Located;
use terrace_engine::yaml::Entry;
use terrace_server::auth::{GitHub, Member};
use terrace_server::http::check_trusted_url;

/// The longest use of an answer about a token: a revoked token works for that long.
const LONGEST_CACHE: Duration = Duration::from_secs(3600);
/// The shortest use.
const SHORTEST_CACHE: Duration = Duration::from_secs(1);

pub(super) fn github(fields: &mut Fields<'_, '_>) -> Option<GitHub> {
    let client_id = fields.required_text("clientId");
    if let Some(id) = client_id.as_ref().filter(|id| id.value.is_empty()) {
        fields.diagnostics.push(
            Diagnostic::error("wrong_value", "`clientId` is empty")
                .at(id.span)
                .hint("write the client id that the page of the app at GitHub shows"),
        );
    }
    let client_secret = fields.required("clientSecret");
    let client_secret = client_secret.and_then(|entry| secret(entry, "GITHUB_CLIENT_SECRET", fields.diagnostics));
    let url = match fields.text("url") {
        Some(url) => site(&url, fields.diagnostics),
        None => Some(GitHub::URL.to_owned()),
    };
    let cache = read(fields, "cache", ("a duration from 1s to 1h", "5m"), |text| {
        duration::parse(text).ok().filter(|time| (SHORTEST_CACHE..=LONGEST_CACHE).contains(time))
    });
    let given = fields.optional("roles");
    if given.is_none_or(|entry| entry.value.as_map().is_some_and(<[Entry]>::is_empty)) {
        fields.diagnostics.push(
            Diagnostic::error("missing_field", "`auth` refuses every caller: it has no `roles`")
                .at(given.map_or_else(|| fields.span(), |entry| entry.value.span))
                .hint("add the members of your organisation: `roles: {acme: read}`"),
        );
    }
    let mut roles = Vec::new();
    for entry in fields.map("roles") {
        let member = member(entry, fields.diagnostics);
        roles.extend(member.zip(role(entry, Owner::WithoutClaims, fields.diagnostics)));
    }
    Some(GitHub {
        url: url?,
        client_id: client_id?.value,
        client_secret: client_secret?.into(),
        roles,
        cache: cache.unwrap_or(GitHub::CACHE),
    })
}

/// The address of a site, without a final slash.
fn site(url: &Located<String>, diagnostics: &mut Vec<Diagnostic>) -> Option<String> {
    let checked = check_trusted_url(&url.value).and_then(|parsed| {
        // The addresses of the interface and of the sign-in lie below the host.
        let is_host = parsed.path() == "/" && parsed.query().is_none() && parsed.fragment().is_none();
        let has_user = !parsed.username().is_empty() || parsed.password().is_some();
        if !is_host || has_user {
            return Err("it has more than a host and a port".to_owned());
        }
        // The interface of each site follows from the address of the site.
        let host = parsed.host_str().unwrap_or_default();
        if matches!(host, "www.github.com" | "api.github.com") || host.starts_with("api.") && host.ends_with(".ghe.com")
        {
            return Err("it is not the address of a site".to_owned());
        }
        Ok(parsed.as_str().trim_end_matches('/').to_owned())
    });
    checked
        .map_err(|why| {
            diagnostics.push(
                // Its value may have a password.
                Diagnostic::error("illegal_url", format!("`url` cannot be called: {why}"))
                    .at(url.span)
                    .hint("write `https://github.com`, or the address of GitHub Enterprise, such as `https://github.example.com`"),
            );
        })
        .ok()
}

/// The member that a role names.
fn member(entry: &Entry, diagnostics: &mut Vec<Diagnostic>) -> Option<Member> {
    let member = Member::parse(&entry.key);
    if member.is_none() {
        diagnostics.push(
            Diagnostic::error(
                "wrong_value",
                format!("`{}` names no person, organisation or team of GitHub", entry.key),
            )
            .at(entry.key_span)
            .hint("write `\"@LOGIN\"`, `ORGANISATION` or `ORGANISATION/TEAM`, with the team as in its address"),
        );
    }
    member
}
