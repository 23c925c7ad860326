//! Lists of existing objects.

use super::fields::{string_attribute, workspace};
use crate::attributes::{attributes, of_json, text, text_of};
use crate::context::Context;
use serde_json::Value as Json;
use terrace_provider::http::{Next, Purpose, Request};
use terrace_provider::{Attribute, AttributeType, Attributes, Lookup, Object, ProviderError, Value};

const WAREHOUSES: &str = "databricks_sql_warehouses";
const CLUSTERS: &str = "databricks_clusters";
const TABLES: &str = "databricks_tables";
/// The values of `cluster_source` for clusters of single runs. Databricks lists them for 30 days after their end:
/// <https://docs.databricks.com/api/workspace/clusters/list>.
const OF_RUNS: [&str; 3] = ["JOB", "PIPELINE", "PIPELINE_MAINTENANCE"];

/// The lookups that return lists.
pub(super) fn lookups() -> [Lookup; 3] {
    let items = |name, doc, item| Attribute::new(name, AttributeType::list(AttributeType::Object(Object(item))), doc);
    let of_workspace = |name, doc, list: Attribute| Lookup {
        name,
        doc,
        arguments: Object(vec![workspace()]),
        result: Object(vec![list]),
        objects: &[],
    };
    let named = |state| vec![string_attribute("id", "Its id."), string_attribute("name", "Its name."), state];
    let warehouse = named(string_attribute("state", "`RUNNING`, `STOPPED` …"));
    let cluster = named(string_attribute("state", "`RUNNING`, `TERMINATED` …"));
    let table = vec![
        string_attribute("id", "`catalog.schema.name`."),
        string_attribute("name", "Its name."),
        string_attribute("tableType", "`MANAGED`, `EXTERNAL`, `VIEW` …"),
        string_attribute("comment", "Its comment."),
    ];
    [
        of_workspace(
            WAREHOUSES,
            "The SQL warehouses that the principal may see.",
            items("warehouses", "The warehouses, by name.", warehouse),
        ),
        of_workspace(
            CLUSTERS,
            "The clusters that the principal may see, without those of jobs and pipelines, which end with their run.",
            items("clusters", "The clusters, by name.", cluster),
        ),
        Lookup {
            name: TABLES,
            doc: "The tables and views of a schema that the principal may see.",
            arguments: Object(vec![
                workspace(),
                string_attribute("catalog", "The catalog.").required(),
                string_attribute("schema", "The schema.").required(),
            ]),
            result: Object(vec![items("tables", "The tables and views, by name.", table)]),
            objects: &[],
        },
    ]
}

/// Answers a lookup of a list; `None` for another lookup.
///
/// # Errors
/// When the list cannot be read.
pub(super) async fn answer(
    lookup: &str,
    context: &Context<'_>,
    arguments: &Attributes,
) -> Option<Result<Attributes, ProviderError>> {
    Some(match lookup {
        WAREHOUSES => {
            let request = Request::get("/api/2.0/sql/warehouses", &[]);
            list(context, request, "warehouses", "SQL warehouses", |it| {
                let (id, name) = (of_json(it, "id"), of_json(it, "name"));
                Some(attributes([("id", id), ("name", name), ("state", of_json(it, "state"))]))
            })
            .await
        }
        CLUSTERS => {
            let request = Request::get("/api/2.1/clusters/list", &[]).query("page_size", 100);
            list(context, request, "clusters", "clusters", |it| {
                if OF_RUNS.contains(&text_of(it, "cluster_source")) {
                    return None;
                }
                let (id, name) = (of_json(it, "cluster_id"), of_json(it, "cluster_name"));
                Some(attributes([("id", id), ("name", name), ("state", of_json(it, "state"))]))
            })
            .await
        }
        TABLES => {
            let (catalog, schema) = (text(arguments, "catalog"), text(arguments, "schema"));
            let request = Request::get("/api/2.1/unity-catalog/tables", &[])
                .query("catalog_name", &catalog)
                .query("schema_name", &schema)
                .query("omit_columns", true);
            list(context, request, "tables", "tables", |it| {
                let id = format!("{catalog}.{schema}.{}", text_of(it, "name"));
                let (name, comment) = (of_json(it, "name"), of_json(it, "comment"));
                Some(attributes([
                    ("id", id.into()),
                    ("name", name),
                    ("tableType", of_json(it, "table_type")),
                    ("comment", comment),
                ]))
            })
            .await
        }
        _ => return None,
    })
}

/// All items of a list, by name; `item` returns `None` for those to leave out.
async fn list(
    context: &Context<'_>,
    request: Request,
    field: &'static str,
    noun: &str,
    item: impl Fn(&Json) -> Option<Attributes>,
) -> Result<Attributes, ProviderError> {
    let next = |page: &Json| Next::token(page, "next_page_token", "page_token");
    let all = context.workspace.api.items(request, &context.within, field, next).await;
    let purpose = Purpose::read(format!("list the {noun}"));
    let all = all.map_err(|failure| context.workspace.api.error(&failure, &purpose))?;
    let mut items: Vec<Attributes> = all.iter().filter_map(item).collect();
    items.sort_by_key(|item| text(item, "name"));
    let items: Vec<Value> = items.into_iter().map(Value::Map).collect();
    Ok(attributes([(field, items.into())]))
}
