//! The resource types of a workspace.

use super::parts::{id, named, remote, text, workspace_url};
use crate::attributes::texts;
use crate::mark;
use crate::object::settings;
use crate::private::PrivateData;
use crate::workspaces::Workspaces;
use terrace_provider::names::NameRule;
use terrace_provider::normal;
use terrace_provider::{Attribute, AttributeType, Map, Need, Object, Private, ResourceType, Value};

pub(super) fn types() -> Vec<ResourceType> {
    vec![credential(), directory(), repo(), job(), pipeline(), permission()]
}

fn credential() -> ResourceType {
    let attributes = vec![
        workspace_url().replaces(),
        named("gitProvider", "Git provider: `gitHub`, `gitLab`, `azureDevOpsServices` …"),
        text("gitUsername", "User name. Defaults to the instance's `git.username`."),
        text("token", "Token. Defaults to the instance's `git.token`.").write_only(),
        text("credentialId", "Databricks' id.").stable(),
        text("tokenSent", "Time when the token was sent last. A changed `git.token` of the instance is sent again.")
            .computed()
            .volatile("an update may send the token again"),
        id(),
    ];
    remote(ResourceType::new(
        "databricks_git_credential",
        "A Git credential of the instance's principal.",
        &["workspaceUrl", "gitProvider"],
        Object(attributes),
    ))
}

fn directory() -> ResourceType {
    let attributes = vec![
        workspace_url().replaces(),
        named("path", "Path, such as `/Workspace/shop_0`. Missing parent folders are created too.")
            .compared(NameRule::Path),
        text("objectId", "Databricks' id, for permissions.").stable(),
        id(),
    ];
    let ty = ResourceType::new(
        "databricks_directory",
        "A folder of the workspace.",
        &["workspaceUrl", "path"],
        Object(attributes),
    );
    ResourceType { holds_data: true, updatable: false, identity_space: "path", needs: &[DIRECTORIES], ..remote(ty) }
}

/// The parent folders of an object.
const DIRECTORIES: Need = Need {
    ty: "databricks_directory",
    identities: |attributes| {
        let text = |name: &str| attributes.get(name).and_then(Value::as_str);
        let Some((url, path)) = text("workspaceUrl").zip(text("path")) else { return Vec::new() };
        let above = std::iter::successors(path.rsplit_once('/'), |(above, _)| above.rsplit_once('/'));
        let above = above.map(|(above, _)| above).filter(|above| !above.is_empty());
        let named = |name: &str, text: &str| (name.to_owned(), Value::from(text));
        above.map(|path| [named("workspaceUrl", url), named("path", path)].into_iter().collect()).collect()
    },
};

fn repo() -> ResourceType {
    let attributes = vec![
        workspace_url().replaces(),
        named("path", "Path of the checkout, such as `/Workspace/shop_0/orders`. The parent folder must exist.")
            .compared(NameRule::Path),
        named("url", "URL of the repository."),
        named("gitProvider", "Git provider: `gitHub`, `gitLab`, `azureDevOpsServices` …"),
        text("branch", "Branch to check out.").normal(normal::non_empty),
        text("tag", "Tag to check out, instead of a branch.").normal(normal::non_empty),
        text("repoId", "Databricks' id, for permissions.").stable(),
        text("headCommit", "Checked-out commit. A newer commit is not drift.").computed().follows(&["branch", "tag"]),
        id(),
    ];
    let ty = ResourceType::new(
        "databricks_repo",
        "A repository checked out in the workspace.",
        &["workspaceUrl", "path"],
        Object(attributes),
    );
    ResourceType { holds_data: true, identity_space: "path", needs: &[DIRECTORIES], ..remote(ty) }
}

/// An id that the server chooses, and that may be set to adopt an existing object.
fn given_id(name: &'static str, doc: &'static str) -> Attribute {
    Attribute { stable: true, ..text(name, doc).or_computed().replaces() }
}

