//! Lookups of workspaces, connectors, and the streams of sources.

use crate::airbyte::{Airbyte, text as of};
use crate::attributes::{flag, given, optional_text, text};
use crate::check::specification;
use crate::config::Config;
use crate::discovery::{DISCOVERY_TIMEOUT, Discovery};
use crate::kind::Kind;
use serde_json::Value as Json;
use terrace_provider::http::{Purpose, Request, Within};
use terrace_provider::names::listed;
use terrace_provider::{
    Attribute, AttributeType, Attributes, ErrorKind, Lookup, Map, Object, Path, ProviderError, Value,
};

const STREAMS: &str = "airbyte_streams";
const DEFINITION: &str = "airbyte_definition";
const WORKSPACE: &str = "airbyte_workspace";
/// A lookup that needs no request.
pub(crate) const DEFAULTS: &str = "airbyte_defaults";

/// The lookups of the provider.
pub(crate) fn lookups() -> Vec<Lookup> {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc);
    let list = |name, item, doc| Attribute::new(name, AttributeType::list(item), doc);
    let string = || AttributeType::String;
    let stream = Object(vec![
        text("name", "The stream's name."),
        text("namespace", "Namespace in the source."),
        list("syncModes", string(), "Supported sync modes."),
        list("cursorField", string(), "Field that identifies new records, if the source defines it."),
        list("primaryKey", AttributeType::list(string()), "Primary key, if the source defines it."),
        list("fields", AttributeType::list(string()), "The paths of its fields."),
    ]);
    vec![
        Lookup {
            name: STREAMS,
            doc: "The streams of a source. Airbyte runs the connector to list them, so terrace caches the answer for five minutes.",
            arguments: Object(vec![text("sourceId", "The source.").required()]),
            result: Object(vec![
                text("sourceId", "The source."),
                list("streams", AttributeType::Object(stream), "The streams, by name."),
            ]),
            objects: &[],
        },
        Lookup {
            name: DEFINITION,
            doc: "A connector of the workspace.",
            arguments: Object(vec![
                text("kind", "`source` or `destination`.").required(),
                text("name", "Display name, such as `Postgres`, or connector name, such as `postgres`.").required(),
                text("workspaceId", "Workspace. Defaults to the instance's."),
                Attribute::new(
                    "specification",
                    AttributeType::Bool,
                    "Return the JSON Schema of its configuration too. Needs `api: {config: true}` of the instance.",
                )
                .default_value(false),
            ]),
            result: Object(vec![
                text("definitionId", "Id, for `definitionId`."),
                text("name", "Display name."),
                text("dockerRepository", "Image of the connector."),
                text("dockerImageTag", "Version of the image."),
                Attribute::new("specification", AttributeType::Any, "JSON Schema of its configuration, if requested.")
                    .vendor_json(),
            ]),
            objects: &[],
        },
        Lookup {
            name: WORKSPACE,
            doc: "A workspace. Default: the instance's workspace.",
            arguments: Object(vec![
                text("workspaceId", "Id of the workspace."),
                text("name", "Unique name, instead of the id."),
            ]),
            result: Object(vec![
                text("workspaceId", "Id of the workspace."),
                text("name", "Name of the workspace."),
                text("url", "Address of its page in the browser."),
            ]),
            objects: &[],
        },
        Lookup {
            name: DEFAULTS,
            doc: "Defaults of the instance `airbyte` from environment variables, for values that blueprints and settings leave out.",
            arguments: Object(Vec::new()),
            result: Object(vec![
                text("sourceDefinitionId", "Connector of sources: AIRBYTE_SOURCE_ID."),
                text("destinationDefinitionId", "Connector of destinations: AIRBYTE_DESTINATION_ID."),
                text("host", "Host of the account for the data: SNOWFLAKE_HOST."),
                text("user", "User: SNOWFLAKE_USER."),
                text("role", "Role: SNOWFLAKE_ROLE."),
                text("warehouse", "Warehouse: SNOWFLAKE_WAREHOUSE."),
                text("password", "Password: SNOWFLAKE_PASSWORD.").sensitive(),
            ]),
            objects: &[],
        },
    ]
}

/// Answers a lookup.
///
/// # Errors
/// `NotFound` if the object does not exist.
pub(crate) async fn answer(
    lookup: &str,
    config: &Config,
    discovery: &Discovery,
    arguments: &Attributes,
) -> Result<Attributes, ProviderError> {
    let airbyte = Airbyte::new(&config.api, Within::time(DISCOVERY_TIMEOUT));
    match lookup {
        STREAMS => streams(&airbyte, discovery, &text(arguments, "sourceId")).await,
        DEFINITION => definition(&airbyte, config, arguments).await,
        WORKSPACE => workspace(&airbyte, config, arguments).await,
        other => Err(ProviderError::bug(format!("unknown lookup `{other}`"))),
    }
}

fn missing(message: String) -> ProviderError {
    ProviderError::new(ErrorKind::NotFound, message)
}

async fn streams(airbyte: &Airbyte<'_>, discovery: &Discovery, source: &str) -> Result<Attributes, ProviderError> {
    let mut known: Vec<Json> = discovery.streams(airbyte, source).await?.to_vec();
    known.sort_by_key(|stream| of(stream, "streamName"));
    let list = |stream: &Json, name: &str| match stream.get(name) {
        Some(items @ Json::Array(_)) => Value::from(items.clone()),
        _ => Value::List(Vec::new()),
    };
    let stream = |stream: &Json| {
        let namespace = stream.get("streamnamespace").and_then(Json::as_str).map_or(Value::Null, Value::from);
        let entries = [
            ("name", of(stream, "streamName").into()),
            ("namespace", namespace),
            ("syncModes", list(stream, "syncModes")),
            ("cursorField", list(stream, "defaultCursorField")),
            ("primaryKey", list(stream, "sourceDefinedPrimaryKey")),
            ("fields", list(stream, "propertyFields")),
        ];
        entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Value>()
    };
    let streams: Vec<Value> = known.iter().map(stream).collect();
    Ok(Map::from_iter([("sourceId".to_owned(), source.into()), ("streams".to_owned(), streams.into())]))
}

