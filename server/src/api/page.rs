//! Long lists, a page at a time.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The most items of a page.
const MOST: usize = 1_000;
/// The items of a page when nothing is said.
const USUAL: usize = 100;

/// Which page.
#[derive(Debug, Default, Deserialize, IntoParams)]
pub(crate) struct PageQuery {
    /// How many items, at most 1000; 100 when left out.
    pub(crate) limit: Option<usize>,
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

impl PageQuery {
    /// How many items are asked for.
    pub(crate) fn limit(&self) -> usize {
        self.limit.unwrap_or(USUAL).clamp(1, MOST)
    }

    /// The page of a list whose items have distinct names.
    pub(crate) fn of<T>(&self, items: impl IntoIterator<Item = T>, name: impl Fn(&T) -> String) -> Page<T> {
        let mut items = items.into_iter();
        if let Some(after) = &self.after {
            // Up to and with the last one of the page before.
            let _ = items.by_ref().find(|item| name(item) == *after);
        }
        let mut page: Vec<T> = items.by_ref().take(self.limit()).collect();
        page.shrink_to_fit();
        let next = items.next().and_then(|_| page.last().map(&name));
        Page { items: page, next }
    }
}
