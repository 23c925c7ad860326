//! Lookups of existing objects by name.

pub(crate) mod azure;
mod by_name;
mod columns;
mod fields;
mod lists;
mod workflow;

pub(crate) use columns::columns_of;

use crate::attributes::{attributes, id_of, of_json, optional_text, text, text_of, texts};
use crate::config::Config;
use crate::object::{Context, job, pipeline, view};
use crate::rights::is_without_metastore;
use by_name::{ambiguous, find_by_name, find_by_scim, not_found};
use fields::{ids, names, string_attribute, workspace};
use serde_json::Value as Json;
use terrace_provider::http::{Next, Request};
use terrace_provider::names::listed;
use terrace_provider::{Attribute, AttributeType, Attributes, ErrorKind, Lookup, Object, Path, ProviderError, Value};

/// The lookups of the provider.
pub(crate) fn lookups() -> Vec<Lookup> {
    let named = |name, doc, name_doc, result: Vec<Attribute>| Lookup {
        name,
        doc,
        arguments: Object(vec![workspace(), Attribute::new("name", AttributeType::String, name_doc).required()]),
        result: Object(result),
        objects: &[],
    };
    let by_name = |name, doc, id| Lookup {
        name,
        doc,
        arguments: Object(vec![workspace(), string_attribute("name", "Exact name.").required()]),
        result: Object(vec![
            string_attribute("name", "The requested name."),
            string_attribute(id, "Id; null if not found."),
        ]),
        objects: &[],
    };
    let of_workspaces = vec![
        named(
            "databricks_sql_warehouse",
            "A SQL warehouse by its name, in any case.",
            "The name.",
            vec![
                string_attribute("name", "Name in Databricks' spelling."),
                string_attribute("id", "Its id."),
                string_attribute("state", "`RUNNING`, `STOPPED` …"),
            ],
        ),
        named(
            "databricks_cluster",
            "A cluster by its name, in any case.",
            "The name.",
            vec![
                string_attribute("name", "Name in Databricks' spelling."),
                string_attribute("id", "Its id."),
                string_attribute("state", "`RUNNING`, `TERMINATED` …"),
            ],
        ),
        named(
            "databricks_user",
            "A user by user name.",
            "The user name, an address.",
            vec![string_attribute("name", "User name in Databricks' spelling."), string_attribute("id", "Its id.")],
        ),
        named(
            "databricks_group",
            "A group by its display name, in any case.",
            "The display name.",
            vec![string_attribute("name", "Display name in Databricks' spelling."), string_attribute("id", "Its id.")],
        ),
        named(
            "databricks_service_principal",
            "A service principal by its display name.",
            "The display name.",
            vec![
                string_attribute("name", "Display name in Databricks' spelling."),
                string_attribute("id", "Its id."),
                string_attribute("applicationId", "Its application id."),
            ],
        ),
        by_name("databricks_job_id", "Id of the only job with a name.", "jobId"),
        by_name("databricks_pipeline_id", "Id of the only pipeline with a name.", "pipelineId"),
        Lookup {
            name: "databricks_ids",
            doc: "Ids of the objects that a workflow's tasks refer to.",
            arguments: Object(vec![
                workspace(),
                names("pipelines", "Names of pipelines."),
                names("jobs", "Names of jobs."),
                names("warehouses", "Names of SQL warehouses."),
                names("clusters", "Names of clusters."),
            ]),
            result: Object(vec![
                ids("pipelineIds", "Ids of the pipelines by name."),
                ids("jobIds", "Ids of the jobs by name."),
                ids("warehouseIds", "Ids of the SQL warehouses by name."),
                ids("clusterIds", "Ids of the clusters by name."),
            ]),
            objects: &["databricks_job", "databricks_pipeline"],
        },
        Lookup {
            name: "databricks_workspace",
            doc: "A workspace, and the instance's principal there.",
            arguments: Object(vec![workspace()]),
            result: Object(vec![
                string_attribute("url", "Its URL."),
                string_attribute("userName", "User name or application id of the principal."),
            ]),
            objects: &[],
        },
        Lookup {
            name: "databricks_metastore",
            doc: "The metastore of a workspace.",
            arguments: Object(vec![
                workspace(),
                Attribute::new("required", AttributeType::Bool, "Fail if the workspace has no metastore.")
                    .default_value(Value::Bool(true)),
            ]),
            result: Object(vec![
                string_attribute("metastoreId", "Its id."),
                string_attribute("workspaceId", "The id of the workspace."),
            ]),
            objects: &[],
        },
        table(),
        workflow::schema(),
    ];
    of_workspaces.into_iter().chain(lists::lookups()).chain(azure::lookups()).collect()
}

