//! Azure credentials and endpoints. Values missing in the settings of the instance `databricks` come from the
//! environment variables of databricks-sdk and of workload identities.

use super::plain;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};
use terrace_provider::http::{Base, Statement};
use terrace_provider::{Attributes, Path, ProviderError, Settings, Value};

/// Environment variables by name; some hold secrets.
pub(crate) type Variables = BTreeMap<String, SecretString>;

/// The only instance that reads environment variables.
const INSTANCE: &str = "databricks";

/// The settings below `azure` that a variable may provide, and the variables: first those of databricks-sdk, then those
/// of workload identities.
pub(crate) const VARIABLES: [(&str, &[&str]); 8] = [
    ("tenantId", &["ARM_TENANT_ID", "AZURE_TENANT_ID"]),
    ("clientId", &["ARM_CLIENT_ID", "AZURE_CLIENT_ID"]),
    ("clientSecret", &["ARM_CLIENT_SECRET", "AZURE_CLIENT_SECRET"]),
    ("certificateFile", &["ARM_CLIENT_CERTIFICATE_PATH", "AZURE_CLIENT_CERTIFICATE_PATH"]),
    ("federatedTokenFile", &["ARM_OIDC_TOKEN_FILE_PATH", "AZURE_FEDERATED_TOKEN_FILE"]),
    ("subscriptionId", &["ARM_SUBSCRIPTION_ID"]),
    ("environment", &["ARM_ENVIRONMENT"]),
    ("loginHost", &["AZURE_AUTHORITY_HOST"]),
];

/// The settings that prove the identity; exactly one is used.
const PROOFS: [&str; 3] = ["clientSecret", "certificateFile", "federatedTokenFile"];

/// One of the clouds of Azure: <https://learn.microsoft.com/en-us/entra/identity-platform/authentication-national-cloud>.
#[derive(Debug)]
struct Cloud {
    name: &'static str,
    login: &'static str,
    management: &'static str,
    /// The OAuth scope of tokens for Azure Resource Manager.
    management_scope: &'static str,
    graph: &'static str,
    accounts: &'static str,
    /// The domain of its workspaces.
    workspaces: &'static str,
}

const CLOUDS: [Cloud; 3] = [
    Cloud {
        name: "public",
        login: "https://login.microsoftonline.com",
        management: "https://management.azure.com",
        management_scope: "https://management.core.windows.net/.default",
        graph: "https://graph.microsoft.com",
        accounts: "https://accounts.azuredatabricks.net",
        workspaces: "*.azuredatabricks.net",
    },
    Cloud {
        name: "usgovernment",
        login: "https://login.microsoftonline.us",
        management: "https://management.usgovcloudapi.net",
        management_scope: "https://management.core.usgovcloudapi.net/.default",
        graph: "https://graph.microsoft.us",
        accounts: "https://accounts.databricks.azure.us",
        workspaces: "*.databricks.azure.us",
    },
    Cloud {
        name: "china",
        login: "https://login.chinacloudapi.cn",
        management: "https://management.chinacloudapi.cn",
        management_scope: "https://management.core.chinacloudapi.cn/.default",
        graph: "https://microsoftgraph.chinacloudapi.cn",
        accounts: "https://accounts.databricks.azure.cn",
        workspaces: "*.databricks.azure.cn",
    },
];

/// A service principal of Azure, and the endpoints it uses.
#[derive(Debug, Clone)]
pub(crate) struct Azure {
    pub(crate) tenant: String,
    pub(crate) client: String,
    pub(crate) proof: AzureProof,
    /// The token endpoint.
    pub(crate) login: Base,
    pub(crate) management: Base,
    pub(crate) management_scope: &'static str,
    pub(crate) graph: Base,
    /// The OAuth scope of tokens for Microsoft Graph.
    pub(crate) graph_scope: String,
    /// The default host of the account.
    pub(crate) accounts: &'static str,
    /// The domain of all workspaces of the cloud: only Databricks serves hosts in it.
    pub(crate) workspaces: &'static str,
    /// Defaults for new workspaces.
    pub(crate) subscription: Option<String>,
    pub(crate) resource_group: Option<String>,
    pub(crate) location: Option<String>,
}

/// Proof of the service principal's identity.
#[derive(Debug, Clone)]
pub(crate) enum AzureProof {
    Secret(SecretString),
    /// A certificate, or the token of a workload identity.
    Statement(Statement),
}

/// The settings with their defaults from environment variables.
struct Given<'a> {
    values: Option<&'a Attributes>,
    variables: Option<&'a Variables>,
    folder: &'a FilePath,
}

