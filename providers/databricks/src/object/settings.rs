//! Common parts of jobs and pipelines: settings in the vendor's JSON, their secrets, and the guard against overwriting
//! changes from outside terrace.

use crate::attributes::optional_text;
use crate::fingerprint::hex;
use crate::json::{self, LISTS};
use crate::mark;
use crate::private::PrivateData;
use ring::digest::{SHA256, digest};
use serde_json::Value as Json;
use terrace_provider::secret_half;
use terrace_provider::{Attributes, ErrorKind, Path, PlannedChange, ProposedChange, ProviderError, Recorded, Value};

/// The settings as one map. A list of settings is merged. Parts may be unknown.
pub(crate) fn value_of(attributes: &Attributes) -> Option<Value> {
    match attributes.get("settings")?.exposed() {
        Value::List(layers) => Some(json::merged_layers(layers)),
        Value::Null | Value::Unknown => None,
        settings => Some(settings.clone()),
    }
}

/// The settings as JSON; null if a part is unknown.
pub(crate) fn of(attributes: &Attributes) -> Json {
    value_of(attributes).filter(|value| !value.has_unknown()).map(|value| value.to_revealed_json()).unwrap_or_default()
}

/// The name in the settings; empty if unknown.
pub(crate) fn name_of(attributes: &Attributes) -> String {
    let name = value_of(attributes).and_then(|settings| settings.get("name")?.as_str().map(str::to_owned));
    name.unwrap_or_default()
}

/// A JSON attribute; null if unknown.
pub(crate) fn json_of(attributes: &Attributes, name: &str) -> Json {
    attributes.get(name).filter(|value| !value.has_unknown()).map(Value::to_revealed_json).unwrap_or_default()
}

/// The configured settings with secrets and mark.
pub(crate) fn sent(planned: &Attributes, address: &str) -> Json {
    let settings = of(planned);
    let secrets = json_of(planned, "secretSettings");
    let mut settings = if secrets.is_null() { settings } else { LISTS.merged(&settings, &secrets) };
    mark::put(&mut settings, &mark::of(address));
    json::without_nulls(&settings)
}

/// The settings to send for an update: the remote ones, with configured fields set and removed fields deleted.
pub(crate) fn written(remote: &Json, prior: &Recorded, planned: &Attributes, address: &str) -> Json {
    let given = sent(planned, address);
    if manages_all(planned) {
        return given;
    }
    let mut remote = remote.clone();
    for path in &PrivateData::of(&prior.private).secret_paths {
        LISTS.remove(&mut remote, path);
    }
    json::aligned(&remote, &last(prior), &given)
}

/// The settings that were configured or read last.
fn last(prior: &Recorded) -> Json {
    of(&prior.attributes)
}

/// The remote settings as the attribute shows them.
pub(crate) fn shown(remote: &Json, like: &Attributes, private: &PrivateData) -> Value {
    let mut remote = remote.clone();
    mark::remove(&mut remote);
    for path in &private.secret_paths {
        LISTS.remove(&mut remote, path);
    }
    let wanted = of(like);
    let observed = match (&wanted, manages_all(like)) {
        (Json::Null, _) | (_, true) => json::without_defaults(&wanted, &remote),
        _ => json::projected(&wanted, &remote),
    };
    let shown = match json_of(like, "settings") {
        Json::Array(layers) => {
            let one = |(at, own): (usize, &Json)| json::layer(own, &wanted, &observed, at == 0);
            Json::Array(layers.iter().enumerate().map(one).collect())
        }
        _ => observed,
    };
    // Settings that are not configured here may be secret.
    let shown = if wanted.is_null() { secret_half::marked(shown) } else { Value::from(shown) };
    shown.derived_from(like, &["settings"])
}

/// Adds the attributes that only the configuration sets.
pub(crate) fn add_management(observed: &mut Attributes, like: &Attributes) {
    for (name, default) in [("manage", Value::from("given")), ("override", true.into())] {
        let configured = like.get(name).filter(|value| !value.is_null() && !value.has_unknown());
        observed.insert(name.to_owned(), configured.cloned().unwrap_or(default));
    }
}

fn manages_all(attributes: &Attributes) -> bool {
    optional_text(attributes, "manage").as_deref() == Some("all")
}

