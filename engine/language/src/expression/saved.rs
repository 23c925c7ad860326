//! Templates as JSON, for saved plans: expressions with text and place, literals in the lossless form of values.

use super::{Expression, Template, TemplateEntry, TemplateKind, TextPart, template};
use crate::source::{Place, Span};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use terrace_provider::value::wire::{Sealing, WireError, decode, encode};

impl Template {
    /// Serialises the template; sensitive literals are sealed.
    ///
    /// # Errors
    /// When a sensitive literal cannot be sealed.
    pub fn to_json(&self, sealing: &dyn Sealing) -> Result<Json, WireError> {
        Ok(match &self.kind {
            TemplateKind::Literal(value) => json!({ "literal": encode(value, sealing)? }),
            TemplateKind::Expression(expression) => expression.to_json(),
            TemplateKind::Text(parts) => {
                let parts = parts.iter().map(|part| match part {
                    TextPart::Literal(text) => Json::from(text.as_str()),
                    TextPart::Expression(expression) => expression.to_json(),
                });
                json!({ "text": parts.collect::<Vec<_>>() })
            }
            TemplateKind::List(items) => {
                let items = items.iter().map(|item| item.to_json(sealing));
                json!({ "list": items.collect::<Result<Vec<_>, _>>()? })
            }
            TemplateKind::Map(entries) => {
                let entries = entries.iter().map(|entry| Ok((entry.key.clone(), entry.value.to_json(sealing)?)));
                json!({ "map": entries.collect::<Result<serde_json::Map<_, _>, WireError>>()? })
            }
        })
    }

    /// Parses the output of [`Template::to_json`].
    ///
    /// # Errors
    /// When the JSON is not a template, or a sealed literal cannot be opened.
    pub fn from_json(json: &Json, sealing: &dyn Sealing) -> Result<Self, WireError> {
        let object = json.as_object().ok_or_else(damaged)?;
        let kind = if let Some(value) = object.get("literal") {
            TemplateKind::Literal(decode(value.clone(), sealing)?)
        } else if object.contains_key("expression") {
            TemplateKind::Expression(Expression::from_json(json)?)
        } else if let Some(parts) = object.get("text").and_then(Json::as_array) {
            TemplateKind::Text(all(parts.iter().map(part_from_json))?)
        } else if let Some(items) = object.get("list").and_then(Json::as_array) {
            let items = items.iter().map(|item| Self::from_json(item, sealing));
            template::list(all(items)?)
        } else if let Some(entries) = object.get("map").and_then(Json::as_object) {
            let entries = entries.iter().map(|(key, value)| {
                let value = Self::from_json(value, sealing)?;
                Ok(TemplateEntry { key: key.clone(), key_span: Span::default(), value })
            });
            TemplateKind::Map(all(entries)?)
        } else {
            return Err(damaged());
        };
        Ok(Self { span: Span::default(), kind })
    }
}

impl Expression {
    fn to_json(&self) -> Json {
        match &self.place {
            Some(place) => json!({ "expression": self.text, "place": place }),
            None => json!({ "expression": self.text }),
        }
    }

    fn from_json(json: &Json) -> Result<Arc<Self>, WireError> {
        let text = json.get("expression").and_then(Json::as_str).ok_or_else(damaged)?;
        let place = json.get("place").map(|place| {
            serde_json::from_value::<Place>(place.clone()).map_err(|error| WireError::Damaged(error.to_string()))
        });
        let compiled = Self::compile(text, Span::default(), place.transpose()?)
            .map_err(|fault| WireError::Damaged(format!("`{text}`: {}", fault.message)))?;
        Ok(Arc::new(Self { is_saved: true, ..compiled }))
    }
}

/// Collects into a vector of exact capacity, because templates live as long as their plan.
fn all<T>(items: impl ExactSizeIterator<Item = Result<T, WireError>>) -> Result<Vec<T>, WireError> {
    let mut all = Vec::with_capacity(items.len());
    for item in items {
        all.push(item?);
    }
    Ok(all)
}

fn part_from_json(json: &Json) -> Result<TextPart, WireError> {
    match json {
        Json::String(text) => Ok(TextPart::Literal(text.clone())),
        _ => Expression::from_json(json).map(TextPart::Expression),
    }
}

fn damaged() -> WireError {
    WireError::Damaged("expected a template".to_owned())
}
