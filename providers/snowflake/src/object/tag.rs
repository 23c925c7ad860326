//! Tags. <https://docs.snowflake.com/en/sql-reference/sql/create-tag>

use super::{Observation, named, new_comment, qualified, schema_of, shown};
use crate::failure::Purpose;
use crate::identifier::{literal, pattern, quote};
use crate::statements::Statements;
use terrace_provider::attributes::{list, optional_text, text, texts};
use terrace_provider::{Attributes, Path, ProviderError};

/// Length limit of a tag value, in characters.
pub(crate) const LONGEST: usize = 256;

/// Refuses values that are too long.
pub(crate) fn check_value(value: &str, path: &Path) -> Result<(), ProviderError> {
    let length = value.chars().count();
    if length > LONGEST {
        let message = format!("the value of a tag has at most {LONGEST} characters, this one has {length}");
        return Err(ProviderError::invalid(Some(path.clone()), message));
    }
    Ok(())
}

/// Refuses invalid allowed values.
pub(crate) fn check(attributes: &Attributes) -> Result<(), ProviderError> {
    let path = Path::attribute("allowedValues");
    let values = texts(attributes, "allowedValues");
    values.iter().enumerate().try_for_each(|(index, value)| check_value(value, &path.index(index)))
}

pub(crate) async fn observe(
    statements: &Statements<'_>,
    identity: &Attributes,
    like: Option<&Attributes>,
) -> Result<Option<Observation>, ProviderError> {
    let name = text(identity, "name");
    let sql = format!("SHOW TAGS LIKE {} IN SCHEMA {}", pattern(&name), schema_of(identity));
    let Some(rows) = statements.read_optional(&sql).await? else { return Ok(None) };
    let Some(row) = named(&rows, &name) else { return Ok(None) };
    let found: Vec<String> = serde_json::from_str(row.text("allowed_values")).unwrap_or_default();
    let wanted = like.map(|like| texts(like, "allowedValues")).unwrap_or_default();
    let sorted = |values: &[String]| {
        let mut values = values.to_vec();
        values.sort();
        values
    };
    let values = if sorted(&found) == sorted(&wanted) { wanted } else { found };
    let observation = Observation::of_row(&row).with_comment(row.text("comment"), like);
    Ok(Some(observation.with("allowedValues", list(&values))))
}

pub(crate) async fn create(statements: &Statements<'_>, planned: &Attributes, id: &str) -> Result<(), ProviderError> {
    let mut sql = format!("CREATE TAG {}", qualified(planned));
    let values = texts(planned, "allowedValues");
    if !values.is_empty() {
        sql.push_str(&format!(" ALLOWED_VALUES {}", literals(&values)));
    }
    if let Some(comment) = optional_text(planned, "comment") {
        sql.push_str(&format!(" COMMENT = {}", literal(&comment)));
    }
    let purpose = Purpose::to(format!("create the tag {}", shown(planned)))
        .right(format!("USAGE ON DATABASE {}", quote(&text(planned, "database"))))
        .right(format!("USAGE ON SCHEMA {}", schema_of(planned)))
        .right(format!("CREATE TAG ON SCHEMA {}", schema_of(planned)))
        .creates(id);
    statements.change(&sql, &purpose).await
}

fn literals(values: &[String]) -> String {
    values.iter().map(|value| literal(value)).collect::<Vec<_>>().join(", ")
}

pub(crate) async fn update(
    statements: &Statements<'_>,
    present: &Observation,
    prior: &Attributes,
    planned: &Attributes,
) -> Result<(), ProviderError> {
    let name = qualified(planned);
    let purpose = Purpose::to(format!("change the tag {}", shown(planned))).right(format!("OWNERSHIP ON TAG {name}"));
    let (old, new) = (texts(&present.attributes, "allowedValues"), texts(planned, "allowedValues"));
    let added: Vec<String> = new.iter().filter(|value| !old.contains(value)).cloned().collect();
    let gone: Vec<String> = old.iter().filter(|value| !new.contains(value)).cloned().collect();
    if new.is_empty() && !old.is_empty() {
        statements.change(&format!("ALTER TAG {name} UNSET ALLOWED_VALUES"), &purpose).await?;
    } else {
        for (what, values) in [("ADD", added), ("DROP", gone)] {
            if !values.is_empty() {
                let sql = format!("ALTER TAG {name} {what} ALLOWED_VALUES {}", literals(&values));
                statements.change(&sql, &purpose).await?;
            }
        }
    }
    if let Some(comment) = new_comment(present, prior, planned) {
        statements.change(&format!("ALTER TAG {name} SET COMMENT = {}", literal(&comment)), &purpose).await?;
    }
    Ok(())
}

pub(crate) async fn delete(statements: &Statements<'_>, identity: &Attributes) -> Result<(), ProviderError> {
    let name = qualified(identity);
    let purpose = Purpose::to(format!("drop the tag {}", shown(identity))).right(format!("OWNERSHIP ON TAG {name}"));
    statements.change(&format!("DROP TAG IF EXISTS {name}"), &purpose).await
}
