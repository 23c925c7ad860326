//! Descriptors of folders with pipeline specs: each pipeline is a component, with its definition and its last
//! successful result.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use terrace_engine::address::{ComponentKey, SHARED};
use terrace_engine::descriptor::transitions::{Identified, Transitions};
use terrace_engine::descriptor::{
    Adopt, Body, Component, Declarations, Dependency, Descriptor, FormerNames, FrontEnd, Lifecycle, OutputDeclaration,
    ResourceDeclaration,
};
use terrace_engine::diagnostic::Diagnostic;
use terrace_engine::digest::sha256;
use terrace_engine::expression::{Template, TemplateEntry, TemplateKind};
use terrace_engine::naming::{NamesRule, distinct};
use terrace_engine::render::SOURCE_SPEC;
use terrace_engine::source::{Located, SourceId, Sources, Span};
use terrace_engine::yaml::{Node, NodeKind};
use terrace_pipelines::spec::{self, Pipeline, Problem, Severity, Specs};
use terrace_provider::names::first_listed;
use terrace_provider::{Map, Value};

/// Names of a component's resources.
const PIPELINE: &str = "pipeline";
const RUN: &str = "run";
/// The output that dependent pipelines read.
const DATASET: &str = "dataset";
/// Attributes with the folder, and the pipeline in it.
const FOLDER: &str = "folder";
const NAME: &str = "name";

/// Number of files named in the note about other errors.
const MAX_NAMED_FILES: usize = 3;

/// Beginnings of lines, in small letters, that identify a descriptor.
const DESCRIPTOR_SIGNS: [&str; 2] = ["dataproduct:", "id: urn:dmb:dp:"];
/// Values of `kind` in descriptors.
const KINDS: [&str; 2] = ["stack", "dataproduct"];
/// Part of the API versions of terrace's own files.
const API: &str = "terrace";

/// True if a file declares itself as a descriptor. Folders of specs have other YAML files too: of containers, of CI, of
/// runners.
pub(super) fn is_declared_descriptor(path: &Path) -> bool {
    // The entity of a repository has a kind too.
    if path.file_name().is_some_and(|name| name == super::repositories::CATALOG) {
        return false;
    }
    let text = match super::text_of(path) {
        Ok(text) => text,
        // Reading it as a descriptor reports the error.
        Err(diagnostic) => return diagnostic.code != super::EMPTY,
    };
    let lines: Vec<String> = text.text.lines().map(str::to_ascii_lowercase).collect();
    let is_foreign = lines.iter().filter_map(|line| line.strip_prefix("apiversion:")).any(|of| !of.contains(API));
    lines.iter().any(|line| match line.strip_prefix("kind:") {
        // Kubernetes has kinds too. A file with a kind of terrace is meant for it, in any version.
        Some(kind) => !is_foreign || KINDS.iter().any(|known| kind.split_whitespace().next() == Some(known)),
        None => DESCRIPTOR_SIGNS.iter().any(|sign| line.starts_with(sign)),
    })
}

/// True for a stack or the descriptor of a data product. A file that cannot be read may be one.
pub(super) fn is_stack_or_product(path: &Path) -> bool {
    is_declared_descriptor(path)
        && super::text_of(path).map_or(true, |text| {
            text.text.lines().map(str::to_ascii_lowercase).any(|line| match line.strip_prefix("kind:") {
                Some(kind) => KINDS.iter().any(|known| kind.split_whitespace().next() == Some(known)),
                None => DESCRIPTOR_SIGNS.iter().any(|sign| line.starts_with(sign)),
            })
        })
}

/// The content of a path with specs.
pub(super) struct Found {
    /// The folder of the specs, or a folder above them.
    pub(super) folder: PathBuf,
    /// Descriptors in the same folders.
    pub(super) descriptors: Vec<PathBuf>,
    /// The specs found, for [`read`]: a large folder is searched only once.
    pub(super) specs: Option<Specs>,
}

