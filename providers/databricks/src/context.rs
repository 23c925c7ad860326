//! The context of a call.

use crate::attributes::optional_text;
use crate::config::Config;
use crate::workspaces::Workspace;
use serde_json::Value as Json;
use terrace_provider::http::{Purpose, Request, Within};
use terrace_provider::{Attributes, ErrorKind, ProviderError, ResourceType};

/// Placeholder for the instance's principal in texts, until its name is known.
const PRINCIPAL_PLACEHOLDER: &str = "<principal of the instance>";

/// The context of a call: workspace, settings, deadline and address.
pub(crate) struct Context<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) config: &'a Config,
    pub(crate) within: Within,
    /// The resource's address with its stack.
    pub(crate) address: &'a str,
}

impl Context<'_> {
    /// Sends a request, and returns the answer.
    pub(crate) async fn send(&self, request: &Request, purpose: &Purpose) -> Result<Json, ProviderError> {
        match self.workspace.send(request, &self.within, purpose).await {
            Err(error) => Err(self.with_principal_name(error).await),
            answer => answer,
        }
    }

    /// Inserts the principal's name into the hints of a permission error, so that its commands can be run unchanged.
    pub(crate) async fn with_principal_name(&self, mut error: ProviderError) -> ProviderError {
        let has_placeholder = error.solutions.iter().any(|it| it.contains(PRINCIPAL_PLACEHOLDER));
        if error.kind == ErrorKind::PermissionDenied
            && has_placeholder
            && let Ok(me) = self.workspace.me(&self.within).await
        {
            for solution in &mut error.solutions {
                *solution = solution.replace(PRINCIPAL_PLACEHOLDER, me);
            }
        }
        error
    }

    /// Checks that the workspace belongs to the metastore of the attributes: in another metastore, the same name is
    /// another object.
    pub(crate) async fn check_metastore(&self, ty: &ResourceType, named: &Attributes) -> Result<(), ProviderError> {
        match optional_text(named, "metastoreId").filter(|_| ty.identity.contains(&"metastoreId")) {
            Some(id) => self.workspace.check_metastore(&id, &self.within).await,
            None => Ok(()),
        }
    }

    /// Requests an object that may be missing.
    pub(crate) async fn read_optional(&self, request: &Request, action: &str) -> Result<Option<Json>, ProviderError> {
        match self.send(request, &Purpose::read(action)).await {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Deletes an object that may be missing already.
    pub(crate) async fn remove(&self, request: Request, purpose: &Purpose) -> Result<(), ProviderError> {
        match self.send(&request.idempotent(), purpose).await {
            Err(error) if error.kind != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
