//! `.dppctl.yaml`: the cluster of a folder's pipelines, and their continuous deployment.
//!
//! A folder with this file uses the cluster that it names, and no other one.

use super::kinds::{name, of_name};
use crate::args::ClusterKind;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::files;
use crate::report::report;
use clap::ValueEnum;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use terrace_engine::decode::{Fields, alternatives, wrong_type};
use terrace_engine::diagnostic::{Diagnostic, Location as Place, did_you_mean, has_errors};
use terrace_engine::duration;
use terrace_engine::source::{Located, Sources};
use terrace_engine::yaml::{self, Budget, Node, NodeKind};
use terrace_pipelines::deployment::build::is_repository;
use terrace_pipelines::deployment::location::Location;
use terrace_pipelines::deployment::{Action, Author, Deployment, Trigger, Work};

/// The file.
pub(super) const FILE: &str = ".dppctl.yaml";
/// The code of errors about values.
const WRONG_VALUE: &str = "wrong_value";
/// The code of errors about repositories. Their lines may hold a password, so reports do not quote them.
const ILLEGAL_REPOSITORY: &str = "illegal_repository";
/// Highest value of `retries`.
const MOST_RETRIES: u32 = 100;

/// The content of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DppctlYaml {
    /// Kind of the cluster.
    pub(super) cluster: Option<ClusterKind>,
    /// The cluster of Google Cloud.
    pub(super) gcloud: Gcloud,
    /// Continuous deployment.
    pub(super) deployments: Vec<Described>,
}

/// A cluster of Google Cloud.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Gcloud {
    /// Id of the project.
    pub(super) project: Option<String>,
    /// Zone of the cluster.
    pub(super) zone: Option<String>,
    /// Name of the cluster.
    pub(super) cluster: Option<String>,
    /// Namespace of the pipelines.
    pub(super) namespace: Option<String>,
}

/// A deployment, and the forge that gets its results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) deployment: Deployment,
    pub(super) status: Option<Status>,
}

/// The repository at a forge that gets the results of deployments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    /// Its vendor.
    pub(super) vendor: terrace_forge::Vendor,
    /// URL of its API.
    pub(super) url: String,
    /// `OWNER/NAME` at GitHub, the path or number of the project at GitLab.
    pub(super) repository: String,
}

impl DppctlYaml {
    /// The file of the first folder that has one.
    ///
    /// # Errors
    /// When it cannot be read or is invalid, which is reported.
    pub(super) fn find(context: &Context<'_>, folders: &[&Path]) -> Result<Option<(PathBuf, Self)>, Failure> {
        let paths = folders.iter().map(|folder| folder.join(FILE));
        let Some(path) = paths.into_iter().find(|path| path.symlink_metadata().is_ok()) else { return Ok(None) };
        let shown = path.strip_prefix(".").unwrap_or(&path);
        let text = files::text(&path, files::HANDWRITTEN)
            .map_err(|error| Failure::new(format!("`{}` cannot be read: {error}", shown.display())))?;
        let mut sources = Sources::default();
        let (found, diagnostics) = Self::parse(&shown.display().to_string(), &text, &mut sources);
        report(context.ui, &sources, &diagnostics);
        if has_errors(&diagnostics) {
            return Err(Failure::reported(Exit::Error));
        }
        Ok(Some((shown.to_owned(), found)))
    }

    fn parse(name: &str, text: &str, sources: &mut Sources) -> (Self, Vec<Diagnostic>) {
        let source = sources.add(name, text);
        let mut diagnostics = Vec::new();
        let node = match yaml::parse(source, text, &Budget::default()) {
            Ok(node) => node,
            Err(found) => return (Self::default(), found),
        };
        let found = decode(&node, &mut diagnostics).unwrap_or_default();
        for label in diagnostics.iter().filter(|it| it.code == ILLEGAL_REPOSITORY).flat_map(|it| &it.labels) {
            if let Place::Span(span) = label.at {
                sources.hide(span.source, span.start as usize..span.end as usize);
            }
        }
        (found, diagnostics)
    }
}