/// The specs of a path: the file of a spec stands for its folder, and a folder for itself and those below it.
pub(super) fn find(path: &Path) -> Option<Found> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if path.is_file() {
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        return spec::is_spec_name(&name).then(|| Found {
            folder: folder.to_owned(),
            descriptors: Vec::new(),
            specs: None,
        });
    }
    let specs = spec::read(path).ok().filter(|specs| !specs.files.is_empty())?;
    // Includes the folder itself: it may hold a stack, with specs in folders below.
    let within = specs.files.iter().filter_map(|file| file.path.parent().map(Path::to_owned));
    let folders: BTreeSet<PathBuf> = within.chain([PathBuf::new()]).collect();
    let files = folders.iter().flat_map(|folder| {
        let folder = if folder.as_os_str().is_empty() { path.to_owned() } else { path.join(folder) };
        super::files_of(&folder).unwrap_or_default()
    });
    let descriptors = files.filter(|file| is_declared_descriptor(file)).collect();
    Some(Found { folder: path.to_owned(), descriptors, specs: Some(specs) })
}

/// True for the name of a spec.
pub(super) fn is_spec_name(name: &str) -> bool {
    spec::is_spec_name(name)
}

/// True for files of pipelines, which are not descriptors.
pub(super) fn is_pipeline_file(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| spec::is_spec_name(name) || spec::is_auxiliary_file(name))
}

/// A folder of specs.
#[derive(Debug)]
pub(super) struct Folder {
    /// Path without symbolic links.
    pub(super) root: PathBuf,
    pub(super) descriptor: Descriptor,
    pub(super) faults: Faults,
}

/// Errors of the pipelines of a folder.
#[derive(Debug, Default)]
pub(super) struct Faults {
    faults: Vec<Fault>,
    /// Components that cannot run, because of their own errors or those of dependencies.
    broken: BTreeSet<ComponentKey>,
    /// Dependencies of components.
    dependencies: BTreeMap<ComponentKey, Vec<ComponentKey>>,
}

#[derive(Debug)]
struct Fault {
    /// The component with the error; `None` for a file, whose pipelines are unknown.
    component: Option<ComponentKey>,
    /// The file with the error.
    file: String,
    diagnostic: Diagnostic,
}

