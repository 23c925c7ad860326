//! Tokens of Microsoft Entra ID: <https://learn.microsoft.com/en-us/azure/databricks/dev-tools/auth/azure-sp>.

use crate::attributes::text_of;
use crate::config::{Azure, AzureCredential};
use async_trait::async_trait;
use futures_util::TryStreamExt;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use terrace_provider::ProviderError;
use terrace_provider::http::{
    Api, Auth, Base, Client, Failure, HeaderName, HeaderValue, Next, Request, Token, TokenRequest, TokenSource, Within,
};

/// The OAuth scope of Databricks, equal in every cloud and tenant.
const DATABRICKS_SCOPE: &str = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default";
/// The API version for workspaces: <https://learn.microsoft.com/en-us/rest/api/databricks/workspaces>.
pub(crate) const WORKSPACES_VERSION: &str = "2024-05-01";

/// Builds the token request of the service principal.
pub(crate) fn tokens(client: &Client, azure: &Azure, scope: &str) -> Result<TokenRequest, ProviderError> {
    let request = TokenRequest::at(client, &azure.login, "/{tenant}/oauth2/v2.0/token", &[&azure.tenant])
        .map_err(|failure| ProviderError::bug(failure.in_words()))?;
    let request = match &azure.credential {
        AzureCredential::Secret(secret) => request.credentials(&azure.client, secret.expose_secret().into()),
        AzureCredential::Assertion(assertion) => request.client_assertion(&azure.client, assertion.clone()),
    };
    Ok(request.field("scope", scope.into()))
}

/// Tokens for Databricks only.
pub(crate) fn for_databricks(client: &Client, azure: &Azure) -> Result<Auth, ProviderError> {
    Ok(Auth::Tokens(Arc::new(tokens(client, azure, DATABRICKS_SCOPE)?)))
}

/// Tokens for one workspace. A workspace that does not know the service principal yet, such as a new one, still admits
/// it as administrator if it may manage the workspace in Azure. Extra headers prove that right.
pub(crate) struct WorkspaceTokenSource {
    databricks: TokenRequest,
    management: TokenRequest,
    /// Client of Azure Resource Manager, which lists the workspaces of the subscription.
    api: Api,
    subscription: String,
    /// The host of the workspace.
    host: String,
    /// Known Azure ids by host.
    resources: Resources,
}

/// Azure ids of workspaces by host. A known workspace needs no list, which may be outdated.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resources(Arc<Mutex<HashMap<String, String>>>);

impl Resources {
    pub(crate) fn remember(&self, host: &str, resource: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(host.to_lowercase(), resource.to_owned());
    }

    fn of(&self, host: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&host.to_lowercase()).cloned()
    }
}

impl WorkspaceTokenSource {
    /// Creates the source for the workspace of a host, which may belong to the subscription.
    pub(crate) fn new(
        client: &Client,
        azure: &Azure,
        api: Api,
        subscription: &str,
        base: &Base,
        resources: Resources,
    ) -> Result<Self, ProviderError> {
        Ok(Self {
            databricks: tokens(client, azure, DATABRICKS_SCOPE)?,
            management: tokens(client, azure, azure.management_scope)?,
            api,
            subscription: subscription.to_owned(),
            host: base.host(),
            resources,
        })
    }

    /// Returns the workspace's Azure id; `None` if the subscription has no workspace with this host (yet).
    async fn resource(&self) -> Result<Option<String>, Failure> {
        if let Some(known) = self.resources.of(&self.host) {
            return Ok(Some(known));
        }
        let template = "/subscriptions/{subscription}/providers/Microsoft.Databricks/workspaces";
        let request = Request::get(template, &[&self.subscription]).query("api-version", WORKSPACES_VERSION);
        let within = Within::reading();
        let pages = self.api.pages(request, &within, |page| Next::url(page, "nextLink"));
        let mut pages = std::pin::pin!(pages);
        while let Some(page) = pages.try_next().await? {
            let rows = page.get("value").and_then(Json::as_array).cloned().unwrap_or_default();
            let is_match = |row: &&Json| {
                let url = row.pointer("/properties/workspaceUrl").and_then(Json::as_str).unwrap_or_default();
                Base::parse(url).is_ok_and(|base| base.host().eq_ignore_ascii_case(&self.host))
            };
            if let Some(row) = rows.iter().find(is_match) {
                self.resources.remember(&self.host, text_of(row, "id"));
                return Ok(Some(text_of(row, "id").to_owned()));
            }
        }
        Ok(None)
    }
}

#[async_trait]
impl TokenSource for WorkspaceTokenSource {
    async fn token(&self) -> Result<Token, Failure> {
        let mut token = self.databricks.request_token().await?;
        // Without the right to list workspaces, use the plain token: the workspace itself decides.
        let Ok(Some(resource)) = self.resource().await else { return Ok(token) };
        let management = self.management.request_token().await?;
        let header = |text: &str| {
            HeaderValue::from_str(text)
                .map_err(|_| Failure::Refused("an id has characters that are not allowed in a header".to_owned()))
        };
        let mut management_token = header(management.token.expose_secret())?;
        management_token.set_sensitive(true);
        token.headers = vec![
            (HeaderName::from_static("x-databricks-azure-sp-management-token"), management_token),
            (HeaderName::from_static("x-databricks-azure-workspace-resource-id"), header(&resource)?),
        ];
        token.lifetime = token.lifetime.into_iter().chain(management.lifetime).min();
        Ok(token)
    }

    fn secrets(&self) -> Vec<SecretString> {
        self.databricks.secrets()
    }
}
