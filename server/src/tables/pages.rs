//! The pages. Templates end in `.html`, so that minijinja escapes their values.

use super::content::{BASE, NotShown, Tables};
use super::headers::add_headers;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use minijinja::Environment;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};
use terrace_provider::value::OtherFormat;

/// The style of the pages.
pub(super) const STYLE: &str = include_str!("../../templates/databases/style.css");
/// The script that sends the token in the fragment to the server.
pub(super) const SCRIPT: &str = include_str!("../../templates/databases/open.js");
/// The characters that stay unencoded in a part of a path.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const TEMPLATES: [(&str, &str); 6] = [
    ("frame.html", include_str!("../../templates/databases/frame.html")),
    ("begin.html", include_str!("../../templates/databases/begin.html")),
    ("databases.html", include_str!("../../templates/databases/databases.html")),
    ("tables.html", include_str!("../../templates/databases/tables.html")),
    ("rows.html", include_str!("../../templates/databases/rows.html")),
    ("wrong.html", include_str!("../../templates/databases/wrong.html")),
];

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    for (name, text) in TEMPLATES {
        if let Err(error) = environment.add_template(name, text) {
            // A test renders each page, so this cannot happen; a missing page would report it again.
            tracing::error!(name, %error, "a template is invalid");
        }
    }
    environment
});

fn rendered(name: &str, values: &Value) -> Result<String, minijinja::Error> {
    ENVIRONMENT.get_template(name)?.render(minijinja::value::Serde(OtherFormat(values)))
}

fn page(status: u16, name: &str, values: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match rendered(name, values) {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => {
            tracing::error!(name, %error, "cannot render a page");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// An error page.
pub(super) fn error_page(status: u16, why: &str) -> Response {
    let mut answer = page(status, "wrong.html", &json!({"why": why}));
    add_headers(answer.headers_mut());
    answer
}

impl IntoResponse for NotShown {
    fn into_response(self) -> Response {
        match self {
            Self::Missing(why) => error_page(404, &why),
            Self::Unavailable(why) => error_page(503, &why),
        }
    }
}

/// The page that asks for the token.
pub(super) fn token_page(to: &str, is_wrong: bool) -> Response {
    page(if is_wrong { 403 } else { 401 }, "begin.html", &json!({"to": to, "is_wrong": is_wrong}))
}

/// A file that the pages load.
pub(super) async fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// A link with its subject.
#[derive(Serialize)]
struct Link<T: Serialize> {
    href: String,
    #[serde(flatten)]
    item: T,
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PART).to_string()
}

fn database_path(database: &str) -> String {
    format!("{BASE}/{}", encoded(database))
}

fn table_path(database: &str, schema: &str, table: &str, page: u64) -> String {
    let (schema, table) = (encoded(schema), encoded(table));
    format!("{}/table?schema={schema}&table={table}&page={page}", database_path(database))
}

/// `GET /databases/`
pub(super) async fn databases(State(tables): State<Arc<dyn Tables>>) -> Result<Response, NotShown> {
    let databases = tables.databases().await?;
    let databases: Vec<_> =
        databases.into_iter().map(|database| Link { href: database_path(&database.name), item: database }).collect();
    Ok(page(200, "databases.html", &json!({"databases": databases})))
}

/// `GET /databases/{database}`
pub(super) async fn tables(
    State(tables): State<Arc<dyn Tables>>,
    Path(database): Path<String>,
) -> Result<Response, NotShown> {
    let tables = tables.tables(&database).await?;
    let link = |table: super::Table| Link { href: table_path(&database, &table.schema, &table.name, 0), item: table };
    let tables: Vec<_> = tables.into_iter().map(link).collect();
    Ok(page(200, "tables.html", &json!({"database": database, "tables": tables})))
}

/// The query of a page of rows.
#[derive(Deserialize)]
pub(super) struct RowsQuery {
    #[serde(default)]
    schema: String,
    table: String,
    #[serde(default)]
    page: u64,
}

/// `GET /databases/{database}/table?schema=…&table=…&page=…`
pub(super) async fn rows(
    State(tables): State<Arc<dyn Tables>>,
    Path(database): Path<String>,
    Query(query): Query<RowsQuery>,
) -> Result<Response, NotShown> {
    let RowsQuery { schema, table, page: number } = query;
    let rows = tables.rows(&database, &schema, &table, number).await?;
    let at = |number: u64| table_path(&database, &schema, &table, number);
    let before = number.checked_sub(1).map(at);
    let after = number.checked_add(1).filter(|_| rows.has_more).map(at);
    let back = database_path(&database);
    let shown = number.saturating_add(1);
    let values = json!({
        "database": database, "back": back, "schema": schema, "table": table, "rows": rows, "before": before,
        "after": after, "shown": shown,
    });
    Ok(page(200, "rows.html", &values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::{Column, Database, Rows, Table};

    #[test]
    fn content_of_a_database_is_escaped() {
        let nasty = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&{{ 7 * 7 }}";
        let table = Table { schema: nasty.into(), name: nasty.into(), is_view: true };
        let database = Database { name: nasty.into(), system: nasty.into(), status: nasty.into(), kept: nasty.into() };
        let rows = Rows {
            columns: vec![Column { name: nasty.into(), kind: nasty.into() }],
            rows: vec![vec![Some(nasty.into())], vec![None]],
            has_more: true,
        };
        let path_of = |page| table_path(nasty, nasty, nasty, page);
        let pages = [
            ("begin.html", json!({"to": nasty, "is_wrong": true})),
            ("wrong.html", json!({"why": nasty})),
            ("databases.html", json!({"databases": [Link { href: database_path(nasty), item: database }]})),
            ("tables.html", json!({"database": nasty, "tables": [Link { href: path_of(0), item: table }]})),
            (
                "rows.html",
                json!({"database": nasty, "back": database_path(nasty), "schema": nasty, "table": nasty, "rows": rows,
                    "before": path_of(0), "after": path_of(2), "shown": 2}),
            ),
        ];
        let pages = pages.map(|(name, values)| rendered(name, &values).unwrap());
        for text in pages {
            assert!(text.contains("&lt;script&gt;"), "{text}");
            assert!(!text.contains("<script>alert") && !text.contains("<img"), "{text}");
            assert!(!text.contains("49"), "content of a database is not a template: {text}");
            assert!(!text.contains("\"'>"), "{text}");
        }
    }

    #[test]
    fn names_are_percent_encoded() {
        assert_eq!(
            table_path("a", "", "x/y?&#\"<é", 1),
            "/databases/a/table?schema=&table=x%2Fy%3F%26%23%22%3C%C3%A9&page=1"
        );
    }
}
