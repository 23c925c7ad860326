//! The fields of `terrace.yaml`.

use super::check_scripts::check_scripts;
use super::expand::{attributes_of, expand, revealed, value_of};
use super::fields::read;
use super::limits::{LIMITS, limits};
use super::server::server;
use super::witboost::witboost;
use super::{
    COMPATIBILITY, Configuration, Encryption, Environment, Instance, KeySource, RawEnvironment, STATE_KEY, files_named,
};
use crate::variables::Variables;
use std::path::Path;
use std::time::Duration;
use terrace_engine::decode::{Fields, wrong_type};
use terrace_engine::diagnostic::Diagnostic;
use terrace_engine::duration;
use terrace_engine::plan::external_grants::ExternalGrantsPolicy;
use terrace_engine::repository::platform::Platform;
use terrace_engine::source::{Located, SourceId};
use terrace_engine::yaml::{self, Budget, Entry, Node, NodeKind};
use terrace_provider::wrap::Limits;
use terrace_provider::{Map, Value};
use zeroize::Zeroizing;

/// The overlay of objects on this machine.
pub const EMBEDDED: &str = "embedded";

/// Reads a configuration.
pub(super) fn configuration(
    id: SourceId,
    text: &str,
    mut configuration: Configuration,
    variables: &Variables,
) -> (Configuration, Vec<Diagnostic>) {
    let node = match yaml::parse(id, text, &Budget::default()) {
        Ok(node) => node,
        // An empty configuration is valid: everything has a default.
        Err(diagnostics) if diagnostics.iter().all(|diagnostic| diagnostic.code == yaml::EMPTY_FILE) => {
            return (configuration, Vec::new());
        }
        Err(diagnostics) => return (configuration, diagnostics),
    };
    let mut diagnostics = Vec::new();
    if node.is_null() {
        return (configuration, diagnostics);
    }
    configuration.named_files = files_named::all(&node, &configuration.folder);
    let (mut of_server, mut of_witboost) = (Vec::new(), Vec::new());
    let found = (&mut diagnostics, &mut of_server, &mut of_witboost);
    let node = expand_but_environments(&node, &configuration, variables, found);
    let Some(mut fields) = Fields::open(&node, "terrace.yaml", &mut diagnostics) else {
        return (configuration, diagnostics);
    };
    fields.set_unsupported(&["policies"]);
    // An expression that failed stays as written, and its error is enough.
    configuration.state = secret_text(&mut fields, "state").filter(|text| !text.contains("${{"));
    if let Some(entry) = fields.optional("encryption") {
        configuration.encryption =
            encryption(&entry.value, &configuration.folder, variables.get(STATE_KEY).is_some(), fields.diagnostics);
    }
    if let Some(entry) = fields.optional("identities") {
        identities(&entry.value, &mut configuration, fields.diagnostics);
    }
    configuration.repositories = fields.texts("repositories").into_iter().map(|path| path.value.into()).collect();
    if let Some(entry) = fields.optional("platform") {
        configuration.platform = Platform::read(&entry.value, fields.diagnostics);
    }
    if let Some(entry) = fields.optional("server").filter(|_| of_server.is_empty()) {
        configuration.server = server(&entry.value, fields.diagnostics);
    }
    configuration.server_unevaluated = of_server;
    if let Some(entry) = fields.optional("witboost").filter(|_| of_witboost.is_empty()) {
        configuration.witboost = witboost(&entry.value, &configuration.folder, fields.diagnostics);
    }
    configuration.witboost_unevaluated = of_witboost;
    for entry in fields.map("environments") {
        check_environment_name(entry, fields.diagnostics);
        // Unknown fields are reported for all environments; values only for the selected one.
        let mut found = Vec::new();
        drop(environment(&entry.key, &entry.value, &configuration.folder, &mut found));
        fields.diagnostics.extend(found.into_iter().filter(|diagnostic| diagnostic.code == "unknown_field"));
        configuration.environments.push(RawEnvironment { name: entry.key.clone(), node: entry.value.clone() });
    }
    fields.finish();
    (configuration, diagnostics)
}

/// Evaluates everything except the environments. Errors in the parts of the server and of the platform are kept
/// separately: only some commands need these parts.
fn expand_but_environments(
    node: &Node,
    configuration: &Configuration,
    variables: &Variables,
    (diagnostics, of_server, of_witboost): (&mut Vec<Diagnostic>, &mut Vec<Diagnostic>, &mut Vec<Diagnostic>),
) -> Node {
    let Some(entries) = node.as_map() else { return node.clone() };
    let Configuration { folder, sources, .. } = configuration;
    let expanded = |entry: &Entry, diagnostics: &mut Vec<Diagnostic>| Entry {
        value: expand(&entry.value, folder, variables, sources, diagnostics),
        ..entry.clone()
    };
    let entry = |entry: &Entry| match entry.key.as_str() {
        "environments" => entry.clone(),
        "server" => expanded(entry, of_server),
        "witboost" => expanded(entry, of_witboost),
        _ => expanded(entry, diagnostics),
    };
    Node { span: node.span, kind: NodeKind::Map(entries.iter().map(entry).collect()) }
}

