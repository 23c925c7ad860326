//! Checks of plans by Airbyte: streams must exist in their source and, if the Config API is enabled, connectors must
//! accept their configuration.

use crate::airbyte::{Airbyte, text as of};
use crate::attributes::{given, text};
use crate::config::Config;
use crate::configuration::{self, PLAIN};
use crate::discovery::{DISCOVERY_TIMEOUT, Discovery};
use crate::kind::Kind;
use crate::lookup::definition_of;
use serde_json::{Value as Json, json};
use terrace_provider::http::{Api, Purpose, Request, Within};
use terrace_provider::names::{closest, listed};
use terrace_provider::provider::DryRun;
use terrace_provider::{Attributes, Finding, Path, ProviderError, Severity, Value};

/// Returns the check of a plan, if there is one.
pub(crate) fn dry_run<'a>(
    config: &'a Config,
    discovery: &'a Discovery,
    kind: Kind,
    planned: &'a Attributes,
) -> Option<DryRun<'a>> {
    match kind {
        Kind::Connection => {
            let (source, streams) = (given(planned, "sourceId")?.as_str()?, given(planned, "streams")?);
            Some(Box::pin(async move {
                let airbyte = Airbyte::new(&config.api, Within::time(DISCOVERY_TIMEOUT));
                match discovery.streams(&airbyte, source).await {
                    Ok(known) => check_streams(&known, streams),
                    Err(error) => vec![not_checked("streams", &error)],
                }
            }))
        }
        Kind::Source | Kind::Destination => {
            let api = config.config_api.as_ref()?;
            let is_known = |name: &str| planned.get(name).is_none_or(|value| !value.has_unknown());
            if ![PLAIN, configuration::SECRET, "workspaceId"].iter().all(|name| is_known(name)) {
                return None;
            }
            Some(Box::pin(async move {
                let found = check_connector(config, api, kind, planned).await;
                found.unwrap_or_else(|error| vec![not_checked(PLAIN, &error)])
            }))
        }
    }
}

fn not_checked(name: &str, error: &ProviderError) -> Finding {
    Finding {
        severity: Severity::Warning,
        path: Some(Path::attribute(name)),
        message: format!("not checked: {error}"),
        hint: error.hint(),
    }
}

fn wrong(path: Path, message: String, hint: String) -> Finding {
    Finding { severity: Severity::Error, path: Some(path), message, hint: Some(hint) }
}

/// Reports streams, modes and fields that the source does not have.
fn check_streams(known: &[Json], streams: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    let names: Vec<&str> = known.iter().filter_map(|stream| stream.get("streamName")?.as_str()).collect();
    for (index, wanted) in streams.as_list().unwrap_or_default().iter().enumerate() {
        let at = Path::attribute("streams").index(index);
        let part = |name: &str| wanted.get(name).and_then(Value::as_str);
        let Some(name) = part("name") else { continue };
        let Some(stream) = known.iter().find(|stream| stream.get("streamName").and_then(Json::as_str) == Some(name))
        else {
            let suggestion =
                closest(name, names.iter().copied()).map_or_else(String::new, |it| format!("; did you mean `{it}`?"));
            findings.push(wrong(
                at.key("name"),
                format!("the source has no stream `{name}`{suggestion}"),
                format!("it has {}", listed(&names)),
            ));
            continue;
        };
        let modes = words(stream.get("syncModes"));
        if let Some(mode) = part("syncMode").filter(|mode| !modes.is_empty() && !modes.iter().any(|it| it == mode)) {
            findings.push(wrong(
                at.key("syncMode"),
                format!("the stream `{name}` does not support the mode `{mode}`"),
                format!("it supports {}", listed(&modes)),
            ));
        }
        let fields = top_level_fields(stream.get("propertyFields"));
        for (number, field) in
            wanted.get("selectedFields").and_then(Value::as_list).unwrap_or_default().iter().enumerate()
        {
            if let Some(field) =
                field.as_str().filter(|field| !fields.is_empty() && !fields.iter().any(|it| it == field))
            {
                findings.push(wrong(
                    at.key("selectedFields").index(number),
                    format!("the stream `{name}` has no field `{field}`"),
                    format!("it has {}", listed(&fields)),
                ));
            }
        }
    }
    findings
}

fn words(list: Option<&Json>) -> Vec<String> {
    let items = list.and_then(Json::as_array).into_iter().flatten();
    items.filter_map(|it| it.as_str().map(str::to_owned)).collect()
}

