//! Clients of the workspaces that the instance may use.
//!
//! Descriptors may contain the URL of a workspace, and every request carries a token. So the provider sends requests
//! only to hosts that the settings allow.

use crate::attributes::{text, text_of};
use crate::config::{Azure, Config, Credentials};
use crate::entra::{self, Resources, WorkspaceTokenSource};
use crate::failure::{ACCOUNT, AZURE, DATABRICKS};
use secrecy::ExposeSecret;
use serde_json::Value as Json;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use terrace_provider::http::{
    Api, Auth, Base, Client, Options, Purpose, Request, TokenRequest, Vendor, Within, check_credentials,
};
use terrace_provider::{Attributes, Path, ProviderError};
use tokio::sync::OnceCell;

/// The clients of an instance.
pub(crate) struct Workspaces {
    instance: String,
    config: Config,
    client: Client,
    known: Mutex<HashMap<String, Arc<Workspace>>>,
    resources: Resources,
    /// Hosts of workspaces that this session created.
    new: Mutex<HashSet<String>>,
}

/// APIs outside of workspaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interface {
    /// The Databricks account.
    Account,
    /// Azure Resource Manager.
    Management,
    /// Microsoft Graph, the directory of the Azure tenant.
    Graph,
}

/// The API that a check of the instance queries.
pub(crate) enum CheckTarget {
    Workspace(Arc<Workspace>),
    /// Azure Resource Manager.
    Azure(Arc<Workspace>),
}

/// The client of a workspace or of another API.
pub(crate) struct Workspace {
    /// `https://adb-1.2.azuredatabricks.net`, without a slash at its end.
    pub(crate) url: String,
    pub(crate) api: Api,
    me: OnceCell<String>,
    metastore: OnceCell<Json>,
    /// Held during changes of an object's access list. A removal rewrites the whole list; a concurrent change would be
    /// lost or undone.
    pub(crate) access: tokio::sync::Mutex<()>,
}