impl Given<'_> {
    fn text(&self, name: &str) -> Option<String> {
        if let Some(text) = self.values.and_then(|values| plain(values, name)) {
            return Some(text);
        }
        // A proof in the settings wins over any proof in a variable.
        let is_set = |name: &&str| self.values.is_some_and(|values| plain(values, name).is_some());
        let is_settled = PROOFS.contains(&name) && PROOFS.iter().any(is_set);
        let (_, names) = VARIABLES.iter().find(|(known, _)| *known == name && !is_settled)?;
        let text = names.iter().find_map(|variable| self.variables?.get(*variable))?;
        Some(text.expose_secret().to_owned()).filter(|text| !text.is_empty())
    }

    fn required(&self, name: &str) -> Result<String, ProviderError> {
        self.text(name).ok_or_else(|| {
            let names = VARIABLES.iter().find(|(known, _)| *known == name).map(|(_, names)| *names).unwrap_or_default();
            wrong(name, format!("a service principal of Azure needs `azure.{name}`"))
                .solution(format!("add it, or set {}", names.first().copied().unwrap_or_default()))
        })
    }

    fn base(&self, name: &str, usual: &str) -> Result<Base, ProviderError> {
        let text = self.text(name).unwrap_or_else(|| usual.to_owned());
        Base::parse(&text).map_err(|why| wrong(name, format!("`azure.{name}` is not a URL of a host: {why}")))
    }

    /// Returns the single configured proof; the settings win over variables.
    fn proof(&self, client: &str) -> Result<AzureProof, ProviderError> {
        let said: Vec<(&str, String)> = PROOFS.iter().filter_map(|name| Some((*name, self.text(name)?))).collect();
        let of_settings = said.iter().filter(|(name, _)| self.values.is_some_and(|it| plain(it, name).is_some()));
        if of_settings.count() > 1 {
            let (first, second) = (said.first().map_or("", |it| it.0), said.get(1).map_or("", |it| it.0));
            return Err(wrong(second, format!("`azure.{first}` and `azure.{second}` exclude each other"))
                .solution("remove one of them"));
        }
        match said.into_iter().next() {
            Some(("clientSecret", secret)) => Ok(AzureProof::Secret(secret.into())),
            Some(("certificateFile", file)) => {
                let path = self.folder.join(&file);
                let statement = Statement::of_certificate(client, &path).map_err(|why| {
                    wrong("certificateFile", format!("cannot sign in with the certificate `{file}`: {why}"))
                        .solution("put the certificate and its RSA key into one PEM file without a password")
                })?;
                Ok(AzureProof::Statement(statement))
            }
            Some((_, file)) => Ok(AzureProof::Statement(Statement::of_file(self.folder.join(PathBuf::from(file))))),
            None => Err(wrong(
                "clientSecret",
                "the service principal of Azure has no secret, certificate or federated token",
            )
            .solution("set one of `azure.clientSecret`, `azure.certificateFile` and `azure.federatedTokenFile`")),
        }
    }
}

fn wrong(name: &str, message: impl Into<String>) -> ProviderError {
    ProviderError::invalid(Some(Path::attribute("azure").key(name)), message)
}

impl Azure {
    /// Parses settings; `None` if neither they nor variables name a service principal.
    ///
    /// # Errors
    /// If a value is invalid, or values contradict each other.
    pub(super) fn read(settings: &Settings, variables: &Variables) -> Result<Option<Self>, ProviderError> {
        let values = settings.values.get("azure").and_then(Value::as_map);
        let given = Given {
            values,
            variables: (settings.instance == INSTANCE).then_some(variables),
            folder: &settings.project_folder,
        };
        let is_set = |name: &str| values.is_some_and(|values| plain(values, name).is_some());
        let is_configured = is_set("clientId") || is_set("tenantId") || PROOFS.iter().any(|name| is_set(name));
        if !is_configured && given.text("clientId").is_none() {
            return Ok(None);
        }
        let (client, tenant) = (given.required("clientId")?, given.required("tenantId")?);
        let environment = given.text("environment").unwrap_or_else(|| "public".to_owned()).to_lowercase();
        let cloud = CLOUDS.iter().find(|cloud| cloud.name == environment).ok_or_else(|| {
            let known = CLOUDS.map(|cloud| cloud.name);
            let known = terrace_provider::names::listed(&known);
            wrong("environment", format!("`{environment}` is not an Azure cloud: expected one of {known}"))
        })?;
        let of_settings = |name: &str| values.and_then(|values| plain(values, name));
        Ok(Some(Self {
            proof: given.proof(&client)?,
            client,
            tenant,
            login: given.base("loginHost", cloud.login)?,
            management: given.base("managementHost", cloud.management)?,
            management_scope: cloud.management_scope,
            graph: given.base("graphHost", cloud.graph)?,
            graph_scope: format!("{}/.default", cloud.graph),
            accounts: cloud.accounts,
            workspaces: cloud.workspaces,
            subscription: given.text("subscriptionId"),
            resource_group: of_settings("resourceGroup"),
            location: of_settings("location"),
        }))
    }
}
