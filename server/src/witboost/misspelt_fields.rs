//! Unknown fields of bodies. The server ignores them, since a newer version of Witboost may send them. It refuses a
//! field whose name almost equals a known one: ignoring a misspelt `removeData` would be dangerous.

use super::bodies::{ProvisioningRequest, ReverseProvisioningRequest, UpdateAclRequest};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use std::fmt;
use terrace_provider::names::MOST_CANDIDATES;

/// The longest name that is compared, in bytes.
const LONGEST: usize = 64;

/// A body whose fields are known.
pub(super) trait KnownFields {
    /// The names of the fields.
    const FIELDS: &'static [&'static str];
}

impl KnownFields for ProvisioningRequest {
    const FIELDS: &'static [&'static str] = &["descriptorKind", "descriptor", "removeData", "latestEnrichedDescriptor"];
}

impl KnownFields for UpdateAclRequest {
    const FIELDS: &'static [&'static str] = &["refs", "provisionInfo", "accessControlFields"];
}

impl KnownFields for ReverseProvisioningRequest {
    const FIELDS: &'static [&'static str] = &["useCaseTemplateId", "environment", "params", "catalogInfo"];
}

/// The first field whose name almost equals a known one, with that name.
pub(super) fn find_misspelt_field<T: KnownFields>(body: &[u8]) -> Option<(String, &'static str)> {
    let Names(names) = serde_json::from_slice(body).ok()?;
    let unknown = names.into_iter().filter(|name| !T::FIELDS.contains(&name.as_str()));
    unknown.into_iter().find_map(|name| {
        let suggestion = T::FIELDS.iter().find(|known| is_near(&name, known))?;
        Some((name, *suggestion))
    })
}

fn is_near(name: &str, known: &str) -> bool {
    // Longer names are no misspellings, and the comparison takes time proportional to both lengths.
    if name.len() > LONGEST {
        return false;
    }
    // Stricter than suggestions elsewhere: `descriptorId` may be a field of a newer version.
    let plain = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
    };
    strsim::osa_distance(&plain(name), &plain(known)) <= 1
}

/// The names of an object's fields.
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Vec<String>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut names = Vec::new();
        while let Some((name, IgnoredAny)) = map.next_entry::<String, _>()? {
            // The rest is parsed only for its syntax.
            if names.len() < MOST_CANDIDATES {
                names.push(name);
            }
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use utoipa::PartialSchema;
    use utoipa::openapi::{RefOr, Schema};

    fn documented<T: PartialSchema>() -> Vec<String> {
        let RefOr::T(Schema::Object(object)) = T::schema() else { panic!("no object") };
        object.properties.keys().cloned().collect()
    }

    #[track_caller]
    fn check<T: PartialSchema + KnownFields>() {
        let mut known = T::FIELDS.to_vec();
        known.sort_unstable();
        let mut documented = documented::<T>();
        documented.sort_unstable();
        assert_eq!(known, documented);
    }

    #[test]
    fn known_fields_equal_the_documented_ones() {
        check::<ProvisioningRequest>();
        check::<UpdateAclRequest>();
        check::<ReverseProvisioningRequest>();
    }

    #[test]
    fn fields_after_many_others_are_not_compared() {
        let body = |before: usize| {
            let others: String = (0..before).map(|number| format!("\"x{number}\": 0, ")).collect();
            format!("{{{others}\"removedata\": true}}")
        };
        assert!(find_misspelt_field::<ProvisioningRequest>(body(MOST_CANDIDATES - 1).as_bytes()).is_some());
        assert!(find_misspelt_field::<ProvisioningRequest>(body(MOST_CANDIDATES).as_bytes()).is_none());
    }

    #[test]
    fn misspelling_is_found_and_other_names_are_ignored() {
        let suggested = |name: &str| {
            find_misspelt_field::<ProvisioningRequest>(format!(r#"{{"descriptor": "", "{name}": true}}"#).as_bytes())
                .map(|(_, suggestion)| suggestion)
        };
        for slip in ["removedata", "remove_data", "RemoveData", "removData", "removeDta", "remvoeData", "removeDatas"] {
            assert_eq!(suggested(slip), Some("removeData"), "{slip}");
        }
        for other in ["removeData", "descriptorId", "force", "latestDescriptor", ""] {
            assert_eq!(suggested(other), None, "{other}");
        }
        let nested = br#"{"descriptor": "", "more": {"removedata": true}}"#;
        assert_eq!(find_misspelt_field::<ProvisioningRequest>(nested), None, "nested fields are not compared");
    }
}
