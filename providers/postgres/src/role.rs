//! Roles. A password is sent as a verifier, so neither the server's log nor the network sees it.

use crate::attributes::{flag, has_unknown, optional_text, put_managed};
use crate::error::Failure;
use crate::identifier::{check_comment, literal, literal_or_null};
use crate::kind::Target;
use crate::observation::{Observation, ReadRequest, placed};
use crate::private::Memory;
use crate::script::Script;
use crate::server::{Client, Work, column, query};
use terrace_provider::names::scripts::check_role;
use terrace_provider::{Attributes, Map, Path, PlannedChange, ProposedChange, ProviderError, Value};

/// Plans a role. A password that is no longer configured is removed.
///
/// # Errors
/// `InvalidInput` at the invalid attribute.
pub(crate) fn plan(change: &ProposedChange<'_>, planned: &mut PlannedChange) -> Result<(), ProviderError> {
    if !has_unknown(change.config) {
        check_planned(&planned.planned)?;
    }
    let is_gone = change.config.get("password").is_none_or(Value::is_null);
    if change.prior.is_some() && is_gone && change.changed_write_only.iter().any(|name| name == "password") {
        let mut memory = Memory::read(&planned.private);
        memory.forgets_password = true;
        planned.private = memory.to_private();
    }
    Ok(())
}

/// Refuses values that the server cannot store.
///
/// # Errors
/// `InvalidInput` at the attribute.
fn check_planned(attributes: &Attributes) -> Result<(), ProviderError> {
    let name = optional_text(attributes, "name").unwrap_or_default();
    if ["public", "none"].contains(&name.as_str()) {
        let message =
            format!("`{name}` cannot be used: it means {}", if name == "none" { "no role" } else { "all roles" });
        return Err(ProviderError::invalid(Some(Path::attribute("name")), message).solution("choose another name"));
    }
    check_role("name", &name)?;
    check_comment(optional_text(attributes, "comment").as_deref(), &Path::attribute("comment"))
}

/// Reads roles.
pub(crate) async fn observe(client: &Client, wanted: &[ReadRequest]) -> Result<Vec<Option<Observation>>, Failure> {
    let names: Vec<&str> = wanted.iter().map(|wanted| wanted.target.own_name()).collect();
    let sql = "SELECT w.place, r.rolcanlogin, r.rolinherit, shobj_description(r.oid, 'pg_authid')
               FROM unnest($1::text[]::name[]) WITH ORDINALITY AS w(named, place)
               JOIN pg_roles r ON r.rolname = w.named";
    placed(&query(client, sql, &[&names]).await?, wanted, |row, wanted| {
        let mut attributes = Map::default();
        attributes.insert("login".to_owned(), column::<bool>(row, 1)?.into());
        attributes.insert("inherit".to_owned(), column::<bool>(row, 2)?.into());
        if wanted.is_managed("comment") {
            put_managed(&mut attributes, "comment", column(row, 3)?);
        }
        Ok(Observation::plain(attributes, wanted))
    })
}

/// The attributes of a role in the form of `CREATE ROLE` and `ALTER ROLE`.
fn options(planned: &Attributes) -> String {
    let word = |name: &str, word: &str| if flag(planned, name) { word.to_owned() } else { format!("NO{word}") };
    let mut text = format!("{} {}", word("login", "LOGIN"), word("inherit", "INHERIT"));
    if let Some(password) = optional_text(planned, "password") {
        let verifier = postgres_protocol::password::scram_sha_256(password.as_bytes());
        text.push_str(&format!(" PASSWORD {}", literal(&verifier)));
    }
    text
}

/// Creates the planned role.
pub(crate) async fn create(work: &Work, target: &Target, planned: &Attributes) -> Result<(), Failure> {
    check_planned(planned)?;
    let mut script = Script::of(format!("CREATE ROLE {} {};\n", target.sql(), options(planned)));
    if let Some(comment) = optional_text(planned, "comment") {
        script.push(&format!("COMMENT ON ROLE {} IS {};\n", target.sql(), literal(&comment)));
    }
    work.run(&script).await
}

/// Changes the attributes, the password and the comment of a role.
pub(crate) async fn update(
    work: &Work,
    target: &Target,
    (prior, planned): (&Attributes, &Attributes),
    forgets_password: bool,
) -> Result<(), Failure> {
    check_planned(planned)?;
    let password = if forgets_password { " PASSWORD NULL" } else { "" };
    work.execute(&format!("ALTER ROLE {} {}{password}", target.sql(), options(planned))).await?;
    let comment = optional_text(planned, "comment");
    if comment != optional_text(prior, "comment") {
        let text = literal_or_null(comment.as_deref());
        work.execute(&format!("COMMENT ON ROLE {} IS {text}", target.sql())).await?;
    }
    Ok(())
}