fn decode(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<DppctlYaml> {
    let mut fields = Fields::open(node, "`.dppctl.yaml`", diagnostics)?;
    let cluster = fields.required_text("clusterProvider").and_then(|kind| known_kind(&kind, fields.diagnostics));
    let mut word = |name: &'static str| {
        let text = fields.text(name)?;
        // A vendor's program would read it as an option.
        let is_word = text.value.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.value.chars().all(|c| c.is_ascii_alphanumeric() || "-.:".contains(c));
        if !is_word {
            fields.diagnostics.push(
                Diagnostic::error(WRONG_VALUE, format!("`{name}` is `{}`: expected a name", text.value))
                    .at(text.span)
                    .hint("write letters, digits, `-`, `.` and `:`"),
            );
        }
        Some(text.value).filter(|_| is_word)
    };
    let gcloud = Gcloud {
        project: word("gcloudProjectId"),
        zone: word("gcloudZone"),
        cluster: word("gcloudClusterName"),
        namespace: word("gcloudClusterNamespace"),
    };
    let (mut deployments, mut keys) = (Vec::new(), BTreeSet::new());
    for item in fields.list("continuousDeployment") {
        deployments.extend(deployment(item, &mut keys, fields.diagnostics));
    }
    fields.finish();
    Some(DppctlYaml { cluster, gcloud, deployments })
}

fn known_kind(kind: &Located<String>, diagnostics: &mut Vec<Diagnostic>) -> Option<ClusterKind> {
    let found = of_name(&kind.value);
    if found.is_none() {
        let known: Vec<String> = ClusterKind::value_variants().iter().copied().map(name).collect();
        let known = || known.iter().map(String::as_str);
        diagnostics.push(
            Diagnostic::error(WRONG_VALUE, format!("`clusterProvider` cannot be `{}`", kind.value))
                .at(kind.span)
                .hint(format!("write {}", alternatives(known())))
                .maybe_hint(did_you_mean(&kind.value, known())),
        );
    }
    found
}

fn deployment(node: &Node, keys: &mut BTreeSet<String>, diagnostics: &mut Vec<Diagnostic>) -> Option<Described> {
    let mut fields = Fields::open(node, "an item of `continuousDeployment`", diagnostics)?;
    fields.set_foreign(&[
        ("token", "the token belongs into the variable GITHUB_TOKEN or GITLAB_TOKEN"),
        ("database", "set `database` of the provider `pipelines` in terrace.yaml of the operations repository"),
        ("storage", "set `sync` of the provider `pipelines` in terrace.yaml of the operations repository"),
        ("site", "declare a `pipelines_static_site` in the operations repository"),
    ]);
    let app = location(&mut fields, "appRepoPath");
    let operations = location(&mut fields, "opsRepoPath");
    let image = fields.text("image").filter(|image| {
        let is_repository = is_repository(&image.value);
        if !is_repository {
            fields.diagnostics.push(
                Diagnostic::error(
                    WRONG_VALUE,
                    format!("`image` is `{}`: expected a repository of a registry", image.value),
                )
                .at(image.span)
                .hint("write `REGISTRY/NAME` without tag and digest: each deployment has its own"),
            );
        }
        is_repository
    });
    let timeout = fields.text("timeout").and_then(|text| match duration::parse(&text.value) {
        Ok(time) => Some(time),
        Err(why) => {
            let message = format!("`timeout` is `{}`: {why}", text.value);
            fields.diagnostics.push(Diagnostic::error(WRONG_VALUE, message).at(text.span).hint("write `30m` or `2h`"));
            None
        }
    });
    let retries = retries(&mut fields);
    let default = Author::default();
    let mut line = |name: &'static str, usual: String| match fields.text(name) {
        None => usual,
        Some(text) if text.value.trim().is_empty() || text.value.contains(['<', '>', '\n', '\0']) => {
            let message = format!("`{name}` cannot be part of a commit");
            fields
                .diagnostics
                .push(Diagnostic::error(WRONG_VALUE, message).at(text.span).hint("write one line without `<` and `>`"));
            usual
        }
        Some(text) => text.value,
    };
    let author = Author { name: line("userName", default.name), email: line("userEmail", default.email) };
    let status = match fields.optional("status") {
        Some(entry) => status(&entry.value, fields.diagnostics),
        None => app.as_ref().and_then(status_of),
    };
    let mut actions = Vec::new();
    let listed = fields.list("actions");
    for item in listed {
        let Some(action) = action(item, fields.diagnostics) else { continue };
        actions.push((action, item.span));
    }
    if fields.optional("actions").is_none() || (listed.is_empty() && fields.required("actions").is_some()) {
        fields.diagnostics.push(
            Diagnostic::error("missing_field", "an item of `continuousDeployment` needs `actions`")
                .at(fields.span())
                .hint("add `actions: [{branch: main, environment: NAME, descriptor: FILE}]`"),
        );
    }
    let described = app.zip(operations).map(|(app, operations)| {
        let image = image.map(|image| image.value);
        let mut deployment = Deployment { app, operations, image, timeout, retries, author, actions: Vec::new() };
        for (action, span) in actions {
            if !keys.insert(deployment.key(&action)) {
                fields.diagnostics.push(
                    Diagnostic::error("duplicate_action", "an equal action exists before")
                        .at(span)
                        .hint("remove one: each commit is deployed once"),
                );
            }
            deployment.actions.push(action);
        }
        Described { deployment, status }
    });
    fields.finish();
    described
}

