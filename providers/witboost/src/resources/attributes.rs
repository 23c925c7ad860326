//! Common attributes of both types: the adapter, the last call, and the plan.

use crate::adapter::{State, Status};
use crate::calls::Ended;
use crate::config::Config;
use crate::endpoint::Endpoint;
use terrace_provider::plan::from_schema;
use terrace_provider::{
    Attribute, AttributeType, Attributes, Observed, Path, PlannedChange, Private, ProposedChange, ProviderError,
    ResourceType, Value,
};

/// The identifying attributes.
pub(crate) const IDENTITY: &[&str] = &["endpoint", "componentId"];
/// Attributes that change with each call.
const CALL_ATTRIBUTES: [&str; 5] = ["status", "token", "call", "publicInfo", "privateInfo"];

/// The attributes that locate the component.
pub(crate) fn location_attributes() -> Vec<Attribute> {
    vec![
        Attribute::new(
            "endpoint",
            AttributeType::String,
            "URL of the adapter. Left out: from `templates` or `endpoint` of the instance.",
        )
        .or_computed()
        .follows(&["templates"])
        .replaces(),
        Attribute::new("componentId", AttributeType::String, "Id of the component.").required().replaces(),
        Attribute::new(
            "templates",
            AttributeType::list(AttributeType::String),
            "Template ids of the component. The first one in `templates` of the instance selects the adapter.",
        ),
    ]
}

/// Why an update changes the attributes of the last call.
pub(crate) const EACH_CALL: &str = "each call has its own answer";

/// The attributes of the last call.
pub(crate) fn call_attributes() -> Vec<Attribute> {
    vec![
        Attribute::new("id", AttributeType::String, "Adapter and component.").stable(),
        Attribute::new(
            "status",
            AttributeType::String,
            "Status of the last call. Any status but `COMPLETED` repeats it.",
        )
        .computed()
        .volatile(EACH_CALL),
        Attribute::new("token", AttributeType::String, "Token of the last call, if any.")
            .computed()
            .volatile(EACH_CALL),
        Attribute::new("call", AttributeType::String, "The last call: operation and step of terrace.")
            .computed()
            .volatile(EACH_CALL),
    ]
}

/// Returns a string attribute that must be known.
pub(crate) fn text<'a>(attributes: &'a Attributes, name: &str) -> Result<&'a str, ProviderError> {
    let known = attributes.get(name).and_then(Value::as_str);
    known.ok_or_else(|| ProviderError::bug(format!("a call without a known `{name}`")))
}

/// Encodes the descriptor: a string unchanged, a map as JSON. JSON is YAML whose strings cannot be mistaken for
/// numbers, dates or booleans.
pub(crate) fn descriptor(attributes: &Attributes) -> Result<String, ProviderError> {
    match attributes.get("descriptor").map(Value::exposed) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value @ Value::Map(_)) if !value.has_unknown() => Ok(value.revealed().to_pretty_json_text()),
        _ => Err(ProviderError::bug("a call without a known `descriptor`")),
    }
}

/// Plans from the schema, with the configured adapter. Repeats a call that did not end successfully.
pub(crate) fn plan(
    config: &Config,
    ty: &ResourceType,
    change: &ProposedChange<'_>,
) -> Result<PlannedChange, ProviderError> {
    let mut configured = change.config.clone();
    check_descriptor(&configured)?;
    let endpoint = endpoint(config, &configured)?;
    configured.insert("endpoint".to_owned(), endpoint);
    let mut planned = from_schema(ty, &ProposedChange { config: &configured, ..change.clone() });
    let is_replaced = change.must_replace || !planned.replace_paths.is_empty();
    let status = change.prior.and_then(|prior| prior.text("status"));
    if change.prior.is_some() && !is_replaced && status != Some(State::Completed.as_str()) {
        for name in CALL_ATTRIBUTES.into_iter().filter(|name| ty.attributes.get(name).is_some()) {
            planned.planned.insert(name.to_owned(), Value::Unknown);
        }
    }
    if let Some(private) = planned.planned.get_mut("privateInfo") {
        *private = Value::sensitive(std::mem::take(private));
    }
    if let Some(id) = id(&planned.planned) {
        planned.planned.insert("id".to_owned(), id);
    }
    Ok(planned)
}

