//! `witboost` of terrace.yaml: the platform that calls `terrace serve`, and the registrations of the server there.

use super::expand::revealed;
use secrecy::SecretString;
use std::path::{Path, PathBuf};
use terrace_engine::decode::{Fields, expect_text, wrong_type};
use terrace_engine::diagnostic::Diagnostic;
use terrace_engine::source::Located;
use terrace_engine::yaml::Node;
use terrace_provider::http::{ALLOW_PLAIN_HTTP, Base};

/// The prefix of the id of an infrastructure template.
pub(crate) const INFRASTRUCTURE: &str = "urn:dmb:itm:";
/// An example of such an id.
const EXAMPLE: &str = "urn:dmb:itm:terrace:0";

/// The platform, and the registrations of this server.
#[derive(Debug, Clone, Default)]
pub struct WitboostConfiguration {
    /// URL of the platform, as people open it in the browser.
    pub url: Option<String>,
    /// Access token of a service account (`wbat-…`), or a JWT.
    pub token: Option<SecretString>,
    /// PEM file of certificate authorities.
    pub ca_file: Option<PathBuf>,
    /// The token may be sent to other machines over `http://`.
    pub is_plain_http_allowed: bool,
    /// The server as an adapter.
    pub adapter: AdapterConfiguration,
}

/// The server as an adapter of the platform.
#[derive(Debug, Clone, Default)]
pub struct AdapterConfiguration {
    /// URL of the server for the platform's coordinator.
    pub url: Option<String>,
    /// URLs of the servers of single environments; without `url`, only these environments are registered.
    pub urls: Vec<(Located<String>, String)>,
    /// Infrastructure templates besides those of blueprints.
    pub templates: Vec<AdapterTemplate>,
}

/// An infrastructure template to register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterTemplate {
    /// The id with its version: `urn:dmb:itm:terrace:0`.
    pub id: String,
    /// The name for people.
    pub name: Option<String>,
    /// The description for people.
    pub description: Option<String>,
}

/// The name and the version of an infrastructure template's id; `None` for another text or an id without a version.
pub(crate) fn name_and_version(id: &str) -> Option<(&str, &str)> {
    let (name, version) = id.strip_prefix(INFRASTRUCTURE)?.rsplit_once(':')?;
    let is_part = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':'))
    };
    let is_version = version.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    (is_part(name) && is_version).then_some((name, version))
}

/// Reads `witboost`.
pub(super) fn witboost(node: &Node, folder: &Path, diagnostics: &mut Vec<Diagnostic>) -> WitboostConfiguration {
    let Some(mut fields) = Fields::open(node, "`witboost`", diagnostics) else { return Default::default() };
    let mut witboost = WitboostConfiguration { url: url(&mut fields, "url"), ..Default::default() };
    if let Some(entry) = fields.optional("token") {
        let node = revealed(&entry.value);
        match node.as_text() {
            Some(token) => witboost.token = Some(token.into()),
            None => fields.diagnostics.push(wrong_type("`token`", "text", node)),
        }
    }
    witboost.ca_file = fields.text("caFile").map(|path| folder.join(path.value));
    witboost.is_plain_http_allowed = fields.is_true(ALLOW_PLAIN_HTTP);
    if let Some(entry) = fields.optional("adapter")
        && let Some(adapter) = Fields::open(&entry.value, "`adapter`", fields.diagnostics)
    {
        witboost.adapter = read_adapter(adapter);
    }
    fields.finish();
    witboost
}

fn read_adapter(mut fields: Fields<'_, '_>) -> AdapterConfiguration {
    let mut adapter = AdapterConfiguration { url: url(&mut fields, "url"), ..Default::default() };
    for entry in fields.map("urls") {
        let Some(text) = expect_text(entry, fields.diagnostics) else { continue };
        let environment = Located { value: entry.key.clone(), span: entry.key_span };
        if let Some(url) = checked(text, fields.diagnostics) {
            adapter.urls.push((environment, url));
        }
    }
    for node in fields.list("templates") {
        let Some(template) = template(node, fields.diagnostics) else { continue };
        match adapter.templates.iter().any(|other| other.id == template.id) {
            true => fields.diagnostics.push(
                Diagnostic::error("repeated_template", format!("`{}` is listed twice", template.id))
                    .at(node.span)
                    .hint("remove one of them"),
            ),
            false => adapter.templates.push(template),
        }
    }
    fields.finish();
    adapter
}

fn template(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<AdapterTemplate> {
    let (id, name, description) = match node.as_text() {
        Some(id) => (Located { value: id.to_owned(), span: node.span }, None, None),
        None => {
            let mut fields = Fields::open(node, "a template", diagnostics)?;
            let (id, name) = (fields.required_text("id"), fields.text("name"));
            let description = fields.text("description");
            fields.finish();
            (id?, name, description)
        }
    };
    if name_and_version(&id.value).is_none() {
        diagnostics.push(
            Diagnostic::error("wrong_value", format!("`{}` is not the id of an infrastructure template", id.value))
                .at(id.span)
                .hint(format!("write an id with its version, such as `{EXAMPLE}`")),
        );
        return None;
    }
    let text = |located: Option<Located<String>>| located.map(|located| located.value);
    Some(AdapterTemplate { id: id.value, name: text(name), description: text(description) })
}

fn url(fields: &mut Fields<'_, '_>, name: &'static str) -> Option<String> {
    let text = fields.text(name)?;
    checked(text, fields.diagnostics)
}

/// The text of a URL, if it is one. The diagnostic does not repeat it: it may contain a password.
fn checked(text: Located<String>, diagnostics: &mut Vec<Diagnostic>) -> Option<String> {
    match Base::parse(&text.value) {
        Ok(_) => Some(text.value.trim().to_owned()),
        Err(why) => {
            diagnostics.push(
                Diagnostic::error("wrong_value", format!("this is not the URL of a server: {why}"))
                    .at(text.span)
                    .hint("write its scheme, host and path, such as `https://witboost.example.com`"),
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_of_an_infrastructure_template_ends_with_its_version() {
        for (id, expected) in [
            ("urn:dmb:itm:terrace:0", Some(("terrace", "0"))),
            ("urn:dmb:itm:a-b_c:1.2.3", Some(("a-b_c", "1.2.3"))),
            ("urn:dmb:itm:a:b:0", Some(("a:b", "0"))),
            ("urn:dmb:itm:terrace", None),
            ("urn:dmb:itm:terrace:", None),
            ("urn:dmb:itm::0", None),
            ("urn:dmb:itm:terrace:latest", None),
            ("urn:dmb:itm:ter race:0", None),
            ("urn:dmb:utm:terrace:0.0.0", None),
        ] {
            assert_eq!(name_and_version(id), expected, "{id}");
        }
    }
}
