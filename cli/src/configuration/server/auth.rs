//! `auth` of the server: tokens, roles of an issuer, and their limits.

use super::super::limits::whole_number;
use super::read;
use crate::configuration::check_scripts::check_scripts;
use crate::memory::size;
use std::collections::BTreeSet;
use terrace_engine::decode::{Fields, wrong_type};
use terrace_engine::diagnostic::{Diagnostic, did_you_mean};
use terrace_engine::source::Span;
use terrace_engine::yaml::{Entry, Node};
use terrace_server::auth::{
    Action, Auth, DATA_LOSS, Grant, Limits, Names, Oidc, Pattern, Quota, Scope, SignInOffer, SignInToken, Token,
};
use terrace_server::http::check_trusted_url;
use terrace_server::jwt::Accepted;
use terrace_server::pipelines::PipelineLimits;

/// Kinds of authentication.
#[derive(Clone, Copy)]
enum Mode {
    None,
    Token,
    Oidc,
}

/// The authentication of callers.
pub(super) fn auth(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<Auth> {
    let mut fields = Fields::open(node, "`auth`", diagnostics)?;
    let modes = [("none", Mode::None), ("token", Mode::Token), ("oidc", Mode::Oidc)];
    let mode = fields.required("mode").and_then(|_| fields.word("mode", &modes));
    let auth = match mode {
        // The mode decides which other fields are allowed.
        None => return None,
        Some(Mode::None) => Some(Auth::AnyCaller),
        Some(Mode::Token) => Some(Auth::Tokens(tokens(&mut fields))),
        Some(Mode::Oidc) => oidc(&mut fields).map(Auth::Oidc),
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
        roles.extend(role(entry, fields.diagnostics).map(|grant| (entry.key.clone(), grant)));
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
                Diagnostic::error("illegal_url", format!("`{}` cannot be called: {why}", url.value))
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

/// The grant of a role: a scope, or a map like that of a token.
fn role(entry: &Entry, diagnostics: &mut Vec<Diagnostic>) -> Option<Grant> {
    if let Some(word) = entry.value.as_text() {
        return Words::of(&[(word, entry.value.span)], diagnostics).grant(
            entry.value.span,
            Limits::default(),
            diagnostics,
        );
    }
    if entry.value.as_map().is_none() {
        let what = format!("the role `{}`", entry.key);
        diagnostics.push(wrong_type(&what, "a scope, or a map with `scopes` and `limits`", &entry.value));
        return None;
    }
    let mut fields = Fields::open(&entry.value, "a role", diagnostics)?;
    let grant = grant(&entry.value, &mut fields, Place::Role);
    fields.finish();
    grant
}

/// Owners of limits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Token,
    /// A role of an issuer, whose tokens have claims.
    Role,
}

/// `scopes` and `limits`.
fn grant(node: &Node, fields: &mut Fields<'_, '_>, place: Place) -> Option<Grant> {
    let is_limited = is_filled(node, "limits", fields.diagnostics);
    let scopes = fields.texts("scopes");
    let words: Vec<(&str, Span)> = scopes.iter().map(|word| (word.value.as_str(), word.span)).collect();
    let span = fields.optional("scopes").map_or_else(|| fields.span(), |entry| entry.value.span);
    let words = Words::of(&words, fields.diagnostics);
    let limits = match fields.optional("limits") {
        Some(entry) => limits(&entry.value, place, fields.diagnostics),
        None => Some(Limits::default()),
    };
    words.grant(span, limits?, fields.diagnostics).filter(|_| is_limited)
}

/// Reports a limit without a value: null would mean the default, which is unlimited.
fn is_filled(node: &Node, name: &str, diagnostics: &mut Vec<Diagnostic>) -> bool {
    let Some(empty) = node.get(name).filter(|value| value.is_null()) else { return true };
    diagnostics.push(
        Diagnostic::error("missing_field", format!("`{name}` is empty"))
            .at(empty.span)
            .hint(format!("give `{name}` a value, or leave it out to allow all")),
    );
    false
}

/// The words of `scopes`.
#[derive(Default)]
struct Words {
    largest: Option<Scope>,
    is_data_loss_allowed: bool,
    is_any_unknown: bool,
}

impl Words {
    fn of(words: &[(&str, Span)], diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut read = Self::default();
        for (word, span) in words {
            match *word {
                DATA_LOSS => read.is_data_loss_allowed = true,
                word => {
                    let scope = scope(word, *span, diagnostics);
                    read.is_any_unknown |= scope.is_none();
                    read.largest = read.largest.max(scope);
                }
            }
        }
        read
    }

    fn grant(self, span: Span, limits: Limits, diagnostics: &mut Vec<Diagnostic>) -> Option<Grant> {
        let Self { largest, is_data_loss_allowed, is_any_unknown } = self;
        let consents_alone =
            is_data_loss_allowed && !matches!(largest, Some(Scope::Plan | Scope::Apply | Scope::Admin));
        if is_any_unknown {
            return None;
        }
        if consents_alone {
            diagnostics.push(
                Diagnostic::error("missing_field", format!("`{DATA_LOSS}` has no effect without `plan` or `apply`"))
                    .at(span)
                    .hint(format!("write `scopes: [apply, {DATA_LOSS}]`")),
            );
            return None;
        }
        if largest.is_none() {
            diagnostics.push(
                Diagnostic::error("missing_field", "a token has no `scopes`")
                    .at(span)
                    .hint("add its scopes: `scopes: [apply]`"),
            );
        }
        Some(Grant { scope: largest?, is_data_loss_allowed, limits })
    }
}

/// `limits`. `None` if they are wrong: a token without limits would have more rights than intended.
fn limits(node: &Node, place: Place, diagnostics: &mut Vec<Diagnostic>) -> Option<Limits> {
    let before = diagnostics.len();
    for name in ["environments", "domains", "stacks", "actions", "queue", "pipelines"] {
        is_filled(node, name, diagnostics);
    }
    let mut fields = Fields::open(node, "`limits`", diagnostics)?;
    let mut limits = Limits {
        environments: names(&mut fields, "environments", place),
        domains: names(&mut fields, "domains", place),
        stacks: names(&mut fields, "stacks", place),
        ..Limits::default()
    };
    if fields.optional("actions").is_some() {
        limits.actions = Some(actions(&mut fields));
    }
    if let Some(entry) = fields.optional("queue")
        && let Some(mut queue) = Fields::open(&entry.value, "`queue`", fields.diagnostics)
    {
        let mut count =
            |name| whole_number(&mut queue, name, 1, i64::from(u32::MAX)).and_then(|count| u32::try_from(count).ok());
        limits.queue = Quota { waiting: count("waiting"), running: count("running") };
        queue.finish();
    }
    if let Some(entry) = fields.optional("pipelines") {
        limits.pipelines = pipeline_limits(&entry.value, "`pipelines`", fields.diagnostics);
    }
    fields.finish();
    (diagnostics.len() == before).then_some(limits)
}

/// The limits of pipelines of a token, a role or an organisation.
pub(super) fn pipeline_limits(node: &Node, what: &'static str, diagnostics: &mut Vec<Diagnostic>) -> PipelineLimits {
    let Some(mut fields) = Fields::open(node, what, diagnostics) else { return PipelineLimits::default() };
    let mut count = |name| whole_number(&mut fields, name, 0, i64::MAX).and_then(|count| u64::try_from(count).ok());
    let mut limits = PipelineLimits {
        concurrent_runs: count("concurrentRuns"),
        run_seconds_per_day: count("runSecondsPerDay"),
        rows_per_day: count("rowsPerDay"),
        database_hours_per_day: count("databaseHoursPerDay"),
        stored_bytes: None,
    };
    limits.stored_bytes = read(&mut fields, "storedBytes", ("a size", "10GB"), size);
    fields.finish();
    limits
}

fn actions(fields: &mut Fields<'_, '_>) -> BTreeSet<Action> {
    let mut actions = BTreeSet::new();
    for word in fields.texts("actions") {
        let known = Action::WORDS.iter().find(|(name, _)| *name == word.value);
        actions.extend(known.map(|(_, action)| *action));
        if known.is_none() {
            let names = Action::WORDS.map(|(name, _)| name);
            fields.diagnostics.push(
                Diagnostic::error("unknown_action", format!("`{}` is not an action", word.value))
                    .at(word.span)
                    .hint(format!("actions are {}; reading is always allowed", names.join(", ")))
                    .maybe_hint(did_you_mean(&word.value, names)),
            );
        }
    }
    actions
}

/// Names that a limit allows: patterns, or `{claim: PATH}` in roles of an issuer.
fn names(fields: &mut Fields<'_, '_>, name: &'static str, place: Place) -> Names {
    let Some(entry) = fields.optional(name) else { return Names::Any };
    if entry.value.as_map().is_some() {
        let Some(mut claim) = Fields::open(&entry.value, name, fields.diagnostics) else { return Names::Any };
        let path = claim.required_text("claim");
        claim.finish();
        if place == Place::Token {
            fields.diagnostics.push(
                Diagnostic::error("wrong_value", format!("`{name}` cannot name a claim here: such a token has none"))
                    .at(entry.value.span)
                    .hint(format!("list patterns of names: `{name}: [finance]`, or use `mode: oidc`")),
            );
        }
        return path.map_or(Names::Any, |path| Names::Claim(path.value));
    }
    let mut patterns = Vec::new();
    for text in fields.texts(name) {
        match Pattern::new(&text.value) {
            Ok(pattern) => patterns.push(pattern),
            Err(why) => fields.diagnostics.push(
                Diagnostic::error("wrong_value", format!("`{}` is not a pattern of names: {why}", text.value))
                    .at(text.span)
                    .hint("write a name, with `*` for any characters: `finance.*`"),
            ),
        }
    }
    if patterns.is_empty() && entry.value.as_list().is_some_and(<[Node]>::is_empty) {
        fields.diagnostics.push(
            Diagnostic::error("missing_field", format!("`{name}` allows nothing: it is empty"))
                .at(entry.value.span)
                .hint(format!("list patterns of names, or leave `{name}` out to allow all")),
        );
    }
    Names::Patterns(patterns)
}

/// The scope with that name.
fn scope(word: &str, span: Span, diagnostics: &mut Vec<Diagnostic>) -> Option<Scope> {
    let known = Scope::WORDS.iter().find(|(name, _)| *name == word).map(|(_, scope)| *scope);
    if known.is_none() {
        diagnostics.push(
            Diagnostic::error("unknown_scope", format!("there is no scope `{word}`"))
                .at(span)
                .hint(
                    "scopes are `read`, `plan`, `apply` and `admin`, each with those before it; `data-loss` is separate",
                )
                .maybe_hint(did_you_mean(word, Scope::WORDS.iter().map(|(name, _)| *name).chain([DATA_LOSS]))),
        );
    }
    known
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
    let grant = grant(node, &mut fields, Place::Token);
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
