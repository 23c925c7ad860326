//! What a call asks for in its query; long lists, a page at a time.

use super::problem::Problem;
use crate::body::{of_field, of_unknown, shown};
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde::de::value::Error as Untold;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::num::NonZeroUsize;
use utoipa::{IntoParams, ToSchema};

/// The most items of a page.
const MOST: usize = 1_000;
/// The items of a page when nothing is said.
const USUAL: usize = 100;

/// The query of a call.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(error) => Err(Problem::wrong(unread(&error))),
        }
    }
}

/// What is wrong with a query, by its field, in words of whoever calls.
fn unread(error: &QueryRejection) -> String {
    let causes = std::iter::successors(error.source(), |error| (*error).source());
    let field = causes.filter_map(|error| error.downcast_ref::<serde_path_to_error::Error<Untold>>()).next();
    let Some(field) = field else { return "the query cannot be read".to_owned() };
    let (path, text) = (field.path().to_string(), field.inner().to_string());
    if let Some((name, known)) = text.strip_prefix("unknown field `").and_then(of_unknown) {
        let name = shown(name);
        return match known {
            Some(known) => format!("there is no parameter `{name}`; the parameters are {known}"),
            None => format!("there is no parameter `{name}`, nor any other"),
        };
    }
    match is_no_number(&text) {
        true => format!("`{path}` has to be a whole number that is not negative"),
        false => of_field(&path, &text).problem,
    }
}

/// Whether that is what parsing a whole number says of a text.
fn is_no_number(text: &str) -> bool {
    ["", "x", "99999999999999999999999"].iter().any(|wrong| {
        let parsed: Result<usize, _> = wrong.parse();
        parsed.is_err_and(|error| error.to_string() == text)
    })
}

/// Which page.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// How many items, at most 1000; 100 when left out.
    #[param(value_type = Option<usize>, minimum = 1)]
    pub(crate) limit: Option<NonZeroUsize>,
    /// `next` of the page before.
    pub(crate) after: Option<String>,
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The items.
    pub(crate) items: Vec<T>,
    /// What to send as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// What is said of an `after` that is not there.
pub(super) fn beyond(after: &str) -> String {
    format!("`{after}` is not in the list (any more): begin again")
}

impl PageQuery {
    /// How many items are asked for.
    pub(crate) fn limit(&self) -> usize {
        self.limit.map_or(USUAL, |limit| limit.get().min(MOST))
    }

    /// The page of a list whose items have distinct names.
    ///
    /// # Errors
    /// When the last item of the page before is not there any more: what came after it cannot be told.
    pub(crate) fn of<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        name: impl Fn(&T) -> String,
    ) -> Result<Page<T>, Problem> {
        let mut items = items.into_iter();
        if let Some(after) = &self.after {
            items.by_ref().find(|item| name(item) == *after).ok_or_else(|| Problem::wrong(beyond(after)))?;
        }
        let page: Vec<T> = items.by_ref().take(self.limit()).collect();
        let next = items.next().and_then(|_| page.last().map(&name));
        Ok(Page { items: page, next })
    }
}
