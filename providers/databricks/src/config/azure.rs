//! Azure credentials and endpoints. Values missing in the settings of the instance `databricks` come from the
//! environment variables of databricks-sdk and of workload identities.

use super::plain;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};
use terrace_provider::http::{Base, ClientAssertion};
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
const CREDENTIAL_SETTINGS: [&str; 3] = ["clientSecret", "certificateFile", "federatedTokenFile"];

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
    pub(crate) credential: AzureCredential,
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
pub(crate) enum AzureCredential {
    Secret(SecretString),
    /// A certificate, or the token of a workload identity.
    Assertion(ClientAssertion),
}

/// The settings with their defaults from environment variables.
struct LayeredSettings<'a> {
    values: Option<&'a Attributes>,
    variables: Option<&'a Variables>,
    folder: &'a FilePath,
}

impl LayeredSettings<'_> {
    fn text(&self, name: &str) -> Option<String> {
        if let Some(text) = self.values.and_then(|values| plain(values, name)) {
            return Some(text);
        }
        // A proof in the settings wins over any proof in a variable.
        let is_set = |name: &&str| self.values.is_some_and(|values| plain(values, name).is_some());
        let is_overridden = CREDENTIAL_SETTINGS.contains(&name) && CREDENTIAL_SETTINGS.iter().any(is_set);
        let (_, names) = VARIABLES.iter().find(|(known, _)| *known == name && !is_overridden)?;
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

    fn base(&self, name: &str, default: &str) -> Result<Base, ProviderError> {
        let text = self.text(name).unwrap_or_else(|| default.to_owned());
        Base::parse(&text).map_err(|why| wrong(name, format!("`azure.{name}` is not a URL of a host: {why}")))
    }

    /// Returns the single configured proof; the settings win over variables.
    fn credential(&self, client: &str) -> Result<AzureCredential, ProviderError> {
        let found: Vec<(&str, String)> =
            CREDENTIAL_SETTINGS.iter().filter_map(|name| Some((*name, self.text(name)?))).collect();
        let of_settings = found.iter().filter(|(name, _)| self.values.is_some_and(|it| plain(it, name).is_some()));
        if of_settings.count() > 1 {
            let (first, second) = (found.first().map_or("", |it| it.0), found.get(1).map_or("", |it| it.0));
            return Err(wrong(second, format!("`azure.{first}` and `azure.{second}` exclude each other"))
                .solution("remove one of them"));
        }
        match found.into_iter().next() {
            Some(("clientSecret", secret)) => Ok(AzureCredential::Secret(secret.into())),
            Some(("certificateFile", file)) => {
                let path = self.folder.join(&file);
                let assertion = ClientAssertion::of_certificate(client, &path).map_err(|why| {
                    wrong("certificateFile", format!("cannot sign in with the certificate `{file}`: {why}"))
                        .solution("put the certificate and its RSA key into one PEM file without a password")
                })?;
                Ok(AzureCredential::Assertion(assertion))
            }
            Some((_, file)) => {
                Ok(AzureCredential::Assertion(ClientAssertion::of_file(self.folder.join(PathBuf::from(file)))))
            }
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
        let layered = LayeredSettings {
            values,
            variables: (settings.instance == INSTANCE).then_some(variables),
            folder: &settings.project_folder,
        };
        let is_set = |name: &str| values.is_some_and(|values| plain(values, name).is_some());
        let is_configured =
            is_set("clientId") || is_set("tenantId") || CREDENTIAL_SETTINGS.iter().any(|name| is_set(name));
        if !is_configured && layered.text("clientId").is_none() {
            return Ok(None);
        }
        let (client, tenant) = (layered.required("clientId")?, layered.required("tenantId")?);
        let environment = layered.text("environment").unwrap_or_else(|| "public".to_owned()).to_lowercase();
        let cloud = CLOUDS.iter().find(|cloud| cloud.name == environment).ok_or_else(|| {
            let known = CLOUDS.map(|cloud| cloud.name);
            let known = terrace_provider::names::listed(&known);
            wrong("environment", format!("`{environment}` is not an Azure cloud: expected one of {known}"))
        })?;
        let of_settings = |name: &str| values.and_then(|values| plain(values, name));
        Ok(Some(Self {
            credential: layered.credential(&client)?,
            client,
            tenant,
            login: layered.base("loginHost", cloud.login)?,
            management: layered.base("managementHost", cloud.management)?,
            management_scope: cloud.management_scope,
            graph: layered.base("graphHost", cloud.graph)?,
            graph_scope: format!("{}/.default", cloud.graph),
            accounts: cloud.accounts,
            workspaces: cloud.workspaces,
            subscription: layered.text("subscriptionId"),
            resource_group: of_settings("resourceGroup"),
            location: of_settings("location"),
        }))
    }
}
