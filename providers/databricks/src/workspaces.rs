//! One client for each workspace, and for none but those that the instance may be sent to.
//!
//! The URL of a workspace may stand in a descriptor, and whoever is asked is shown a token: so it has to be one that the settings
//! name, or nobody is asked.

use crate::attributes::{text, text_of};
use crate::config::{Config, Proof};
use crate::failure::DATABRICKS;
use secrecy::ExposeSecret;
use serde_json::Value as Json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use terrace_provider::http::{Api, Auth, Base, Client, Options, Purpose, Request, TokenRequest, Within};
use terrace_provider::{Attributes, Path, ProviderError};
use tokio::sync::OnceCell;

/// The workspaces of an instance.
pub(crate) struct Workspaces {
    instance: String,
    config: Config,
    client: Client,
    known: Mutex<HashMap<String, Arc<Workspace>>>,
}

/// One of them.
pub(crate) struct Workspace {
    /// `https://adb-1.2.azuredatabricks.net`, without a slash at its end.
    pub(crate) url: String,
    pub(crate) api: Api,
    me: OnceCell<String>,
    metastore: OnceCell<Json>,
    /// Held by who changes the access of an object: what is taken away is written as the list of all who are left, and who is
    /// let in or goes meanwhile would come back or be lost.
    pub(crate) access: tokio::sync::Mutex<()>,
}

impl Workspaces {
    pub(crate) fn open(instance: &str, config: Config) -> Result<Self, ProviderError> {
        let options = Options { ca_file: config.ca_file.clone(), timeout: config.timeout, ..Options::default() };
        Ok(Self { instance: instance.to_owned(), client: Client::new(options)?, config, known: Mutex::default() })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The URL in the one form that names are told apart by; nothing where it is none.
    pub(crate) fn url(text: &str) -> Result<Base, ProviderError> {
        let wrong = |why: String| {
            ProviderError::invalid(Some(Path::attribute("workspaceUrl")), format!("`{text}` is no URL of a workspace: {why}"))
                .solution("write such as `https://adb-1234567890123456.7.azuredatabricks.net`; names are mapped to URLs by `settings.databricks.workspaces`")
        };
        let base = Base::parse(text.trim().trim_end_matches('/')).map_err(wrong)?;
        let shown = base.shown();
        let path = shown.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
        match path {
            Some((_, path)) if !path.is_empty() => Err(wrong("it has a path".to_owned())),
            _ => Ok(base),
        }
    }

    /// The workspace that attributes name.
    pub(crate) fn of(&self, attributes: &Attributes) -> Result<Arc<Workspace>, ProviderError> {
        self.at(&text(attributes, "workspaceUrl"))
    }

    /// The workspace of the instance itself.
    pub(crate) fn usual(&self) -> Result<Arc<Workspace>, ProviderError> {
        match &self.config.host {
            Some(host) => self.at(host.shown()),
            None => Err(ProviderError::invalid(
                None,
                format!("nothing says which workspace the instance `{}` is", self.instance),
            )
            .solution(format!("write `host` under `providers.{}`, or set DATABRICKS_HOST", self.instance))),
        }
    }

    fn at(&self, url: &str) -> Result<Arc<Workspace>, ProviderError> {
        let base = Self::url(url)?;
        let url = base.shown().trim_end_matches('/').to_owned();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(workspace) = known.get(&url) {
            return Ok(Arc::clone(workspace));
        }
        self.check_allowed(&base)?;
        let secrets = self.config.git.token.iter().cloned().collect();
        let api = self.client.api(base.clone(), self.auth(&base)?, DATABRICKS, secrets);
        let workspace = Workspace {
            url: url.clone(),
            api,
            me: OnceCell::new(),
            metastore: OnceCell::new(),
            access: tokio::sync::Mutex::default(),
        };
        let workspace = Arc::new(workspace);
        known.insert(url, Arc::clone(&workspace));
        Ok(workspace)
    }

    /// Refuses a workspace that no setting names.
    fn check_allowed(&self, base: &Base) -> Result<(), ProviderError> {
        let is_host = self.config.host.as_ref().is_some_and(|host| host.shown() == base.shown());
        let host = base.host().to_lowercase();
        let is_named = |it: &String| match it.strip_prefix("*.") {
            Some(domain) => host.strip_suffix(domain).is_some_and(|before| before.len() > 1 && before.ends_with('.')),
            None => it.trim_start_matches("https://").trim_end_matches('/') == host,
        };
        if is_host || (base.shown().starts_with("https://") && self.config.hosts.iter().any(is_named)) {
            return Ok(());
        }
        let message = format!("the instance `{}` may not be sent to the workspace `{}`", self.instance, base.shown());
        Err(ProviderError::invalid(Some(Path::attribute("workspaceUrl")), message)
            .problem("its token would be shown to whoever is there")
            .solution(format!("name it in `host` or `hosts` under `providers.{}` if that is right", self.instance)))
    }

    fn auth(&self, base: &Base) -> Result<Auth, ProviderError> {
        match &self.config.proof {
            Some(Proof::Token(token)) => Ok(Auth::Bearer(token.clone())),
            // <https://docs.databricks.com/aws/en/dev-tools/auth/oauth-m2m>
            Some(Proof::Client(id, secret)) => {
                let tokens = TokenRequest::new(&self.client, base, "/oidc/v1/token")
                    .map_err(|failure| ProviderError::bug(failure.in_words()))?
                    .basic_credentials(id, secret.expose_secret().into())
                    .field("scope", "all-apis".into());
                Ok(Auth::Tokens(Arc::new(tokens)))
            }
            None => Err(ProviderError::invalid(None, "nothing says how to sign in to Databricks").solution(
                "give `token` (a personal access token), or `clientId` and `clientSecret` (a service principal)",
            )),
        }
    }
}

impl Workspace {
    /// Sends a request and reads the answer.
    pub(crate) async fn send(
        &self,
        request: &Request,
        within: &Within,
        purpose: &Purpose,
    ) -> Result<Json, ProviderError> {
        let reply = self.api.send(request, within).await;
        reply.and_then(|reply| reply.json()).map_err(|failure| self.api.error(&failure, purpose))
    }

