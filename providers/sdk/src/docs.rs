//! Tables of a provider's README, generated from its schema.

use crate::{Attribute, Lookup, Object, ProviderSchema, ResourceType};
use std::fmt::Write as _;

/// The settings of a provider as a Markdown table, or a sentence if it has none.
#[must_use]
pub fn settings_table(schema: &ProviderSchema) -> String {
    if schema.settings.0.is_empty() {
        return "This provider has no settings.\n".to_owned();
    }
    attribute_table("setting", &schema.settings)
}

/// The resource types of a provider as Markdown: an overview, then a table of attributes for each type.
#[must_use]
pub fn resource_table(schema: &ProviderSchema) -> String {
    let mut text = "| type | purpose | identity | traits |\n|---|---|---|---|\n".to_owned();
    for ty in &schema.resources {
        let identity = if ty.identity.is_empty() { "its address".to_owned() } else { code_list(ty.identity) };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| `{}` | {} | {identity} | {} |", ty.name, cell(ty.doc), traits(ty));
    }
    for ty in &schema.resources {
        let _ = write!(text, "\n### `{}`\n\n{}", ty.name, attribute_table("attribute", &ty.attributes));
    }
    text
}

/// The lookups of a provider as Markdown, with arguments and results; a sentence if it has none.
#[must_use]
pub fn lookup_table(schema: &ProviderSchema) -> String {
    if schema.lookups.is_empty() {
        return "This provider has no lookups.\n".to_owned();
    }
    let lookup = |lookup: &Lookup| {
        let tables = attribute_table("argument", &lookup.arguments) + "\n" + &attribute_table("answer", &lookup.result);
        format!("### `data: {{type: {}}}`\n\n{}\n\n{tables}", lookup.name, lookup.doc)
    };
    schema.lookups.iter().map(lookup).collect::<Vec<_>>().join("\n")
}

/// A README with the tables of the schema between its marks (`<!-- settings -->`, `<!-- end of settings -->`, the same
/// for `resources` and `lookups`); `None` if a mark is missing.
#[must_use]
pub fn with_tables(readme: &str, schema: &ProviderSchema) -> Option<String> {
    let tables = [
        ("settings", settings_table(schema)),
        ("resources", resource_table(schema)),
        ("lookups", lookup_table(schema)),
    ];
    tables.iter().try_fold(readme.to_owned(), |text, (name, table)| with_section(&text, name, table))
}

/// A README with this text between the marks of a section; `None` if a mark is missing.
#[must_use]
pub fn with_section(readme: &str, name: &str, text: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let (before, rest) = readme.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}{text}{end}{after}"))
}

fn attribute_table(heading: &str, object: &Object) -> String {
    let mut text = format!("| {heading} | type | rules | meaning |\n|---|---|---|---|\n");
    for attribute in &object.0 {
        let (name, ty) = (attribute.name, attribute.ty.describe());
        let _ = writeln!(text, "| `{name}` | {ty} | {} | {} |", rules(attribute), cell(attribute.doc));
    }
    text
}

fn traits(ty: &ResourceType) -> String {
    let all = [
        (ty.holds_data && ty.data_holders.is_none(), "holds data"),
        (ty.data_holders.is_some(), "some hold data"),
        (ty.keeps_data_on_delete, "deleted without its data"),
        (ty.state_only, "in state only"),
        (!ty.readable, "never refreshed"),
        (!ty.updatable, "every change replaces"),
        (ty.can_coexist, "create before destroy"),
    ];
    all.into_iter().filter_map(|(holds, word)| holds.then_some(word)).collect::<Vec<_>>().join(", ")
}

fn rules(attribute: &Attribute) -> String {
    let mut words = Vec::new();
    if attribute.required {
        words.push("required".to_owned());
    }
    if let Some(default) = &attribute.default {
        words.push(format!("default `{}`", default.to_json()));
    }
    let all = [
        (attribute.computed, "computed"),
        (attribute.replaces, "a change replaces"),
        (attribute.write_only, "write-only"),
        (attribute.sensitive && !attribute.write_only, "sensitive"),
        (attribute.vendor_json, "vendor JSON"),
    ];
    words.extend(all.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word.to_owned()));
    words.extend(attribute.variable.map(|name| format!("or `{name}`")));
    words.join(", ")
}

fn code_list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Text that does not break out of its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AttributeType;

    #[test]
    fn tables_match_the_schema() {
        let attributes = Object(vec![
            Attribute::new("name", AttributeType::String, "Its name.").required().replaces(),
            Attribute::new("mode", AttributeType::String, "`a` | `b`.").default_value("a"),
            Attribute::new("id", AttributeType::String, "Its id.").stable(),
        ]);
        let ty =
            ResourceType { holds_data: true, ..ResourceType::new("test_thing", "A thing.", &["name"], attributes) };
        let schema = ProviderSchema { resources: vec![ty], ..ProviderSchema::default() };
        assert_eq!(
            resource_table(&schema),
            "| type | purpose | identity | traits |\n|---|---|---|---|\n\
             | `test_thing` | A thing. | `name` | holds data |\n\n\
             ### `test_thing`\n\n| attribute | type | rules | meaning |\n|---|---|---|---|\n\
             | `name` | text | required, a change replaces | Its name. |\n\
             | `mode` | text | default `\"a\"` | `a` \\| `b`. |\n\
             | `id` | text | computed | Its id. |\n"
        );
        assert_eq!(settings_table(&schema), "This provider has no settings.\n");
    }
}
