//! Paginated answers, read one page at a time.

use super::{Api, Failure, Request, Within};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use serde_json::Value as Json;
use std::collections::HashSet;

/// Page limit; more pages indicate a fault.
const MAX_PAGES: usize = 10_000;

/// Location of the next page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// No next page.
    End,
    /// The same request with these query pairs instead of those of the same names.
    Query(Vec<(&'static str, String)>),
    /// A URL, which must be on the same host.
    At(String),
}

impl Next {
    /// The next page by a token in the answer's field `name`; the end if it is missing.
    #[must_use]
    pub fn token(answer: &Json, name: &str, parameter: &'static str) -> Self {
        match answer.get(name).and_then(Json::as_str).filter(|token| !token.is_empty()) {
            Some(token) => Self::Query(vec![(parameter, token.to_owned())]),
            None => Self::End,
        }
    }

    /// The next page by a URL in the answer's field `name`; the end if it is missing.
    #[must_use]
    pub fn url(answer: &Json, name: &str) -> Self {
        match answer.get(name).and_then(Json::as_str).filter(|url| !url.is_empty()) {
            Some(url) => Self::At(url.to_owned()),
            None => Self::End,
        }
    }
}

impl Api {
    /// The pages of a read. `next` finds the next page in each answer; a repeated page is a failure.
    pub fn pages<'a, F>(
        &'a self,
        request: Request,
        within: &'a Within,
        next: F,
    ) -> impl Stream<Item = Result<Json, Failure>> + Send + 'a
    where
        F: FnMut(&Json) -> Next + Send + 'a,
    {
        let begin = (Some(request.reads()), next, HashSet::new());
        stream::try_unfold(begin, move |(request, mut next, mut visited)| async move {
            let Some(request) = request else { return Ok(None) };
            let page = self.send(&request, within).await?.json()?;
            let next_request = match next(&page) {
                Next::End => None,
                place if !visited.insert(format!("{place:?}")) => {
                    return Err(Failure::Lost(format!("the pages repeat after page {}", visited.len())));
                }
                _ if visited.len() >= MAX_PAGES => {
                    return Err(Failure::Lost(format!("the answer has more than {MAX_PAGES} pages")));
                }
                Next::Query(pairs) => {
                    Some(pairs.into_iter().fold(request, |request, (name, value)| request.with_query(name, value)))
                }
                Next::At(url) => {
                    let url = self.base().follow(&url).map_err(Failure::Refused)?;
                    Some(Request { url: Some(url), ..request })
                }
            };
            Ok(Some((page, (next_request, next, visited))))
        })
    }

    /// The items of all pages, from the field `name` of each.
    ///
    /// # Errors
    /// The failure of the first page that could not be read.
    pub async fn items<F>(&self, request: Request, within: &Within, name: &str, next: F) -> Result<Vec<Json>, Failure>
    where
        F: FnMut(&Json) -> Next + Send,
    {
        let pages = self.pages(request, within, next).map_ok(|mut page| match page.get_mut(name).map(Json::take) {
            Some(Json::Array(items)) => items,
            _ => Vec::new(),
        });
        let mut pages = std::pin::pin!(pages);
        let mut items = Vec::new();
        while let Some(page) = pages.next().await {
            items.extend(page?);
        }
        Ok(items)
    }
}