fn settings_of(doc: &'static str) -> Vec<Attribute> {
    vec![
        Attribute::new("settings", AttributeType::Any, doc).required().vendor_json(),
        Attribute::new(
            "secretSettings",
            AttributeType::Any,
            "Secret parts of the settings: merged into each request, never stored or read back.",
        )
        .write_only()
        .vendor_json(),
        text("manage", "`given`: manage the configured settings, keep others; `all`: manage all settings.")
            .default_value("given"),
        Attribute::new(
            "override",
            AttributeType::Bool,
            "Overwrite changes made outside terrace since the last apply. If false, the plan fails instead.",
        )
        .default_value(true),
        text("url", "Address of its page in the browser.").stable(),
        id(),
    ]
}

/// The names of jobs or pipelines in a workspace: the name in the settings, or the names that a lookup requests.
fn lookup_names(map: &Map, argument: &str) -> Vec<String> {
    let url = map.get("workspaceUrl").and_then(Value::as_str).and_then(|url| Workspaces::url(url).ok());
    let Some(url) = url else { return Vec::new() };
    let names = match map.get("settings") {
        Some(_) => vec![settings::name_of(map)],
        None => texts(map, argument),
    };
    names.into_iter().filter(|name| !name.is_empty()).map(|name| format!("{} {name}", url.shown())).collect()
}

fn job() -> ResourceType {
    let mut attributes = vec![
        workspace_url().replaces(),
        given_id("jobId", "Databricks' id. To adopt an existing job, use the lookup `databricks_job_id`."),
    ];
    attributes
        .extend(settings_of("Settings of the job in the API's format: `name`, `tasks`, `schedule` …; or a list of such maps, merged in order, tasks by `task_key`."));
    let ty = ResourceType::new("databricks_job", "A job or workflow.", &["workspaceUrl", "jobId"], Object(attributes));
    ResourceType {
        lookup_names: |map| lookup_names(map, "jobs"),
        is_marked_by_another: mark::is_marked_by_another,
        ..remote(ty)
    }
}

fn pipeline() -> ResourceType {
    let mut attributes = vec![
        workspace_url().replaces(),
        given_id(
            "pipelineId",
            "Databricks' id. To adopt an existing pipeline, use the lookup `databricks_pipeline_id`.",
        ),
    ];
    attributes
        .extend(settings_of("Settings of the pipeline in the API's format: `name`, `libraries`, `clusters` …; or a list of such maps, merged in order, clusters by `label`."));
    let ty = ResourceType::new(
        "databricks_pipeline",
        "A declarative (DLT) pipeline.",
        &["workspaceUrl", "pipelineId"],
        Object(attributes),
    );
    // Databricks replaces nulls by defaults.
    let fold = |configured: &mut Map, recorded: Option<&Map>| normal::leave_out_nulls("settings", configured, recorded);
    ResourceType {
        keeps_data_on_delete: true,
        lookup_names: |map| lookup_names(map, "pipelines"),
        is_marked_by_another: mark::is_marked_by_another,
        fold,
        ..remote(ty)
    }
}

fn permission() -> ResourceType {
    let attributes = vec![
        workspace_url().replaces(),
        named("objectType", "`jobs`, `pipelines`, `repos` or `directories`."),
        named("objectId", "Id of the object."),
        named("principalKind", "`user`, `group` or `servicePrincipal`."),
        named("principal", "User name, display name of a group, or application id of a service principal."),
        text("level", "Permission level: `CAN_VIEW`, `CAN_MANAGE_RUN`, `CAN_MANAGE`, `CAN_READ` …").required(),
        id(),
    ];
    let ty = ResourceType::new(
        "databricks_permission",
        "The permission of a principal on an object of the workspace. Inherited entries are not managed.",
        &["workspaceUrl", "objectType", "objectId", "principalKind", "principal"],
        Object(attributes),
    );
    ResourceType { is_adopted, ..remote(ty) }
}

/// Returns true if the level existed before terrace, and is kept on deletion.
fn is_adopted(attributes: &Map, private: &Private) -> bool {
    let before = PrivateData::of(private).preexisting;
    !before.is_empty() && attributes.get("level").and_then(Value::as_str) == before.first().map(String::as_str)
}
