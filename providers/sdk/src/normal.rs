//! Normal forms: the spellings that a system takes for the same value.
//!
//! A system stores some values in its own form: it keeps no empty comment, privileges have no order, `int4` becomes
//! `integer`. An attribute declares its normal form ([`Attribute::normal`]); a type declares the attributes that imply
//! others ([`ResourceType::fold`]). Plans, results and refreshed rows are compared in normal form, and keep the recorded
//! spelling wherever both mean the same.

use crate::plan::with_defaults;
use crate::{Attribute, AttributeType, Attributes, Map, Object, ResourceType, Value};
use std::borrow::Cow;

/// Returns the normal form of a known value: values with the same normal form mean the same. Null stands for a text that
/// the system does not keep.
#[derive(Debug, Clone, Copy)]
pub struct Normal(pub fn(&Value) -> Value);

impl PartialEq for Normal {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::fn_addr_eq(self.0, other.0)
    }
}

/// Removes values from configured attributes that the system does not store because other attributes imply them, such as a
/// constraint. The recorded attributes show which of them the system stores nevertheless.
pub type Fold = fn(&mut Attributes, Option<&Attributes>);

/// The system keeps no empty text, no empty list and no empty map.
#[must_use]
pub fn non_empty(value: &Value) -> Value {
    let is_empty = match value.exposed() {
        Value::String(text) => text.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
        _ => false,
    };
    if is_empty { Value::Null } else { value.clone() }
}

/// A text with ASCII letters in any case.
#[must_use]
pub fn any_case(value: &Value) -> Value {
    value.as_str().map_or_else(|| value.clone(), |text| text.to_ascii_lowercase().into())
}

/// Texts with ASCII letters in any case, in order.
#[must_use]
pub fn any_case_each(value: &Value) -> Value {
    value.as_list().map_or_else(|| value.clone(), |items| items.iter().map(any_case).collect::<Vec<_>>().into())
}

/// Items in any order.
#[must_use]
pub fn unordered(value: &Value) -> Value {
    value.as_list().map_or_else(|| value.clone(), |items| sorted(items).into())
}

/// Items in any order, without duplicates.
#[must_use]
pub fn set(value: &Value) -> Value {
    let Some(items) = value.as_list() else { return value.clone() };
    let mut items = sorted(items);
    items.dedup_by(|one, other| one.is_same_as(other));
    items.into()
}

fn sorted(items: &[Value]) -> Vec<Value> {
    let mut items = items.to_vec();
    items.sort_by_cached_key(sort_key);
    items
}

fn sort_key(item: &Value) -> String {
    let mut item = item.revealed();
    item.sort_keys();
    item.to_json_text()
}

/// Removes nulls at any depth from a configured map, unless it is recorded with them: for vendors' JSON in which a null key
/// means the same as a missing one.
pub fn leave_out_nulls(name: &str, configured: &mut Attributes, recorded: Option<&Attributes>) {
    let Some(value @ Value::Map(_)) = configured.get_mut(name) else { return };
    let before = recorded.and_then(|recorded| recorded.get(name));
    if before.is_none_or(|before| !before.is_same_as(value)) {
        remove_nulls(value);
    }
}

fn remove_nulls(value: &mut Value) {
    match value {
        Value::Map(entries) => {
            entries.retain(|_, value| !value.is_null());
            entries.values_mut().for_each(remove_nulls);
        }
        Value::List(items) => items.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}

/// The configured attributes as they can be read back: with defaults, without values that the system does not store, in the
/// spelling of the recorded object wherever both mean the same.
#[must_use]
pub fn settled(ty: &ResourceType, config: &Attributes, recorded: Option<&Attributes>) -> Attributes {
    let mut settled = with_defaults(&ty.attributes, config);
    (ty.fold)(&mut settled, recorded);
    let Some(recorded) = recorded else { return settled };
    for (name, value) in &mut settled {
        if let (Some(attribute), Some(like)) = (ty.attributes.get(name), recorded.get(name))
            && let Cow::Owned(respelled) = respelled(attribute, value, like)
        {
            *value = respelled;
        }
    }
    // Older versions of terrace recorded values that now count as absent.
    for attribute in ty.attributes.0.iter().filter(|attribute| attribute.normal.is_some()) {
        let nothing = recorded.get(attribute.name).filter(|value| !value.is_null() && attribute.is_absent(value));
        if let Some(value) = nothing
            && !settled.contains_key(attribute.name)
        {
            settled.insert(attribute.name.to_owned(), value.clone());
        }
    }
    settled
}

/// The value of an attribute in the spelling of `like`, wherever both mean the same.
#[must_use]
pub fn respelled<'v>(attribute: &Attribute, value: &'v Value, like: &Value) -> Cow<'v, Value> {
    if !attribute.has_normal_form() || value.is_same_as(like) {
        return Cow::Borrowed(value);
    }
    if attribute.is_same(value, like) {
        return Cow::Owned(marked_as(value, like.clone()));
    }
    match respelled_within(&attribute.ty, value.exposed(), like.exposed()) {
        Some(respelled) => Cow::Owned(marked_as(value, respelled)),
        None => Cow::Borrowed(value),
    }
}