fn table() -> Lookup {
    let column = Object(vec![
        string_attribute("name", "The column's name."),
        string_attribute("type", "The type as Databricks writes it: `decimal(10,2)`."),
        string_attribute("typeName", "The type without its numbers: `DECIMAL`."),
        Attribute::new("precision", AttributeType::Int, "Of a decimal number."),
        Attribute::new("scale", AttributeType::Int, "Of a decimal number."),
        Attribute::new("length", AttributeType::Int, "Maximum length of a string, if limited."),
        Attribute::new("nullable", AttributeType::Bool, "The column may be null."),
        string_attribute("comment", "The column's comment."),
    ]);
    Lookup {
        name: "databricks_table",
        doc: "An existing table or view of Unity Catalog.",
        arguments: Object(vec![
            workspace(),
            string_attribute("metastoreId", "The metastore. If set, the lookup also finds a view of the same plan."),
            string_attribute("catalog", "The catalog.").required(),
            string_attribute("schema", "The schema.").required(),
            string_attribute("name", "The name.").required(),
            Attribute::new(
                "optional",
                AttributeType::Bool,
                "Return no columns instead of an error if the table does not exist.",
            )
            .default_value(false),
            string_attribute("advice", "Hint for the error of a missing table."),
            Attribute::new("tableOnly", AttributeType::Bool, "Fail if it is a view.").default_value(false),
        ]),
        result: Object(vec![
            string_attribute("catalog", "The catalog."),
            string_attribute("schema", "The schema."),
            string_attribute("name", "The requested name."),
            Attribute::new("exists", AttributeType::Bool, "Whether the table exists."),
            string_attribute("tableType", "`MANAGED`, `EXTERNAL`, `VIEW` …"),
            // Not `columns`: a view that is only planned has that attribute with the configured columns, which know
            // less.
            Attribute::new("fields", AttributeType::list(AttributeType::Object(column)), "The columns, in order."),
            Attribute::new("primaryKey", AttributeType::list(AttributeType::String), "The columns of the primary key."),
            string_attribute("comment", "The comment."),
            string_attribute("tableId", "Its id."),
        ]),
        objects: &["databricks_view"],
    }
}

/// Answers lookups that need no request: a lookup with an empty name, which blueprints use for optional references, and
/// the lookup of settings.
pub(crate) fn answer_locally(lookup: &str, config: &Config, arguments: &Attributes) -> Option<Attributes> {
    if lookup == "databricks_azure" {
        return Some(azure::of_settings(config));
    }
    let known = lookups().into_iter().find(|it| it.name == lookup && it.arguments.get("name").is_some())?;
    let is_empty = text(arguments, "name").is_empty() && !["databricks_table", workflow::NAME].contains(&lookup);
    let argument = |name: &str| arguments.get(name).cloned().unwrap_or_default();
    is_empty.then(|| known.result.names().map(|name| (name.to_owned(), argument(name))).collect())
}

