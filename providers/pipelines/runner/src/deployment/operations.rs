//! Changes of the operations repository: the digest of an image in `terrace.yaml`, as one commit for each deployment.

use super::git::{Copy, Pushed};
use super::location::Location;
use super::program::Problem;
use super::{Author, Deployment};
use std::ops::Range;
use terrace_yaml::source::{SourceId, Sources};
use terrace_yaml::{Budget, Node, parse};

/// The configuration of the environments.
pub const CONFIGURATION: &str = "terrace.yaml";
/// The line of a commit message that names the deployment. It finds the commit after a crash.
const TRAILER: &str = "Terrace-Deployment:";
/// Number of tries while others push to the same branch.
const MOST_TRIES: usize = 8;
/// The setting with the image, below the environment.
const SETTING: [&str; 3] = ["providers", "pipelines", "image"];

/// A deployment of a commit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change<'a> {
    pub(super) deployment: &'a Deployment,
    /// Key of the action.
    pub(super) key: &'a str,
    pub(super) environment: &'a str,
    /// The commit of the program.
    pub(super) commit: &'a str,
    /// The image with its digest.
    pub(super) image: &'a str,
}

/// Checks that an environment has a setting for the image, and that the descriptor exists, before an image is built. Returns the
/// present image.
///
/// # Errors
/// When one is missing.
pub(super) async fn check(
    copy: &Copy<'_>,
    location: &Location,
    environment: &str,
    descriptor: Option<&str>,
) -> Result<String, Problem> {
    let (_, head) = fetch(copy, location).await?;
    let (text, _) = configuration(copy, location, &head).await?;
    let place = place_of_image(&text, location, environment)?;
    let image = text.get(place).unwrap_or_default().trim_matches(['\'', '"']).to_owned();
    let Some(path) = descriptor.map(|descriptor| location.within(descriptor)) else { return Ok(image) };
    copy.file(&head, &path).await?.map(|_| image).ok_or_else(|| {
        Problem::later(format!("{} has no file `{path}`", location.url))
            .hint("commit this descriptor, or correct `descriptor` in `.dppctl.yaml`")
    })
}

/// Commits the image to the operations repository, unless an interrupted deployment did so before. Returns the commit of the
/// operations repository that has it.
///
/// # Errors
/// When the environment has no setting for it, or the repository refuses the push.
pub(super) async fn commit(copy: &Copy<'_>, change: Change<'_>) -> Result<String, Problem> {
    let location = &change.deployment.operations;
    let trailer = format!("{TRAILER} {}/{}", change.key, change.commit);
    for _ in 0..MOST_TRIES {
        let (branch, head) = fetch(copy, location).await?;
        if let Some(commit) = copy.find_commit(&head, &trailer).await? {
            return Ok(commit);
        }
        let (text, mode) = configuration(copy, location, &head).await?;
        let place = place_of_image(&text, location, change.environment)?;
        if text.get(place.clone()) == Some(change.image) {
            // An equal image needs no commit.
            return Ok(head);
        }
        let changed = with_image(&text, place, location, change.environment, change.image)?;
        let path = location.within(CONFIGURATION);
        let author: &Author = &change.deployment.author;
        let message = message(&change, &trailer);
        let commit = copy.commit_file(&head, (&path, changed.as_bytes(), &mode), &message, author).await?;
        match copy.push(location, &commit, &branch).await? {
            Pushed::Done => return Ok(commit),
            Pushed::Conflict => {}
            Pushed::Refused(reason) => {
                return Err(Problem::later(format!("{} refuses the push to `{branch}`: {reason}", location.url))
                    .hint(format!(
                        "let the account push to `{branch}`: remove the protection of the branch, or add the account to \
                         its exceptions"
                    )));
            }
        }
    }
    Err(Problem::later(format!("{} changed {MOST_TRIES} times in a row during a push", location.url)))
}

/// The head of the default branch, if its environment still has the image: it may have corrections of the descriptor or of a
/// failed deployment.
///
/// # Errors
/// When the repository or its configuration cannot be read.
pub(super) async fn head_with_image(copy: &Copy<'_>, change: Change<'_>) -> Result<Option<String>, Problem> {
    let location = &change.deployment.operations;
    let (_, head) = fetch(copy, location).await?;
    let (text, _) = configuration(copy, location, &head).await?;
    let place = place_of_image(&text, location, change.environment)?;
    Ok((text.get(place) == Some(change.image)).then_some(head))
}

fn message(change: &Change<'_>, trailer: &str) -> String {
    let short = change.commit.get(..12).unwrap_or(change.commit);
    let app = &change.deployment.app;
    let name = app.url.rsplit('/').next().unwrap_or(&app.url);
    let name = name.strip_suffix(".git").unwrap_or(name);
    format!(
        "Deploy {name} {short} to {}\n\nThe image of {app}\nat {} is now\n{}\n\n{trailer}\n",
        change.environment, change.commit, change.image
    )
}

/// Fetches the default branch, and returns its name and its commit.
async fn fetch(copy: &Copy<'_>, location: &Location) -> Result<(String, String), Problem> {
    let branch = copy.default_branch(location).await?;
    copy.fetch(location, &[&branch], false).await?;
    let head = copy.head(&branch).await?;
    Ok((branch, head))
}

/// Text and mode of `terrace.yaml`.
async fn configuration(copy: &Copy<'_>, location: &Location, commit: &str) -> Result<(String, String), Problem> {
    let path = location.within(CONFIGURATION);
    let missing = |what: &str| {
        Problem::later(format!("{} {what} `{path}`", location.url))
            .hint(format!("commit a `{CONFIGURATION}` with the environments of the pipelines"))
    };
    let (content, mode) = copy.file(commit, &path).await?.ok_or_else(|| missing("has no"))?;
    Ok((String::from_utf8(content).map_err(|_| missing("has no text in"))?, mode))
}

