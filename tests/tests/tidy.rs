//! Rules for the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use terrace_tests::{Project, repository};

/// Returns every Rust source file, relative to the repository.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![repository().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path.strip_prefix(repository()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    assert!(found.len() > 100, "the sources were not found");
    found
}

fn text(path: &Path) -> String {
    fs::read_to_string(repository().join(path)).unwrap()
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs" | "testing.rs")))
}

/// Returns the lines of non-test code, without comments and `#[cfg(test)]` items.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = text(path);
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.to_owned()));
    let mut code = Vec::new();
    while let Some((number, line)) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            // The next item is test code: one line, or the lines up to the closing bracket of the same depth.
            let depth = line.len() - line.trim_start().len();
            lines.find(|(_, line)| {
                let is_here = line.len() - line.trim_start().len() == depth;
                is_here && (line.ends_with(';') || line.trim() == "}")
            });
        } else if !line.trim_start().starts_with("//") {
            code.push((number, line));
        }
    }
    code
}

#[test]
fn engine_uses_no_file_environment_network_or_clock() {
    let forbidden = [
        "std::fs",
        "tokio::fs",
        "std::env",
        "std::net",
        "tokio::net",
        "std::process",
        "tokio::process",
        "reqwest",
        "rusqlite",
        "SystemTime::now",
        "Timestamp::now",
    ];
    for path in sources().iter().filter(|path| path.starts_with("engine") && !is_test(path)) {
        for (number, line) in code(path) {
            for word in forbidden {
                assert!(!line.contains(word), "{}:{number} uses `{word}`: {line}", path.display());
            }
        }
    }
}

/// The engine is several crates, and one name in the log: users set `log.level` to `warn,terrace_engine=debug`.
#[test]
fn engine_logs_under_one_name() {
    let mut found = 0;
    for path in sources().iter().filter(|path| path.starts_with("engine") && !is_test(path)) {
        let lines: String = code(path).into_iter().map(|(_, line)| line.trim().to_owned()).collect();
        for event in ["error", "warn", "info", "debug", "trace"].map(|level| format!("tracing::{level}!(")) {
            for arguments in lines.split(&event).skip(1) {
                assert!(arguments.starts_with("target: \"terrace_engine::"), "{}: {event}", path.display());
                found += 1;
            }
        }
    }
    assert!(found >= 5, "{found}");
}

/// Files outside of the providers that name a technology in their code, and why. A folder stands for its files.
const NAMING_FILES: [(&str, &str); 9] = [
    ("cli/src/wiring/providers.rs", "lists the providers"),
    ("cli/src/args.rs", "examples of a help text"),
    ("cli/src/args/lists.rs", "examples of a help text"),
    ("cli/src/args/pipelines.rs", "kinds of clusters"),
    ("cli/src/commands/doctor/state.rs", "the file of the state"),
    ("cli/src/commands/operator/lifetimes.rs", "databases of pipelines"),
    ("cli/src/commands/pipelines", "databases and clusters of pipelines"),
    ("cli/src/commands/role_mapper.rs", "Hasura's role mapper"),
    ("cli/src/configuration/server.rs", "example of a hint"),
];

/// Names of the state's stores. They are not providers.
const STORES: [&str; 5] = ["storeurl::sqlite", "storeurl::postgres", "sqlite_mark", "sqlite:", "postgres://"];

/// A provider knows its technology. The rest of terrace gets its words from the provider's schema and session.
#[test]
fn only_listed_files_outside_of_the_providers_name_technologies() {
    let folders = fs::read_dir(repository().join("providers")).unwrap().map(|entry| entry.unwrap().file_name());
    // The other three are words of terrace itself: a place, its data pipelines, and the API of its server.
    let is_technology = |name: &String| !["sdk", "local", "pipelines", "witboost"].contains(&name.as_str());
    let technologies: Vec<_> = folders.map(|name| name.into_string().unwrap()).filter(is_technology).collect();
    assert!(technologies.iter().any(|name| name == "kafka"), "{technologies:?}");
    let is_ours = |path: &&PathBuf| ["cli/src", "server/src", "engine"].iter().any(|root| path.starts_with(root));
    let mut unused: BTreeSet<_> = NAMING_FILES.map(|(file, _)| file).into_iter().collect();
    let mut found = Vec::new();
    for path in sources().iter().filter(is_ours).filter(|path| !is_test(path)) {
        for (number, line) in code(path) {
            let text = STORES.iter().fold(line.to_lowercase(), |text, store| text.replace(store, ""));
            if !technologies.iter().any(|name| text.contains(name)) {
                continue;
            }
            match NAMING_FILES.iter().find(|(file, _)| path.starts_with(file)) {
                Some((file, _)) => drop(unused.remove(file)),
                None => found.push(format!("{}:{number}: {line}", path.display())),
            }
        }
    }
    assert!(found.is_empty(), "move the words to the provider, or list the file with a reason:\n{}", found.join("\n"));
    assert!(unused.is_empty(), "these files name no technology any more: {unused:?}");
}

