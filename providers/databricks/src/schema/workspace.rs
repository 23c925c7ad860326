//! The types that are of one workspace.

use super::{id, named, remote, text, workspace_url};
use crate::attributes::texts;
use crate::mark;
use crate::object::settings;
use crate::private::Kept;
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
        named("gitProvider", "Who hosts the repositories: `gitHub`, `gitLab`, `azureDevOpsServices` …"),
        text("gitUsername", "The user name there; that of the instance's `git`."),
        text("token", "The token; that of the instance's `git`.").write_only(),
        text("credentialId", "The id that Databricks gave it.").stable(),
        text(
            "tokenSent",
            "When the token was sent last. It is sent again when that of the instance's `git` is another one.",
        )
        .computed()
        .volatile("an update may send the token again"),
        id(),
    ];
    remote(ResourceType::new(
        "databricks_git_credential",
        "A credential of Git of whoever the instance works as.",
        &["workspaceUrl", "gitProvider"],
        Object(attributes),
    ))
}

fn directory() -> ResourceType {
    let attributes = vec![
        workspace_url().replaces(),
        named("path", "The path: `/Workspace/shop_0`; the folders above it are made as well.").compared(NameRule::Path),
        text("objectId", "The id that Databricks gave it, for permissions.").stable(),
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

/// The folders that an object of the workspace lies in.
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
        named("path", "Where it is checked out: `/Workspace/shop_0/orders`; the folder above it has to be there.")
            .compared(NameRule::Path),
        named("url", "The URL of the repository."),
        named("gitProvider", "Who hosts it: `gitHub`, `gitLab`, `azureDevOpsServices` …"),
        text("branch", "The branch that is checked out.").normal(normal::non_empty),
        text("tag", "The tag that is checked out, instead of a branch.").normal(normal::non_empty),
        text("repoId", "The id that Databricks gave it, for permissions.").stable(),
        text("headCommit", "The commit that is checked out; one that moves on is no drift.")
            .computed()
            .follows(&["branch", "tag"]),
        id(),
    ];
    let ty = ResourceType::new(
        "databricks_repo",
        "A repository that is checked out in the workspace.",
        &["workspaceUrl", "path"],
        Object(attributes),
    );
    ResourceType { holds_data: true, identity_space: "path", needs: &[DIRECTORIES], ..remote(ty) }
}

/// An id that the server gives, and that may be said where something is there already.
fn given_id(name: &'static str, doc: &'static str) -> Attribute {
    Attribute { stable: true, ..text(name, doc).or_computed().replaces() }
}

fn settings_of(what: &'static str) -> Vec<Attribute> {
    vec![
        Attribute::new("settings", AttributeType::Any, what).required().vendor_json(),
        Attribute::new(
            "secretSettings",
            AttributeType::Any,
            "Parts of the settings that are secret: merged in when they are sent, never stored, never read back.",
        )
        .write_only()
        .vendor_json(),
        text(
            "manage",
            "`given`: what the settings say, and what others set beside that stays; `all`: whatever is set.",
        )
        .default_value("given"),
        Attribute::new(
            "override",
            AttributeType::Bool,
            "What somebody changed since the last apply is overwritten; where it is false, the plan stops instead.",
        )
        .default_value(true),
        text("url", "Where people look at it.").stable(),
        id(),
    ]
}

/// The names of jobs or pipelines in a workspace: that of its settings, or those that a lookup is asked for.
fn called(map: &Map, asked: &str) -> Vec<String> {
    let url = map.get("workspaceUrl").and_then(Value::as_str).and_then(|url| Workspaces::url(url).ok());
    let Some(url) = url else { return Vec::new() };
    let names = match map.get("settings") {
        Some(_) => vec![settings::name_of(map)],
        None => texts(map, asked),
    };
    names.into_iter().filter(|name| !name.is_empty()).map(|name| format!("{} {name}", url.shown())).collect()
}

fn job() -> ResourceType {
    let mut attributes = vec![
        workspace_url().replaces(),
        given_id(
            "jobId",
            "The id that Databricks gave it; of one to take over, what the lookup `databricks_job_id` says.",
        ),
    ];
    attributes
        .extend(settings_of("The settings of the job, as its API takes them: `name`, `tasks`, `schedule` …; or a list of such, merged in order, tasks by `task_key`."));
    let ty = ResourceType::new("databricks_job", "A job or workflow.", &["workspaceUrl", "jobId"], Object(attributes));
    ResourceType { called: |map| called(map, "jobs"), is_of_another: mark::is_of_another, ..remote(ty) }
}

fn pipeline() -> ResourceType {
    let mut attributes = vec![
        workspace_url().replaces(),
        given_id(
            "pipelineId",
            "The id that Databricks gave it; of one to take over, what the lookup `databricks_pipeline_id` says.",
        ),
    ];
    attributes
        .extend(settings_of("The settings of the pipeline, as its API takes them: `name`, `libraries`, `clusters` …; or a list of such, merged in order, clusters by `label`."));
    let ty = ResourceType::new(
        "databricks_pipeline",
        "A declarative (DLT) pipeline.",
        &["workspaceUrl", "pipelineId"],
        Object(attributes),
    );
    // Databricks fills in defaults for nulls.
    let fold = |configured: &mut Map, recorded: Option<&Map>| normal::leave_out_nulls("settings", configured, recorded);
    ResourceType {
        spares_data: true,
        called: |map| called(map, "pipelines"),
        is_of_another: mark::is_of_another,
        fold,
        ..remote(ty)
    }
}

fn permission() -> ResourceType {
    let attributes = vec![
        workspace_url().replaces(),
        named("objectType", "`jobs`, `pipelines`, `repos` or `directories`."),
        named("objectId", "The id of the object."),
        named("principalKind", "`user`, `group` or `servicePrincipal`."),
        named("principal", "The user name, the display name of a group, or the application id of a service principal."),
        text("level", "What is given: `CAN_VIEW`, `CAN_MANAGE_RUN`, `CAN_MANAGE`, `CAN_READ` …").required(),
        id(),
    ];
    let ty = ResourceType::new(
        "databricks_permission",
        "What somebody may do with an object of the workspace; entries that it has from above are left alone.",
        &["workspaceUrl", "objectType", "objectId", "principalKind", "principal"],
        Object(attributes),
    );
    ResourceType { is_borrowed, ..remote(ty) }
}

/// The level was there before, and is the one that stays.
fn is_borrowed(attributes: &Map, private: &Private) -> bool {
    let before = Kept::of(private).preexisting;
    !before.is_empty() && attributes.get("level").and_then(Value::as_str) == before.first().map(String::as_str)
}