fn retries(fields: &mut Fields<'_, '_>) -> Option<u32> {
    let entry = fields.optional("retries")?;
    let number = match entry.value.kind {
        NodeKind::Int(number) => u32::try_from(number).ok().filter(|number| *number <= MOST_RETRIES),
        _ => None,
    };
    if number.is_none() {
        let expected = format!("a number from 0 to {MOST_RETRIES}");
        fields.diagnostics.push(wrong_type("`retries`", &expected, &entry.value));
    }
    number
}

fn location(fields: &mut Fields<'_, '_>, name: &'static str) -> Option<Location> {
    let text = fields.required_text(name)?;
    match Location::parse(&text.value) {
        Ok(location) => Some(location),
        Err(error) => {
            let message = format!("`{name}` {}", error.message);
            fields.diagnostics.push(Diagnostic::error(ILLEGAL_REPOSITORY, message).at(text.span).hint(error.hint));
            None
        }
    }
}

fn action(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<Action> {
    let mut fields = Fields::open(node, "an action", diagnostics)?;
    let branch = fields.text("branch").filter(|branch| {
        let is_valid = is_branch(&branch.value);
        if !is_valid {
            let message = format!("`{}` cannot be the name of a branch", branch.value);
            fields.diagnostics.push(
                Diagnostic::error(WRONG_VALUE, message)
                    .at(branch.span)
                    .hint("write the name of a branch, without wildcards"),
            );
        }
        is_valid
    });
    let has_branch = fields.optional("branch").is_some();
    let has_tags = fields.is_true("tags");
    let trigger = match (branch, has_tags) {
        (Some(branch), false) if has_branch => Some(Trigger::Branch(branch.value)),
        (None, true) if !has_branch => Some(Trigger::Tags),
        (None, false) if has_branch => None,
        _ => {
            fields.diagnostics.push(
                Diagnostic::error("wrong_action", "an action needs either `branch` or `tags: true`")
                    .at(fields.span())
                    .hint(
                        "write `branch: NAME` to deploy each new commit of a branch, `tags: true` to deploy new tags",
                    ),
            );
            None
        }
    };
    let environment = fields.required_text("environment");
    let descriptor = fields.text("descriptor").filter(|path| {
        let is_inside = is_path_inside(&path.value);
        if !is_inside {
            let message = format!("`descriptor` is `{}`: expected a file of the operations repository", path.value);
            fields.diagnostics.push(
                Diagnostic::error(WRONG_VALUE, message)
                    .at(path.span)
                    .hint("write its path in the folder of `opsRepoPath`, such as `stack.yaml`, without `.` and `..`"),
            );
        }
        is_inside
    });
    let has_work = ["descriptor", "pipeline"].into_iter().any(|name| fields.optional(name).is_some());
    if !has_work {
        fields.diagnostics.push(
            Diagnostic::error("missing_field", "an action needs `descriptor`, `pipeline`, or both")
                .at(fields.span())
                .hint("add `descriptor: FILE` to apply a descriptor with the new image, `pipeline: ./ID` to run a pipeline"),
        );
    }
    let pipeline = fields.text("pipeline").and_then(|pipeline| {
        let words = selected(&pipeline.value);
        if words.is_none() {
            let message = format!("`pipeline` is `{}`: expected ids of pipelines, or `all`", pipeline.value);
            fields.diagnostics.push(
                Diagnostic::error(WRONG_VALUE, message)
                    .at(pipeline.span)
                    .hint("write an id such as `./load-orders`, several with commas, `./load-%`, or `all`"),
            );
        }
        words
    });
    fields.finish();
    let work = Work { descriptor: descriptor.map(|it| it.value), pipeline };
    Some(Action { trigger: trigger?, environment: environment?.value, work })
}

/// Words that select pipelines, in one form; nothing if one is empty, or would be an option.
fn selected(words: &str) -> Option<String> {
    let mut found = Vec::new();
    for word in words.split(',').map(str::trim) {
        if word.is_empty() || word.starts_with('-') || word.contains(char::is_control) {
            return None;
        }
        let is_whole = word == "all" || word.starts_with("./") || word.contains('%');
        found.push(if is_whole { word.to_owned() } else { format!("./{word}") });
    }
    Some(if found.iter().any(|word| word == "all") { "all".to_owned() } else { found.join(",") })
}

/// True for a path that stays in its folder, as Git writes it.
fn is_path_inside(path: &str) -> bool {
    let is_part = |part: &str| !matches!(part, "" | "." | ".." | ".git");
    !path.starts_with('-') && !path.contains(|c: char| c.is_control() || c == '\\') && path.split('/').all(is_part)
}

/// True for the name of a branch, by <https://git-scm.com/docs/git-check-ref-format>.
fn is_branch(name: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    let is_forbidden = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    !name.starts_with('-')
        && !name.ends_with('.')
        && !name.contains("..")
        && !name.contains("@{")
        && name != "@"
        && !name.contains(is_forbidden)
        && name.split('/').all(is_part)
}

/// The forge of a program at a well-known host.
fn status_of(app: &Location) -> Option<Status> {
    let (host, path) = app.host_and_path()?;
    let (vendor, url) = match host {
        "github.com" => (terrace_forge::Vendor::GitHub, "https://api.github.com"),
        "gitlab.com" => (terrace_forge::Vendor::GitLab, "https://gitlab.com/api/v4"),
        _ => return None,
    };
    Some(Status { vendor, url: url.to_owned(), repository: path.to_owned() })
}

fn status(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<Status> {
    let mut fields = Fields::open(node, "`status`", diagnostics)?;
    fields.required("forge");
    let vendor =
        fields.word("forge", &[("github", terrace_forge::Vendor::GitHub), ("gitlab", terrace_forge::Vendor::GitLab)]);
    let url = fields.required_text("url");
    let repository = fields.required_text("repository");
    let status = vendor.zip(url.as_ref()).zip(repository).map(|((vendor, url), repository)| Status {
        vendor,
        url: url.value.clone(),
        repository: repository.value,
    });
    if let (Some(status), Some(url)) = (&status, &url)
        && let Err(why) = terrace_forge::connect(status.vendor, &status.url, &status.repository, &"token".into())
    {
        fields.diagnostics.push(
            Diagnostic::error(WRONG_VALUE, format!("`status`: {why}"))
                .at(url.span)
                .hint("write `url: https://api.github.com` or `https://HOST/api/v4`, and `repository: OWNER/NAME`"),
        );
    }
    fields.finish();
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use terrace_engine::diagnostic::plain_text;

    fn parsed(text: &str) -> Result<DppctlYaml, String> {
        let mut sources = Sources::default();
        let (found, diagnostics) = DppctlYaml::parse(FILE, text, &mut sources);
        if has_errors(&diagnostics) { Err(plain_text(&diagnostics, &sources)) } else { Ok(found) }
    }

    #[test]
    fn reports_do_not_quote_a_password() {
        let text = "clusterProvider: local\ncontinuousDeployment:\n- appRepoPath: https://u:hush@h/x\n";
        let mut sources = Sources::default();
        let (_, diagnostics) = DppctlYaml::parse(FILE, text, &mut sources);
        let found = diagnostics.iter().find(|it| it.code == ILLEGAL_REPOSITORY).unwrap();
        let Place::Span(span) = found.labels[0].at else { panic!("{found:?}") };
        assert!(!sources.can_quote(span));
    }

    const HEAD: &str = "clusterProvider: local\ncontinuousDeployment:\n- appRepoPath: acme/orders/etl\n  \
                        opsRepoPath: file:///srv/operations.git\n  image: r.example.com/orders\n";

    #[test]
    fn file_of_the_document_is_read() {
        let text = "clusterProvider: gcloud\ngcloudProjectId: my-project\ngcloudZone: us-central1-a\n\
                    gcloudClusterName: main\ngcloudClusterNamespace: pipelines\n";
        let found = parsed(text).unwrap();
        assert_eq!(found.cluster, Some(ClusterKind::Gcloud));
        assert_eq!(found.gcloud.project.as_deref(), Some("my-project"));
        assert_eq!(found.gcloud.namespace.as_deref(), Some("pipelines"));
        let text = format!(
            "{text}continuousDeployment:\n- appRepoPath: OriHoch/dppctl/examples/customDockerImage\n  \
             opsRepoPath: OriHoch/examples/opsRepo\n  actions:\n  - branch: master\n    environment: staging\n    \
             pipeline: all\n  - tags: true\n    environment: production\n    pipeline: all\n"
        );
        let Described { deployment, .. } = &parsed(&text).unwrap().deployments[0];
        assert_eq!((deployment.image.as_ref(), deployment.actions.len()), (None, 2));
        assert_eq!(deployment.actions[0].work.to_string(), "all pipelines");
        let text = format!(
            "{HEAD}  timeout: 30m\n  retries: 2\n  userName: Deployer\n  actions:\n  - branch: main\n    environment: staging\n    \
             pipeline: load\n  - tags: true\n    environment: production\n    pipeline: ./load\n"
        );
        let found = parsed(&text).unwrap();
        let Described { deployment, status } = &found.deployments[0];
        assert_eq!(deployment.app.to_string(), "https://github.com/acme/orders#etl");
        assert_eq!(deployment.timeout, Some(Duration::from_secs(1800)));
        assert_eq!(
            (deployment.author.name.as_str(), deployment.author.email.as_str()),
            ("Deployer", "terrace@localhost")
        );
        assert_eq!(deployment.actions[0].trigger, Trigger::Branch("main".to_owned()));
        assert_eq!(
            (&deployment.actions[1].trigger, deployment.actions[0].work.pipeline.as_deref()),
            (&Trigger::Tags, Some("./load"))
        );
        let words = |words: &str| parsed(&text.replace("pipeline: load", &format!("pipeline: {words}"))).unwrap();
        for (written, read) in [("'load, ./dump-%'", "./load,./dump-%"), ("'load,all'", "all")] {
            assert_eq!(words(written).deployments[0].deployment.actions[0].work.pipeline.as_deref(), Some(read));
        }
        assert_eq!(status.as_ref().unwrap().repository, "acme/orders");
        assert_ne!(deployment.key(&deployment.actions[0]), deployment.key(&deployment.actions[1]));
    }

    #[test]
    fn mistakes_are_reported_with_place_and_remedy() {
        let actions = "  actions: [{branch: main, environment: staging, pipeline: ./x}]\n";
        for (text, words) in [
            ("clusterProvder: local\n".to_owned(), vec!["needs `clusterProvider`", "did you mean `clusterProvider`?"]),
            ("clusterProvider: minicube\n".to_owned(), vec![":1:18", "did you mean `minikube`?"]),
            ("clusterProvider: gcloud\ngcloudZone: --zone\n".to_owned(), vec![":2:13", "expected a name"]),
            (format!("{HEAD}  retires: 2\n{actions}"), vec![":6:3", "did you mean `retries`?"]),
            (format!("{HEAD}  retries: many\n{actions}"), vec!["from 0 to 100"]),
            (format!("{HEAD}  timeout: soon\n{actions}"), vec![":6:12", "`timeout` is `soon`"]),
            (format!("{HEAD}  token: abc\n{actions}"), vec!["GITHUB_TOKEN"]),
            (HEAD.to_owned(), vec!["needs `actions`"]),
            (format!("{HEAD}  actions: []\n"), vec!["needs `actions`"]),
            (format!("{HEAD}{actions}").replace("r.example.com/orders", "orders:1"), vec!["without tag and digest"]),
            (format!("{HEAD}{actions}").replace("acme/orders/etl", "https://u:hush@h/x"), vec!["has credentials"]),
            (format!("{HEAD}{actions}").replace("branch: main", "branch: ma*n"), vec!["`ma*n` cannot be the name"]),
            (format!("{HEAD}{actions}").replace("branch: main, ", ""), vec!["either `branch` or `tags: true`"]),
            (format!("{HEAD}{actions}").replace("branch: main", "branch: main, tags: true"), vec!["either `branch`"]),
            (
                format!("{HEAD}{actions}").replace(", pipeline: ./x", ""),
                vec![":6:13", "an action needs `descriptor`, `pipeline`, or both", "add `descriptor: FILE`"],
            ),
            (
                format!("{HEAD}{actions}").replace("pipeline: ./x", "descriptor: ../stack.yaml"),
                vec!["`descriptor` is `../stack.yaml`", "without `.` and `..`"],
            ),
            (format!("{HEAD}{actions}").replace("pipeline: ./x", "desriptor: a"), vec!["did you mean `descriptor`?"]),
            (
                format!("{HEAD}{actions}").replace("./x", "'./x,'"),
                vec!["`pipeline` is `./x,`: expected ids", "or `all`"],
            ),
            (format!("{HEAD}{actions}").replace("./x", "--force"), vec!["`pipeline` is `--force`"]),
            (
                format!(
                    "{HEAD}{}",
                    actions.replace("./x}]", "./x}, {branch: main, environment: staging, pipeline: x}]")
                ),
                vec!["an equal action exists before"],
            ),
            (
                format!("{HEAD}  status: {{forge: gihub, url: 'https://x', repository: a/b}}\n{actions}"),
                vec!["did you mean `github`?"],
            ),
            (
                format!("{HEAD}  status: {{forge: github, url: 'ftp://x', repository: a/b}}\n{actions}"),
                vec!["`status`:"],
            ),
        ] {
            let found = parsed(&text).unwrap_err();
            for words in words {
                assert!(found.contains(words), "{text}\n{found}");
            }
            assert!(!found.contains("hush"), "{found}");
        }
    }
}