#[test]
fn sources_have_no_todo_markers() {
    // The markers are concatenated so that this file does not contain them.
    let words = [["to", "do!("], ["db", "g!("], ["unimple", "mented!("], ["TO", "DO"], ["FIX", "ME"], ["XX", "X"]]
        .map(|it| it.concat());
    for path in sources() {
        for (index, line) in text(&path).lines().enumerate() {
            for word in &words {
                assert!(!line.contains(word), "{}:{} says `{word}`", path.display(), index + 1);
            }
        }
    }
}

/// Returns the folders of the crates.
pub(super) fn crates() -> Vec<String> {
    let manifest = text(Path::new("Cargo.toml"));
    let members = manifest.split_once("\nmembers = [").unwrap().1.split_once(']').unwrap().0;
    members.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_crate_forbids_unsafe_code_and_uses_the_workspace_lints() {
    assert!(text(Path::new("Cargo.toml")).contains("unsafe_code = \"forbid\""));
    assert!(crates().len() > 20);
    // Examples are copied into other projects, so they have their own lints.
    for path in crates().into_iter().filter(|path| !path.starts_with("examples/")) {
        let manifest = text(&Path::new(&path).join("Cargo.toml"));
        assert!(manifest.contains("[lints]\nworkspace = true"), "{path} does not use the workspace lints");
    }
}

/// Cargo reads all manifests before it builds a crate.
#[test]
fn image_is_built_with_every_crate() {
    let (image, sent) = (text(Path::new("deploy/Dockerfile")), text(Path::new(".dockerignore")));
    let made = image.split_once("for crate in ").unwrap().1.split_once(';').unwrap().0;
    let made: BTreeSet<&str> = made.split(' ').collect();
    for path in crates() {
        assert!(
            image.contains(&format!("COPY {path}/Cargo.toml {path}/")),
            "deploy/Dockerfile copies no manifest of {path}"
        );
        assert!(made.contains(path.as_str()), "deploy/Dockerfile makes no place for {path}");
        let is_sent = !path.starts_with("tests") || sent.lines().any(|line| line == format!("!{path}/Cargo.toml"));
        assert!(is_sent, ".dockerignore keeps the manifest of {path}");
    }
}

#[test]
fn every_command_in_the_pages_exists() {
    let project = Project::new();
    let mut helps: BTreeMap<String, String> = BTreeMap::new();
    let mut help_of = |words: &[&str]| {
        let run = || match words.first() {
            Some(&"help") => project.run(words.iter().copied()).done().stdout,
            _ => project.run(words.iter().copied().chain(["--help"])).done().stdout,
        };
        helps.entry(words.join(" ")).or_insert_with(run).clone()
    };
    let mut checked = BTreeSet::new();
    for path in pages() {
        let text = text(Path::new(&path));
        // Commands between backticks, and after a prompt in a block.
        let is_command = |piece: &&str| piece.starts_with("terrace ") && !piece.contains('\n');
        let in_words = text.split('`').filter(is_command);
        let in_blocks = text.lines().filter_map(|line| line.trim_start().strip_prefix("$ ")).filter(is_command);
        for command in in_words.chain(in_blocks) {
            let command = command.split(['#', '|', '>', ';']).next().unwrap();
            let is_name =
                |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-');
            let all: Vec<&str> = command.split_whitespace().skip(1).take_while(is_name).collect();
            let options = command.split_whitespace().filter(|word| word.starts_with("--"));
            if all.is_empty() {
                continue;
            }
            // The next word is a command only in command groups. Otherwise it is an argument.
            let is_group = |words: &[&str], help: &str| words == ["help"] || help.contains("\nCommands:\n");
            let mut words = &all[..1];
            while words.len() < all.len() && is_group(words, &help_of(words)) {
                words = &all[..=words.len()];
            }
            let help = help_of(words);
            for option in options {
                let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
                let name = option.split(|c| !is_part(c)).next().unwrap();
                assert!(help.contains(name), "`{command}` of {path}: there is no `{name}`");
            }
            checked.insert(words.join(" "));
        }
    }
    assert!(checked.len() >= 40, "{checked:?}");
}

/// Returns the documentation pages, relative to the repository.
fn pages() -> Vec<String> {
    let mut pages = Vec::new();
    let mut folders = vec![repository().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let is_hidden =
                |name: &str| name.starts_with('.') || ["target", "snapshots", "node_modules"].contains(&name);
            match entry.file_name().and_then(|name| name.to_str()) {
                Some(name) if entry.is_dir() && !is_hidden(name) => folders.push(entry),
                Some(name) if name.ends_with(".md") => {
                    pages.push(entry.strip_prefix(repository()).unwrap().to_str().unwrap().to_owned());
                }
                _ => {}
            }
        }
    }
    assert!(pages.len() > 50, "{pages:?}");
    pages
}