impl Faults {
    fn of(specs: &Specs, files: &[String], ids: &[SourceId]) -> Self {
        let keys = keys(specs);
        let key = |id: &str| keys.get(id).cloned().unwrap_or_else(|| key_of(id));
        let faults = specs.problems.iter().filter(|problem| problem.is_error()).map(|problem| Fault {
            component: problem.pipeline.as_deref().map(key),
            file: files.get(problem.file).cloned().unwrap_or_default(),
            diagnostic: problem_to_diagnostic(problem, ids),
        });
        let dependencies = specs.pipelines.iter().map(|it| (key(&it.id), it.pipelines_before().map(key).collect()));
        Self {
            faults: faults.collect(),
            broken: specs.broken().into_iter().map(key).collect(),
            dependencies: dependencies.collect(),
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// True for a component that cannot run.
    pub(super) fn has(&self, component: &str) -> bool {
        self.broken.contains(component)
    }

    /// All diagnostics.
    pub(super) fn into_diagnostics(self) -> impl Iterator<Item = Diagnostic> {
        self.faults.into_iter().map(|fault| fault.diagnostic)
    }

    /// Diagnostics of these components and their dependencies, and a note on files with other errors. With
    /// `may_be_unread`, errors of whole files are included: such a file may define one of the components.
    pub(super) fn diagnostics_of(self, components: &BTreeSet<String>, may_be_unread: bool) -> Vec<Diagnostic> {
        let mut needed = BTreeSet::new();
        let mut waiting: Vec<&str> = components.iter().map(String::as_str).collect();
        while let Some(component) = waiting.pop() {
            if needed.insert(component) {
                waiting.extend(self.dependencies.get(component).into_iter().flatten().map(ComponentKey::as_str));
            }
        }
        let matters =
            |fault: &Fault| fault.component.as_ref().map_or(may_be_unread, |key| needed.contains(key.as_str()));
        let (relevant, others): (Vec<Fault>, Vec<Fault>) = self.faults.into_iter().partition(matters);
        let files: BTreeSet<String> = others.into_iter().map(|fault| fault.file).collect();
        let files: Vec<String> = files.into_iter().collect();
        let named = first_listed(&files, MAX_NAMED_FILES);
        let warning = (!files.is_empty()).then(|| {
            Diagnostic::warning("wrong_beside", format!("other pipelines have errors in {named}"))
                .hint("list them with `terrace pipelines list` or `terrace validate` without `-c`")
        });
        warning.into_iter().chain(relevant.into_iter().map(|fault| fault.diagnostic)).collect()
    }
}

/// Reads the specs of a folder as a descriptor, unless they are read already.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn read(
    folder: &Path,
    specs: Option<Specs>,
    sources: &mut Sources,
    digests: &mut BTreeMap<String, String>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Folder, Box<Diagnostic>> {
    let specs = specs.map_or_else(|| spec::read(folder), Ok).map_err(|error| {
        let message =
            format!("the folder `{}` cannot be read: {}", folder.display(), super::files::describe_io_error(&error));
        Box::new(Diagnostic::error("unreadable", message))
    })?;
    // The folder itself comes first: a saved plan finds its project by it.
    digests.insert(folder.display().to_string(), String::new());
    let mut ids = Vec::with_capacity(specs.files.len());
    let mut files = Vec::with_capacity(specs.files.len());
    for file in &specs.files {
        let name = folder.join(&file.path).display().to_string();
        let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
        digests.insert(name.clone(), sha256(&file.text));
        ids.push(sources.add(name.clone(), file.text.as_str()));
        files.push(name);
    }
    let harmless = specs.problems.iter().filter(|problem| !problem.is_error());
    diagnostics.extend(harmless.map(|problem| problem_to_diagnostic(problem, &ids)));
    let faults = Faults::of(&specs, &files, &ids);
    for source in specs.sources.iter().filter(|source| source.generated_count.is_none()) {
        let message =
            format!("the plugin `{}` creates pipelines from this file, which are not planned yet", source.module);
        let at = ids.get(source.file).map(|id| Span::new(*id, 0, 0)).unwrap_or_default();
        let hint =
            "run `terrace pipelines run` in this folder: it calls the plugin and keeps the pipelines for later plans";
        diagnostics.push(Diagnostic::warning(SOURCE_SPEC, message).at(at).hint(hint));
    }
    let descriptor = describe(&specs, &ids, sources, diagnostics);
    Ok(Folder { root: specs.root, descriptor, faults })
}

/// A problem of a spec as a diagnostic.
pub(crate) fn problem_to_diagnostic(problem: &Problem, ids: &[SourceId]) -> Diagnostic {
    let message = format!("{}{}", problem.context(), problem.message);
    let diagnostic = match problem.severity {
        Severity::Warning => Diagnostic::warning(problem.code, message),
        Severity::Error => Diagnostic::error(problem.code, message),
    };
    let span = ids.get(problem.file).map(|id| Span::new(*id, problem.at.start, problem.at.end));
    span.into_iter().fold(diagnostic, Diagnostic::at).maybe_hint(problem.hint.clone())
}

fn describe(specs: &Specs, ids: &[SourceId], sources: &Sources, diagnostics: &mut Vec<Diagnostic>) -> Descriptor {
    let keys = keys(specs);
    let identified = keys
        .iter()
        .map(|(id, key)| Identified { component: key.clone(), attribute: NAME, value: (*id).to_owned() })
        .collect();
    let components =
        specs.pipelines.iter().filter_map(|pipeline| component(pipeline, &keys, ids, sources, diagnostics)).collect();
    Descriptor {
        front_end: FrontEnd::Stack,
        stack: stack_name(&specs.root, &specs.root),
        environment: None,
        product: Value::Null,
        derived: Map::default(),
        components,
        target: None,
        variables: Vec::new(),
        locals: Vec::new(),
        unlisted: None,
        transitions: Transitions { identified, ..Transitions::default() },
        names: NamesRule::Latin,
        former: None,
    }
}

/// The name of a stack: that of the project folder, with the relative path of a folder within. So folders with the same
/// last name are different stacks of the same state.
fn stack_name(root: &Path, project: &Path) -> String {
    own_name(root, project, NamesRule::Latin).unwrap_or_else(|| PIPELINE.to_owned() + "s")
}

/// The name of a stack by the rule of earlier versions. A folder without a usable name was `pipelines`, which
/// identifies none.
fn former_name(root: &Path, project: &Path) -> Option<String> {
    own_name(root, project, NamesRule::Ascii)
}

/// The name of a stack from its folder; `None` if the folder gives none.
fn own_name(root: &Path, project: &Path, rule: NamesRule) -> Option<String> {
    let plain = |text: &str| plain(text, rule);
    let last = |path: &Path| plain(&path.file_name().unwrap_or_default().to_string_lossy());
    let name = match root.strip_prefix(project) {
        Ok(within) if !within.as_os_str().is_empty() => {
            let parts: Vec<String> = within.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            let name =
                format!("{}.{}", last(project), parts.iter().map(|part| plain(part)).collect::<Vec<_>>().join("."));
            // A digest distinguishes paths whose letters were replaced.
            match parts.iter().any(|part| part.contains('.') || plain(part) != *part) {
                true => format!("{name}-{}", sha256(parts.join("/")).get(..8).unwrap_or_default()),
                false => name,
            }
        }
        _ => last(root),
    };
    let name = name.trim_start_matches(['.', '-', '_']);
    (!name.is_empty() && name != SHARED).then(|| name.to_owned())
}

/// The key of each pipeline's component: its id without `./`, in characters that keys may have. It depends only on the
/// id, so that other pipelines cannot change it.
fn keys(specs: &Specs) -> BTreeMap<&str, ComponentKey> {
    specs.pipelines.iter().map(|pipeline| (pipeline.id.as_str(), key_of(&pipeline.id))).collect()
}

fn key_of(id: &str) -> ComponentKey {
    let part = |part: &str| match part.chars().all(is_plain) {
        true => part.to_owned(),
        false => distinct(part, '_', is_plain),
    };
    let key = id.trim_start_matches("./").split('/').map(part).collect::<Vec<_>>().join("/");
    let key = match key.strip_prefix(SHARED) {
        Some("") => key + "_",
        Some(rest) if rest.bytes().all(|byte| byte == b'_') => distinct(&key, '_', is_plain),
        _ => key,
    };
    key.into()
}

/// The name of a folder in characters that names of stacks may have.
fn plain(text: &str, rule: NamesRule) -> String {
    match text.is_ascii() || rule.is_ascii() {
        true => text.chars().map(|c| if is_plain(c) { c } else { '_' }).collect(),
        false => distinct(text, '_', is_plain),
    }
}

const fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

fn component(
    pipeline: &Pipeline,
    keys: &BTreeMap<&str, ComponentKey>,
    ids: &[SourceId],
    sources: &Sources,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Component> {
    let source = *ids.get(pipeline.file)?;
    let span = Span::new(source, pipeline.at.start, pipeline.at.end);
    let key = keys.get(pipeline.id.as_str())?.clone();
    let mut depends_on = Vec::new();
    let mut before = Vec::new();
    for id in pipeline.all_before() {
        let Some(key) = keys.get(id) else { continue };
        let declared = pipeline
            .dependencies
            .iter()
            .find(|dependency| matches!(&dependency.on, spec::model::DependsOn::Pipeline(other) if other == id));
        let span = declared.map_or(span, |dependency| Span::new(source, dependency.at.start, dependency.at.end));
        depends_on.push(Dependency { text: id.to_owned(), key: Some(key.clone()), span });
        let expression = format!("${{{{ components[{}].outputs.{DATASET} }}}}", serde_json::Value::from(key.as_str()));
        before.push(TemplateEntry {
            key: id.to_owned(),
            key_span: span,
            value: Template::compile(&Node { span, kind: NodeKind::Text(expression) }, sources, diagnostics),
        });
    }
    let literal = |value: &str| Template { span, kind: TemplateKind::Literal(value.into()) };
    let entry = |key: &str, value: Template| TemplateEntry { key: key.to_owned(), key_span: span, value };
    let named = || vec![entry(FOLDER, literal(".")), entry(NAME, literal(&pipeline.id))];
    let map = |entries: Vec<TemplateEntry>| Template { span, kind: TemplateKind::Map(entries) };
    let mut run = named();
    if !before.is_empty() {
        run.push(entry("dependencies", map(before)));
    }
    let output = format!("${{{{ resources.{RUN}.{DATASET} }}}}");
    let output = Template::compile(&Node { span, kind: NodeKind::Text(output) }, sources, diagnostics);
    let declarations = Declarations {
        resources: vec![
            resource("pipelines_pipeline", PIPELINE, map(named()), &[], span),
            resource("pipelines_run", RUN, map(run), &[PIPELINE], span),
        ],
        outputs: vec![OutputDeclaration {
            name: Located { value: DATASET.to_owned(), span },
            value: output,
            is_sensitive: false,
            is_public: true,
            label: None,
            display: None,
        }],
        ..Declarations::default()
    };
    Some(Component { key, id: None, depends_on, body: Body::Resources(Arc::new(declarations)), span })
}

fn resource(ty: &str, name: &str, config: Template, after: &[&str], span: Span) -> ResourceDeclaration {
    let located = |value: &str| Located { value: value.to_owned(), span };
    ResourceDeclaration {
        ty: located(ty),
        name: located(name),
        for_each: None,
        key: None,
        when: None,
        config,
        depends_on: after.iter().map(|name| located(name)).collect(),
        provider: None,
        shared: None,
        // Results of `terrace pipelines run` are adopted.
        adopt: Adopt::IfExists,
        lifecycle: Lifecycle::default(),
        ignore_changes: Vec::new(),
        replace_triggered_by: Vec::new(),
        checks: Vec::new(),
        span,
    }
}

impl Folder {
    /// Sets the folder in all resources: relative to the project if it is inside. It decides the name of the stack.
    pub(super) fn set_project(&mut self, project: &Path) {
        let project = project.canonicalize().unwrap_or_else(|_| project.to_owned());
        self.descriptor.stack = stack_name(&self.root, &project);
        let within = self.root.strip_prefix(&project).unwrap_or(&self.root).display().to_string();
        let folder = if within.is_empty() { ".".to_owned() } else { within };
        let stack = former_name(&self.root, &project).unwrap_or_else(|| self.descriptor.stack.clone());
        let folder_named = Some((FOLDER, folder.clone()));
        self.descriptor.former = Some(Box::new(FormerNames { stack, folder: folder_named, ..FormerNames::default() }));
        for component in &mut self.descriptor.components {
            let Body::Resources(declarations) = &mut component.body else { continue };
            for resource in &mut Arc::make_mut(declarations).resources {
                let TemplateKind::Map(entries) = &mut resource.config.kind else { continue };
                for entry in entries.iter_mut().filter(|entry| entry.key == FOLDER) {
                    entry.value.kind = TemplateKind::Literal(folder.as_str().into());
                }
            }
        }
    }

    /// The diagnostic for a descriptor of the same stack: each apply would remove the objects of the other.
    pub(super) fn duplicate_stack_diagnostic(&self) -> Diagnostic {
        let stack = &self.descriptor.stack;
        let message = format!("the stack `{stack}` is described twice: by a descriptor, and by pipeline specs");
        let hint = "rename the stack of the descriptor: specs take the name of their folder";
        let spans = self.descriptor.components.first().map(|component| component.span);
        spans.into_iter().fold(Diagnostic::error("duplicate_stack", message), Diagnostic::at).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_of_pipeline_depends_on_its_id_alone() {
        assert_eq!((key_of("./a-1/x.y").as_str(), key_of("./shared").as_str()), ("a-1/x.y", "shared_"));
        let ids =
            ["./a b/x", "./a_b/x", "./כנסת/x", "./ועדה/x", "./shared", "./shared_", "./shared__", "./a/b/x", "./a:b/x"];
        let keys: BTreeSet<ComponentKey> = ids.into_iter().map(key_of).collect();
        assert_eq!(keys.len(), ids.len(), "{keys:?}");
        assert!(keys.iter().all(|key| key.chars().all(|c| is_plain(c) || c == '/')), "{keys:?}");
        assert!(key_of("./כנסת/x").starts_with("knst_"), "{keys:?}");
    }

    #[test]
    fn folders_with_the_same_last_name_are_different_stacks() {
        let name = |root: &str| stack_name(Path::new(root), Path::new("/projects/etl"));
        assert_eq!(name("/projects/etl"), "etl");
        assert_eq!(name("/projects/etl/a/pipelines"), "etl.a.pipelines");
        let roots =
            ["a/pipelines", "b/pipelines", "pipelines", "etl", "a.pipelines", "a/b c", "a/b_c", "a/b.c", "a/b/c"];
        let mut names: BTreeSet<String> = roots.iter().map(|root| name(&format!("/projects/etl/{root}"))).collect();
        names.insert(name("/projects/etl"));
        assert_eq!(names.len(), roots.len() + 1, "{names:?}");
        assert_eq!(stack_name(Path::new("/projects/.shared"), Path::new("/projects/.shared")), "pipelines");
        assert_eq!(stack_name(Path::new("/elsewhere/x"), Path::new("/projects/etl")), "x");
    }

    #[test]
    fn folder_without_usable_letters_has_no_former_name() {
        let former = |root: &str| former_name(Path::new(root), Path::new(root));
        assert_eq!(former("/projects/בית"), None);
        assert_eq!(former("/projects/pipelines").as_deref(), Some("pipelines"));
        assert_eq!(former("/projects/abc_בית").as_deref(), Some("abc____"));
    }
}