/// The parts of a value that mean the same as those of the other; `None` for a value without parts.
fn respelled_within(ty: &AttributeType, value: &Value, like: &Value) -> Option<Value> {
    match (ty, value, like) {
        (AttributeType::Object(object), Value::Map(entries), Value::Map(like)) => {
            let respell = |(key, value): (&String, &Value)| {
                let value = match (object.get(key), like.get(key)) {
                    (Some(attribute), Some(like)) => respelled(attribute, value, like).into_owned(),
                    _ => value.clone(),
                };
                (key.clone(), value)
            };
            Some(Value::Map(entries.iter().map(respell).collect()))
        }
        (AttributeType::Map(item), Value::Map(entries), Value::Map(like)) => {
            let respell = |(key, value): (&String, &Value)| {
                let value = like.get(key).map_or_else(|| value.clone(), |like| respelled_item(item, value, like));
                (key.clone(), value)
            };
            Some(Value::Map(entries.iter().map(respell).collect()))
        }
        (AttributeType::List(item), Value::List(items), Value::List(like)) => {
            let respell = |(index, value): (usize, &Value)| {
                let counterpart = like.iter().find(|like| is_same_item(item, value, like)).or_else(|| {
                    let named = |like: &&Value| value.get("name").zip(like.get("name")).is_some_and(|(a, b)| a == b);
                    like.iter().find(named).or_else(|| like.get(index))
                });
                counterpart.map_or_else(|| value.clone(), |like| respelled_item(item, value, like))
            };
            Some(Value::List(items.iter().enumerate().map(respell).collect()))
        }
        _ => None,
    }
}

fn respelled_item(ty: &AttributeType, value: &Value, like: &Value) -> Value {
    if value.is_same_as(like) {
        return value.clone();
    }
    if is_same_item(ty, value, like) {
        return marked_as(value, like.clone());
    }
    let respelled = respelled_within(ty, value.exposed(), like.exposed());
    respelled.map_or_else(|| value.clone(), |respelled| marked_as(value, respelled))
}

fn is_same_item(ty: &AttributeType, one: &Value, other: &Value) -> bool {
    one.is_same_as(other) || ty.normal_form(one).is_same_as(&ty.normal_form(other))
}

/// The value, marked sensitive if the original is.
fn marked_as(original: &Value, value: Value) -> Value {
    if original.has_sensitive() { Value::sensitive(value) } else { value }
}

impl Attribute {
    /// True when values of this attribute, or parts of them, can be spelled in several ways.
    #[must_use]
    pub fn has_normal_form(&self) -> bool {
        self.normal.is_some() || self.compared.is_of_spellings() || self.ty.has_normal_form()
    }

    /// The value as the system stores it; null where the system does not keep it.
    #[must_use]
    pub fn normal_form(&self, value: &Value) -> Value {
        if !self.has_normal_form() {
            return value.clone();
        }
        let inner = self.ty.normal_form(value);
        let inner = match self.normal {
            Some(Normal(normal)) if !inner.has_unknown() && !inner.is_null() => {
                marked_as(&inner, normal(inner.exposed()))
            }
            _ => inner,
        };
        if self.compared.is_of_spellings() { self.compared.form_of(&inner) } else { inner }
    }