/// Reads an environment whose values are evaluated.
pub(super) fn environment(
    name: &str,
    node: &Node,
    folder: &Path,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Environment> {
    let mut environment =
        Environment { name: name.to_owned(), settings: Value::Map(Map::default()), ..Environment::default() };
    // `staging:` alone is an environment with only defaults.
    if node.is_null() {
        return Some(environment);
    }
    let mut fields = Fields::open(node, "an environment", diagnostics)?;
    fields.set_unsupported(&["policies"]);
    environment.overlay = fields.text("overlay");
    environment.is_data_loss_allowed = fields.is_true("allowDataLoss");
    if let Some(entry) = fields.optional("validate")
        && let Some(mut validate) = Fields::open(&entry.value, "`validate`", fields.diagnostics)
    {
        environment.is_validated_remotely = validate.is_true("remote");
        validate.finish();
    }
    if let Some(entry) = fields.optional("encryption") {
        // The variable holds the project's key, which does not apply to an environment with its own key.
        environment.encryption = Some(encryption(&entry.value, folder, false, fields.diagnostics));
    }
    if let Some(entry) = fields.optional("settings") {
        match entry.value.as_map() {
            Some(_) => {
                access(&entry.value, fields.diagnostics);
                environment.settings = value_of(&entry.value);
            }
            None => fields.diagnostics.push(wrong_type("`settings`", "a map", &entry.value)),
        }
    }
    environment.has_adapter_settings = fields.word(COMPATIBILITY, &[("adapters", true)]).unwrap_or_default();
    environment.span = fields.span();
    environment.silence_limit.limit = silence_timeout(&mut fields).unwrap_or(environment.silence_limit.limit);
    for entry in fields.map("templates") {
        match entry.value.as_text() {
            Some(blueprint) => drop(environment.templates.insert(entry.key.clone(), blueprint.to_owned())),
            None => fields.diagnostics.push(wrong_type("a template's blueprint", "a name", &entry.value)),
        }
    }
    for entry in fields.map("providers") {
        environment.providers.extend(instance(entry, fields.diagnostics));
    }
    if fields.optional("blueprints").is_some() {
        environment.blueprints = Some(fields.texts("blueprints"));
    }
    fields.finish();
    Some(environment)
}

/// Limit of the wait for systems without an answer.
fn silence_timeout(fields: &mut Fields<'_, '_>) -> Option<Duration> {
    read(fields, "silenceTimeout", ("a duration of at least a second", "20s"), |text| {
        duration::parse(text).ok().filter(|limit| *limit >= Duration::from_secs(1))
    })
}

/// Checks the settings that terrace itself reads: `access.foreign`.
fn access(settings: &Node, diagnostics: &mut Vec<Diagnostic>) {
    // Only expressions read the other settings.
    let access = settings.get("access").filter(|access| access.get("foreign").is_some());
    if let Some(mut fields) = access.and_then(|access| Fields::open(access, "`access`", diagnostics)) {
        fields.word("foreign", &ExternalGrantsPolicy::WORDS);
    }
}

/// The key with the provider of an instance.
const TYPE: &str = "type";
/// The keys of an instance that are not settings of its provider.
pub(crate) const RESERVED_SETTINGS: [&str; 2] = [TYPE, LIMITS];

/// An instance: named as its provider, or `provider.word`, or with the provider as `type`.
fn instance(entry: &Entry, diagnostics: &mut Vec<Diagnostic>) -> Option<Instance> {
    let first = entry.key.split_once('.').map_or(entry.key.as_str(), |(first, _)| first);
    if !entry.value.is_null() && entry.value.as_map().is_none() {
        diagnostics.push(wrong_type(&format!("`{}`", entry.key), "a map of settings", &entry.value));
        return None;
    }
    let mut settings = attributes_of(&entry.value);
    let provider = match settings.shift_remove(TYPE) {
        None => first.to_owned(),
        Some(Value::String(provider)) => provider,
        Some(_) => {
            let node = entry.value.get(TYPE).unwrap_or(&entry.value);
            diagnostics.push(wrong_type("`type`", "the name of a provider", node));
            return None;
        }
    };
    settings.shift_remove(LIMITS);
    let limits = match entry.value.get(LIMITS) {
        Some(node) if !node.is_null() => limits(node, diagnostics),
        _ => Limits::default(),
    };
    let node = entry.value.clone();
    Some(Instance { name: entry.key.clone(), provider, settings, limits, node, span: entry.key_span })
}

/// The sources of state keys. Previous keys may be alone if the environment variable has the present one.
fn encryption(node: &Node, folder: &Path, has_key: bool, diagnostics: &mut Vec<Diagnostic>) -> Encryption {
    let mut encryption = Encryption::default();
    let Some(mut fields) = Fields::open(node, "`encryption`", diagnostics) else { return encryption };
    encryption.current = key_source(&mut fields, folder);
    if encryption.current.is_none() && !has_key {
        let diagnostic = Diagnostic::error("missing_field", "`encryption` names no key")
            .at(fields.span())
            .hint(format!(
                "set one of `key`, `keyFile` and `keyCommand`, or the variable `{STATE_KEY}`; `terrace init --state-key` creates a key"
            ));
        fields.diagnostics.push(diagnostic);
    }
    encryption.is_bound_required = fields.is_true("requireBound");
    for node in fields.list("previous") {
        if let Some(text) = revealed(node).as_text() {
            let key = KeySource::Key(Zeroizing::new(text.to_owned()));
            encryption.previous.push(Located { value: key, span: node.span });
            continue;
        }
        if let Some(mut fields) = Fields::open(node, "a previous key", fields.diagnostics) {
            encryption.previous.extend(key_source(&mut fields, folder));
            fields.finish();
        }
    }
    fields.finish();
    encryption
}

fn key_source(fields: &mut Fields<'_, '_>, folder: &Path) -> Option<Located<KeySource>> {
    let key_span = fields.optional("key").map(|entry| entry.value.span);
    let key = secret_text(fields, "key").zip(key_span);
    let key = key.map(|(key, span)| Located { value: KeySource::Key(Zeroizing::new(key)), span });
    let key_file =
        fields.text("keyFile").map(|path| Located { value: KeySource::File(folder.join(path.value)), span: path.span });
    let command_span = fields.optional("keyCommand").map(|entry| entry.value.span);
    let command: Vec<String> = match fields.optional("keyCommand").map(|entry| entry.value.as_text()) {
        Some(Some(program)) => vec![program.to_owned()],
        Some(None) => fields.texts("keyCommand").into_iter().map(|word| word.value).collect(),
        None => Vec::new(),
    };
    let variables = fields.texts("keyVariables").into_iter().map(|name| name.value).collect();
    let command = command_span
        .filter(|_| !command.is_empty())
        .map(|span| Located { value: KeySource::Command(command, variables), span });
    let mut given = [key, key_file, command].into_iter().flatten();
    let first = given.next();
    if given.next().is_some() {
        let diagnostic = Diagnostic::error("ambiguous_key", "a key has more than one source")
            .at(fields.span())
            .hint("keep one of `key`, `keyFile` and `keyCommand`");
        fields.diagnostics.push(diagnostic);
    }
    first
}

fn identities(node: &Node, configuration: &mut Configuration, diagnostics: &mut Vec<Diagnostic>) {
    let Some(mut fields) = Fields::open(node, "`identities`", diagnostics) else { return };
    for principal in fields.map("table") {
        let Some(names) = principal.value.as_map() else {
            let what = format!("`{}`", principal.key);
            fields.diagnostics.push(wrong_type(&what, "a map from providers to names", &principal.value));
            continue;
        };
        check_scripts("principal", &principal.key, principal.key_span, fields.diagnostics);
        let row = configuration.identities.entry(principal.key.clone()).or_default();
        for name in names {
            if let Some(text) = name.value.as_text() {
                check_scripts("principal", text, name.value.span, fields.diagnostics);
            }
            match name.value.as_text() {
                Some(text) => drop(row.insert(name.key.clone(), text.to_owned())),
                None => fields.diagnostics.push(wrong_type(&format!("`{}`", name.key), "a name", &name.value)),
            }
        }
    }
    fields.finish();
}

/// A field's text, which may be inside `{secret: …}`.
fn secret_text(fields: &mut Fields<'_, '_>, name: &'static str) -> Option<String> {
    let entry = fields.optional(name)?;
    let node = revealed(&entry.value);
    let text = node.as_text().map(str::to_owned);
    if text.is_none() {
        fields.diagnostics.push(wrong_type(&format!("`{name}`"), "text", node));
    }
    text
}

/// An environment's name is part of names of stacks and folders.
fn check_environment_name(entry: &Entry, diagnostics: &mut Vec<Diagnostic>) {
    let is_legal = entry.key.starts_with(|first: char| first.is_ascii_alphanumeric())
        && entry.key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if !is_legal {
        diagnostics.push(
            Diagnostic::error("illegal_name", format!("`{}` cannot be the name of an environment", entry.key))
                .at(entry.key_span)
                .hint("use letters, digits, `-`, `_` and `.`, and begin with a letter or digit"),
        );
    }
}
