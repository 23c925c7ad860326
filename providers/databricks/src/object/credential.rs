//! Git credentials: <https://docs.databricks.com/api/workspace/gitcredentials>. The signed-in principal has one per Git
//! provider.

use super::{Context, Object, Observation};
use crate::attributes::{attributes, id_of, is_managed, of_json, optional_text, put, text, text_of};
use crate::config::Config;
use crate::fingerprint::Fingerprint;
use crate::private::PrivateData;
use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};
use std::ops::RangeInclusive;
use terrace_provider::http::{Purpose, Request};
use terrace_provider::{Attributes, Path, PlannedChange, ProposedChange, ProviderError, Recorded, Value};

/// Git providers in the API's spelling.
pub(crate) const PROVIDERS: [&str; 8] = [
    "gitHub",
    "gitHubEnterprise",
    "gitLab",
    "gitLabEnterpriseEdition",
    "bitbucketCloud",
    "bitbucketServer",
    "azureDevOpsServices",
    "awsCodeCommit",
];

/// Refuses an unknown provider. The API's names are case-sensitive.
pub(crate) fn check_provider(provider: &str, path: Path) -> Result<(), ProviderError> {
    if PROVIDERS.contains(&provider) {
        return Ok(());
    }
    let error = ProviderError::invalid(Some(path), format!("`{provider}` is not a Git provider of Databricks"));
    Err(match PROVIDERS.iter().find(|known| known.eq_ignore_ascii_case(provider)) {
        Some(known) => error.solution(format!("write `{known}`")),
        None => error.solution(format!("use one of {}", terrace_provider::names::listed(&PROVIDERS))),
    })
}

pub(crate) struct Credential;

/// The instance's token, unless the credential has its token.
fn own<'c>(config: &'c Config, planned: &Attributes) -> Option<&'c SecretString> {
    config.git.token.as_ref().filter(|_| planned.get("token").is_none_or(Value::is_null))
}

/// Plans an update if the instance's token differs from the token that was sent last. An adopted credential is assumed
/// to have the current token.
pub(crate) fn plan_token_rotation(
    config: &Config,
    change: &ProposedChange<'_>,
    planned: &mut PlannedChange,
) -> Result<(), ProviderError> {
    let Some(token) = own(config, change.config) else { return Ok(()) };
    let private = change.prior.map(|prior| PrivateData::of(&prior.private)).unwrap_or_default();
    match &private.token {
        Some(last) if last.is_of(token) => {}
        Some(_) => drop(planned.planned.insert("tokenSent".to_owned(), Value::Unknown)),
        None => planned.private = PrivateData { token: Some(Fingerprint::of(token)?), ..private }.to_private(),
    }
    Ok(())
}

impl Credential {
    async fn all(context: &Context<'_>) -> Result<Vec<Json>, ProviderError> {
        let request = Request::get("/api/2.0/git-credentials", &[]);
        let answer = context.send(&request, &Purpose::read("list the Git credentials")).await?;
        Ok(answer.get("credentials").and_then(Json::as_array).cloned().unwrap_or_default())
    }

    /// The private data after a token was sent.
    fn sent(context: &Context<'_>, planned: &Attributes) -> Result<PrivateData, ProviderError> {
        Ok(PrivateData {
            token: own(context.config, planned).map(Fingerprint::of).transpose()?,
            token_sent: Some(Timestamp::now()),
            ..PrivateData::default()
        })
    }

    fn body(context: &Context<'_>, planned: &Attributes) -> Result<Json, ProviderError> {
        let git = &context.config.git;
        let token =
            optional_text(planned, "token").or_else(|| git.token.as_ref().map(|it| it.expose_secret().to_owned()));
        let token = token.ok_or_else(|| {
            ProviderError::invalid(Some(Path::attribute("token")), "the Git credential has no token")
                .solution("set `token`, or `git.token` of the instance")
        })?;
        let mut body = json!({"git_provider": text(planned, "gitProvider"), "personal_access_token": token});
        if let Some(name) = optional_text(planned, "gitUsername").or_else(|| git.username.clone()) {
            put(&mut body, "git_username", name);
        }
        Ok(body)
    }
}

#[async_trait]
impl Object for Credential {
    fn check(&self, planned: &Attributes) -> Result<(), ProviderError> {
        match optional_text(planned, "gitProvider") {
            Some(provider) => check_provider(&provider, Path::attribute("gitProvider")),
            None => Ok(()),
        }
    }

    async fn read(
        &self,
        context: &Context<'_>,
        named: &Attributes,
        like: &Attributes,
        private: &PrivateData,
    ) -> Result<Option<Observation>, ProviderError> {
        let provider = text(named, "gitProvider");
        let all = Self::all(context).await?;
        let found = all.iter().find(|it| text_of(it, "git_provider").eq_ignore_ascii_case(&provider));
        Ok(found.map(|it| {
            let mut observed = attributes([
                ("workspaceUrl", text(named, "workspaceUrl").into()),
                ("gitProvider", provider.into()),
                ("credentialId", id_of(it, "credential_id").unwrap_or_default().into()),
                ("tokenSent", private.token_sent.map_or(Value::Null, |at| format!("{at:.0}").into())),
            ]);
            if is_managed(like, "gitUsername") {
                observed.insert("gitUsername".to_owned(), of_json(it, "git_username"));
            }
            Observation { attributes: observed, private: private.clone(), ..Observation::default() }
        }))
    }

    fn needs_prior_content(&self) -> bool {
        true
    }

    async fn create(
        &self,
        context: &Context<'_>,
        planned: &Attributes,
    ) -> Result<(Attributes, PrivateData), ProviderError> {
        let request = Request::post("/api/2.0/git-credentials", &[]).json(Self::body(context, planned)?);
        let purpose = Purpose::to(format!("create the Git credential for {}", text(planned, "gitProvider")));
        context.send(&request, &purpose).await?;
        Ok((Attributes::default(), Self::sent(context, planned)?))
    }

    async fn update(
        &self,
        context: &Context<'_>,
        _prior: &Recorded,
        present: &Observation,
        planned: &Attributes,
    ) -> Result<PrivateData, ProviderError> {
        let id = text(&present.attributes, "credentialId");
        let request =
            Request::patch("/api/2.0/git-credentials/{id}", &[&id]).json(Self::body(context, planned)?).idempotent();
        let purpose = Purpose::to(format!("change the Git credential for {}", text(planned, "gitProvider")));
        context.send(&request, &purpose).await?;
        Self::sent(context, planned)
    }

    async fn delete(
        &self,
        context: &Context<'_>,
        prior: &Attributes,
        _: &PrivateData,
        _: bool,
    ) -> Result<(), ProviderError> {
        let Some(observed) = self.read(context, prior, &Attributes::default(), &PrivateData::default()).await? else {
            return Ok(());
        };
        let id = text(&observed.attributes, "credentialId");
        let purpose = Purpose::to(format!("delete the Git credential for {}", text(prior, "gitProvider")));
        context.remove(Request::delete("/api/2.0/git-credentials/{id}", &[&id]), &purpose).await
    }

    /// It belongs to the signed-in principal, and did not exist before.
    async fn is_from_attempt(
        &self,
        _: &Context<'_>,
        observed: &Observation,
        planned: &Attributes,
        _: &RangeInclusive<Timestamp>,
    ) -> Result<bool, ProviderError> {
        Ok(optional_text(planned, "gitUsername").is_none_or(|name| text(&observed.attributes, "gitUsername") == name))
    }
}
