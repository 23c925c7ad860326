//! Schemas.

use crate::attributes::{optional_text, put_managed};
use crate::error::Failure;
use crate::identifier::{check_comment, literal_or_null, quote};
use crate::kind::Target;
use crate::observation::{Observation, ReadRequest, placed};
use crate::script::Script;
use crate::server::{Client, Work, column, query};
use terrace_provider::{Attributes, Map, Path, ProviderError};

/// Refuses values that the server cannot store.
///
/// # Errors
/// `InvalidInput` at the attribute.
pub(crate) fn check_planned(attributes: &Attributes) -> Result<(), ProviderError> {
    check_comment(optional_text(attributes, "comment").as_deref(), &Path::attribute("comment"))?;
    match optional_text(attributes, "owner") {
        Some(owner) => crate::identifier::check(&owner, &Path::attribute("owner")),
        None => Ok(()),
    }
}

/// Reads schemas.
pub(crate) async fn observe(client: &Client, wanted: &[ReadRequest]) -> Result<Vec<Option<Observation>>, Failure> {
    let names: Vec<&str> = wanted.iter().map(|wanted| wanted.target.own_name()).collect();
    let sql = "SELECT w.place, pg_get_userbyid(n.nspowner)::text, obj_description(n.oid, 'pg_namespace')
               FROM unnest($1::text[]::name[]) WITH ORDINALITY AS w(named, place)
               JOIN pg_namespace n ON n.nspname = w.named";
    placed(&query(client, sql, &[&names]).await?, wanted, |row, wanted| {
        let mut attributes = Map::default();
        for (name, at) in [("owner", 1), ("comment", 2)] {
            if wanted.is_managed(name) {
                put_managed(&mut attributes, name, column(row, at)?);
            }
        }
        Ok(Observation::plain(attributes, wanted))
    })
}

/// Creates the planned schema.
pub(crate) async fn create(work: &Work, target: &Target, planned: &Attributes) -> Result<(), Failure> {
    check_planned(planned)?;
    let mut script = Script::of(format!("CREATE SCHEMA {}", target.sql()));
    if let Some(owner) = optional_text(planned, "owner") {
        script.push_at(&Path::attribute("owner"), &format!(" AUTHORIZATION {}", quote(&owner)));
    }
    script.push(";\n");
    if let Some(comment) = optional_text(planned, "comment") {
        script.push(&format!("COMMENT ON SCHEMA {} IS {};\n", target.sql(), literal_or_null(Some(&comment))));
    }
    work.run(&script).await
}

/// Changes the owner and the comment of a schema or a database.
pub(crate) async fn update(
    work: &Work,
    target: &Target,
    (prior, planned): (&Attributes, &Attributes),
) -> Result<(), Failure> {
    check_planned(planned)?;
    let (word, own) = (target.kind.word().to_uppercase(), target.sql());
    let (owner, comment) = (optional_text(planned, "owner"), optional_text(planned, "comment"));
    if let Some(owner) = owner.filter(|owner| optional_text(prior, "owner").as_ref() != Some(owner)) {
        let text = format!("ALTER {word} {own} OWNER TO {}", quote(&owner));
        work.run(&Script::about(&Path::attribute("owner"), text)).await?;
    }
    if comment != optional_text(prior, "comment") {
        work.execute(&format!("COMMENT ON {word} {own} IS {}", literal_or_null(comment.as_deref()))).await?;
    }
    Ok(())
}
