//! The access request of the command line.

use crate::args::{EMPTY_ACCESS_LIST, PlanningArguments};
use crate::failure::Failure;
use serde_json::{Map, Value as Json};
use std::collections::BTreeSet;
use terrace_engine::access::{Access, Fields, Grantees};
use terrace_engine::address::ComponentKey;

/// The requested access list of the chosen component; `None` without a request.
pub(super) fn access(
    arguments: &PlanningArguments,
    components: &BTreeSet<ComponentKey>,
) -> Result<Option<Grantees>, Failure> {
    if arguments.principals.is_empty() {
        return Ok(None);
    }
    let mut chosen = components.iter();
    match (chosen.next(), chosen.next()) {
        (Some(component), None) => {
            let principals: Vec<String> =
                arguments.principals.iter().filter(|principal| *principal != EMPTY_ACCESS_LIST).cloned().collect();
            Access::check(&principals)
                .map_err(|(_, problem)| Failure::new(problem).hint("write `user:NAME` or `group:NAME`"))?;
            let access = Access::new(principals, fields(&arguments.access_fields)?);
            Ok(Some(Grantees { component: component.clone(), access }))
        }
        _ => Err(Failure::new("`--acl` needs exactly one component").hint("choose it with `-c COMPONENT`")),
    }
}

/// Fields of the access request, as texts.
fn fields(given: &[String]) -> Result<Fields, Failure> {
    let mut fields = Map::new();
    for field in given {
        let Some((name, value)) = field.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(Failure::new(format!("the field `{field}` of the access list has no name or no `=`"))
                .hint("write it as `NAME=VALUE`"));
        };
        if fields.insert(name.to_owned(), Json::from(value)).is_some() {
            return Err(
                Failure::new(format!("the field `{name}` of the access list is given twice")).hint("give it one value")
            );
        }
    }
    Ok(Fields::from(fields))
}
