//! Answers in pages, one after the other as they are wanted.

use super::{Api, Failure, Request, Within};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use serde_json::Value as Json;
use std::collections::HashSet;

/// More pages are none that anybody meant.
const MOST_PAGES: usize = 10_000;

/// Where the next page is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nowhere: this was the last one.
    End,
    /// The same request with these pairs in its query, in place of those of the same names.
    Query(Vec<(&'static str, String)>),
    /// At a URL, which has to be on the same host.
    At(String),
}

impl Next {
    /// By the token that the answer has under a name, as the query takes it under another one; the end where there is none.
    #[must_use]
    pub fn token(answer: &Json, name: &str, parameter: &'static str) -> Self {
        match answer.get(name).and_then(Json::as_str).filter(|token| !token.is_empty()) {
            Some(token) => Self::Query(vec![(parameter, token.to_owned())]),
            None => Self::End,
        }
    }

    /// By the URL that the answer has under a name; the end where there is none.
    #[must_use]
    pub fn url(answer: &Json, name: &str) -> Self {
        match answer.get(name).and_then(Json::as_str).filter(|url| !url.is_empty()) {
            Some(url) => Self::At(url.to_owned()),
            None => Self::End,
        }
    }
}

impl Api {
    /// The pages of a question. `next` says of each answer where the next one is; pages that come round again are a failure.
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
        stream::try_unfold(begin, move |(request, mut next, mut seen)| async move {
            let Some(request) = request else { return Ok(None) };
            let page = self.send(&request, within).await?.json()?;
            let next_request = match next(&page) {
                Next::End => None,
                place if !seen.insert(format!("{place:?}")) => {
                    return Err(Failure::Lost(format!("its pages come round again after {}", seen.len())));
                }
                _ if seen.len() >= MOST_PAGES => {
                    return Err(Failure::Lost(format!("it has more than {MOST_PAGES} pages")));
                }
                Next::Query(pairs) => {
                    Some(pairs.into_iter().fold(request, |request, (name, value)| request.with_query(name, value)))
                }
                Next::At(url) => {
                    let url = self.base().follow(&url).map_err(Failure::Refused)?;
                    Some(Request { url: Some(url), ..request })
                }
            };
            Ok(Some((page, (next_request, next, seen))))
        })
    }

    /// The items of all pages, which are under a name in each.
    ///
    /// # Errors
    /// What became of the first page that did not come.
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