impl Workspaces {
    pub(crate) fn open(instance: &str, config: Config) -> Result<Self, ProviderError> {
        let (ca_file, allow_plain_http) = (config.ca_file.clone(), config.allow_plain_http);
        let options = Options { ca_file, allow_plain_http, timeout: config.timeout, ..Options::default() };
        Ok(Self {
            instance: instance.to_owned(),
            client: Client::new(options)?,
            config,
            known: Mutex::default(),
            resources: Resources::default(),
            new: Mutex::default(),
        })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Remembers the Azure id of a workspace by its host.
    pub(crate) fn remember_resource(&self, workspace: &Attributes) {
        let (url, resource) = (text(workspace, "url"), text(workspace, "resourceId"));
        if let Some(base) = Base::parse(&url).ok().filter(|_| !resource.is_empty()) {
            self.resources.remember(&base.host(), &resource);
        }
    }

    /// Remembers that this session created a workspace.
    pub(crate) fn remember_created(&self, workspace: &Attributes) {
        if let Ok(base) = Base::parse(&text(workspace, "url")) {
            self.new.lock().unwrap_or_else(PoisonError::into_inner).insert(base.host().to_lowercase());
        }
    }

    /// Returns true if this session created the workspace.
    pub(crate) fn is_new(&self, workspace: &Workspace) -> bool {
        let host = workspace.api.base().host().to_lowercase();
        self.new.lock().unwrap_or_else(PoisonError::into_inner).contains(&host)
    }

    /// Parses the URL of a workspace into its normal form.
    pub(crate) fn url(text: &str) -> Result<Base, ProviderError> {
        let wrong = |why: String| {
            ProviderError::invalid(Some(Path::attribute("workspaceUrl")), format!("`{text}` is not the URL of a workspace: {why}"))
                .solution("write a URL such as `https://adb-1234567890123456.7.azuredatabricks.net`, or map the name in `settings.databricks.workspaces`")
        };
        let base = Base::parse(text.trim().trim_end_matches('/')).map_err(wrong)?;
        let shown = base.shown();
        let path = shown.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
        match path {
            Some((_, path)) if !path.is_empty() => Err(wrong("it has a path".to_owned())),
            _ => Ok(base),
        }
    }

    /// The workspace of the attributes.
    pub(crate) fn of(&self, attributes: &Attributes) -> Result<Arc<Workspace>, ProviderError> {
        self.at(&text(attributes, "workspaceUrl"))
    }

    /// The instance's own workspace.
    pub(crate) fn default_workspace(&self) -> Result<Arc<Workspace>, ProviderError> {
        match &self.config.host {
            Some(host) => self.at(host.shown()),
            None => Err(ProviderError::unconfigured(format!("the instance `{}` has no workspace", self.instance))
                .solution(format!("add `host` under `providers.{}`, or set DATABRICKS_HOST", self.instance))),
        }
    }

    /// The API for a check of the instance: its own workspace, else Azure if it signs in there, else the first allowed
    /// workspace.
    pub(crate) fn check_target(&self) -> Result<CheckTarget, ProviderError> {
        let first = self.config.hosts.iter().find(|host| !host.starts_with("*."));
        match (&self.config.host, self.config.azure(), first) {
            (None, Some(_), _) => Ok(CheckTarget::Azure(self.other_api(Interface::Management)?)),
            (None, None, Some(host)) => Ok(CheckTarget::Workspace(self.at(host)?)),
            _ => Ok(CheckTarget::Workspace(self.default_workspace()?)),
        }
    }

    /// The instance's own workspace, if any, and all workspaces used so far.
    pub(crate) fn opened(&self) -> Result<Vec<Arc<Workspace>>, ProviderError> {
        let own = if self.config.host.is_some() { vec![self.default_workspace()?] } else { Vec::new() };
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Keys of other APIs are not URLs.
        let mut others: Vec<_> =
            known.iter().filter(|(key, _)| key.contains("://")).map(|(_, it)| Arc::clone(it)).collect();
        others.retain(|one| own.iter().all(|it| it.url != one.url));
        others.sort_by(|one, other| one.url.cmp(&other.url));
        Ok(own.into_iter().chain(others).collect())
    }

    fn at(&self, url: &str) -> Result<Arc<Workspace>, ProviderError> {
        let base = Self::url(url)?;
        let url = base.shown().trim_end_matches('/').to_owned();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(workspace) = known.get(&url) {
            return Ok(Arc::clone(workspace));
        }
        self.check_allowed(&base)?;
        check_credentials(base.shown(), self.config.allow_plain_http, Path::attribute("workspaceUrl"))?;
        let workspace = self.open_at(url.clone(), base.clone(), self.auth(&base)?, DATABRICKS);
        known.insert(url, Arc::clone(&workspace));
        Ok(workspace)
    }

    fn open_at(&self, url: String, base: Base, auth: Auth, vendor: Vendor) -> Arc<Workspace> {
        let secrets = self.config.git.token.iter().cloned().collect();
        Arc::new(Workspace {
            url,
            api: self.client.api(base, auth, vendor, secrets),
            me: OnceCell::new(),
            metastore: OnceCell::new(),
            access: tokio::sync::Mutex::default(),
        })
    }

    /// Returns the client of an API outside of workspaces.
    pub(crate) fn other_api(&self, interface: Interface) -> Result<Arc<Workspace>, ProviderError> {
        // Such a key never equals the URL of a workspace.
        let key = format!("{interface:?}");
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = known.get(&key) {
            return Ok(Arc::clone(one));
        }
        let one = match interface {
            Interface::Account => self.account()?,
            Interface::Management => {
                let azure = self.azure()?;
                self.of_azure(azure.management.clone(), azure.management_scope)?
            }
            Interface::Graph => {
                let azure = self.azure()?;
                self.of_azure(azure.graph.clone(), &azure.graph_scope)?
            }
        };
        known.insert(key, Arc::clone(&one));
        Ok(one)
    }

    fn of_azure(&self, base: Base, scope: &str) -> Result<Arc<Workspace>, ProviderError> {
        let tokens = entra::tokens(&self.client, self.azure()?, scope)?;
        Ok(self.open_at(base.shown().to_owned(), base, Auth::Tokens(Arc::new(tokens)), AZURE))
    }

    fn azure(&self) -> Result<&Azure, ProviderError> {
        self.config.azure().ok_or_else(|| {
            ProviderError::unconfigured(format!(
                "the instance `{}` has no service principal of Azure",
                self.instance
            ))
            .solution(format!(
                "replace the credentials under `providers.{}` by `azure: {{tenantId: …, clientId: …, clientSecret: …}}`, or set ARM_TENANT_ID, ARM_CLIENT_ID and ARM_CLIENT_SECRET",
                self.instance
            ))
        })
    }

    fn account(&self) -> Result<Arc<Workspace>, ProviderError> {
        let Some(account) = &self.config.account else {
            let message = format!("the instance `{}` has no Databricks account", self.instance);
            return Err(ProviderError::unconfigured(message).solution(format!(
                "add `accountId` under `providers.{}`, or set DATABRICKS_ACCOUNT_ID",
                self.instance
            )));
        };
        let auth = match &self.config.credentials {
            Some(Credentials::Azure(azure)) => entra::for_databricks(&self.client, azure)?,
            Some(Credentials::Client(id, secret)) => {
                let template = "/oidc/accounts/{account}/v1/token";
                let request = TokenRequest::at(&self.client, &account.host, template, &[&account.id])
                    .map_err(|failure| ProviderError::bug(failure.in_words()))?;
                let request = request.basic_credentials(id, secret.expose_secret().into());
                Auth::Tokens(Arc::new(request.field("scope", "all-apis".into())))
            }
            _ => {
                return Err(ProviderError::unconfigured("no credentials for the Databricks account are set")
                    .solution("set `clientId` and `clientSecret`, or `azure`, of an administrator of the account"));
            }
        };
        Ok(self.open_at(account.host.shown().to_owned(), account.host.clone(), auth, ACCOUNT))
    }

    /// Refuses a workspace that the settings do not allow.
    fn check_allowed(&self, base: &Base) -> Result<(), ProviderError> {
        let is_host = self.config.host.as_ref().is_some_and(|host| host.shown() == base.shown());
        let host = base.host().to_lowercase();
        let is_named = |it: &String| match it.strip_prefix("*.") {
            Some(domain) => host.strip_suffix(domain).is_some_and(|before| before.len() > 1 && before.ends_with('.')),
            None => it.trim_start_matches("https://").trim_end_matches('/') == host,
        };
        let is_url = self.config.hosts.iter().any(|it| it.trim_end_matches('/') == base.shown());
        // Only Databricks serves hosts in this domain, for every customer.
        let is_azure = self.config.azure().is_some_and(|azure| is_named(&azure.workspaces.to_owned()));
        let is_named = is_azure || self.config.hosts.iter().any(is_named);
        if is_host || is_url || (base.shown().starts_with("https://") && is_named) {
            return Ok(());
        }
        let message =
            format!("the settings of the instance `{}` do not allow the workspace `{}`", self.instance, base.shown());
        Err(ProviderError::invalid(Some(Path::attribute("workspaceUrl")), message)
            .problem("the host would receive the instance's token")
            .solution(format!(
                "add it to `host` or `hosts` under `providers.{}` if the host is trusted",
                self.instance
            )))
    }

    fn auth(&self, base: &Base) -> Result<Auth, ProviderError> {
        match &self.config.credentials {
            Some(Credentials::Token(token)) => Ok(Auth::Bearer(token.clone())),
            // <https://docs.databricks.com/aws/en/dev-tools/auth/oauth-m2m>
            Some(Credentials::Client(id, secret)) => {
                let tokens = TokenRequest::new(&self.client, base, "/oidc/v1/token")
                    .map_err(|failure| ProviderError::bug(failure.in_words()))?
                    .basic_credentials(id, secret.expose_secret().into())
                    .field("scope", "all-apis".into());
                Ok(Auth::Tokens(Arc::new(tokens)))
            }
            Some(Credentials::Azure(azure)) => match &azure.subscription {
                Some(subscription) => {
                    let tokens = entra::tokens(&self.client, azure, azure.management_scope)?;
                    let auth = Auth::Tokens(Arc::new(tokens));
                    let api = self.client.api(azure.management.clone(), auth, AZURE, Vec::new());
                    let tokens = WorkspaceTokenSource::new(&self.client, azure, api, subscription, base, self.resources.clone())?;
                    Ok(Auth::Tokens(Arc::new(tokens)))
                }
                None => entra::for_databricks(&self.client, azure),
            },
            None => Err(ProviderError::unconfigured("no credentials for Databricks are set").solution(
                "set `token` (a personal access token), `clientId` and `clientSecret` (a service principal), or `azure` (a service principal of Azure)",
            )),
        }
    }
}

impl Workspace {
    /// Sends a request, and returns the answer.
    pub(crate) async fn send(
        &self,
        request: &Request,
        within: &Within,
        purpose: &Purpose,
    ) -> Result<Json, ProviderError> {
        let reply = self.api.send(request, within).await;
        reply.and_then(|reply| reply.json()).map_err(|failure| self.api.error(&failure, purpose))
    }