/// The private data of a row after a call.
pub(crate) fn private_data(planned: &Attributes) -> PrivateData {
    let secrets = json_of(planned, "secretSettings");
    let secret_paths = if secrets.is_null() { Vec::new() } else { LISTS.leaves(&secrets) };
    PrivateData { secret_paths, applied: planned.get("settings").map(digest_of), ..PrivateData::default() }
}

/// A digest of settings, independent of the order of keys.
fn digest_of(settings: &Value) -> String {
    let text = sorted(&settings.to_revealed_json()).to_string();
    hex(digest(&SHA256, text.as_bytes()).as_ref())
}

fn sorted(value: &Json) -> Json {
    match value {
        Json::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().map(|(name, value)| (name.clone(), sorted(value))).collect();
            entries.sort_by(|one, other| one.0.cmp(&other.0));
            Json::Object(entries.into_iter().collect())
        }
        Json::Array(items) => Json::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// Refuses a plan that would turn one object into another: the configured name belongs to an object with another id. A
/// replacement gets a new id, even if a lookup finds the old object by its name.
pub(crate) fn check_id(
    change: &ProposedChange<'_>,
    planned: &mut PlannedChange,
    (attribute, noun): (&str, &str),
) -> Result<(), ProviderError> {
    let recorded = change.prior.and_then(|prior| prior.attributes.get(attribute));
    let at = Path::attribute(attribute);
    if let (Some(before), true) = (recorded, planned.replace_paths == [at]) {
        // The lookup's result is unknown yet: keep the recorded id until then.
        if planned.planned.get(attribute).is_some_and(Value::is_unknown) && !change.must_replace {
            planned.replace_paths.clear();
            planned.planned.insert(attribute.to_owned(), before.clone());
            let url = change.prior.and_then(|prior| prior.attributes.get("url"));
            planned.planned.extend(url.map(|url| ("url".to_owned(), url.clone())));
            return Ok(());
        }
    }
    let is_recorded_id = recorded.is_some_and(|before| planned.planned.get(attribute) == Some(before));
    if is_recorded_id && (change.must_replace || !planned.replace_paths.is_empty()) {
        planned.planned.insert(attribute.to_owned(), Value::Unknown);
        return Ok(());
    }
    let before = change.prior.and_then(|prior| prior.text(attribute)).filter(|_| !change.must_replace);
    let (Some(before), Some(wanted)) = (before, planned.planned.get(attribute).and_then(Value::as_str)) else {
        return Ok(());
    };
    if before == wanted {
        return Ok(());
    }
    let name = name_of(&planned.planned);
    let message = format!("another {noun} has the name `{name}`: {wanted}; this one is {before}");
    Err(ProviderError::invalid(Some(Path::attribute("settings").key("name")), message)
        .solution("choose another name, or rename the other object"))
}

/// Refuses to create an object with a configured id.
pub(crate) fn check_new(planned: &Attributes, (attribute, noun): (&str, &str)) -> Result<(), ProviderError> {
    let Some(id) = planned.get(attribute).and_then(Value::as_str) else { return Ok(()) };
    let message = format!("no {noun} has the id {id}; Databricks chooses the ids of new objects");
    Err(ProviderError::invalid(Some(Path::attribute(attribute)), message).solution(format!(
        "remove `{attribute}` to create a new object, or set the id of an existing object to adopt it"
    )))
}

/// Records the paths of the secrets in the plan, so that reads of the settings leave them out.
pub(crate) fn keep_secret_paths(change: &ProposedChange<'_>, planned: &mut PlannedChange) {
    let secrets = json_of(change.config, "secretSettings");
    let secret_paths = if secrets.is_null() { Vec::new() } else { LISTS.leaves(&secrets) };
    let before = change.prior.map(|prior| PrivateData::of(&prior.private)).unwrap_or_default();
    planned.private = PrivateData { secret_paths, ..before }.to_private();
}

/// Refuses a path that is in both the settings and the secrets.
pub(crate) fn check_secrets(planned: &Attributes) -> Result<(), ProviderError> {
    let (settings, secrets) = (value_of(planned), planned.get("secretSettings"));
    let (Some(settings), Some(secrets)) = (settings, secrets) else { return Ok(()) };
    LISTS.check(("settings", &settings), ("secretSettings", secrets))
}

/// Refuses an update if the object was changed outside terrace since the last call, and `override` is false.
pub(crate) fn guard(change: &ProposedChange<'_>, planned: &PlannedChange, noun: &str) -> Result<(), ProviderError> {
    let Some(prior) = change.prior else { return Ok(()) };
    if planned.planned.get("override").and_then(Value::as_bool).unwrap_or(true) {
        return Ok(());
    }
    let (Some(current), Some(wanted)) = (prior.attributes.get("settings"), planned.planned.get("settings")) else {
        return Ok(());
    };
    if current.is_same_as(wanted) || PrivateData::of(&prior.private).applied == Some(digest_of(current)) {
        return Ok(());
    }
    // Ignore differences in spelling: adopted settings contain the server's defaults.
    let [is, should] =
        [&prior.attributes, &planned.planned].map(|it| sorted(&json::without_defaults(&Json::Null, &of(it))));
    if !should.is_null() && is == should {
        return Ok(());
    }
    let differences = match (value_of(&planned.planned), value_of(&prior.attributes)) {
        (Some(wanted), Some(current)) => differences("", "", &wanted, &current),
        _ => Vec::new(),
    };
    let message = format!("the {noun} was changed outside terrace, and `override` is false");
    let error = ProviderError::new(ErrorKind::InvalidInput { path: Some(Path::attribute("settings")) }, message);
    let error = differences.into_iter().take(20).fold(error, ProviderError::problem);
    Err(error.solution(
        "copy the changes into the descriptor, for example with reverse provisioning; or set `override: true` to \
         overwrite them",
    ))
}

/// The differences of settings, one line each, with both values. Secrets, and texts that look like secrets, are
/// omitted.
fn differences(at: &str, name: &str, wanted: &Value, current: &Value) -> Vec<String> {
    match (wanted.exposed(), current.exposed()) {
        (Value::Map(one), Value::Map(other)) => {
            let mut names: Vec<&String> = one.keys().chain(other.keys()).collect();
            names.sort();
            names.dedup();
            let is_set = |name: &str, value: &Value| !json::is_default(name, &value.to_revealed_json());
            let inner = |name: &String| {
                let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                match (one.get(name), other.get(name)) {
                    (Some(wanted), Some(current)) => differences(&path, name, wanted, current),
                    (Some(wanted), None) if is_set(name, wanted) => match shown_field(name, wanted) {
                        Some(wanted) => vec![format!("`{path}` is missing, but {wanted} in the descriptor")],
                        None => vec![format!("`{path}` is missing")],
                    },
                    (None, Some(current)) if is_set(name, current) => match shown_field(name, current) {
                        Some(current) => vec![format!("`{path}` is {current}, but missing in the descriptor")],
                        None => vec![format!("`{path}` exists, but not in the descriptor")],
                    },
                    _ => Vec::new(),
                }
            };
            names.into_iter().flat_map(inner).collect()
        }
        (Value::List(one), Value::List(other)) if one.len() == other.len() => {
            let pairs = one.iter().zip(other).enumerate();
            let of_pair = |(index, (wanted, current))| differences(&format!("{at}[{index}]"), name, wanted, current);
            pairs.flat_map(of_pair).collect()
        }
        (Value::List(one), Value::List(other)) => {
            vec![format!("`{at}` has {} items, but {} in the descriptor", other.len(), one.len())]
        }
        _ if wanted.is_same_as(current) => Vec::new(),
        _ => match (shown_field(name, current), shown_field(name, wanted)) {
            (Some(current), Some(wanted)) => vec![format!("`{at}` is {current}, but {wanted} in the descriptor")],
            _ => vec![format!("`{at}` differs")],
        },
    }
}

/// Maximum length of a text in a message.
const MAX_SHOWN_CHARS: usize = 60;

/// A value as shown in messages; `None` if it is too long or not a scalar.
fn shown_value(value: &Value) -> Option<String> {
    let is_short = |text: &str| text.chars().count() <= MAX_SHOWN_CHARS;
    match value {
        Value::Map(_) | Value::List(_) | Value::Unknown => None,
        Value::Null => Some("nothing".to_owned()),
        Value::String(text) if is_short(text) => Some(format!("\"{text}\"")),
        Value::String(_) => None,
        other => Some(other.to_json().to_string()).filter(|text| is_short(text)),
    }
}

/// A field's value as shown in messages; `None` also if the value or the name suggests a secret.
fn shown_field(name: &str, value: &Value) -> Option<String> {
    if value.has_sensitive() || value.has_unknown() {
        return None;
    }
    let named = Json::Object([(name.to_owned(), value.to_revealed_json())].into_iter().collect());
    if secret_half::marked(named).has_sensitive() { None } else { shown_value(value) }
}
