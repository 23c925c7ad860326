//! The calls of a strict JSON API, which have only the queries and fields that the API documents; and its server.

mod server;

pub use server::{Api, Fault, Faults, Incoming, Server, Traffic};

use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// A refused call.
#[derive(Debug)]
pub struct Refusal {
    /// The status of the response.
    pub status: u16,
    /// The message of the response.
    pub message: String,
    /// True if a correct client never causes it.
    pub is_fault: bool,
}

/// The status and body of the response, or the refusal.
pub type Outcome = Result<(u16, Json), Refusal>;

/// A refusal that a correct client may cause.
pub fn refused(status: u16, message: impl Into<String>) -> Refusal {
    Refusal { status, message: message.into(), is_fault: false }
}

/// A refusal that a correct client never causes.
pub fn fault(status: u16, message: impl Into<String>) -> Refusal {
    Refusal { status, message: message.into(), is_fault: true }
}

/// A call without its headers.
#[derive(Debug)]
pub struct Call<'a> {
    /// `POST`.
    pub method: &'a str,
    /// The decoded parts of the path.
    pub path: &'a [&'a str],
    /// The decoded query.
    pub query: BTreeMap<String, String>,
    /// The body; null without one.
    pub body: Json,
    /// The number of items in a page without `per_page`.
    pub page_size: usize,
    /// The status of the response to an unknown field and to an invalid page.
    pub invalid: u16,
}

impl Call<'_> {
    /// Refuses queries that the call does not have.
    ///
    /// # Errors
    /// For an unknown query.
    pub fn only_queries(&self, known: &[&str]) -> Result<(), Refusal> {
        match self.query.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(fault(400, format!("unknown query {name}"))),
            None => Ok(()),
        }
    }

    /// The fields of the body, which has no others.
    ///
    /// # Errors
    /// For a body that is not an object, and for an unknown field.
    pub fn fields(&self, known: &[&str]) -> Result<&Map<String, Json>, Refusal> {
        let fields = self.body.as_object().ok_or_else(|| fault(400, "the body is not an object"))?;
        match fields.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(fault(self.invalid, format!("unknown field {name}"))),
            None => Ok(fields),
        }
    }

    /// The page of items that `per_page` and `page` ask for. `more` are the other queries of the call.
    ///
    /// # Errors
    /// For an unknown query, and for an invalid page.
    pub fn page(&self, items: Vec<Json>, more: &[&str]) -> Outcome {
        self.only_queries(&[&["per_page", "page"], more].concat())?;
        let number = |name: &str, default: usize| match self.query.get(name) {
            None => Ok(default),
            Some(text) => text.parse::<usize>().map_err(|_| fault(400, format!("the query {name} is not a number"))),
        };
        let (size, page) = (number("per_page", self.page_size)?, number("page", 1)?);
        if !(1..=100).contains(&size) || page == 0 {
            return Err(fault(self.invalid, "per_page is from 1 to 100, and page from 1"));
        }
        Ok((200, items.into_iter().skip((page - 1) * size).take(size).collect()))
    }
}

/// A received call.
#[derive(Debug, Clone)]
pub struct ReceivedCall {
    /// `POST`.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The body.
    pub body: String,
    /// The status of the response; 0 without a response.
    pub status: u16,
}