/// Answers a lookup.
///
/// # Errors
/// `NotFound` if the object does not exist; another error if several objects have the name.
pub(crate) async fn answer(
    lookup: &str,
    context: &Context<'_>,
    arguments: &Attributes,
) -> Result<Attributes, ProviderError> {
    let name = text(arguments, "name");
    if let Some(answer) = answer_locally(lookup, context.config, arguments) {
        return Ok(answer);
    }
    match lookup {
        "databricks_sql_warehouse" => {
            let request = Request::get("/api/2.0/sql/warehouses", &[]);
            let found = find_by_name(context, request, ("warehouses", "name", "id"), "SQL warehouse", &name).await?;
            Ok(attributes([
                ("name", of_json(&found, "name")),
                ("id", of_json(&found, "id")),
                ("state", of_json(&found, "state")),
            ]))
        }
        "databricks_cluster" => {
            let request = Request::get("/api/2.1/clusters/list", &[]).query("page_size", 100);
            let found =
                find_by_name(context, request, ("clusters", "cluster_name", "cluster_id"), "cluster", &name).await?;
            Ok(attributes([
                ("name", of_json(&found, "cluster_name")),
                ("id", of_json(&found, "cluster_id")),
                ("state", of_json(&found, "state")),
            ]))
        }
        "databricks_user" => principal(context, "/api/2.0/preview/scim/v2/Users", "userName", "user", &name).await,
        "databricks_group" => {
            principal(context, "/api/2.0/preview/scim/v2/Groups", "displayName", "group", &name).await
        }
        "databricks_service_principal" => {
            principal(context, "/api/2.0/preview/scim/v2/ServicePrincipals", "displayName", "service principal", &name)
                .await
        }
        "databricks_metastore" => {
            let metastore = match context.workspace.metastore(&context.within).await {
                Err(error)
                    if is_without_metastore(&error) && arguments.get("required") == Some(&Value::Bool(false)) =>
                {
                    return Ok(attributes([("metastoreId", Value::Null), ("workspaceId", Value::Null)]));
                }
                metastore => metastore?,
            };
            let workspace = id_of(metastore, "workspace_id").map_or(Value::Null, Value::from);
            Ok(attributes([("metastoreId", of_json(metastore, "metastore_id")), ("workspaceId", workspace)]))
        }
        "databricks_ids" => ids_of(context, arguments).await,
        "databricks_workspace" => {
            let me = context.workspace.me(&context.within).await?;
            Ok(attributes([("url", context.workspace.url.as_str().into()), ("userName", me.into())]))
        }
        "databricks_job_id" => id(job::named(context, &name).await?, "job_id", "jobId", "job", &name),
        "databricks_pipeline_id" => {
            id(pipeline::named(context, &name).await?, "pipeline_id", "pipelineId", "pipeline", &name)
        }
        "databricks_table" => table_of(context, arguments).await,
        workflow::NAME => workflow::answer(context, arguments).await,
        other => {
            if let Some(answer) = lists::answer(other, context, arguments).await {
                return answer;
            }
            match azure::answer(other, context, arguments).await {
                Some(answer) => answer,
                None => Err(ProviderError::bug(format!("unknown lookup `{other}`"))),
            }
        }
    }
}

/// Returns the ids of the named objects of each kind.
async fn ids_of(context: &Context<'_>, arguments: &Attributes) -> Result<Attributes, ProviderError> {
    let kinds = [
        ("pipelines", "pipelineIds", "databricks_pipeline_id", "pipelineId"),
        ("jobs", "jobIds", "databricks_job_id", "jobId"),
        ("warehouses", "warehouseIds", "databricks_sql_warehouse", "id"),
        ("clusters", "clusterIds", "databricks_cluster", "id"),
    ];
    let mut all = Attributes::default();
    for (kind, result_name, lookup, field) in kinds {
        let mut ids = Attributes::default();
        for name in texts(arguments, kind) {
            let found = Box::pin(answer(lookup, context, &attributes([("name", name.as_str().into())]))).await?;
            match found.get(field).filter(|id| !id.is_null()) {
                Some(id) => drop(ids.insert(name, id.clone())),
                None => {
                    let error = not_found(kind.trim_end_matches('s'), &name, &[]);
                    return Err(error
                        .solution("if another component creates it, deploy that component first, or both in one run"));
                }
            }
        }
        all.insert(result_name.to_owned(), ids.into());
    }
    Ok(all)
}

/// Returns the id of the only object with a name; null if it does not exist.
fn id(found: Vec<Json>, field: &str, attribute: &str, noun: &str, name: &str) -> Result<Attributes, ProviderError> {
    let ids: Vec<String> = found.iter().filter_map(|it| id_of(it, field)).collect();
    match ids.as_slice() {
        [] => Ok(attributes([("name", name.into()), (attribute, Value::Null)])),
        [id] => Ok(attributes([("name", name.into()), (attribute, id.as_str().into())])),
        several => Err(ambiguous(noun, name, several)),
    }
}

