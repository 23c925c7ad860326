//! The metastore of a workspace: <https://docs.databricks.com/api/account/accountmetastoreassignments>. Databricks may
//! assign the metastore of the region to a new workspace by itself.

use super::{account, shown, takes_existing};
use crate::attributes::{attributes, is_managed, of_json, optional_text, put, text, text_of};
use crate::object::{Object, Place, Seen};
use crate::private::Kept;
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
        place: &Place<'_>,
        planned: &Attributes,
        metastore: &str,
        method: fn(&'static str, &[&str]) -> Request,
    ) -> Result<(), ProviderError> {
        let workspace = text(planned, "workspaceId");
        let mut assignment = json!({"metastore_id": metastore});
        if let Some(catalog) = optional_text(planned, "defaultCatalog") {
            put(&mut assignment, "default_catalog_name", catalog);
        }
        let request = method(ASSIGNMENT, &[account(place)?, &workspace, metastore]);
        let purpose = Purpose::to(format!("assign the metastore `{metastore}` to the workspace {workspace}"))
            .at(Path::attribute("metastoreId"))
            .needs("make the service principal an administrator of the account and of the metastore");
        place.send(&request.json(json!({"metastore_assignment": assignment})), &purpose).await.map(drop)
    }
}

#[async_trait]
impl Object for MetastoreAssignment {
    async fn read(
        &self,
        place: &Place<'_>,
        named: &Attributes,
        like: &Attributes,
        kept: &Kept,
    ) -> Result<Option<Seen>, ProviderError> {
        let workspace = text(named, "workspaceId");
        let request = Request::get(ASSIGNED, &[account(place)?, &workspace]);
        let answer = place.ask(&request, &format!("read the metastore of the workspace {workspace}")).await?;
        let there = answer.and_then(|it| it.get("metastore_assignment").cloned()).unwrap_or(Json::Null);
        let metastore = text_of(&there, "metastore_id");
        if metastore.is_empty() {
            return Ok(None);
        }
        let mut seen = attributes([("workspaceId", workspace.into()), ("metastoreId", metastore.into()), shown(like)]);
        if is_managed(like, "defaultCatalog") {
            seen.insert("defaultCatalog".to_owned(), of_json(&there, "default_catalog_name"));
        }
        Ok(Some(Seen { attributes: seen, kept: kept.clone(), held: vec![metastore.to_owned()], ..Seen::default() }))
    }

    fn takes_what_is_there(&self, planned: &Attributes) -> bool {
        takes_existing(planned)
    }

    fn is_told_by_what_was_there(&self) -> bool {
        true
    }

    fn was_there_before(&self, seen: &Seen, planned: &Attributes) -> bool {
        text(&seen.attributes, "metastoreId") != text(planned, "metastoreId")
    }

    async fn create(&self, place: &Place<'_>, planned: &Attributes) -> Result<(Attributes, Kept), ProviderError> {
        let Some(seen) = self.read(place, planned, planned, &Kept::default()).await? else {
            let metastore = text(planned, "metastoreId");
            let made =
                Self::write(place, planned, &metastore, |path, values| Request::post(path, values).idempotent()).await;
            return match made {
                // There was no assignment before: an earlier request with a lost answer created it.
                Err(error) if matches!(error.kind, ErrorKind::AlreadyExists { .. }) => {
                    match self.read(place, planned, planned, &Kept::default()).await? {
                        Some(seen) if text(&seen.attributes, "metastoreId") == text(planned, "metastoreId") => {
                            Ok((Attributes::default(), Kept::default()))
                        }
                        _ => Err(error),
                    }
                }
                made => made.map(|()| (Attributes::default(), Kept::default())),
            };
        };
        let (is, wanted) = (text(&seen.attributes, "metastoreId"), text(planned, "metastoreId"));
        if is != wanted {
            let workspace = text(planned, "workspaceId");
            let kind = ErrorKind::AlreadyExists { import_id: Some(workspace.clone()) };
            let message = format!("the workspace {workspace} belongs to the metastore `{is}` instead of `{wanted}`");
            return Err(ProviderError::new(kind, message));
        }
        if optional_text(planned, "defaultCatalog") != optional_text(&seen.attributes, "defaultCatalog") {
            Self::write(place, planned, &wanted, |path, values| Request::put(path, values).idempotent()).await?;
        }
        Ok((Attributes::default(), Kept { preexisting: seen.held, ..Kept::default() }))
    }

    async fn update(
        &self,
        place: &Place<'_>,
        prior: &Recorded,
        _present: &Seen,
        planned: &Attributes,
    ) -> Result<Kept, ProviderError> {
        let metastore = text(planned, "metastoreId");
        Self::write(place, planned, &metastore, |path, values| Request::put(path, values).idempotent()).await?;
        Ok(Kept::of(&prior.private))
    }

    async fn delete(&self, place: &Place<'_>, prior: &Attributes, kept: &Kept, _: bool) -> Result<(), ProviderError> {
        let (workspace, metastore) = (text(prior, "workspaceId"), text(prior, "metastoreId"));
        if kept.preexisting.first() == Some(&metastore) {
            return Ok(());
        }
        // A metastore that was assigned outside terrace meanwhile is kept.
        let there = self.read(place, prior, prior, kept).await?;
        if there.is_none_or(|seen| text(&seen.attributes, "metastoreId") != metastore) {
            return Ok(());
        }
        // Restore the earlier assignment.
        if let Some(before) = kept.preexisting.first() {
            let named = attributes([("workspaceId", workspace.into())]);
            return Self::write(place, &named, before, |path, values| Request::put(path, values).idempotent()).await;
        }
        let request = Request::delete(ASSIGNMENT, &[account(place)?, &workspace, &metastore]);
        place.remove(request, &Purpose::to(format!("remove the metastore from the workspace {workspace}"))).await
    }

    fn was_to_go(&self, prior: &Attributes, seen: &Seen) -> bool {
        text(&seen.attributes, "metastoreId") == text(prior, "metastoreId")
    }

    /// There was no assignment before.
    async fn is_ours(
        &self,
        _: &Place<'_>,
        seen: &Seen,
        planned: &Attributes,
        _: &RangeInclusive<Timestamp>,
    ) -> Result<bool, ProviderError> {
        Ok(text(&seen.attributes, "metastoreId") == text(planned, "metastoreId"))
    }
}
