//! The metastore of a workspace: <https://docs.databricks.com/api/account/accountmetastoreassignments>. Databricks may
//! assign the metastore of the region to a new workspace by itself.

use super::{account, shown, takes_existing};
use crate::attributes::{attributes, is_managed, of_json, optional_text, put, text, text_of};
use crate::object::{Context, Object, Observation};
use crate::private::PrivateData;
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use std::ops::RangeInclusive;
use terrace_provider::http::{Purpose, Request};
use terrace_provider::{Attributes, ErrorKind, Path, ProviderError, Recorded};

const ASSIGNED: &str = "/api/2.0/accounts/{account}/workspaces/{workspace}/metastore";
const ASSIGNMENT: &str = "/api/2.0/accounts/{account}/workspaces/{workspace}/metastores/{metastore}";

pub(crate) struct MetastoreAssignment;

impl MetastoreAssignment {
    async fn write(
        context: &Context<'_>,
        planned: &Attributes,
        metastore: &str,
        method: fn(&'static str, &[&str]) -> Request,
    ) -> Result<(), ProviderError> {
        let workspace = text(planned, "workspaceId");
        let mut assignment = json!({"metastore_id": metastore});
        if let Some(catalog) = optional_text(planned, "defaultCatalog") {
            put(&mut assignment, "default_catalog_name", catalog);
        }
        let request = method(ASSIGNMENT, &[account(context)?, &workspace, metastore]);
        let purpose = Purpose::to(format!("assign the metastore `{metastore}` to the workspace {workspace}"))
            .at(Path::attribute("metastoreId"))
            .needs("make the service principal an administrator of the account and of the metastore");
        context.send(&request.json(json!({"metastore_assignment": assignment})), &purpose).await.map(drop)
    }
}

#[async_trait]
impl Object for MetastoreAssignment {
    async fn read(
        &self,
        context: &Context<'_>,
        named: &Attributes,
        like: &Attributes,
        private: &PrivateData,
    ) -> Result<Option<Observation>, ProviderError> {
        let workspace = text(named, "workspaceId");
        let request = Request::get(ASSIGNED, &[account(context)?, &workspace]);
        let answer =
            context.read_optional(&request, &format!("read the metastore of the workspace {workspace}")).await?;
        let remote = answer.and_then(|it| it.get("metastore_assignment").cloned()).unwrap_or(Json::Null);
        let metastore = text_of(&remote, "metastore_id");
        if metastore.is_empty() {
            return Ok(None);
        }
        let mut observed =
            attributes([("workspaceId", workspace.into()), ("metastoreId", metastore.into()), shown(like)]);
        if is_managed(like, "defaultCatalog") {
            observed.insert("defaultCatalog".to_owned(), of_json(&remote, "default_catalog_name"));
        }
        Ok(Some(Observation {
            attributes: observed,
            private: private.clone(),
            held: vec![metastore.to_owned()],
            ..Observation::default()
        }))
    }

    fn adopts_existing(&self, planned: &Attributes) -> bool {
        takes_existing(planned)
    }

    fn needs_prior_content(&self) -> bool {
        true
    }

    fn existed_before(&self, observed: &Observation, planned: &Attributes) -> bool {
        text(&observed.attributes, "metastoreId") != text(planned, "metastoreId")
    }

    async fn create(
        &self,
        context: &Context<'_>,
        planned: &Attributes,
    ) -> Result<(Attributes, PrivateData), ProviderError> {
        let Some(observed) = self.read(context, planned, planned, &PrivateData::default()).await? else {
            let metastore = text(planned, "metastoreId");
            let created =
                Self::write(context, planned, &metastore, |path, values| Request::post(path, values).idempotent())
                    .await;
            return match created {
                // There was no assignment before: an earlier request with a lost answer created it.
                Err(error) if matches!(error.kind, ErrorKind::AlreadyExists { .. }) => {
                    match self.read(context, planned, planned, &PrivateData::default()).await? {
                        Some(observed) if text(&observed.attributes, "metastoreId") == text(planned, "metastoreId") => {
                            Ok((Attributes::default(), PrivateData::default()))
                        }
                        _ => Err(error),
                    }
                }
                created => created.map(|()| (Attributes::default(), PrivateData::default())),
            };
        };
        let (is, wanted) = (text(&observed.attributes, "metastoreId"), text(planned, "metastoreId"));
        if is != wanted {
            let workspace = text(planned, "workspaceId");
            let kind = ErrorKind::AlreadyExists { import_id: Some(workspace.clone()) };
            let message = format!("the workspace {workspace} belongs to the metastore `{is}` instead of `{wanted}`");
            return Err(ProviderError::new(kind, message));
        }
        if optional_text(planned, "defaultCatalog") != optional_text(&observed.attributes, "defaultCatalog") {
            Self::write(context, planned, &wanted, |path, values| Request::put(path, values).idempotent()).await?;
        }
        Ok((Attributes::default(), PrivateData { preexisting: observed.held, ..PrivateData::default() }))
    }

    async fn update(
        &self,
        context: &Context<'_>,
        prior: &Recorded,
        _present: &Observation,
        planned: &Attributes,
    ) -> Result<PrivateData, ProviderError> {
        let metastore = text(planned, "metastoreId");
        Self::write(context, planned, &metastore, |path, values| Request::put(path, values).idempotent()).await?;
        Ok(PrivateData::of(&prior.private))
    }

    async fn delete(
        &self,
        context: &Context<'_>,
        prior: &Attributes,
        private: &PrivateData,
        _: bool,
    ) -> Result<(), ProviderError> {
        let (workspace, metastore) = (text(prior, "workspaceId"), text(prior, "metastoreId"));
        if private.preexisting.first() == Some(&metastore) {
            return Ok(());
        }
        // A metastore that was assigned outside terrace meanwhile is kept.
        let remote = self.read(context, prior, prior, private).await?;
        if remote.is_none_or(|observed| text(&observed.attributes, "metastoreId") != metastore) {
            return Ok(());
        }
        // Restore the earlier assignment.
        if let Some(before) = private.preexisting.first() {
            let named = attributes([("workspaceId", workspace.into())]);
            return Self::write(context, &named, before, |path, values| Request::put(path, values).idempotent()).await;
        }
        let request = Request::delete(ASSIGNMENT, &[account(context)?, &workspace, &metastore]);
        context.remove(request, &Purpose::to(format!("remove the metastore from the workspace {workspace}"))).await
    }

    fn is_deleted_object(&self, prior: &Attributes, observed: &Observation) -> bool {
        text(&observed.attributes, "metastoreId") == text(prior, "metastoreId")
    }

    /// There was no assignment before.
    async fn is_from_attempt(
        &self,
        _: &Context<'_>,
        observed: &Observation,
        planned: &Attributes,
        _: &RangeInclusive<Timestamp>,
    ) -> Result<bool, ProviderError> {
        Ok(text(&observed.attributes, "metastoreId") == text(planned, "metastoreId"))
    }
}
