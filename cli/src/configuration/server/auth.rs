//! `auth` of the server: who is let in.

use super::super::limits::whole;
use crate::configuration::read::check_scripts;
use terrace_engine::decode::{Fields, expect_text};
use terrace_engine::diagnostic::{Diagnostic, did_you_mean};
use terrace_engine::source::Span;
use terrace_engine::yaml::Node;
use terrace_server::auth::{Auth, Oidc, Scope, Token};
use terrace_server::http::check_trusted_url;
use terrace_server::jwt::Accepted;

/// How callers are told from each other.
#[derive(Clone, Copy)]
enum Mode {
    None,
    Token,
    Oidc,
}

/// Who is let in.
pub(super) fn auth(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<Auth> {
    let mut fields = Fields::open(node, "`auth`", diagnostics)?;
    let modes = [("none", Mode::None), ("token", Mode::Token), ("oidc", Mode::Oidc)];
    let mode = fields.required("mode").and_then(|_| fields.word("mode", &modes));
    let auth = match mode {
        // Which other fields there are is for the mode to say.
        None => return None,
        Some(Mode::None) => Some(Auth::Anybody),
        Some(Mode::Token) => Some(Auth::Tokens(tokens(&mut fields))),
        Some(Mode::Oidc) => oidc(&mut fields).map(Auth::Oidc),
    };
    fields.finish();
    auth
}

/// The longest that tokens can be asked to be: heads of calls have limits, too.
const LONGEST_TOKEN: i64 = 1_024;

fn tokens(fields: &mut Fields<'_, '_>) -> Vec<Token> {
    let minimum_length = whole(fields, "minimumTokenLength", 1, LONGEST_TOKEN);
    let minimum_length = minimum_length.and_then(|length| usize::try_from(length).ok());
    let minimum_length = minimum_length.unwrap_or(Token::MINIMUM_LENGTH);
    let given = fields.optional("tokens");
    if given.is_none_or(|entry| entry.value.as_list().is_some_and(<[Node]>::is_empty)) {
        fields.diagnostics.push(
            Diagnostic::error("missing_field", "`auth` lets nobody in: it has no `tokens`")
                .at(given.map_or_else(|| fields.span(), |entry| entry.value.span))
                .hint("add `tokens: [{name: ci, sha256: …, scopes: [apply]}]`"),
        );
    }
    let mut tokens: Vec<Token> = Vec::new();
    for node in fields.list("tokens") {
        let Some(token) = token(node, minimum_length, fields.diagnostics) else { continue };
        match tokens.iter().find(|other| other.sha256 == token.sha256) {
            Some(other) => fields.diagnostics.push(
                Diagnostic::error(
                    "repeated_token",
                    format!(
                        "the token of `{}` is that of `{}`, too: nobody could tell whose a call is",
                        token.name, other.name
                    ),
                )
                .at(node.span)
                .hint("give each its own token, or leave one of them out"),
            ),
            None => tokens.push(token),
        }
    }
    tokens
}

fn oidc(fields: &mut Fields<'_, '_>) -> Option<Oidc> {
    let (issuer, audience) = (fields.required_text("issuer"), fields.required_text("audience"));
    let (jwks_url, roles_claim) = (fields.text("jwksUrl"), fields.text("rolesClaim"));
    for url in issuer.iter().chain(&jwks_url) {
        if let Err(why) = check_trusted_url(&url.value) {
            fields.diagnostics.push(
                Diagnostic::error("illegal_url", format!("`{}` cannot be called: {why}", url.value))
                    .at(url.span)
                    .hint("write an address such as `https://login.example.com/realms/data`"),
            );
        }
    }
    let mut roles = Vec::new();
    for entry in fields.map("roles") {
        check_scripts("role", &entry.key, entry.key_span, fields.diagnostics);
        let word = expect_text(entry, fields.diagnostics);
        roles.extend(
            word.and_then(|word| scope(&word.value, word.span, fields.diagnostics)).map(|it| (entry.key.clone(), it)),
        );
    }
    if fields.optional("roles").is_none() {
        roles.extend(Scope::WORDS.iter().map(|(word, scope)| ((*word).to_owned(), *scope)));
    }
    let (types, clients) = (accepted(fields, "tokenTypes"), accepted(fields, "clients"));
    Some(Oidc {
        types,
        clients,
        issuer: issuer?.value,
        audience: audience?.value,
        jwks_url: jwks_url.map(|url| url.value),
        roles_claim: roles_claim.map_or_else(|| "roles".to_owned(), |claim| claim.value),
        roles,
    })
}

/// The accepted values: those of the list, all with `["*"]`, the safe ones without a list.
fn accepted(fields: &mut Fields<'_, '_>, name: &'static str) -> Accepted {
    let Some(given) = fields.optional(name) else { return Accepted::Usual };
    let values: Vec<String> = fields.texts(name).into_iter().map(|text| text.value).collect();
    if values.is_empty() {
        fields.diagnostics.push(
            Diagnostic::error("wrong_value", format!("`{name}` accepts no token"))
                .at(given.value.span)
                .hint(format!("list the accepted values, write `{name}: [\"*\"]` for all, or remove the field")),
        );
    }
    match values.iter().any(|value| value == "*") {
        true => Accepted::Any,
        false => Accepted::Of(values),
    }
}

/// The scope of that name.
fn scope(word: &str, span: Span, diagnostics: &mut Vec<Diagnostic>) -> Option<Scope> {
    let known = Scope::WORDS.iter().find(|(name, _)| *name == word).map(|(_, scope)| *scope);
    if known.is_none() {
        diagnostics.push(
            Diagnostic::error("unknown_scope", format!("there is no scope `{word}`"))
                .at(span)
                .hint("scopes are `read`, `plan`, `apply` and `admin`; each has what stands before it")
                .maybe_hint(did_you_mean(word, Scope::WORDS.iter().map(|(name, _)| *name))),
        );
    }
    known
}

fn token(node: &Node, minimum_length: usize, diagnostics: &mut Vec<Diagnostic>) -> Option<Token> {
    let mut fields = Fields::open(node, "a token", diagnostics)?;
    let name = fields.required_text("name");
    let digest = fields.required_text("sha256");
    let scopes = fields.texts("scopes");
    if let Some(name) = &name {
        check_scripts("caller", &name.value, name.span, fields.diagnostics);
    }
    let mut largest = None;
    for word in &scopes {
        largest = largest.max(scope(&word.value, word.span, fields.diagnostics));
    }
    if scopes.is_empty() {
        fields.diagnostics.push(
            Diagnostic::error("missing_field", "a token has no `scopes`")
                .at(fields.span())
                .hint("say what it is for: `scopes: [apply]`"),
        );
    }
    let is_digest = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(digest) = digest.as_ref().filter(|digest| !is_digest(&digest.value)) {
        // What stands there may be the token itself.
        fields.diagnostics.push(
            Diagnostic::error("illegal_digest", "`sha256` is no SHA-256 in hexadecimal digits")
                .at(digest.span)
                .hint("`printf %s \"$TOKEN\" | sha256sum` prints it"),
        );
    }
    fields.finish();
    let (name, digest) = (name?, digest?);
    Some(Token { name: name.value, sha256: digest.value.to_ascii_lowercase(), scope: largest?, minimum_length })
}
