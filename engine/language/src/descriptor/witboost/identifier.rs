//! Conversion of Witboost's ids to names of stacks and components.
//!
//! Ids have the form `urn:dmb:dp:<domain>:<product>:<major>` and `urn:dmb:cmp:<domain>:<product>:<major>:<component>`,
//! and looser forms exist. The state depends on the names, so two ids must not silently have the same name.

use crate::descriptor::names::is_stack_character;
use crate::naming::{NamesRule, distinct};

const PRODUCT: &str = "urn:dmb:dp:";
const COMPONENT: &str = "urn:dmb:cmp:";

/// The stack's name: `finance.cashflow.0` for `urn:dmb:dp:finance:cashflow:0`; `None` if no characters are left.
///
/// Keeps all parts of any other id: the last part alone would merge two products into one stack.
pub(super) fn stack_name(id: &str) -> Option<String> {
    stack_name_by(NamesRule::Latin, id)
}

/// The stack's name by a given rule.
pub(super) fn stack_name_by(rule: NamesRule, id: &str) -> Option<String> {
    let name = normalised(rule, id.strip_prefix(PRODUCT).unwrap_or(id)).replace(':', ".");
    let name = name.trim_matches(['.', '-']);
    (!name.is_empty()).then(|| name.to_owned())
}

/// The id of the data product that a component's id belongs to.
pub(super) fn product_of(component_id: &str) -> Option<String> {
    let mut parts = component_id.strip_prefix(COMPONENT)?.split(':');
    let (domain, product, major) = (parts.next()?, parts.next()?, parts.next()?);
    parts.next().filter(|component| !component.is_empty())?;
    Some(format!("{PRODUCT}{domain}:{product}:{major}"))
}

/// The domain, the product and the major version in the id of a data product.
pub(super) fn parts_of(product_id: &str) -> Option<(&str, &str, &str)> {
    let mut parts = product_id.strip_prefix(PRODUCT)?.split(':');
    let (domain, product, major) = (parts.next()?, parts.next()?, parts.next()?);
    let is_whole = parts.next().is_none() && ![domain, product, major].contains(&"");
    is_whole.then_some((domain, product, major))
}

/// The component's key: the part of its id after the data product's. A nested key is below its parent's key.
pub(super) fn component_key(id: &str, product_id: Option<&str>, parent: Option<(&str, &str)>) -> String {
    component_key_by(NamesRule::Latin, id, product_id, parent)
}

/// The component's key by a given rule.
pub(super) fn component_key_by(
    rule: NamesRule,
    id: &str,
    product_id: Option<&str>,
    parent: Option<(&str, &str)>,
) -> String {
    let own_part = |whole: &str| id.strip_prefix(whole)?.strip_prefix(':').filter(|rest| !rest.is_empty());
    let of_parent = parent.and_then(|(parent_id, _)| own_part(parent_id));
    let of_product = || {
        let product = product_id?.strip_prefix(PRODUCT)?;
        own_part(&format!("{COMPONENT}{product}"))
    };
    let of_any_product = || own_part(&product_of(id)?.replacen(PRODUCT, COMPONENT, 1));
    let last = || id.rsplit(':').find(|part| !part.is_empty()).unwrap_or(id);
    let part = of_parent.or_else(of_product).or_else(of_any_product).unwrap_or_else(last);
    let part = key_of(rule, part);
    match parent {
        Some((_, parent_key)) => {
            // A nested id often repeats its parent's part: `…:port:probe` under `…:port`.
            let below = part.strip_prefix(parent_key).and_then(|rest| rest.strip_prefix('/')).unwrap_or(&part);
            format!("{parent_key}/{below}")
        }
        None => part,
    }
}

/// The key of a component if the id determines it with certainty: the id has the prefix of this product, and no
/// character is lost.
pub(super) fn own_key(id: &str, product_id: &str) -> Option<String> {
    let product = product_id.strip_prefix(PRODUCT)?;
    let part = id.strip_prefix(COMPONENT)?.strip_prefix(product)?.strip_prefix(':').filter(|part| !part.is_empty())?;
    // A part beyond ASCII ends in its digest, so its key is certain too.
    let is_kept = part.split(':').all(|part| !part.is_ascii() || key_of(NamesRule::Latin, part) == part);
    is_kept.then(|| component_key(id, Some(product_id), None))
}