    /// Who the instance is here: the user name, or the application id of a service principal.
    pub(crate) async fn me(&self, within: &Within) -> Result<&str, ProviderError> {
        let ask = || async {
            let request = Request::get("/api/2.0/preview/scim/v2/Me", &[]);
            let me = self.send(&request, within, &Purpose::look("tell who is signed in")).await?;
            let name = text_of(&me, "userName");
            Ok(if name.is_empty() { text_of(&me, "applicationId").to_owned() } else { name.to_owned() })
        };
        self.me.get_or_try_init(ask).await.map(String::as_str)
    }

    /// The metastore of the workspace.
    pub(crate) async fn metastore(&self, within: &Within) -> Result<&Json, ProviderError> {
        let ask = || async {
            let request = Request::get("/api/2.1/unity-catalog/current-metastore-assignment", &[]);
            self.send(&request, within, &Purpose::look("tell the metastore of the workspace")).await
        };
        self.metastore.get_or_try_init(ask).await
    }

    /// Makes sure that the workspace is one of a metastore.
    pub(crate) async fn check_metastore(&self, wanted: &str, within: &Within) -> Result<(), ProviderError> {
        let id = text_of(self.metastore(within).await?, "metastore_id").to_owned();
        if id == wanted {
            return Ok(());
        }
        let message = format!("the workspace `{}` is of the metastore `{id}`, and not of `{wanted}`", self.url);
        Err(ProviderError::invalid(Some(Path::attribute("metastoreId")), message)
            .solution("take it from the lookup `databricks_metastore` of that workspace"))
    }
}