/// Returns the connector with a display name or connector name.
///
/// # Errors
/// `NotFound` with the existing connectors.
pub(crate) async fn definition_of(
    airbyte: &Airbyte<'_>,
    kind: Kind,
    workspace: &str,
    name: &str,
) -> Result<Json, ProviderError> {
    let template = match kind {
        Kind::Destination => "/workspaces/{workspaceId}/definitions/destinations",
        _ => "/workspaces/{workspaceId}/definitions/sources",
    };
    let purpose = Purpose::read(format!("list the connectors of {}s", kind.word()));
    let all = airbyte.read_optional(&Request::get(template, &[workspace]), &purpose).await?;
    let all = all.ok_or_else(|| no_workspace(workspace))?;
    let all = all.get("data").and_then(Json::as_array).cloned().unwrap_or_default();
    let image = format!("airbyte/{}-{name}", kind.word());
    let found = all.iter().find(|it| of(it, "dockerRepository") == image);
    let found = found.or_else(|| all.iter().find(|it| of(it, "name").eq_ignore_ascii_case(name)));
    found.cloned().ok_or_else(|| {
        let names: Vec<String> = all.iter().map(|it| of(it, "name")).collect();
        missing(format!("connector `{name}` for {}s not found", kind.word()))
            .problem(format!("existing connectors: {}", listed(&names)))
    })
}

fn no_workspace(id: &str) -> ProviderError {
    missing(format!("workspace `{id}` not found, or the instance's principal may not see it"))
        .solution("check `workspaceId` of the instance: copy it from the address of the workspace's page")
}

fn own_workspace(config: &Config, arguments: &Attributes) -> Result<String, ProviderError> {
    let id = optional_text(arguments, "workspaceId").or_else(|| config.workspace.clone());
    id.ok_or_else(|| {
        ProviderError::invalid(Some(Path::attribute("workspaceId")), "no workspace is set")
            .solution("set `workspaceId` of the instance (AIRBYTE_WORKSPACE_ID)")
    })
}

async fn definition(
    airbyte: &Airbyte<'_>,
    config: &Config,
    arguments: &Attributes,
) -> Result<Attributes, ProviderError> {
    let kind = match text(arguments, "kind").as_str() {
        "source" => Kind::Source,
        "destination" => Kind::Destination,
        other => {
            let error =
                ProviderError::invalid(Some(Path::attribute("kind")), format!("`{other}` is not a kind of connector"));
            return Err(error.solution("write `source` or `destination`"));
        }
    };
    let workspace = own_workspace(config, arguments)?;
    let found = definition_of(airbyte, kind, &workspace, &text(arguments, "name")).await?;
    let id = of(&found, "id");
    let schema = match (flag(arguments, "specification"), &config.config_api) {
        (false, _) => Value::Null,
        (true, Some(api)) => Value::from(specification(api, &Within::reading(), kind, &workspace, &id).await?),
        (true, None) => {
            let path = Some(Path::attribute("specification"));
            return Err(ProviderError::invalid(path, "the JSON Schema of a connector needs the Config API")
                .solution("set `api: {config: true}` of the instance"));
        }
    };
    let mut answer: Attributes = ["name", "dockerRepository", "dockerImageTag"]
        .map(|name| (name.to_owned(), Value::from(of(&found, name))))
        .into_iter()
        .collect();
    answer.insert("definitionId".to_owned(), id.into());
    answer.insert("specification".to_owned(), schema);
    Ok(answer)
}

async fn workspace(
    airbyte: &Airbyte<'_>,
    config: &Config,
    arguments: &Attributes,
) -> Result<Attributes, ProviderError> {
    let found = match given(arguments, "name").and_then(Value::as_str) {
        Some(name) if arguments.get("workspaceId").is_none_or(Value::is_null) => {
            let request = Request::get("/workspaces", &[]);
            let all = airbyte.list_all(request, &Purpose::read("list the workspaces")).await?;
            let mut named: Vec<&Json> = all.iter().filter(|it| of(it, "name") == name).collect();
            match (named.pop(), named.is_empty()) {
                (Some(found), true) => found.clone(),
                (None, _) => {
                    let names: Vec<String> = all.iter().map(|it| of(it, "name")).collect();
                    return Err(missing(format!("workspace `{name}` not found"))
                        .problem(format!("existing workspaces: {}", listed(&names))));
                }
                (Some(_), false) => {
                    let message = format!("there are several workspaces `{name}`");
                    return Err(ProviderError::invalid(Some(Path::attribute("name")), message)
                        .solution("set `workspaceId` instead"));
                }
            }
        }
        _ => {
            let id = own_workspace(config, arguments)?;
            let request = Request::get("/workspaces/{workspaceId}", &[&id]);
            let purpose = Purpose::read(format!("read the workspace `{id}`"));
            airbyte.read_optional(&request, &purpose).await?.ok_or_else(|| no_workspace(&id))?
        }
    };
    let id = of(&found, "workspaceId");
    let url = format!("{}/workspaces/{id}", config.pages);
    let answer = [("workspaceId", id), ("name", of(&found, "name")), ("url", url)];
    Ok(answer.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect())
}
