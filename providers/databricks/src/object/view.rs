//! Views. They are created and updated by statements on a warehouse, and read through the API of tables. A replaced
//! view loses its grants, so an existing view is altered.

mod column_check;
mod comments;
pub(crate) mod plan_checks;

use super::container::check_names;
use super::{Context, Object, Observation, plan_recreated, time_of};
use crate::attributes::{attributes, is_managed, of_json, optional_text, text, text_of};
use crate::mark;
use crate::private::PrivateData;
use crate::sql::{self, literal, qualified, quote};
use async_trait::async_trait;
use comments::UnmanagedComments;
use serde_json::Value as Json;
use terrace_provider::http::{Purpose, Request};
use terrace_provider::sql_reads::SqlDialect;
use terrace_provider::sql_tokens::{PlainQuery, plain_query, tokens};
use terrace_provider::{Attributes, ErrorKind, Path, PlannedChange, ProposedChange, ProviderError, Recorded, Value};

pub(crate) struct View;

fn full_name(named: &Attributes) -> String {
    ["catalog", "schema", "name"].map(|part| text(named, part)).join(".").to_lowercase()
}

/// Returns a view or table as the API shows it; `None` if it does not exist.
pub(crate) async fn table(context: &Context<'_>, full_name: &str) -> Result<Option<Json>, ProviderError> {
    let request = Request::get("/api/2.1/unity-catalog/tables/{name}", &[full_name]);
    context.read_optional(&request, &format!("read the table `{full_name}`")).await
}

/// The full name of the view's source.
pub(crate) fn source(attributes: &Attributes) -> Option<[String; 3]> {
    let source = attributes.get("source")?.as_map()?;
    let part = |name: &str| optional_text(source, name);
    Some([part("catalog")?, part("schema")?, part("name")?])
}

/// The configured columns with their comments.
pub(crate) fn columns(attributes: &Attributes) -> Vec<(String, Option<String>)> {
    let items = attributes.get("columns").and_then(Value::as_list).unwrap_or_default();
    let one = |item: &Value| {
        let item = item.as_map()?;
        Some((optional_text(item, "name")?, optional_text(item, "comment")))
    };
    items.iter().filter_map(one).collect()
}

fn query(planned: &Attributes) -> String {
    let columns: Vec<String> = columns(planned).iter().map(|(name, _)| quote(name)).collect();
    let columns = if columns.is_empty() { "*".to_owned() } else { columns.join(", ") };
    let source = source(planned).unwrap_or_default().map(|part| quote(&part)).join(".");
    format!("SELECT {columns} FROM {source}")
}

/// Runs a statement on a view.
async fn run(context: &Context<'_>, planned: &Attributes, statement: &str, action: &str) -> Result<(), ProviderError> {
    let name = full_name(planned);
    let source = source(planned).unwrap_or_default().join(".");
    let right = match action {
        "create" => format!(
            "GRANT USE SCHEMA, CREATE TABLE ON SCHEMA {} TO `<principal of the instance>`, and SELECT ON TABLE {}",
            qualified(name.rsplit_once('.').map_or("", |(schema, _)| schema)),
            qualified(&source)
        ),
        _ => format!("GRANT MANAGE ON VIEW {} TO `<principal of the instance>`", qualified(&name)),
    };
    sql::run(context, &text(planned, "warehouse"), statement, &format!("{action} the view `{name}`"), &right).await
}

/// The property that holds the mark of the resource.
fn properties(context: &Context<'_>) -> String {
    format!("TBLPROPERTIES ({} = {})", literal(mark::TAG), literal(&mark::of(context.address)))
}

/// Refuses columns that an existing source lacks, or has with another type: statements name columns without types.
async fn check_source(context: &Context<'_>, planned: &Attributes) -> Result<(), ProviderError> {
    let source = source(planned).unwrap_or_default().join(".").to_lowercase();
    let Some(table) = table(context, &source).await? else { return Ok(()) };
    match column_check::mismatches(planned, &source, &table).into_iter().next() {
        Some(mismatch) => Err(mismatch.into_error()),
        None => Ok(()),
    }
}

