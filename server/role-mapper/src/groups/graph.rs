//! Groups of a user from Microsoft Graph: <https://learn.microsoft.com/graph/api/user-list-transitivememberof>.
//!
//! Graph returns them in pages, and the role mapper reads all pages. It calls as an application with the permissions
//! `GroupMember.Read.All` and `User.Read.All`.

use super::GroupsError;
use secrecy::SecretString;
use serde_json::{Map, Value as Json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::http::{
    Api, Auth, Base, Client, Next, Options, ParsedError, Reply, Request, TokenRequest, Vendor, Within,
};
use terrace_server::jwt::claim;

/// Timeout of one request: a user waits for the answer to a query.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout for all pages.
const ALL: Duration = Duration::from_secs(20);
/// Groups per page: the maximum of Graph.
const PAGE: usize = 999;

/// Settings of Microsoft Graph.
#[derive(Debug, Clone)]
pub struct GraphSettings {
    /// The URL: `https://graph.microsoft.com`.
    pub url: String,
    /// The URL for tokens: `https://login.microsoftonline.com`.
    pub login_url: String,
    /// The tenant.
    pub tenant: String,
    /// The client ID of the application.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
    /// The claim with the id of the user: `oid`.
    pub user_claim: String,
    /// The property of a group that is its name: `displayName`.
    pub name: String,
    /// How long the groups of a user are cached.
    pub cache_time: Duration,
}

const VENDOR: Vendor = Vendor {
    name: "Microsoft Graph",
    parse_error: |_: &Reply| ParsedError::default(),
    had_no_effect: |_| false,
    reach: "check `ROLE_MAPPER_GRAPH_URL`",
    sign_in: "check `ROLE_MAPPER_AZURE_CLIENT_ID` and `ROLE_MAPPER_AZURE_CLIENT_SECRET`",
};

pub(super) struct Graph {
    api: Api,
    user_claim: String,
    name: String,
}

impl Graph {
    pub(super) fn new(settings: GraphSettings) -> Result<Self, String> {
        let is_name = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'));
        if settings.tenant.is_empty() || !is_name(&settings.tenant) {
            return Err("the tenant is neither a UUID nor a domain".to_owned());
        }
        if settings.name.is_empty() || !settings.name.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(format!("`{}` is not a property of a group", settings.name));
        }
        let options = Options { timeout: REQUEST_TIMEOUT, retries: 2, retries_after_loss: 1, ..Options::default() };
        let client = Client::new(options).map_err(|error| error.to_string())?;
        let base = Base::parse(&settings.url)?;
        let login = Base::parse(&format!("{}/{}", settings.login_url.trim_end_matches('/'), settings.tenant))?;
        let scope = format!("{}/.default", base.shown());
        let tokens = TokenRequest::new(&client, &login, "/oauth2/v2.0/token").map_err(|failure| failure.in_words())?;
        let tokens = tokens.credentials(&settings.client_id, settings.client_secret).field("scope", scope.into());
        let api = client.api(base, Auth::Tokens(Arc::new(tokens)), VENDOR, Vec::new());
        Ok(Self { api, user_claim: settings.user_claim, name: settings.name })
    }

    /// The ID of the user in a token.
    pub(super) fn user(&self, claims: &Map<String, Json>) -> Result<String, GroupsError> {
        let id = claim(claims, &self.user_claim).and_then(Json::as_str).filter(|id| !id.is_empty());
        id.map(str::to_owned).ok_or_else(|| GroupsError::UnknownUser(format!("the token lacks `{}`", self.user_claim)))
    }

    /// The groups of a user, including indirect memberships.
    pub(super) async fn groups(&self, user: &str) -> Result<BTreeSet<String>, GroupsError> {
        let request = Request::get("/v1.0/users/{id}/transitiveMemberOf", &[user])
            .query("$select", format!("id,{}", self.name))
            .query("$top", PAGE);
        let next = |page: &Json| Next::url(page, "@odata.nextLink");
        let items = self.api.items(request, &Within::time(ALL), "value", next).await;
        let items = items.map_err(|failure| match failure.status() {
            Some(404) => GroupsError::UnknownUser("Microsoft Graph does not know this user".to_owned()),
            _ => GroupsError::Unavailable(format!("Microsoft Graph: {}", failure.in_words())),
        })?;
        // The list also contains directory roles and administrative units.
        let is_group = |item: &&Json| item.get("@odata.type").and_then(Json::as_str) == Some("#microsoft.graph.group");
        let name = |item: &Json| Some(item.get(&self.name)?.as_str()?.to_owned());
        Ok(items.iter().filter(is_group).filter_map(name).collect())
    }
}