/// Converts a part of an id to a key. A key is also a file path, so no name may consist only of dots.
fn key_of(rule: NamesRule, part: &str) -> String {
    let part = normalised(rule, part);
    let names = part.split(':').map(|name| match name.chars().all(|c| c == '.') {
        true => name.replace('.', "-"),
        false => name.to_owned(),
    });
    names.collect::<Vec<_>>().join("/")
}

/// Replaces characters that addresses and folders do not allow by `-`, and transliterates other parts with
/// [`distinct`].
fn normalised(rule: NamesRule, text: &str) -> String {
    let plain = |part: &str| part.chars().map(|c| if is_stack_character(c) { c } else { '-' }).collect();
    let parts = text.split(':').map(|part| match part.is_ascii() || rule.is_ascii() {
        true => plain(part),
        false => distinct(part, '-', is_stack_character),
    });
    parts.collect::<Vec<String>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_key_needs_an_id_of_the_product_itself() {
        let product = "urn:dmb:dp:finance:cash:0";
        assert_eq!(own_key("urn:dmb:cmp:finance:cash:0:a", product).as_deref(), Some("a"));
        assert_eq!(own_key("urn:dmb:cmp:finance:cash:0:port:probe", product).as_deref(), Some("port/probe"));
        for other in [
            "urn:dmb:cmp:finance:cash:1:a",
            "urn:dmb:cmp:sales:x:0:a",
            "urn:dmb:cmp:finance:cash:0:a b",
            "urn:dmb:cmp:finance:cash:0:",
            "urn:dmb:cmp:finance:cash:0:..",
            "urn:dmb:cmp:finance:cash:01:a",
            "foo:a",
            "a",
        ] {
            assert_eq!(own_key(other, product), None, "{other}");
        }
        assert_eq!(own_key("urn:dmb:cmp:finance:cash:0:a", "cash"), None);
    }

    #[test]
    fn stack_is_named_by_the_parts_of_its_urn() {
        for (id, name) in [
            ("urn:dmb:dp:distribution:network-status:0", "distribution.network-status.0"),
            ("urn:dmb:dp:my_domain:my_data_product:1", "my_domain.my_data_product.1"),
            ("domain:marketing.Marketing-Invoice-1.1", "domain.marketing.Marketing-Invoice-1.1"),
            ("finance:cash flow@1", "finance.cash-flow-1"),
            ("urn:dmb:dp:販売:売上:1", "Fan-Mai-116a1678.Mai-Shang-443fb948.1"),
        ] {
            assert_eq!(stack_name(id).as_deref(), Some(name));
        }
        assert_eq!(stack_name("urn:dmb:dp:"), None);
    }

    #[test]
    fn component_key_is_the_part_after_the_product() {
        let product = Some("urn:dmb:dp:d:p:0");
        for (id, key) in [
            ("urn:dmb:cmp:d:p:0:storage", "storage"),
            ("urn:dmb:cmp:d:other:0:storage", "storage"),
            ("urn:dmb:cmp:d:p:0:port:probe", "port/probe"),
            ("urn:dmb:cmp:d:some-name", "some-name"),
            ("domain:marketing.Ingestion-1.1", "marketing.Ingestion-1.1"),
            ("Storage Area [x]", "Storage-Area--x-"),
            // Names are also parts of file paths.
            ("urn:dmb:cmp:d:p:0:..:other.0:port", "--/other.0/port"),
            ("urn:dmb:cmp:d:p:0:.", "-"),
            ("urn:dmb:cmp:d:p:0:..a.", "..a."),
            ("urn:dmb:cmp:d:p:0:注文", "Zhu-Wen-266125dd"),
            ("urn:dmb:cmp:d:p:0:port:qualità", "port/qualita-91f4b040"),
        ] {
            assert_eq!(component_key(id, product, None), key);
        }
    }

    #[test]
    fn nested_component_key_is_below_its_parent() {
        let parent = Some(("urn:dmb:cmp:d:p:0:port", "port"));
        for id in ["urn:dmb:cmp:d:p:0:port:probe", "urn:dmb:cmp:d:p:0:probe", "probe"] {
            assert_eq!(component_key(id, Some("urn:dmb:dp:d:p:0"), parent), "port/probe");
        }
    }
}
