//! Lookups: workspaces, connectors, and what sources have.

use crate::airbyte::{Airbyte, text as of};
use crate::attributes::{flag, given, optional_text, text};
use crate::check::specification;
use crate::config::Config;
use crate::discovery::{Discovery, PATIENCE};
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
/// Answered without asking anybody.
pub(crate) const DEFAULTS: &str = "airbyte_defaults";

/// What can be looked up.
pub(crate) fn lookups() -> Vec<Lookup> {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc);
    let list = |name, item, doc| Attribute::new(name, AttributeType::list(item), doc);
    let string = || AttributeType::String;
    let stream = Object(vec![
        text("name", "The stream's name."),
        text("namespace", "The namespace of it in the source."),
        list("syncModes", string(), "How it can be synced."),
        list("cursorField", string(), "The field by which new records are told, where the source says one."),
        list("primaryKey", AttributeType::list(string()), "The key, where the source says one."),
        list("fields", AttributeType::list(string()), "The paths of its fields."),
    ]);
    vec![
        Lookup {
            name: STREAMS,
            doc: "The streams of a source: Airbyte runs its connector to tell, so the answer is kept for five minutes.",
            arguments: Object(vec![text("sourceId", "The source.").required()]),
            result: Object(vec![
                text("sourceId", "The source."),
                list("streams", AttributeType::Object(stream), "The streams, by name."),
            ]),
            objects: &[],
        },
        Lookup {
            name: DEFINITION,
            doc: "A connector, as the workspace has it.",
            arguments: Object(vec![
                text("kind", "`source` or `destination`.").required(),
                text("name", "Its name, such as `Postgres`, or its word, such as `postgres`.").required(),
                text("workspaceId", "The workspace; that of the instance where it is left out."),
                Attribute::new(
                    "specification",
                    AttributeType::Bool,
                    "Ask for the JSON Schema of its configuration, too: needs `api: {config: true}` of the instance.",
                )
                .default_value(false),
            ]),
            result: Object(vec![
                text("definitionId", "Its id, for `definitionId`."),
                text("name", "Its name."),
                text("dockerRepository", "Its image."),
                text("dockerImageTag", "The version of that."),
                Attribute::new(
                    "specification",
                    AttributeType::Any,
                    "The JSON Schema of its configuration, where it was asked for.",
                )
                .vendor_json(),
            ]),
            objects: &[],
        },
        Lookup {
            name: WORKSPACE,
            doc: "A workspace. Default: the instance's workspace.",
            arguments: Object(vec![
                text("workspaceId", "Its id."),
                text("name", "Its name, which has to be the only one, instead."),
            ]),
            result: Object(vec![
                text("workspaceId", "Its id."),
                text("name", "Its name."),
                text("url", "The address of its page."),
            ]),
            objects: &[],
        },
        Lookup {
            name: DEFAULTS,
            doc: "What variables of the process say of the instance `airbyte`, where a blueprint and its settings say nothing.",
            arguments: Object(Vec::new()),
            result: Object(vec![
                text("sourceDefinitionId", "The connector of sources: AIRBYTE_SOURCE_ID."),
                text("destinationDefinitionId", "The connector of destinations: AIRBYTE_DESTINATION_ID."),
                text("host", "The account that data lands in: SNOWFLAKE_HOST."),
                text("user", "The user there: SNOWFLAKE_USER."),
                text("role", "The role: SNOWFLAKE_ROLE."),
                text("warehouse", "The warehouse: SNOWFLAKE_WAREHOUSE."),
                text("password", "The password: SNOWFLAKE_PASSWORD.").sensitive(),
            ]),
            objects: &[],
        },
    ]
}

/// Answers a lookup.
///
/// # Errors
/// `NotFound` when there is no such thing.
pub(crate) async fn answer(
    lookup: &str,
    config: &Config,
    discovery: &Discovery,
    arguments: &Attributes,
) -> Result<Attributes, ProviderError> {
    let airbyte = Airbyte::new(&config.api, Within::time(PATIENCE));
    match lookup {
        STREAMS => streams(&airbyte, discovery, &text(arguments, "sourceId")).await,
        DEFINITION => definition(&airbyte, config, arguments).await,
        WORKSPACE => workspace(&airbyte, config, arguments).await,
        other => Err(ProviderError::bug(format!("there is no lookup `{other}`"))),
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

/// The connector of that name or word.
///
/// # Errors
/// `NotFound` with those that there are.
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
    let purpose = Purpose::look(format!("list the connectors of {}s", kind.word()));
    let all = airbyte.ask_about(&Request::get(template, &[workspace]), &purpose).await?;
    let all = all.ok_or_else(|| no_workspace(workspace))?;
    let all = all.get("data").and_then(Json::as_array).cloned().unwrap_or_default();
    let image = format!("airbyte/{}-{name}", kind.word());
    let found = all.iter().find(|it| of(it, "dockerRepository") == image);
    let found = found.or_else(|| all.iter().find(|it| of(it, "name").eq_ignore_ascii_case(name)));
    found.cloned().ok_or_else(|| {
        let names: Vec<String> = all.iter().map(|it| of(it, "name")).collect();
        missing(format!("there is no connector `{name}` for {}s", kind.word()))
            .problem(format!("there are {}", listed(&names)))
    })
}

fn no_workspace(id: &str) -> ProviderError {
    missing(format!("there is no workspace `{id}`, or who works in the instance may not see it"))
        .solution("look at `workspaceId` of the instance: it stands in the address of the workspace's page")
}

fn own_workspace(config: &Config, arguments: &Attributes) -> Result<String, ProviderError> {
    let id = optional_text(arguments, "workspaceId").or_else(|| config.workspace.clone());
    id.ok_or_else(|| {
        ProviderError::invalid(Some(Path::attribute("workspaceId")), "nothing says which workspace")
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
                ProviderError::invalid(Some(Path::attribute("kind")), format!("`{other}` is no kind of connector"));
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
            return Err(ProviderError::invalid(path, "the JSON Schema of a connector is in the Config API alone")
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
            let all = airbyte.listed(request, &Purpose::look("list the workspaces")).await?;
            let mut named: Vec<&Json> = all.iter().filter(|it| of(it, "name") == name).collect();
            match (named.pop(), named.is_empty()) {
                (Some(found), true) => found.clone(),
                (None, _) => {
                    let names: Vec<String> = all.iter().map(|it| of(it, "name")).collect();
                    return Err(missing(format!("there is no workspace `{name}`"))
                        .problem(format!("there are {}", listed(&names))));
                }
                (Some(_), false) => {
                    let message = format!("there are several workspaces `{name}`");
                    return Err(ProviderError::invalid(Some(Path::attribute("name")), message)
                        .solution("say `workspaceId` instead"));
                }
            }
        }
        _ => {
            let id = own_workspace(config, arguments)?;
            let request = Request::get("/workspaces/{workspaceId}", &[&id]);
            let purpose = Purpose::look(format!("read the workspace `{id}`"));
            airbyte.ask_about(&request, &purpose).await?.ok_or_else(|| no_workspace(&id))?
        }
    };
    let id = of(&found, "workspaceId");
    let url = format!("{}/workspaces/{id}", config.pages);
    let answer = [("workspaceId", id), ("name", of(&found, "name")), ("url", url)];
    Ok(answer.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect())
}