    /// True when both values mean the same to the system. Unknown values never do.
    #[must_use]
    pub fn is_same(&self, one: &Value, other: &Value) -> bool {
        one.is_same_as(other) || (self.has_normal_form() && self.normal_form(one).is_same_as(&self.normal_form(other)))
    }

    /// True for null, and for a value that the system does not keep.
    #[must_use]
    pub fn is_absent(&self, value: &Value) -> bool {
        value.is_null()
            || self.normal.is_some_and(|Normal(normal)| !value.has_unknown() && normal(value.exposed()).is_null())
    }
}

impl AttributeType {
    fn has_normal_form(&self) -> bool {
        match self {
            Self::List(item) | Self::Map(item) => item.has_normal_form(),
            Self::Object(object) => object.0.iter().any(Attribute::has_normal_form),
            _ => false,
        }
    }

    fn normal_form(&self, value: &Value) -> Value {
        let normal = match (self, value.exposed()) {
            (Self::List(item), Value::List(items)) => {
                Value::List(items.iter().map(|value| item.normal_form(value)).collect())
            }
            (Self::Map(item), Value::Map(entries)) => {
                Value::Map(entries.iter().map(|(key, value)| (key.clone(), item.normal_form(value))).collect())
            }
            (Self::Object(object), Value::Map(entries)) => Value::Map(object.normal_form(entries)),
            _ => return value.clone(),
        };
        marked_as(value, normal)
    }
}

