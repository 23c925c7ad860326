//! Access control lists: the operations that principals may perform on topics, groups, and the cluster.

use super::topics::{missing_entry, refused};
use super::{Admin, text};
use crate::failure::{Code, Failure};
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::{CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest};

/// One ACL entry, identified by all of its fields.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Binding {
    pub(crate) resource_type: i8,
    pub(crate) resource_name: String,
    pub(crate) pattern_type: i8,
    pub(crate) principal: String,
    pub(crate) host: String,
    pub(crate) operation: i8,
    pub(crate) permission: i8,
}

/// Selects ACL entries.
#[derive(Debug, Clone)]
pub(crate) enum Filter<'a> {
    All,
    /// One entry, matched by all fields.
    Exactly(&'a Binding),
    /// Entries of any principal for the resource of this entry.
    About(&'a Binding),
    /// Entries of any principal for one consumer group, or for all groups.
    OfGroups(Option<&'a str>),
}

/// Matches any value of a numeric field.
const ANY: i8 = 1;
/// The resource type of a consumer group, and the pattern type of a full name.
const GROUP: i8 = 3;
const LITERAL: i8 = 3;

impl Admin {
    /// Returns the entries that match.
    ///
    /// # Errors
    /// If no answer arrives, or the caller may not describe ACLs.
    pub(crate) async fn acls(&self, filter: &Filter<'_>) -> Result<Vec<Binding>, Failure> {
        let request = DescribeAclsRequest::default()
            .with_resource_type_filter(ANY)
            .with_resource_name_filter(None)
            .with_pattern_type_filter(ANY)
            .with_principal_filter(None)
            .with_host_filter(None)
            .with_operation(ANY)
            .with_permission_type(ANY);
        let request = match filter {
            Filter::All => request,
            Filter::About(it) => request
                .with_resource_type_filter(it.resource_type)
                .with_resource_name_filter(Some(text(&it.resource_name)))
                .with_pattern_type_filter(it.pattern_type),
            Filter::OfGroups(name) => request
                .with_resource_type_filter(GROUP)
                .with_resource_name_filter(name.map(text))
                .with_pattern_type_filter(LITERAL),
            Filter::Exactly(it) => request
                .with_resource_type_filter(it.resource_type)
                .with_resource_name_filter(Some(text(&it.resource_name)))
                .with_pattern_type_filter(it.pattern_type)
                .with_principal_filter(Some(text(&it.principal)))
                .with_host_filter(Some(text(&it.host)))
                .with_operation(it.operation)
                .with_permission_type(it.permission),
        };
        let answer = self.cluster.send(&request).await?;
        refused(answer.error_code, answer.error_message.as_deref(), answer.throttle_time_ms)?;
        let bindings = answer.resources.iter().flat_map(|resource| {
            resource.acls.iter().map(|acl| Binding {
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.to_string(),
                pattern_type: resource.pattern_type,
                principal: acl.principal.to_string(),
                host: acl.host.to_string(),
                operation: acl.operation,
                permission: acl.permission_type,
            })
        });
        Ok(bindings.collect())
    }

    /// Adds an entry. An existing entry stays unchanged.
    ///
    /// # Errors
    /// If the entry is not added.
    pub(crate) async fn create_acl(&self, binding: &Binding) -> Result<(), Failure> {
        let creation = AclCreation::default()
            .with_resource_type(binding.resource_type)
            .with_resource_name(text(&binding.resource_name))
            .with_resource_pattern_type(binding.pattern_type)
            .with_principal(text(&binding.principal))
            .with_host(text(&binding.host))
            .with_operation(binding.operation)
            .with_permission_type(binding.permission);
        let request = CreateAclsRequest::default().with_creations(vec![creation]);
        let is_not_controller = |code| Code(code) == Code::NOT_CONTROLLER;
        let answer = self
            .cluster
            .send_to_controller(&request, |answer| answer.results.iter().any(|it| is_not_controller(it.error_code)))
            .await?;
        let result = answer.results.first().ok_or_else(|| missing_entry("create ACL"))?;
        refused(result.error_code, result.error_message.as_deref(), answer.throttle_time_ms)
    }

    /// Removes an entry. A missing entry is not an error.
    ///
    /// # Errors
    /// If the entry is not removed.
    pub(crate) async fn delete_acl(&self, binding: &Binding) -> Result<(), Failure> {
        let filter = DeleteAclsFilter::default()
            .with_resource_type_filter(binding.resource_type)
            .with_resource_name_filter(Some(text(&binding.resource_name)))
            .with_pattern_type_filter(binding.pattern_type)
            .with_principal_filter(Some(text(&binding.principal)))
            .with_host_filter(Some(text(&binding.host)))
            .with_operation(binding.operation)
            .with_permission_type(binding.permission);
        let request = DeleteAclsRequest::default().with_filters(vec![filter]);
        let is_not_controller = |code| Code(code) == Code::NOT_CONTROLLER;
        let answer = self
            .cluster
            .send_to_controller(&request, |answer| {
                answer.filter_results.iter().any(|it| is_not_controller(it.error_code))
            })
            .await?;
        let result = answer.filter_results.first().ok_or_else(|| missing_entry("delete ACL"))?;
        refused(result.error_code, result.error_message.as_deref(), answer.throttle_time_ms)?;
        for matching in &result.matching_acls {
            refused(matching.error_code, matching.error_message.as_deref(), answer.throttle_time_ms)?;
        }
        Ok(())
    }
}