/// The adapter of an object, to be recorded.
fn endpoint(config: &Config, wanted: &Attributes) -> Result<Value, ProviderError> {
    let at = || Some(Path::attribute("endpoint"));
    let given = wanted.get("endpoint").filter(|value| !value.is_null());
    if let Some(given) = given {
        if let Some(text) = given.as_str() {
            Endpoint::parse(text).map_err(|why| ProviderError::invalid(at(), why))?;
        }
        return Ok(given.clone());
    }
    let templates = wanted.get("templates");
    if templates.is_some_and(Value::has_unknown) {
        return Ok(Value::Unknown);
    }
    let templates = templates.and_then(Value::as_list).unwrap_or_default();
    match config.endpoint_of(templates.iter().filter_map(Value::as_str)) {
        Some(endpoint) => Ok(Value::from(endpoint)),
        None => {
            let of = match templates.iter().find_map(Value::as_str) {
                Some(template) => format!("components of the template `{template}`"),
                None => "this component".to_owned(),
            };
            let message = format!("no adapter is configured for {of}");
            Err(ProviderError::invalid(at(), message).solution(format!(
                "set `templates: {{TEMPLATE: URL}}` or `endpoint` in `providers.{}` of the environment",
                config.instance
            )))
        }
    }
}

/// Refuses an invalid descriptor, as far as it is known.
fn check_descriptor(wanted: &Attributes) -> Result<(), ProviderError> {
    let invalid = |message: String| Err(ProviderError::invalid(Some(Path::attribute("descriptor")), message));
    let Some(descriptor) = wanted.get("descriptor") else { return Ok(()) };
    let component = wanted.get("componentId").and_then(Value::as_str);
    let named = descriptor.get("componentIdToProvision").and_then(Value::as_str);
    match (descriptor.exposed(), component, named) {
        (Value::Map(_), Some(component), Some(named)) if component != named => {
            invalid(format!("the descriptor is for `{named}`, but the resource for `{component}`"))
        }
        (Value::Map(_) | Value::String(_) | Value::Unknown | Value::Null, ..) => Ok(()),
        (other, ..) => invalid(format!("the descriptor is {}: write a map or a YAML string", other.kind())),
    }
}

fn id(attributes: &Attributes) -> Option<Value> {
    let part = |name: &str| attributes.get(name).and_then(Value::as_str);
    let endpoint = Endpoint::parse(part("endpoint")?).ok()?;
    Some(Value::from(endpoint.id_of(part("componentId")?)).derived_from(attributes, IDENTITY))
}

/// An object of which only the name is known.
fn named(ty: &ResourceType, attributes: &Attributes) -> Observed {
    let identity = ty.identity_of(attributes).unwrap_or_default();
    let mut known = identity.clone();
    if let Some(id) = id(attributes) {
        known.insert("id".to_owned(), id);
    }
    Observed { identity, attributes: known, private: Private::default() }
}

/// An object after a call that ended. Planned attributes that adapters do not return are left out, so that they are
/// recorded as planned.
pub(crate) fn observed(
    ty: &ResourceType,
    planned: &Attributes,
    (operation, step): (&str, &str),
    ended: &Ended,
) -> Observed {
    let Status { state, public_info, private_info, .. } = &ended.status;
    let mut observed = named(ty, planned);
    let values = [
        ("status", Some(Value::from(state.as_str()))),
        ("token", ended.token.as_deref().map(Value::from)),
        ("call", Some(Value::from(format!("{operation}/{step}")))),
        ("publicInfo", public_info.clone()),
        ("privateInfo", private_info.clone().map(Value::sensitive)),
    ];
    for (name, value) in values {
        if ty.attributes.get(name).is_some() {
            observed.attributes.insert(name.to_owned(), value.unwrap_or_default());
        }
    }
    observed
}

/// An object after a call without effect: its content is null, so that the next plan repeats the call.
pub(crate) fn untouched(ty: &ResourceType, attributes: &Attributes, content: &str) -> Observed {
    let mut observed = named(ty, attributes);
    observed.attributes.insert(content.to_owned(), Value::Null);
    observed
}
