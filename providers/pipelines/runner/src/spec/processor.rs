//! Resolution of a step's program, as in dpp: a file next to the spec, one of a plugin, or one of dpp.

use super::Specs;
use super::model::{Pipeline, Step, StepKind};
use super::problem::{Problem, Severity};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use terrace_provider::names::candidates;

/// Generations of dpp, which differ in the interface for processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Api {
    /// datapackage-pipelines 1.7.1: `ingest()` returns three values, to which code may add (`ingest() + ({},)`).
    #[serde(rename = "1.7.1")]
    One,
    /// datapackage-pipelines 2.2.11.
    #[serde(rename = "2.2.11")]
    Two,
}

impl Api {
    /// Release to install.
    #[must_use]
    pub const fn release(self) -> &'static str {
        match self {
            Self::One => "1.7.1",
            Self::Two => "2.2.11",
        }
    }

    /// Generation of a release, or of its first number.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        match text {
            "1" | "1.x" | "1.7.1" => Some(Self::One),
            "2" | "2.x" | "2.2.11" => Some(Self::Two),
            _ => None,
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.release())
    }
}

/// Processors of both generations: names, and files of `datapackage_pipelines/lib`.
const BOTH: [&str; 18] = [
    "add_computed_field",
    "add_metadata",
    "add_resource",
    "cache_loader",
    "concatenate",
    "delete_fields",
    "dump.to_path",
    "dump.to_sql",
    "dump.to_zip",
    "duplicate",
    "filter",
    "find_replace",
    "join",
    "load_metadata",
    "load_resource",
    "set_types",
    "sort",
    "stream_remote_resources",
];
/// `unpivot` is in both too: see [`built_in`].
const UNPIVOT: &str = "unpivot";
/// Processors of 2.x only.
const TWO: [&str; 9] = [
    "deduplicate",
    "dump_to_path",
    "dump_to_sql",
    "dump_to_zip",
    "flow",
    "load",
    "printer",
    "update_package",
    "update_resource",
];

fn built_in() -> impl Iterator<Item = &'static str> {
    BOTH.into_iter().chain([UNPIVOT]).chain(TWO)
}

/// Program of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Located {
    /// A file of the project.
    File(PathBuf),
    /// A processor of dpp, by its path in `datapackage_pipelines/lib`.
    BuiltIn(String),
    /// A processor of a package `datapackage_pipelines_…`, by its path in the folder `processors`.
    Plugin {
        /// The package.
        package: String,
        /// The path.
        path: String,
    },
    /// Code in the step itself.
    Code,
    /// dpp's processor `flow`, with a module of the project or of a package.
    Flow(Option<PathBuf>),
}

/// Name of the file with the packages that the pipelines of a spec's folder need.
pub const REQUIREMENTS: &str = "requirements.txt";

/// Finds the program of a step; returns nothing if it does not exist.
#[must_use]
pub fn locate(root: &Path, pipeline: &Pipeline, step: &Step) -> Option<Located> {
    let folder = &root.join(&pipeline.folder);
    let has_requirements = || !pipeline.requirements.is_empty() || folder.join(REQUIREMENTS).is_file();
    match &step.kind {
        StepKind::Code(_) => Some(Located::Code),
        StepKind::Flow => {
            let path: PathBuf = step.name.split('.').collect();
            let places = [folder.join(&path).with_extension("py"), folder.join(&path).join("__init__.py")];
            match places.into_iter().find(|place| place.is_file()) {
                Some(file) => Some(Located::Flow(Some(file))),
                None => has_requirements().then_some(Located::Flow(None)),
            }
        }
        StepKind::Processor => {
            let (ups, parts) = parts(&step.name);
            let mut file = folder.to_path_buf();
            file.extend(std::iter::repeat_n("..", ups));
            file.extend(&parts);
            if file.is_file() {
                return Some(Located::File(file));
            }
            if ups > 0 {
                return None;
            }
            // A plugin inside the project needs no installation.
            if let Some((module, rest)) = parts.split_first().filter(|(_, rest)| !rest.is_empty()) {
                let processors = |place: &Path| place.join(plugin(module)).join("processors").join(rest.join("/"));
                let places = [processors(folder), processors(root)];
                if let Some(file) = places.into_iter().find(|file| file.is_file()) {
                    return Some(Located::File(file));
                }
            }
            let path = parts.join("/");
            let further = pipeline.processors.iter().map(|folder| folder.join(&path)).find(|file| file.is_file());
            if let Some(file) = further {
                return Some(Located::File(file));
            }
            let is_own = built_in().any(|name| name == step.name);
            match parts.split_first() {
                _ if is_own => Some(Located::BuiltIn(path)),
                Some((module, rest)) if !rest.is_empty() && has_requirements() => {
                    Some(Located::Plugin { package: plugin(module), path: rest.join("/") })
                }
                _ => None,
            }
        }
    }
}