    /// The instance's principal: the user name, or the application id of a service principal.
    pub(crate) async fn me(&self, within: &Within) -> Result<&str, ProviderError> {
        let fetch = || async {
            let request = Request::get("/api/2.0/preview/scim/v2/Me", &[]);
            let me = self.send(&request, within, &Purpose::read("read the signed-in principal")).await?;
            let name = text_of(&me, "userName");
            Ok(if name.is_empty() { text_of(&me, "applicationId").to_owned() } else { name.to_owned() })
        };
        self.me.get_or_try_init(fetch).await.map(String::as_str)
    }

    /// The metastore of the workspace.
    pub(crate) async fn metastore(&self, within: &Within) -> Result<&Json, ProviderError> {
        let fetch = || async {
            let request = Request::get("/api/2.1/unity-catalog/current-metastore-assignment", &[]);
            self.send(&request, within, &Purpose::read("read the metastore of the workspace")).await
        };
        self.metastore.get_or_try_init(fetch).await
    }

    /// Checks that the workspace belongs to a metastore.
    pub(crate) async fn check_metastore(&self, wanted: &str, within: &Within) -> Result<(), ProviderError> {
        let id = text_of(self.metastore(within).await?, "metastore_id").to_owned();
        if id == wanted {
            return Ok(());
        }
        let message = format!("the workspace `{}` belongs to the metastore `{id}` instead of `{wanted}`", self.url);
        Err(ProviderError::invalid(Some(Path::attribute("metastoreId")), message)
            .solution("use the id that the lookup `databricks_metastore` returns for that workspace"))
    }
}
