//! `auth` of the server: its mode, tokens, and an issuer with its roles.

mod github;

use super::super::limits::whole_number;
use super::grants::{Owner, grant, role};
use crate::configuration::check_scripts::check_scripts;
use github::github;
use terrace_engine::decode::Fields;
use terrace_engine::diagnostic::Diagnostic;
use terrace_engine::yaml::Node;
use terrace_server::auth::{Auth, Grant, Oidc, Scope, SignInOffer, SignInToken, Token};
use terrace_server::http::check_trusted_url;
use terrace_server::jwt::Accepted;

/// Kinds of authentication.
#[derive(Clone, Copy)]
enum Mode {
    None,
    Token,
    Oidc,
    GitHub,
}

/// The authentication of callers.
pub(super) fn auth(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<Auth> {
    let mut fields = Fields::open(node, "`auth`", diagnostics)?;
    let modes = [("none", Mode::None), ("token", Mode::Token), ("oidc", Mode::Oidc), ("github", Mode::GitHub)];
    let mode = fields.required("mode").and_then(|_| fields.word("mode", &modes));
    let auth = match mode {
        // The mode decides which other fields are allowed.
        None => return None,
        Some(Mode::None) => Some(Auth::AnyCaller),
        Some(Mode::Token) => Some(Auth::Tokens(tokens(&mut fields))),
        Some(Mode::Oidc) => oidc(&mut fields).map(Auth::Oidc),
        Some(Mode::GitHub) => github(&mut fields).map(Auth::GitHub),
    };
    fields.finish();
    auth
}

/// Upper limit of the minimum token length: headers have limits too.
const LONGEST_TOKEN: i64 = 1_024;

fn tokens(fields: &mut Fields<'_, '_>) -> Vec<Token> {
    let minimum_length = whole_number(fields, "minimumTokenLength", 1, LONGEST_TOKEN);
    let minimum_length = minimum_length.and_then(|length| usize::try_from(length).ok());
    let minimum_length = minimum_length.unwrap_or(Token::MINIMUM_LENGTH);
    let given = fields.optional("tokens");
    if given.is_none_or(|entry| entry.value.as_list().is_some_and(<[Node]>::is_empty)) {
        fields.diagnostics.push(
            Diagnostic::error("missing_field", "`auth` refuses every caller: it has no `tokens`")
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
                        "`{}` and `{}` have the same token: the server cannot tell their calls apart",
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

/// The scopes of a sign-in without `scopes`: tokens of OpenID Connect that can be renewed.
const SIGN_IN_SCOPES: [&str; 2] = ["openid", "offline_access"];

fn oidc(fields: &mut Fields<'_, '_>) -> Option<Oidc> {
    let (issuer, audience) = (fields.required_text("issuer"), fields.required_text("audience"));
    let (jwks_url, roles_claim) = (fields.text("jwksUrl"), fields.text("rolesClaim"));
    let organisation_claim = fields.text("organisationClaim").map(|claim| claim.value);
    let urls = [("issuer", &issuer), ("jwksUrl", &jwks_url)];
    for (name, url) in urls.into_iter().filter_map(|(name, url)| Some((name, url.as_ref()?))) {
        if let Err(why) = check_trusted_url(&url.value) {
            // Its value may have a password.
            fields.diagnostics.push(
                Diagnostic::error("illegal_url", format!("`{name}` cannot be called: {why}"))
                    .at(url.span)
                    .hint("write an address such as `https://login.example.com/realms/data`"),
            );
        }
    }
    let mut roles = Vec::new();
    for entry in fields.map("roles") {
        check_scripts("role", &entry.key, entry.key_span, fields.diagnostics);
        roles.extend(role(entry, Owner::WithClaims, fields.diagnostics).map(|grant| (entry.key.clone(), grant)));
    }
    if fields.optional("roles").is_none() {
        roles.extend(Scope::WORDS.iter().map(|(word, scope)| ((*word).to_owned(), Grant::from(*scope))));
    }
    let (types, clients) = (accepted(fields, "tokenTypes"), accepted(fields, "clients"));
    let issuer = issuer.map(|issuer| issuer.value);
    let offered = fields.optional("signIn");
    let sign_in = offered.map(|entry| sign_in(&entry.value, issuer.as_deref().unwrap_or_default(), fields.diagnostics));
    Some(Oidc {
        types,
        clients,
        issuer: issuer?,
        sign_in: match sign_in {
            Some(sign_in) => Some(Box::new(sign_in?)),
            None => None,
        },
        audience: audience?.value,
        jwks_url: jwks_url.map(|url| url.value),
        roles_claim: roles_claim.map_or_else(|| "roles".to_owned(), |claim| claim.value),
        organisation_claim,
        roles,
    })
}

/// The client with which people sign in.
fn sign_in(node: &Node, issuer: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<SignInOffer> {
    let mut fields = Fields::open(node, "`signIn`", diagnostics)?;
    let client_id = fields.required_text("clientId");
    let tokens = [("access", SignInToken::Access), ("id", SignInToken::Id)];
    let token = fields.optional("token").and_then(|_| fields.word("token", &tokens)).unwrap_or_default();
    let public_client_secret = fields.text("publicClientSecret").map(|secret| secret.value);
    let scopes = match fields.optional("scopes") {
        Some(_) => fields.texts("scopes").into_iter().map(|scope| scope.value).collect(),
        None => SIGN_IN_SCOPES.map(str::to_owned).to_vec(),
    };
    let mut address = |name| {
        let url = fields.text(name)?;
        if let Err(why) = check_trusted_url(&url.value) {
            fields.diagnostics.push(
                Diagnostic::error("illegal_url", format!("`{name}` cannot be called: {why}"))
                    .at(url.span)
                    .hint("write an address such as `https://login.example.com/device`"),
            );
        }
        Some(url)
    };
    let (device, tokens) = (address("deviceAuthorizationUrl"), address("tokenUrl"));
    if let (Some(only), None) | (None, Some(only)) = (&device, &tokens) {
        fields.diagnostics.push(
            Diagnostic::error("missing_field", "`signIn` names one address of the issuer, and not the other")
                .at(only.span)
                .hint("give `deviceAuthorizationUrl` and `tokenUrl`, or leave both out: the issuer names them"),
        );
    }
    fields.finish();
    Some(SignInOffer {
        issuer: issuer.to_owned(),
        client_id: client_id?.value,
        public_client_secret,
        scopes,
        token,
        device_authorization_url: device.map(|url| url.value),
        token_url: tokens.map(|url| url.value),
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

/// The organisation of a token's owner.
fn organisation(fields: &mut Fields<'_, '_>) -> Option<String> {
    let name = fields.text("organisation")?;
    check_scripts("organisation", &name.value, name.span, fields.diagnostics);
    Some(name.value)
}

fn token(node: &Node, minimum_length: usize, diagnostics: &mut Vec<Diagnostic>) -> Option<Token> {
    let mut fields = Fields::open(node, "a token", diagnostics)?;
    let name = fields.required_text("name");
    let digest = fields.required_text("sha256");
    if let Some(name) = &name {
        check_scripts("caller", &name.value, name.span, fields.diagnostics);
    }
    let organisation = organisation(&mut fields);
    let grant = grant(node, &mut fields, Owner::WithoutClaims);
    let is_digest = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(digest) = digest.as_ref().filter(|digest| !is_digest(&digest.value)) {
        // The value may be the token itself.
        fields.diagnostics.push(
            Diagnostic::error("illegal_digest", "`sha256` is not a SHA-256 in hexadecimal digits")
                .at(digest.span)
                .hint("`printf %s \"$TOKEN\" | sha256sum` prints it"),
        );
    }
    fields.finish();
    let (name, digest) = (name?, digest?);
    let sha256 = digest.value.to_ascii_lowercase();
    Some(Token { name: name.value, sha256, organisation, grant: grant?, minimum_length })
}