/// Name of a plugin's package.
pub(crate) fn plugin(module: &str) -> String {
    format!("datapackage_pipelines_{module}")
}

/// Number of folders to go up, and the path from there: `..a.b` is `../a/b.py`.
fn parts(name: &str) -> (usize, Vec<String>) {
    let (mut ups, mut rest) = (0, name);
    while rest.starts_with("..") {
        ups += 1;
        rest = rest.strip_prefix('.').unwrap_or(rest);
    }
    let mut parts: Vec<String> = rest.strip_prefix('.').unwrap_or(rest).split('.').map(str::to_owned).collect();
    if let Some(last) = parts.last_mut() {
        last.push_str(".py");
    }
    (ups, parts)
}

/// Generation for which a pipeline is written: 1.x if some code adds to the result of `ingest()`, which fails on 2.x.
#[must_use]
pub fn api(root: &Path, pipeline: &Pipeline) -> Api {
    let is_old = |step: &Step| match (&step.kind, locate(root, pipeline, step)) {
        (StepKind::Code(code), _) => adds_to_ingest(code),
        (_, Some(Located::File(file))) => fs::read_to_string(file).is_ok_and(|text| adds_to_ingest(&text)),
        _ => false,
    };
    if pipeline.steps.iter().any(is_old) { Api::One } else { Api::Two }
}

fn adds_to_ingest(text: &str) -> bool {
    text.split("ingest()").skip(1).any(|rest| rest.trim_start_matches([' ', '\\', '\r', '\n']).starts_with('+'))
}

/// Reports steps without a program, and known incompatibilities.
pub(super) fn check(specs: &mut Specs) {
    let mut problems = Vec::new();
    for pipeline in &specs.pipelines {
        let api = api(&specs.root, pipeline);
        for step in &pipeline.steps {
            let note = |severity, code, message: String, hint: Option<String>| Problem {
                severity,
                code,
                message,
                file: pipeline.file,
                at: step.at.start..step.at.start,
                pipeline: Some(pipeline.id.clone()),
                step: Some((step.number, step.name.clone())),
                hint,
            };
            let located = locate(&specs.root, pipeline, step);
            if located.is_none() {
                let message = match step.kind {
                    StepKind::Flow => format!("there is no module `{}`", step.name),
                    _ => format!("there is no processor `{}`", step.name),
                };
                problems.push(note(Severity::Error, "no_processor", message, Some(hint(&specs.root, pipeline, step))));
            }
            let is_new = matches!(&located, Some(Located::Flow(_)))
                || matches!(&located, Some(Located::BuiltIn(_)) if TWO.contains(&step.name.as_str()));
            if is_new && api == Api::One {
                let message = format!(
                    "`{}` needs datapackage-pipelines 2, but another step adds to the result of `ingest()`, which needs 1",
                    step.name
                );
                let hint = "write that step with `with ingest() as ctx:`".to_owned();
                problems.push(note(Severity::Error, "api", message, Some(hint)));
            }
            if step.name == "sort" && api == Api::Two && !step.parameters.contains_key("reverse") {
                let message = "`sort` of datapackage-pipelines 2 fails without `reverse`".to_owned();
                problems.push(note(Severity::Warning, "sort", message, Some("add `reverse: false`".to_owned())));
            }
        }
    }
    specs.problems.append(&mut problems);
}

fn hint(root: &Path, pipeline: &Pipeline, step: &Step) -> String {
    if let Some(name) = suggestion(&root.join(&pipeline.folder), step) {
        return format!("did you mean `{name}`?");
    }
    let (ups, parts) = parts(&step.name);
    if ups > 0 && step.kind == StepKind::Processor {
        return format!("put it into `{}`", within_project(&pipeline.folder, ups, &parts).display());
    }
    match (&step.kind, step.name.split_once('.')) {
        (StepKind::Flow, _) if is_processor_of_dpp(&step.name) => {
            format!("`{}` is a processor: write `run: {}`", step.name, step.name)
        }
        (StepKind::Flow, _) => format!("put `{}.py` next to the spec", step.name.replace('.', "/")),
        (_, Some((module, _))) if !module.is_empty() && module != "dump" => format!(
            "if it is a processor of a plugin, name `datapackage-pipelines-{module}` in a `{REQUIREMENTS}` next to the spec"
        ),
        _ => format!("put `{}` next to the spec, or use a processor of dpp", parts.join("/")),
    }
}

/// Path of a file relative to the project folder, so many folders above the folder of a spec.
fn within_project(folder: &Path, ups: usize, parts: &[String]) -> PathBuf {
    let mut path = folder.to_path_buf();
    for _ in 0..ups {
        match path.as_os_str().is_empty() || path.ends_with("..") {
            true => path.push(".."),
            false => drop(path.pop()),
        }
    }
    path.extend(parts);
    path
}