#[async_trait]
impl Object for View {
    fn check(&self, planned: &Attributes) -> Result<(), ProviderError> {
        check_names(planned, &["catalog", "schema", "name"])?;
        if let Some(own) = source(planned).map(|source| source.join(".").to_lowercase())
            && own == full_name(planned)
        {
            return Err(ProviderError::invalid(Some(Path::attribute("source")), "a view cannot read itself"));
        }
        let columns = columns(planned);
        for (index, (name, _)) in columns.iter().enumerate() {
            let before = columns.iter().take(index);
            if before.into_iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
                let path = Path::attribute("columns").index(index).key("name");
                return Err(ProviderError::invalid(
                    Some(path),
                    format!("the column `{name}` occurs twice; case is ignored"),
                ));
            }
        }
        Ok(())
    }

    fn plan(&self, change: &ProposedChange<'_>, planned: &mut PlannedChange) -> Result<(), ProviderError> {
        plan_recreated(change, planned, "tableId");
        Ok(())
    }

    async fn read(
        &self,
        context: &Context<'_>,
        named: &Attributes,
        like: &Attributes,
        private: &PrivateData,
    ) -> Result<Option<Observation>, ProviderError> {
        let name = full_name(named);
        let Some(remote) = table(context, &name).await? else { return Ok(None) };
        if text_of(&remote, "table_type") != "VIEW" {
            let message = format!("`{name}` is a table, not a view");
            return Err(ProviderError::new(ErrorKind::Failed, message).solution("use another name for the view"));
        }
        let mut observed = Attributes::default();
        for part in ["workspaceUrl", "metastoreId", "catalog", "schema", "name", "warehouse"] {
            if let Some(value) = named.get(part).or_else(|| like.get(part)) {
                observed.insert(part.to_owned(), value.clone());
            }
        }
        observed.extend(attributes([("fullName", name.into()), ("tableId", of_json(&remote, "table_id"))]));
        // Any other query has no source: the recorded one does not apply.
        observed.insert("source".to_owned(), Value::Null);
        let definition = text_of(&remote, "view_definition").trim().trim_end_matches(';');
        let definition = plain_query(&tokens(SqlDialect::Databricks, definition));
        let wanted_source = source(like);
        if let Some([catalog, schema, table]) =
            definition.as_ref().and_then(|it| <[String; 3]>::try_from(it.source.clone()).ok())
        {
            let read = [&catalog, &schema, &table];
            let is_same = wanted_source
                .as_ref()
                .is_some_and(|it| it.iter().zip(read).all(|(one, other)| one.eq_ignore_ascii_case(other)));
            let shown = match wanted_source {
                Some(wanted) if is_same => wanted,
                _ => [catalog, schema, table],
            };
            let [catalog, schema, table] = shown;
            let shown = attributes([("catalog", catalog.into()), ("schema", schema.into()), ("name", table.into())]);
            observed.insert("source".to_owned(), shown.into());
        }
        observed.insert("columns".to_owned(), shown_columns(&remote, definition.as_ref(), like));
        if is_managed(like, "comment") {
            observed.insert("comment".to_owned(), of_json(&remote, "comment"));
        }
        let incarnation = private.incarnation.clone().or_else(|| optional_text(&observed, "tableId"));
        Ok(Some(Observation {
            attributes: observed,
            private: PrivateData { incarnation, ..private.clone() },
            created_by: Some(text_of(&remote, "created_by").to_owned()),
            created_at: time_of(&remote, "created_at"),
            mark: remote.get("properties").and_then(|it| it.get(mark::TAG)?.as_str().map(str::to_owned)),
            ..Observation::default()
        }))
    }

    async fn create(
        &self,
        context: &Context<'_>,
        planned: &Attributes,
    ) -> Result<(Attributes, PrivateData), ProviderError> {
        let comment = |text: &Option<String>| {
            text.as_ref().map_or_else(String::new, |text| format!(" COMMENT {}", literal(text)))
        };
        let columns: Vec<String> =
            columns(planned).iter().map(|(name, text)| format!("{}{}", quote(name), comment(text))).collect();
        let columns = if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
        let own = comment(&optional_text(planned, "comment"));
        check_source(context, planned).await?;
        let (name, mark) = (qualified(&full_name(planned)), properties(context));
        let statement = format!("CREATE VIEW {name}{columns}{own} {mark} AS {}", query(planned));
        run(context, planned, &statement, "create").await?;
        Ok((Attributes::default(), PrivateData::default()))
    }

    async fn update(
        &self,
        context: &Context<'_>,
        prior: &Recorded,
        present: &Observation,
        planned: &Attributes,
    ) -> Result<PrivateData, ProviderError> {
        let names = |attributes: &Attributes| columns(attributes).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let is_altered = source(&present.attributes) != source(planned) || names(&present.attributes) != names(planned);
        let name = full_name(planned);
        if is_altered {
            check_source(context, planned).await?;
            let unmanaged = UnmanagedComments::read(context, &prior.attributes, &present.attributes, planned).await?;
            let statement = format!("ALTER VIEW {} AS {}", qualified(&name), query(planned));
            run(context, planned, &statement, "change").await?;
            for statement in unmanaged.statements(&name) {
                run(context, planned, &statement, "change").await?;
            }
        }
        for statement in comments::statements(&prior.attributes, &present.attributes, planned, is_altered) {
            run(context, planned, &statement, "change").await?;
        }
        // A new query removes the properties.
        if is_altered || present.mark.as_ref() != Some(&mark::of(context.address)) {
            let statement = format!("ALTER VIEW {} SET {}", qualified(&name), properties(context));
            run(context, planned, &statement, "change").await?;
        }
        Ok(PrivateData::default())
    }

    async fn delete(
        &self,
        context: &Context<'_>,
        prior: &Attributes,
        _: &PrivateData,
        _: bool,
    ) -> Result<(), ProviderError> {
        let name = full_name(prior);
        match table(context, &name).await? {
            None => return Ok(()),
            Some(remote) if text_of(&remote, "table_type") != "VIEW" => {
                let message = format!("`{name}` is a table, not a view: it is kept");
                return Err(ProviderError::new(ErrorKind::AlreadyExists { import_id: None }, message)
                    .solution("run `terrace state rm` to forget the recorded view"));
            }
            Some(_) => {}
        }
        let purpose = Purpose::to(format!("delete the view `{name}`"));
        let purpose =
            purpose.needs(format!("GRANT MANAGE ON VIEW {} TO `<principal of the instance>`", qualified(&name)));
        context.remove(Request::delete("/api/2.1/unity-catalog/tables/{name}", &[&name]), &purpose).await
    }
}