/// Looks up a user, group or service principal of a workspace.
async fn principal(
    context: &Context<'_>,
    path: &'static str,
    field: &str,
    noun: &str,
    name: &str,
) -> Result<Attributes, ProviderError> {
    let found = find_by_scim(context, Request::get(path, &[]), field, noun, name).await?;
    let mut answer = attributes([("name", of_json(&found, field)), ("id", of_json(&found, "id"))]);
    if noun == "service principal" {
        answer.insert("applicationId".to_owned(), of_json(&found, "applicationId"));
    }
    Ok(answer)
}

/// The error for a missing table. Lists the tables of the schema if they are visible.
async fn missing_table(context: &Context<'_>, full_name: &str, advice: Option<String>) -> ProviderError {
    let message = format!("table `{full_name}` not found, or the instance's principal may not see it");
    let (schema, name) = full_name.rsplit_once('.').unwrap_or_default();
    let (catalog, schema_name) = schema.split_once('.').unwrap_or_default();
    let request = Request::get("/api/2.1/unity-catalog/tables", &[])
        .query("catalog_name", catalog)
        .query("schema_name", schema_name)
        .query("omit_columns", true);
    let next = |page: &Json| Next::token(page, "next_page_token", "page_token");
    let tables = context.workspace.api.items(request, &context.within, "tables", next).await;
    let names: Option<Vec<String>> =
        tables.ok().map(|all| all.iter().map(|it| text_of(it, "name").to_owned()).collect());
    let hint = match names {
        Some(names) if names.is_empty() => format!("the schema `{schema}` is empty"),
        Some(names) => match terrace_provider::names::closest(name, names.iter().map(String::as_str)) {
            Some(close) => format!("did you mean `{close}`? The schema `{schema}` has {}", listed(&names)),
            None => format!("the schema `{schema}` has {}", listed(&names)),
        },
        None => format!("the schema `{schema}` is missing or not visible"),
    };
    let error = ProviderError::new(ErrorKind::NotFound, message);
    match advice {
        Some(advice) => error.solution(format!("{advice}; {hint}")),
        None => error.solution(hint),
    }
}

async fn table_of(context: &Context<'_>, arguments: &Attributes) -> Result<Attributes, ProviderError> {
    let full_name = ["catalog", "schema", "name"].map(|part| text(arguments, part)).join(".").to_lowercase();
    let is_optional = arguments.get("optional").and_then(Value::as_bool).unwrap_or(false);
    let found = view::table(context, &full_name).await?;
    if found.is_none() && !is_optional {
        return Err(missing_table(context, &full_name, optional_text(arguments, "advice")).await);
    }
    let exists = found.is_some();
    let table = found.unwrap_or_default();
    let is_view = matches!(text_of(&table, "table_type"), "VIEW" | "MATERIALIZED_VIEW" | "METRIC_VIEW");
    if is_view && arguments.get("tableOnly").and_then(Value::as_bool).unwrap_or(false) {
        let message = format!("`{full_name}` is a view, not a table");
        return Err(ProviderError::invalid(Some(Path::attribute("name")), message)
            .solution("name a table, or use only the columns"));
    }
    let constraints = table.get("table_constraints").and_then(Json::as_array).cloned().unwrap_or_default();
    let keys =
        constraints.iter().find_map(|it| it.pointer("/primary_key_constraint/child_columns")?.as_array().cloned());
    let keys = keys.unwrap_or_default().into_iter().map(Value::from).collect::<Vec<_>>();
    let part = |name: &'static str| (name, optional_text(arguments, name).map_or(Value::Null, Value::from));
    Ok(attributes([
        part("catalog"),
        part("schema"),
        part("name"),
        ("exists", exists.into()),
        ("tableType", of_json(&table, "table_type")),
        ("fields", Value::List(columns_of(&table).into_iter().map(Value::Map).collect())),
        ("primaryKey", Value::List(keys)),
        ("comment", of_json(&table, "comment")),
        ("tableId", of_json(&table, "table_id")),
    ]))
}