/// The bytes of the image in a configuration.
fn place_of_image(text: &str, location: &Location, environment: &str) -> Result<Range<usize>, Problem> {
    let path = location.within(CONFIGURATION);
    let mut sources = Sources::default();
    let source = sources.add(path.as_str(), text);
    let root = parse(source, text, &Budget::default()).map_err(|diagnostics| {
        let what = terrace_yaml::diagnostic::plain_text(&diagnostics, &sources);
        Problem::later(format!("`{path}` of {} is not YAML: {}", location.url, what.trim_end()))
    })?;
    let lacks = |place: String| {
        Problem::later(format!("`{path}` of {} has no `{place}`", location.url)).hint(format!(
            "add `image: REGISTRY/NAME@sha256:DIGEST` to `environments.{environment}.providers.pipelines`"
        ))
    };
    let mut node = &root;
    let mut walked: Vec<&str> = Vec::new();
    for key in ["environments", environment].into_iter().chain(SETTING) {
        walked.push(key);
        node = node.get(key).ok_or_else(|| lacks(walked.join(".")))?;
    }
    let place = sources.place(node.span).map(|place| place.to_string()).unwrap_or_default();
    match node.as_text() {
        Some(image) if !image.contains("${{") => {
            let (Ok(start), Ok(end)) = (usize::try_from(node.span.start), usize::try_from(node.span.end)) else {
                return Err(lacks(walked.join(".")));
            };
            Ok(start..end)
        }
        Some(_) => Err(Problem::later(format!("{place}: `image` is an expression, which a deployment cannot replace"))
            .hint("write the image itself: `image: REGISTRY/NAME@sha256:DIGEST`")),
        None => {
            Err(Problem::later(format!("{place}: `image` is not text"))
                .hint("write `image: REGISTRY/NAME@sha256:DIGEST`"))
        }
    }
}

/// The configuration with another image, and no other change.
fn with_image(
    text: &str,
    place: Range<usize>,
    location: &Location,
    environment: &str,
    image: &str,
) -> Result<String, Problem> {
    let path = location.within(CONFIGURATION);
    let shared = || {
        Problem::later(format!("`image` of `{environment}` in `{path}` of {} cannot be changed alone", location.url))
            .hint("write it as plain text, without anchors and aliases")
    };
    let (before, after) = (text.get(..place.start), text.get(place.end..));
    let (Some(before), Some(after)) = (before, after) else { return Err(shared()) };
    let changed = format!("{before}{image}{after}");
    let parsed = |text: &str| parse(SourceId::default(), text, &Budget::default()).map(|node: Node| node.to_json());
    let (Ok(mut expected), Ok(found)) = (parsed(text), parsed(&changed)) else { return Err(shared()) };
    let mut value = Some(&mut expected);
    for key in ["environments", environment].into_iter().chain(SETTING) {
        value = value.and_then(|value| value.get_mut(key));
    }
    if let Some(value) = value {
        *value = image.into();
    }
    // An alias or a second document would change more than the setting.
    if expected == found { Ok(changed) } else { Err(shared()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str = "r.example.com/orders@sha256:00";

    fn location() -> Location {
        Location::parse("file:///srv/operations.git#etl").unwrap()
    }

    fn changed(text: &str) -> Result<String, Problem> {
        let place = place_of_image(text, &location(), "staging")?;
        with_image(text, place, &location(), "staging", IMAGE)
    }

    #[test]
    fn only_the_image_of_the_environment_changes() {
        let text = "# head\nenvironments:\n  production: &p\n    providers: {pipelines: {image: 'r/old@sha256:11'}}\n  \
                    staging:\n    providers:\n      pipelines:\n        image: OLD   # by deployments\n        cpu: 1\n";
        for old in ["r/old@sha256:11", "'r/old@sha256:11'", "\"r/old@sha256:11\"", "r/orders@sha256:22"] {
            let text = text.replace("OLD", old);
            let new = changed(&text).unwrap();
            let lines: Vec<(&str, &str)> = text.lines().zip(new.lines()).filter(|(old, new)| old != new).collect();
            assert_eq!(lines.len(), 1, "{new}");
            assert!(lines[0].1.contains(IMAGE) && lines[0].1.ends_with("   # by deployments"), "{new}");
        }
        let flow = "environments: {staging: {providers: {pipelines: {image: a, cpu: 1}}}}\n";
        assert_eq!(changed(flow).unwrap(), flow.replace("image: a", &format!("image: {IMAGE}")));
    }

    #[test]
    fn missing_and_shared_images_are_refused_with_the_place() {
        for (text, words) in [
            ("environments: {}\n", "has no `environments.staging`"),
            (
                "environments: {staging: {providers: {pipelines: {cpu: 1}}}}\n",
                "has no `environments.staging.providers.pipelines.image`",
            ),
            (
                "environments: {staging: {providers: {pipelines: {image: '${{ env.X }}'}}}}\n",
                "etl/terrace.yaml:1:57: `image` is an expression",
            ),
            ("environments: {staging: {providers: {pipelines: {image: [a]}}}}\n", "`image` is not text"),
            ("environments: [\n", "is not YAML"),
            (
                "environments:\n  staging: {providers: {pipelines: {image: &i old}}}\n  a: {providers: {pipelines: {image: *i}}}\n",
                "cannot be changed alone",
            ),
        ] {
            let problem = changed(text).unwrap_err();
            assert!(problem.message.contains(words), "{text}: {problem:?}");
            assert!(!problem.hints.is_empty() || words == "is not YAML");
        }
    }
}