/// Returns true for processors that steps may name; dpp adds the others itself.
fn is_processor_of_dpp(name: &str) -> bool {
    name != "flow" && name != "cache_loader" && built_in().any(|known| known == name)
}

/// Suggests a name of the same kind that differs in a few letters: a processor of dpp or of the folder that the name
/// points to, or a module there with a function `flow`.
fn suggestion(folder: &Path, step: &Step) -> Option<String> {
    let (ups, parts) = parts(&step.name);
    let inner = parts.get(..parts.len().saturating_sub(1)).unwrap_or_default();
    let mut place = folder.to_path_buf();
    place.extend(std::iter::repeat_n("..", ups));
    place.extend(inner);
    let prefix = step.name.rfind('.').and_then(|dot| step.name.get(..=dot)).unwrap_or_default();
    let is_flow = step.kind == StepKind::Flow;
    let files = fs::read_dir(&place).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = files.filter(|file| file.extension().is_some_and(|it| it == "py") && is_flow_file(file) == is_flow);
    let mut names: Vec<String> =
        files.filter_map(|file| Some(format!("{prefix}{}", file.file_stem()?.to_str()?))).collect();
    names.sort_unstable();
    if !is_flow && ups == 0 {
        names.extend(built_in().filter(|name| is_processor_of_dpp(name)).map(str::to_owned));
    }
    let most = if step.name.len() < 8 { 1 } else { 2 };
    let wanted = step.name.to_lowercase();
    let close = candidates(&step.name, names.iter().map(String::as_str));
    let close = close.map(|name| (strsim::osa_distance(&wanted, &name.to_lowercase()), name));
    let close = close.filter(|(distance, _)| *distance <= most).min_by_key(|(distance, _)| *distance);
    close.map(|(_, name)| name.to_owned())
}

/// Returns true for a module with a function `flow`, which is not a processor.
fn is_flow_file(file: &Path) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.lines().any(|line| line.starts_with("def flow(")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_lead_into_folders_and_up() {
        let of = |name: &str| (parts(name).0, parts(name).1.join("/"));
        assert_eq!(of("noise"), (0, "noise.py".to_owned()));
        assert_eq!(of("dump.to_path"), (0, "dump/to_path.py".to_owned()));
        assert_eq!(of("..common.clean"), (1, "common/clean.py".to_owned()));
        assert_eq!(of("...common.clean"), (2, "common/clean.py".to_owned()));
    }

    #[test]
    fn file_of_relative_processor_is_named_from_project_folder() {
        let path = |folder: &str, name: &str| {
            let (ups, parts) = parts(name);
            within_project(Path::new(folder), ups, &parts).display().to_string()
        };
        assert_eq!(path("a/b", "..common.clean"), "a/common/clean.py");
        assert_eq!(path("a/b", "...common.clean"), "common/clean.py");
        assert_eq!(path("a", "...common.clean"), "../common/clean.py");
        assert_eq!(path("", "...clean"), "../../clean.py");
    }

    #[test]
    fn only_processors_a_few_letters_away_are_suggested() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("common")).unwrap();
        for (name, text) in [
            ("clean_names.py", "spew(x, y)"),
            ("weekly.py", "def flow(parameters):\n  pass\n"),
            ("common/clean.py", "spew(x, y)"),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let meant = |kind: StepKind, name: &str| {
            let step = Step {
                number: 1,
                name: name.to_owned(),
                at: 0..0,
                kind,
                parameters: serde_json::Map::new(),
                is_cached: false,
                is_validated: false,
                runner: None,
                wrapper: None,
            };
            suggestion(folder.path(), &step)
        };
        for (name, expected) in [
            ("load_resorce", Some("load_resource")),
            ("dump.to.path", Some("dump.to_path")),
            ("stream_remote_resource", Some("stream_remote_resources")),
            ("clean_nmaes", Some("clean_names")),
            ("common.claen", Some("common.clean")),
            ("Printer", Some("printer")),
            ("load_data", None),
            ("sorter", None),
            ("weekli", None),
            ("join_all", None),
            ("filter_rows", None),
        ] {
            assert_eq!(meant(StepKind::Processor, name).as_deref(), expected, "{name}");
        }
        assert_eq!(meant(StepKind::Flow, "weekli").as_deref(), Some("weekly"));
        assert_eq!(meant(StepKind::Flow, "clean_nmaes"), None);
        assert_eq!(meant(StepKind::Flow, "load_resorce"), None);
    }

    #[test]
    fn code_that_adds_to_ingest_needs_first_generation() {
        assert!(adds_to_ingest("parameters, datapackage, resources, stats = ingest() + ({},)"));
        assert!(adds_to_ingest("a = ingest() \\\n  + ({},)"));
        assert!(!adds_to_ingest("with ingest() as ctx:\n  x = 1 + 1"));
    }
}