/// The configured type attributes of a column.
fn wanted_types(like: &Attributes, name: &str) -> Attributes {
    let items = like.get("columns").and_then(Value::as_list).unwrap_or_default();
    let column = items.iter().filter_map(Value::as_map).find(|it| text(it, "name") == name);
    let is_type = |(name, value): &(&String, &Value)| !matches!(name.as_str(), "name" | "comment") && !value.is_null();
    let types = column.into_iter().flatten().filter(is_type);
    types.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The columns as attributes: empty if the view selects all, with comments only where they are managed.
fn shown_columns(remote: &Json, definition: Option<&PlainQuery>, like: &Attributes) -> Value {
    let wanted = columns(like);
    let shows_all = definition.is_some_and(|it| it.columns.is_empty());
    if shows_all && wanted.is_empty() {
        return Value::List(Vec::new());
    }
    let items = remote.get("columns").and_then(Json::as_array).cloned().unwrap_or_default();
    let one = |column: &Json| {
        let name = text_of(column, "name");
        let known = wanted.iter().find(|(it, _)| it.eq_ignore_ascii_case(name));
        let shown = known.map_or(name, |(it, _)| it);
        let mut entry = attributes([("name", shown.into())]);
        // Type requirements concern the source, not the view: copy them.
        entry.extend(known.map(|(it, _)| wanted_types(like, it)).unwrap_or_default());
        let is_managed = known.is_some_and(|(_, comment)| comment.is_some()) || like.is_empty();
        if is_managed && column.get("comment").is_some_and(|it| !it.is_null()) {
            entry.insert("comment".to_owned(), of_json(column, "comment"));
        }
        Value::Map(entry)
    };
    Value::List(items.iter().map(one).collect())
}