/// Returns the anchors of a page: headings and explicit anchors.
fn anchors(text: &str) -> BTreeSet<String> {
    let slug = |heading: &str| -> String {
        let kept = heading.trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| slug(line.trim_start_matches('#')));
    let set = text.split("<a id=\"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned);
    headings.chain(set).collect()
}

#[test]
fn every_linked_page_and_anchor_exists() {
    for page in pages() {
        let text = text(Path::new(&page));
        let folder = repository().join(&page).parent().unwrap().to_owned();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
        for target in targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let named = if file.is_empty() { repository().join(&page) } else { folder.join(file) };
            assert!(named.exists(), "{page} names `{target}`, which does not exist");
            if anchor.is_empty() || named.extension().is_none_or(|it| it != "md") {
                continue;
            }
            let known = anchors(&std::fs::read_to_string(&named).unwrap());
            assert!(known.contains(anchor), "{page} names `{target}`, and the page has no such anchor");
        }
    }
    // The files that ARCHITECTURE.md names.
    let text = text(Path::new("ARCHITECTURE.md"));
    let roots = ["engine/", "state/", "providers/", "cli/", "tests/"];
    for path in text.split('`').filter(|word| roots.iter().any(|root| word.starts_with(root)) && word.contains('.')) {
        let file = path.split("::").next().unwrap();
        assert!(repository().join(file).exists(), "ARCHITECTURE.md names `{file}`, which is not there");
    }
}

/// Phrases that texts avoid, with the reason. docs/style.md has the rules and the vocabulary.
const AVOIDED: [(&str, &[&str]); 4] = [
    ("name the role: caller, owner, holder, worker", &["whoever", "whomever", "those who", "someone else"]),
    ("name who reports what", &["is told", "are told", "was told", "were told", "is heard", "is let", "untold"]),
    ("use a noun: the state, not what is recorded", &["that which", "what stands", "what comes"]),
    ("old-fashioned", &["anew", "lest", "thereby", "therein", "thereof", "whereof", "hence", "by then", "beside it"]),
];

/// Returns the texts of a line for people: comments, strings with several words, and names of functions.
fn prose(line: &str) -> Vec<String> {
    let comment = line.split_once("//").map(|(_, comment)| comment.to_owned());
    let strings = line.split('"').skip(1).step_by(2).filter(|text| text.contains(' ')).map(str::to_owned);
    let function = line.trim_start().split_once("fn ").and_then(|(_, rest)| rest.split(['(', '<']).next());
    comment.into_iter().chain(strings).chain(function.map(|name| name.replace('_', " "))).collect()
}

#[test]
fn texts_use_plain_words() {
    let readmes = Command::new("git").args(["ls-files", "*.md"]).current_dir(repository()).output().unwrap();
    let pages = String::from_utf8(readmes.stdout).unwrap();
    let pages = pages.lines().filter(|page| !page.contains("corpus")).map(PathBuf::from);
    let mut found = Vec::new();
    for path in sources().into_iter().chain(pages).filter(|path| !path.ends_with("tidy.rs")) {
        let is_page = path.extension().is_some_and(|extension| extension == "md");
        for (number, line) in (1..).zip(text(&path).lines()) {
            for prose in if is_page { vec![line.to_owned()] } else { prose(line) } {
                let words = prose.to_lowercase();
                let words: Vec<&str> =
                    words.split(|char: char| !char.is_alphanumeric()).filter(|it| !it.is_empty()).collect();
                let words = format!(" {} ", words.join(" "));
                for (reason, phrases) in AVOIDED {
                    let avoided = phrases.iter().filter(|phrase| words.contains(&format!(" {phrase} ")));
                    found.extend(avoided.map(|phrase| format!("{}:{number}: `{phrase}`: {reason}", path.display())));
                }
            }
        }
    }
    assert_eq!(found, [] as [String; 0]);
}