impl Object {
    /// The attributes as the system stores them, without those that it does not keep.
    #[must_use]
    pub fn normal_form(&self, attributes: &Map) -> Map {
        let normal = |(name, value): (&String, &Value)| {
            let value = self.get(name).map_or_else(|| value.clone(), |attribute| attribute.normal_form(value));
            (!value.is_null()).then(|| (name.clone(), value))
        };
        attributes.iter().filter_map(normal).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::NameRule;
    use proptest::prelude::*;
    use serde_json::json;

    fn ty() -> ResourceType {
        let text = |name| Attribute::new(name, AttributeType::String, "A text.");
        let column = Object(vec![text("name"), text("type").normal(any_case), text("comment").normal(non_empty)]);
        let rights = Attribute::new("rights", AttributeType::list(AttributeType::String), "Rights.").normal(set);
        let columns = Attribute::new("columns", AttributeType::list(AttributeType::Object(column)), "Columns.");
        let attributes = vec![text("name"), text("comment").normal(non_empty), rights, columns];
        let fold: Fold = |attributes, recorded| {
            let is_stored = recorded.is_some_and(|recorded| recorded.contains_key("alias"));
            if !is_stored && attributes.get("alias") == attributes.get("name") {
                attributes.shift_remove("alias");
            }
        };
        let attributes = attributes.into_iter().chain([text("alias")]).collect();
        ResourceType { fold, ..ResourceType::new("test_thing", "A thing.", &["name"], Object(attributes)) }
    }

    fn map(json: serde_json::Value) -> Attributes {
        Value::from(json).as_map().unwrap().clone()
    }

    #[track_caller]
    fn check(config: serde_json::Value, recorded: Option<serde_json::Value>, expected: serde_json::Value) {
        let recorded = recorded.map(map);
        assert_eq!(settled(&ty(), &map(config), recorded.as_ref()), map(expected));
    }

    #[test]
    fn values_that_a_system_does_not_store_are_left_out() {
        let column = json!({"name": "a", "type": "int", "comment": ""});
        check(
            json!({"name": "x", "alias": "x", "comment": "", "columns": [column]}),
            None,
            json!({"name": "x", "columns": [{"name": "a", "type": "int"}]}),
        );
    }

    #[test]
    fn recorded_spelling_stays_where_both_mean_the_same() {
        let recorded =
            json!({"rights": ["b", "a"], "columns": [{"name": "a", "type": "int"}, {"name": "b", "type": "Text"}]});
        check(
            json!({"rights": ["a", "b", "a"], "columns": [{"name": "b", "type": "TEXT", "comment": "c"}, {"name": "a", "type": "INT"}]}),
            Some(recorded),
            json!({"rights": ["b", "a"], "columns": [{"name": "b", "type": "Text", "comment": "c"}, {"name": "a", "type": "int"}]}),
        );
        check(json!({"name": "x", "alias": "x"}), Some(json!({"alias": "x"})), json!({"name": "x", "alias": "x"}));
        check(json!({"name": "x"}), Some(json!({"name": "x", "comment": ""})), json!({"name": "x", "comment": ""}));
    }

    #[test]
    fn recorded_spelling_is_as_sensitive_as_the_configured_one() {
        let config = Attributes::from_iter([("rights".to_owned(), Value::sensitive(json!(["b", "a"]).into()))]);
        let settled = settled(&ty(), &config, Some(&map(json!({"rights": ["a", "b"]}))));
        assert_eq!(settled["rights"], Value::sensitive(json!(["a", "b"]).into()));
    }

    #[test]
    fn nulls_are_left_out_unless_they_are_recorded() {
        let config = json!({"settings": {"a": null, "b": [{"c": null, "d": 1}]}});
        let mut configured = map(config.clone());
        leave_out_nulls("settings", &mut configured, None);
        assert_eq!(configured, map(json!({"settings": {"b": [{"d": 1}]}})));
        let mut configured = map(config.clone());
        leave_out_nulls("settings", &mut configured, Some(&map(config.clone())));
        assert_eq!(configured, map(config));
    }

    #[test]
    fn unknown_values_stay_unknown() {
        let config = Attributes::from_iter([
            ("comment".to_owned(), Value::Unknown),
            ("rights".to_owned(), Value::List(vec!["b".into(), Value::Unknown])),
        ]);
        assert_eq!(settled(&ty(), &config, Some(&map(json!({"comment": "c", "rights": ["b"]})))), config);
    }

    #[test]
    fn other_spelling_of_a_name_is_not_a_change() {
        let name = |rule| Attribute::new("name", AttributeType::String, "").required().replaces().compared(rule);
        for (rule, recorded, configured) in [
            (NameRule::AsciiCaseless, "orders", "Orders"),
            (NameRule::Caseless, "größe", "GRÖßE"),
            (NameRule::Path, "x.db", "./x.db"),
            (NameRule::Qualified, "DB.S", r#"DB."S""#),
        ] {
            let (recorded, configured) = (Value::from(recorded), Value::from(configured));
            assert_eq!(*respelled(&name(rule), &configured, &recorded), recorded, "{rule:?}");
            assert!(name(rule).is_same(&configured, &recorded), "{rule:?}");
        }
        const RELATIONS: NameRule = NameRule::Word(&[("view", "table")]);
        for (rule, recorded, configured) in [
            (NameRule::DotsAsUnderscores, "a.b", "a_b"),
            (RELATIONS, "table", "view"),
            (NameRule::AsciiCaseless, "orders", "order"),
            (NameRule::Path, "x.db", "y/x.db"),
        ] {
            let (recorded, configured) = (Value::from(recorded), Value::from(configured));
            assert_eq!(*respelled(&name(rule), &configured, &recorded), configured, "{rule:?}");
        }
    }

    proptest! {
        #[test]
        fn normal_form_is_idempotent(items in proptest::collection::vec("[abAB ]{0,2}", 0..5)) {
            let value: Value = items.iter().map(|item| Value::from(item.as_str())).collect::<Vec<_>>().into();
            prop_assert_eq!(set(&set(&value)), set(&value));
            prop_assert_eq!(unordered(&unordered(&value)), unordered(&value));
            let mut reversed = items;
            reversed.reverse();
            let reversed: Value = reversed.into_iter().map(Value::from).collect::<Vec<_>>().into();
            prop_assert_eq!(set(&reversed), set(&value));
            prop_assert_eq!(unordered(&reversed), unordered(&value));
        }

        #[test]
        fn settling_is_idempotent(
            rights in proptest::collection::vec("[ab]{1}", 0..4),
            comment in "[a]{0,1}",
            ty_name in "[iI][nN][tT]",
        ) {
            let config = map(json!({"name": "x", "alias": "x", "comment": comment, "rights": rights,
                "columns": [{"name": "a", "type": ty_name, "comment": comment}]}));
            let once = settled(&ty(), &config, None);
            prop_assert_eq!(&settled(&ty(), &config, Some(&once)), &once);
            prop_assert_eq!(&settled(&ty(), &once, None), &once);
        }
    }
}