/// The top-level fields of paths.
fn top_level_fields(list: Option<&Json>) -> Vec<String> {
    let paths = list.and_then(Json::as_array).into_iter().flatten();
    paths.filter_map(|path| Some(path.as_array()?.first()?.as_str()?.to_owned())).collect()
}

/// Checks a configuration against the connector's JSON Schema, then lets the connector test it, through the Config API.
/// <https://reference.airbyte.com/reference/config-api>
async fn check_connector(
    config: &Config,
    api: &Api,
    kind: Kind,
    planned: &Attributes,
) -> Result<Vec<Finding>, ProviderError> {
    let within = Within::time(DISCOVERY_TIMEOUT);
    let workspace = text(planned, "workspaceId");
    let airbyte = Airbyte::new(&config.api, within.clone());
    let definition = match given(planned, "definitionId").and_then(Value::as_str) {
        Some(id) => id.to_owned(),
        None => of(&definition_of(&airbyte, kind, &workspace, &text(planned, "connector")).await?, "id"),
    };
    let whole = configuration::whole(planned);
    let specification = specification(api, &within, kind, &workspace, &definition).await?;
    let findings = check_keys(&specification, &whole);
    if !findings.is_empty() {
        return Ok(findings);
    }
    let (path, name) = match kind {
        Kind::Destination => ("/scheduler/destinations/check_connection", "destinationDefinitionId"),
        _ => ("/scheduler/sources/check_connection", "sourceDefinitionId"),
    };
    let body = json!({name: definition, "workspaceId": workspace, "connectionConfiguration": whole});
    let purpose = Purpose::read(format!("test the configuration of the {}", kind.word()));
    let request = Request::post(path, &[]).json(body).reads().timeout(DISCOVERY_TIMEOUT);
    let answer =
        async { api.send(&request, &within).await?.json() }.await.map_err(|failure| api.error(&failure, &purpose))?;
    Ok(match answer.get("status").and_then(Json::as_str) {
        Some("failed") => {
            let why = api.redacted(&of(&answer, "message"));
            let message = format!("Airbyte cannot connect with this configuration: {why}");
            vec![wrong(
                Path::attribute(PLAIN),
                message,
                "correct the configuration, and check that Airbyte can connect to the system".to_owned(),
            )]
        }
        _ => Vec::new(),
    })
}

/// Returns the JSON Schema of a connector's configuration.
///
/// # Errors
/// If Airbyte refuses the request.
pub(crate) async fn specification(
    api: &Api,
    within: &Within,
    kind: Kind,
    workspace: &str,
    definition: &str,
) -> Result<Json, ProviderError> {
    let (path, name) = match kind {
        Kind::Destination => ("/destination_definition_specifications/get", "destinationDefinitionId"),
        _ => ("/source_definition_specifications/get", "sourceDefinitionId"),
    };
    let request = Request::post(path, &[]).json(json!({name: definition, "workspaceId": workspace})).reads();
    let purpose = Purpose::read(format!("read the specification of the connector `{definition}`"));
    let answer =
        async { api.send(&request, within).await?.json() }.await.map_err(|failure| api.error(&failure, &purpose))?;
    Ok(answer.get("connectionSpecification").cloned().unwrap_or_default())
}

/// Reports missing and unknown top-level keys. The connector itself checks nested keys.
fn check_keys(specification: &Json, whole: &Json) -> Vec<Finding> {
    let Some(given) = whole.as_object() else { return Vec::new() };
    let at = |name: &str| Path::attribute(PLAIN).key(name);
    let required = words(specification.get("required"));
    let missing = required.iter().filter(|name| given.get(*name).is_none_or(Json::is_null)).map(|name| {
        wrong(
            Path::attribute(PLAIN),
            format!("the connector needs `{name}`"),
            format!("it needs {}", listed(&required)),
        )
    });
    let known: Vec<&str> = specification
        .get("properties")
        .and_then(Json::as_object)
        .map(|properties| properties.keys().map(String::as_str).collect())
        .unwrap_or_default();
    let is_closed = specification.get("additionalProperties") == Some(&Json::Bool(false));
    let unknown = given.keys().filter(|name| is_closed && !known.contains(&name.as_str())).map(|name| {
        let suggestion =
            closest(name, known.iter().copied()).map_or_else(String::new, |it| format!("; did you mean `{it}`?"));
        wrong(
            at(name),
            format!("the connector has no key `{name}`{suggestion}"),
            format!("its keys are {}", listed(&known)),
        )
    });
    missing.chain(unknown).collect()
}
