//! Queries and pages of lists.

use super::problem::Problem;
use crate::body::{escaped_name, field_error, split_unknown_field};
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde::de::value::Error as RawError;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::num::NonZeroUsize;
use utoipa::{IntoParams, ToSchema};

/// The most items of a page.
const MAX_LIMIT: usize = 1_000;
/// The items of a page by default.
const DEFAULT_LIMIT: usize = 100;

/// The query of a call.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(error) => Err(Problem::bad_request(query_problem(&error))),
        }
    }
}

/// The problem with a query, by its field.
pub(crate) fn query_problem(error: &QueryRejection) -> String {
    let causes = std::iter::successors(error.source(), |error| (*error).source());
    let field = causes.filter_map(|error| error.downcast_ref::<serde_path_to_error::Error<RawError>>()).next();
    let Some(field) = field else { return "the query is invalid".to_owned() };
    let (path, text) = (field.path().to_string(), field.inner().to_string());
    if let Some((name, known)) = text.strip_prefix("unknown field `").and_then(split_unknown_field) {
        let name = escaped_name(name);
        return match known {
            Some(known) => format!("unknown parameter `{name}`: expected {known}"),
            None => format!("unknown parameter `{name}`: expected no parameters"),
        };
    }
    match is_number_error(&text) {
        true => format!("`{path}` has to be a whole number that is not negative"),
        false => field_error(&path, &text).problem,
    }
}

/// Whether the text is an error of parsing an unsigned integer.
fn is_number_error(text: &str) -> bool {
    ["", "x", "99999999999999999999999"].iter().any(|wrong| {
        let parsed: Result<usize, _> = wrong.parse();
        parsed.is_err_and(|error| error.to_string() == text)
    })
}

/// A page of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// The most items, up to 1000; 100 if absent.
    #[param(value_type = Option<usize>, minimum = 1)]
    pub(crate) limit: Option<NonZeroUsize>,
    /// `next` of the previous page.
    pub(crate) after: Option<String>,
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The items.
    pub(crate) items: Vec<T>,
    /// The value of `after` for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// The error for an unknown `after`.
pub(super) fn unknown_position(after: &str) -> String {
    format!("`{after}` is not in the list, or no longer: start with the first page")
}

impl PageQuery {
    /// The number of requested items.
    pub(crate) fn limit(&self) -> usize {
        self.limit.map_or(DEFAULT_LIMIT, |limit| limit.get().min(MAX_LIMIT))
    }

    /// The page of a list whose items have distinct names.
    ///
    /// # Errors
    /// When the last item of the previous page is gone: the position in the list is lost.
    pub(crate) fn of<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        name: impl Fn(&T) -> String,
    ) -> Result<Page<T>, Problem> {
        let mut items = items.into_iter();
        if let Some(after) = &self.after {
            items
                .by_ref()
                .find(|item| name(item) == *after)
                .ok_or_else(|| Problem::bad_request(unknown_position(after)))?;
        }
        let page: Vec<T> = items.by_ref().take(self.limit()).collect();
        let next = items.next().and_then(|_| page.last().map(&name));
        Ok(Page { items: page, next })
    }
}
