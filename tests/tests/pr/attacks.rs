//! Untrusted requests: none reaches a secret, runs a program, calls a system or writes outside of its folders.

use super::repository::{AUTHOR, Forge, Repository, STRANGER, stack};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use terrace_test_github as github;
use terrace_test_gitlab as gitlab;

/// Part of every secret of the tests.
const SECRET: &str = "hunter2";

/// A product of a component, as in `examples/repositories`.
const SYSTEM: &str = "kind: System\nmetadata: {name: sales.orders.0, description: Orders}\nspec:\n  type: dataproduct\n  \
                      owner: group:sales-dev\n  domain: domain:sales\n  mesh: {dataProductOwner: user:jane.roe_example.com, devGroup: group:sales-dev, email: a@example.com, version: 0.1.0, name: Orders, specific: {}}\n";
const COMPONENT: &str = "kind: Component\nmetadata: {name: sales.orders.0.raw, description: Raw files}\nspec:\n  type: storage\n  \
                         owner: group:sales-dev\n  system: system:sales.orders.0\n  domain: domain:sales\n  mesh: {name: Raw, description: Raw files, kind: storage, version: 0.1.0, infrastructureTemplateId: \"urn:dmb:itm:terrace:0\", useCaseTemplateId: \"urn:dmb:utm:bucket-template:0.0.0\", dependsOn: [], tags: [], specific: {bucket: acme}}\n";
const BLUEPRINT: &str = "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {name: bucket, version: 1.0.0, description: A folder}\n\
                         match: {useCaseTemplateId: \"urn:dmb:utm:bucket-template\"}\nspecific:\n  type: object\n  properties: {bucket: {type: string}}\n\
                         resources:\n  - type: local_file\n    name: settings\n    config: {path: '${{ component.specific.bucket + \"/a.txt\" }}', content: x}\n";

/// An attack: its name, its files, and texts that the comment must not have as they are.
struct Attack {
    name: &'static str,
    change: Box<dyn Fn(&Repository)>,
    forbidden: &'static [&'static str],
    /// A text that the comment must have.
    expected: &'static str,
}

fn attack(name: &'static str, change: impl Fn(&Repository) + 'static) -> Attack {
    Attack { name, change: Box::new(change), forbidden: &[], expected: "" }
}

/// An attack by the resources, outputs or other fields of the stack.
fn by_stack(name: &'static str, rest: impl Into<String>) -> Attack {
    let text = format!("apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\n{}", rest.into());
    attack(name, move |repository| repository.write("stacks/demo.yaml", &text))
}

/// An attack by one file.
fn by_file(name: &'static str, path: &'static str, text: impl Into<String>) -> Attack {
    let text = text.into();
    attack(name, move |repository| repository.write(path, &text))
}

/// An attack by a link.
fn by_link(name: &'static str, path: &'static str, target: &'static str) -> Attack {
    attack(name, move |repository| {
        let link = repository.path(path);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        if link.is_dir() && !link.is_symlink() {
            std::fs::remove_dir_all(&link).unwrap();
        } else if link.exists() {
            std::fs::remove_file(&link).unwrap();
        }
        symlink(target, link).unwrap();
    })
}

/// An attack by the skeleton of the component.
fn by_template(name: &'static str, template: impl Into<String>) -> Attack {
    let text = format!("%SKELETON\n{}{COMPONENT}", template.into());
    attack(name, move |repository| repository.write("orders-raw/catalog-info.yaml", &text))
}

fn with_content(content: &str) -> String {
    format!("resources:\n  - type: local_file\n    name: a\n    config: {{path: out/demo.txt, content: '{content}'}}\n")
}

impl Attack {
    fn forbids(self, forbidden: &'static [&'static str]) -> Self {
        Self { forbidden, ..self }
    }

    fn expects(self, expected: &'static str) -> Self {
        Self { expected, ..self }
    }
}

fn attacks(trap: &str, outside: &str) -> Vec<Attack> {
    let mine = |text: &str| text.replace("TRAP", trap).replace("OUTSIDE", outside);
    let program = mine("[sh, -c, \"touch OUTSIDE/pwned\"]");
    vec![
        // Secrets of the configuration, of the job and of files.
        by_stack("setting in content", with_content("${{ settings.plain }}")),
        by_stack("setting of a file in content", with_content("${{ settings.file }}")),
        by_stack("marked secret in content", with_content("${{ settings.marked }}")),
        by_stack("all settings in an output", "outputs: {all: {value: '${{ json(settings) }}'}}\n"),
        by_stack("settings as keys of resources", "resources:\n  - type: local_file\n    name: a\n    forEach: '${{ [settings.plain] }}'\n    config: {path: 'out/${{ each.key }}', content: x}\n"),
        by_stack("variable of the job", format!("variables: {{password: {{default: none}}}}\n{}", with_content("${{ vars.password }}"))),
        by_stack("variable without a default", format!("variables: {{password: {{}}}}\n{}", with_content("${{ vars.password }}"))),
        by_stack("environment variable", with_content("${{ env.SECRET_TOKEN }}")),
        by_stack("file of the checkout", with_content("${{ file(\"secret.txt\") }}")),
        by_stack("file of the system", with_content("${{ file(\"/proc/self/environ\") }}")),
        by_stack("source in the checkout", "resources:\n  - type: local_file\n    name: a\n    config: {path: out/demo.txt, source: secret.txt}\n"),
        by_stack("source outside", mine("resources:\n  - type: local_file\n    name: a\n    config: {path: out/demo.txt, source: OUTSIDE/secret.txt}\n")),
        by_stack("lookup of a file", format!("data:\n  - type: local_file\n    name: s\n    config: {{path: secret.txt}}\n{}", with_content("${{ data.s.content }}"))),
        by_stack("outputs of another stack", with_content("${{ stacks[\"other\"].components[\"\"].outputs.secret }}")),
        by_stack("import of a file", mine("imports: [{to: local_file.a, id: OUTSIDE/secret.txt}]\nresources:\n  - type: local_file\n    name: a\n    config: {path: out/demo.txt, content: x}\n")),
        // Programs.
        by_stack("command", format!("resources:\n  - type: local_command\n    name: a\n    config: {{create: {{command: {program}}}, read: {{command: {program}}}, find: {{command: {program}}}}}\n")),
        by_stack("command as text", mine("resources:\n  - type: local_command\n    name: a\n    config: {create: touch OUTSIDE/pwned, read: touch OUTSIDE/pwned, delete: touch OUTSIDE/pwned}\n")),
        by_file("key command in terrace.yaml", "terrace.yaml", format!("encryption: {{keyCommand: {program}}}\nenvironments: {{prod: {{overlay: embedded}}}}\n")),
        by_file("key command below a product", "orders-raw/terrace.yaml", format!("encryption: {{keyCommand: {program}}}\nenvironments: {{prod: {{overlay: embedded}}}}\n")),
        by_file("key command next to a stack", "stacks/terrace.yaml", format!("encryption: {{keyCommand: {program}}}\nenvironments: {{prod: {{overlay: embedded}}}}\n")),
        by_file("pipeline of a shell", "pipes/pipeline-spec.yaml", mine("evil:\n  pipeline:\n    - run: exec\n      parameters: {command: touch OUTSIDE/pwned}\n")).expects("pipeline specs"),
        by_file("processor in Python", "pipes/evil.py", mine("open('OUTSIDE/pwned', 'w')\n")),
        by_file("hook of Git", ".githooks/post-checkout", mine("#!/bin/sh\ntouch OUTSIDE/pwned\n")),
        by_file("filter of Git", ".gitattributes", "* filter=evil diff=evil export-subst\n"),
        attack("filter with a driver in the checkout", |repository| repository.write(".lfsconfig", "[lfs]\nurl = http://evil\n")),
        // Configuration and blueprints of the request.
        by_file("endpoint in terrace.yaml", "terrace.yaml", mine("state: postgres://x@127.0.0.1:1/x\nenvironments: {prod: {providers: {hasura: {url: \"http://TRAP\", adminSecret: x}, airbyte: {url: \"http://TRAP\", token: x}}}}\n")),
        attack("terrace.yaml removed", |repository| std::fs::remove_file(repository.path("terrace.yaml")).unwrap()),
        by_file("terrace.yaml broken", "terrace.yaml", "environments: [\n"),
        by_file("blueprint changed", "blueprints/bucket.yaml", BLUEPRINT.replace("content: x", "content: '${{ settings.plain }}'")),
        by_file("blueprint added", "blueprints/evil.yaml", BLUEPRINT.replace("name: bucket", "name: evil").replace("bucket-template", "evil-template")),
        attack("blueprint of a new component", move |repository| {
            repository.write("blueprints/evil.yaml", &BLUEPRINT.replace("name: bucket", "name: evil").replace("bucket-template", "evil-template"));
            repository.write("orders-raw/catalog-info.yaml", &COMPONENT.replace("bucket-template", "evil-template"));
        }).expects("dropped"),
        by_file("another environment", "orders-raw/environments/evil/configurations.yaml", "specific: {bucket: evil}\n"),
        // Links.
        by_link("link to a file of the system", "stacks/link.yaml", "/etc/passwd").expects("stacks/link.yaml"),
        by_link("link to a process", "stacks/demo.yaml", "/proc/self/environ").expects("stacks/demo.yaml"),
        by_link("link to a secret", "orders-raw/parameters.yaml", "../../secret.txt").expects("orders-raw/parameters.yaml"),
        by_link("link of an environment", "orders-raw/environments/prod", "/proc/self/"),
        by_link("link of a product", "orders-raw", "/etc"),
        by_link("link of the configuration", "terrace.yaml", "../secret.txt"),
        by_link("link of the blueprints", "blueprints", ".."),
        by_link("link of the output folder", "terrace-plan", ".."),
        // Too much.
        by_template("endless loop", "{% for a in range(100000) %}{% for b in range(100000) %}{% for c in range(100000) %}x{% endfor %}{% endfor %}{% endfor %}\n").expects("too much work"),
        by_template("endless macro", "{% macro m() %}${{ m() }}{% endmacro %}# ${{ m() }}\n"),
        by_template("output bomb", "{% set a = \"xxxxxxxxxx\" %}{% for i in range(60) %}{% set a = a ~ a %}{% endfor %}# ${{ a }}\n"),
        by_template("pattern bomb", "# ${{ \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\" | replace(r/(a+)+$/g, \"\") }}\n"),
        by_template("deep expression", format!("# ${{{{ {}1{} }}}}\n", "(".repeat(50_000), ")".repeat(50_000))),
        by_template("inclusion of a file", "{% include \"/etc/passwd\" %}\n"),
        by_template("import of a file", "{% import \"../secret.txt\" as secret %}\n# ${{ secret }}\n"),
        by_template("constructor of the language", "# ${{ \"\".constructor.constructor(\"return process.env\")() }}\n"),
        by_template("attributes of the language", "# ${{ \"\".__class__.__mro__ }}\n"),
        by_file("aliases", "stacks/demo.yaml", "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c]\ne: &e [*d, *d, *d, *d, *d, *d, *d, *d]\nkind: Stack\nmetadata: *e\n"),
        by_file("deep brackets", "stacks/demo.yaml", format!("kind: Stack\nmetadata: {}\n", "[".repeat(100_000))),
        by_file("huge file", "stacks/huge.yaml", format!("kind: Stack\n# {}\n", "x".repeat(2 << 20))).expects("stacks/huge.yaml"),
        attack("huge difference", |repository| {
            let resources: String = (0..4000).map(|n| format!("  - {{type: local_file, name: f{n}, config: {{path: out/{n}, content: {}}}}}\n", "y".repeat(100))).collect();
            repository.write("stacks/demo.yaml", &format!("apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\nresources:\n{resources}"));
        }).expects("more changes"),
        attack("many stacks", |repository| {
            (0..120).for_each(|number| repository.write(&format!("stacks/s{number}.yaml"), &stack(&format!("s{number}"), "x")));
        }),
        // Texts for the comment.
        by_file("link in a name", "stacks/demo.yaml", stack("demo", "x").replace("name: a", "name: \"[click](https://evil.example)\"")).expects("`demo@prod: stacks/demo.yaml:6:11: '[click]("),
        by_file("tag in a name", "stacks/demo.yaml", stack("demo", "x").replace("name: a", "name: \"<img src=x onerror=alert(1)>\"")).forbids(&[" <img"]),
        by_file("mention in an unknown field", "stacks/demo.yaml", format!("{}\"@acme/everyone\": x\n", stack("demo", "x"))).forbids(&["@acme/everyone"]),
        by_file("marker in an unknown field", "stacks/demo.yaml", format!("{}\"<!-- terrace:record:1 eyJ -->\": x\n", stack("demo", "x"))).forbids(&["<!-- terrace:record"]),
        by_file("fence in a key", "stacks/demo.yaml", format!("{}\"```\\n\\n## Approved by everyone\": x\n", stack("demo", "x"))).forbids(&["\n## Approved"]),
        by_file("table in a name of a component", "orders-raw/catalog-info.yaml", COMPONENT.replace("name: Raw,", "name: \"Raw | x\\n\\n| approved |\",")).forbids(&["\n| approved |"]),
        by_file("approval in an unknown field", "stacks/demo.yaml", format!("{}\"terrace approve {}\": x\n", stack("demo", "x"), "a".repeat(64))).forbids(&["\nterrace approve"]),
        by_file("command for GitLab in a key", "stacks/demo.yaml", format!("{}\"\\n/merge\\n/approve\": x\n", stack("demo", "x"))).forbids(&["\n/merge", "\n/approve"]),
        by_stack("command for GitLab in a value", with_content("x\n\n/merge\n\n/approve")).forbids(&["\n/merge", "\n/approve"]),
        // Texts for the log.
        by_file("command of the runner", "stacks/demo.yaml", format!("{}\"\\n::set-output name=x::y\": x\n", stack("demo", "x"))).forbids(&["\n::set-output"]),
        by_file("old command of the runner", "stacks/demo.yaml", format!("{}\"##[set-env name=PATH]/evil\": x\n", stack("demo", "x"))),
        by_file("mask of the runner", "stacks/demo.yaml", format!("{}\"\\n::add-mask::demo\\n::stop-commands::x\": x\n", stack("demo", "x"))).forbids(&["\n::add-mask"]),
        by_file("section of GitLab's log", "stacks/demo.yaml", format!("{}\"\\e[0Ksection_start:0:x\\r\\e[0K\": x\n", stack("demo", "x"))).forbids(&["\u{1b}"]),
        by_file("direction of text", "stacks/demo.yaml", format!("{}\"\\u202eevil\": x\n", stack("demo", "x"))).forbids(&["\u{202e}"]),
        // Paths.
        by_stack("path out of the project", mine("resources:\n  - type: local_file\n    name: a\n    config: {path: ../../pwned, content: x}\n")),
        by_stack("absolute path", mine("resources:\n  - type: local_file\n    name: a\n    config: {path: OUTSIDE/pwned, content: x}\n")),
        by_file("path as the name of a stack", "stacks/demo.yaml", stack("../../../pwned", "x")),
        by_file("path as the name of a product", "orders/catalog-info.yaml", SYSTEM.replace("sales.orders.0", "../../pwned.x.0")),
        by_file("path as the name of a component", "orders-raw/catalog-info.yaml", COMPONENT.replace("sales.orders.0.raw", "sales.orders.0.../../../pwned")),
        by_file("path as the value of a component", "orders-raw/catalog-info.yaml", COMPONENT.replace("bucket: acme", "bucket: ../../pwned")),
        by_file("path as an environment", "product.yaml", mine("id: urn:dmb:dp:a:b:0\nenvironment: ../../prod\nname: b\ndomain: a\nversion: 0.1.0\nkind: dataproduct\ncomponents: []\n")),
        by_file("option as a file name", "stacks/--config=evil.yaml", stack("option", "x")),
        by_file("line break in a file name", "stacks/a\n::set-output name=x::y\n.yaml", stack("line", "x")).forbids(&["\n::set-output"]),
        by_file("other case of a file name", "Stacks/DEMO.yaml", stack("case", "x")),
        by_file("second stack of a name", "stacks/twin.yaml", stack("demo", "evil")),
        attack("submodule", |repository| {
            repository.write(".gitmodules", "[submodule \"x\"]\n\tpath = stacks/sub\n\turl = ext::sh -c touch% /tmp/pwned\n");
            repository.git(&["init", "--quiet", "stacks/sub"]);
            repository.git(&["-C", "stacks/sub", "commit", "--quiet", "--allow-empty", "--message", "Inner"]);
        }).expects("stacks/sub"),
        attack("all files removed", |repository| {
            for folder in ["stacks", "orders", "orders-raw", "blueprints"] {
                std::fs::remove_dir_all(repository.path(folder)).unwrap();
            }
        }),
    ]
}

/// A repository with secrets around it. The checkout of the job is `main`.
fn victim(forge: Forge) -> Repository {
    let configuration = "encryption: {keyCommand: [touch, ../key-command-ran]}\nenvironments:\n  prod:\n    overlay: embedded\n    settings:\n      \
                         plain: '${{ env.SECRET_TOKEN }}'\n      file: '${{ file(\"secret.txt\") }}'\n      marked: {secret: '${{ env.SECRET_TOKEN }}'}\n";
    let repository = Repository::new(
        forge,
        &[
            ("terrace.yaml", configuration),
            ("stacks/demo.yaml", &stack("demo", "one")),
            ("orders/catalog-info.yaml", SYSTEM),
            ("orders-raw/catalog-info.yaml", COMPONENT),
            ("blueprints/bucket.yaml", BLUEPRINT),
        ],
    );
    repository.write("secret.txt", "hunter2-file");
    repository.git(&["config", "core.excludesFile", "/dev/null"]);
    std::fs::write(repository.path(".git/info/exclude"), "secret.txt\n").unwrap();
    repository.project.write("secret.txt", "hunter2-outside");
    repository
}

/// Every file and link of a folder, without Git's own and those of the job.
fn inventory(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if [".git", "terrace-plan", "event.json", "summary.md"].contains(&name.as_str()) {
                continue;
            }
            match path.is_dir() && !path.is_symlink() {
                true => folders.push(path),
                false => drop(found.insert(path.clone(), std::fs::read(&path).unwrap_or_default())),
            }
        }
    }
    found
}

#[test]
fn untrusted_request_at_github_reaches_no_secret_and_writes_nothing() {
    resists_attacks(Forge::github(), github::ISSUE_LIMIT);
}

#[test]
fn untrusted_request_at_gitlab_reaches_no_secret_and_writes_nothing() {
    resists_attacks(Forge::gitlab(), gitlab::NOTE_LIMIT);
}

/// Checks that no attack reaches a secret or a file. `limit` is the size limit of the forge's comments.
fn resists_attacks(forge: Forge, limit: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let trap = listener.local_addr().unwrap().to_string();
    let repository = victim(forge);
    let outside = repository.project.path(".").canonicalize().unwrap().display().to_string();
    let key = "c2VjcmV0LWtleS1odW50ZXIyLXNlY3JldC1rZXktaHU=";
    let secrets = [
        ("SECRET_TOKEN", "hunter2-env"),
        ("TERRACE_VAR_password", "hunter2-variable"),
        ("SNOWFLAKE_PASSWORD", "hunter2-snowflake"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2-aws"),
        ("TERRACE_STATE_KEY", key),
    ];
    let all = attacks(&trap, &outside);
    assert!(all.len() >= 50, "{}", all.len());
    let mut wrong: Vec<String> = Vec::new();
    for (count, attack) in all.iter().enumerate() {
        let Attack { name, change, forbidden, expected } = attack;
        let number = repository.request(&format!("attack-{count}"), STRANGER, true, |repository| change(repository));
        repository.git(&["checkout", "--quiet", "--force", "main"]);
        repository.git(&["clean", "--quiet", "-d", "-ff"]);
        std::fs::write(repository.project.path("summary.md"), "").unwrap();
        let before = inventory(&repository.project.path("."));
        let ran = repository.job(&["pr", "plan"], "pull_request_target", number, &secrets);
        let mut check = |is_right: bool, what: &str| {
            if !is_right {
                wrong.push(format!("{name}: {what}"));
            }
        };
        check(ran.code == 0, &format!("the job fails: {ran}"));
        check(inventory(&repository.project.path(".")) == before, "a file changed");
        let comments = repository.forge.comments(number);
        check(comments.len() == 1, &format!("{} comments", comments.len()));
        let comment = comments.first().map(|comment| comment.text.clone()).unwrap_or_default();
        let is_marked = comment.contains("**This request is untrusted: it comes from a fork.**");
        check(is_marked && comment.encode_utf16().count() <= limit, &format!("the comment: {comment}"));
        check(comment.contains(expected), &format!("`{expected}` is missing: {comment}"));
        let summary = repository.project.read("summary.md");
        let written = std::fs::read_to_string(repository.path("terrace-plan/comment.md")).unwrap_or_default();
        let texts = [
            ("comment", &comment),
            ("summary", &summary),
            ("file", &written),
            ("output", &ran.stdout),
            ("messages", &ran.stderr),
        ];
        for (place, text) in texts {
            for secret in [SECRET, key, repository.forge.token()] {
                check(!text.contains(secret), &format!("the {place} has a secret: {text}"));
            }
            for text_of_attack in *forbidden {
                check(!text.contains(text_of_attack), &format!("the {place} has `{text_of_attack}`: {text}"));
            }
        }
        if matches!(repository.forge, Forge::GitLab(_)) {
            // The runner folds no sections of the log.
            check(!ran.stdout.contains("\r\u{1b}[0K"), &format!("the log: {ran}"));
            continue;
        }
        // The runner executes no command of the log.
        let token =
            ran.stdout.lines().next().and_then(|line| line.strip_prefix("::stop-commands::")).unwrap_or_default();
        check(
            token.len() == 32 && ran.stdout.trim_end().ends_with(&format!("::{token}::")),
            &format!("the log: {ran}"),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(listener.accept().is_err(), "a request reached the trap");
    assert!(!repository.project.has("key-command-ran") && !repository.project.has("pwned"));
    repository.check_calls();
}

#[test]
fn preview_shows_the_effect_of_an_untrusted_request() {
    for forge in Forge::both() {
        let repository = victim(forge);
        let number = repository.request("fork", STRANGER, true, |it| {
            it.write("orders-raw/catalog-info.yaml", &COMPONENT.replace("bucket: acme", "bucket: other"));
            it.write("stacks/new.yaml", &stack("new", "x"));
        });
        repository.plan(number).done();
        let comment = repository.plan_comment(number);
        assert!(
            comment.contains("### `sales.orders.0@prod`")
                && comment.contains("| `raw` | `raw/local_file.settings` | changed |"),
            "{comment}"
        );
        assert!(
            comment.contains("| `new@prod` | `local_file.a` | added |") && !comment.contains("demo@prod"),
            "{comment}"
        );
        assert!(comment.contains("Not checked:") && comment.contains("no credentials"), "{comment}");
        // The merge applies nothing without an approval.
        repository.merge("fork", number);
        let key = [("SECRET_TOKEN", "hunter2"), ("TERRACE_STATE_KEY", "c2VjcmV0LWtleS1odW50ZXIyLXNlY3JldC1rZXktaHU=")];
        repository.job(&["pr", "apply"], "push", 0, &key).with_code(4);
        assert!(repository.apply_comment(number).contains("it was not reviewed"));
        repository.check_calls();
    }
}

/// Each item of "Not checked" stands for values and objects that the preview cannot see: they hide no change of the files.
#[test]
fn preview_lists_unchecked_values_and_objects() {
    let repository = victim(Forge::github());
    let unchecked = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: hidden}\nvariables: {password: {type: string, default: none}}\n\
                     data:\n  - type: local_file\n    name: s\n    config: {path: secret.txt}\nresources:\n";
    let file = |name: &str, content: &str| {
        format!("  - type: local_file\n    name: {name}\n    config: {{path: out/{name}.txt, content: '{content}'}}\n")
    };
    let number = repository.request("fork", STRANGER, true, |it| {
        let files = [
            file("lookup", "${{ data.s.content }}"),
            file("variable", "${{ vars.password }}"),
            file("setting", "${{ settings.plain }}"),
            // The remote system is the file system: it has a file at the place of this folder.
            file("remote", "x").replace("out/remote.txt", "secret.txt/remote.txt"),
        ];
        it.write("stacks/hidden.yaml", &format!("{unchecked}{}", files.concat()));
        it.write("terrace.yaml", "environments: {other: {overlay: embedded}}\n");
        it.write("blueprints/bucket.yaml", &BLUEPRINT.replace("content: x", "content: y"));
        it.write(
            "pipes/pipeline-spec.yaml",
            "evil:\n  pipeline:\n    - run: exec\n      parameters: {command: 'true'}\n",
        );
    });
    let ran = repository.job(&["pr", "plan"], "pull_request_target", number, &[("SECRET_TOKEN", "hunter2")]).done();
    let comment = repository.plan_comment(number);
    let (_, listed) = comment.split_once("Not checked:\n\n").unwrap();
    let listed: Vec<&str> = listed.lines().take_while(|line| line.starts_with("- ")).collect();
    assert_eq!(
        listed,
        [
            "- the state and the remote objects: the plan after the merge may have other changes",
            "- lookups, commands, variables and secrets: their values are unknown",
            "- whether names and values are accepted by the remote systems",
            "- changes of `terrace.yaml`, blueprints and pipeline specs in this request",
        ],
        "{comment}"
    );
    for name in ["lookup", "variable", "setting", "remote"] {
        let row = format!("| `hidden@prod` | `local_file.{name}` | added |");
        assert!(comment.contains(&row), "`{row}` is missing: {comment}");
    }
    assert!(comment.contains("has pipeline specs, which are not checked"), "{comment}");
    // The state is empty, but only the files of the request count; its blueprint and configuration do not.
    assert!(!comment.contains("demo@prod") && !comment.contains("sales.orders.0@prod"), "{comment}");
    assert!(!comment.contains("@other"), "{comment}");
    ran.prints("preview hidden@prod: no errors").prints("has pipeline specs, which are not checked");
    repository.check_calls();
}

#[test]
fn author_without_write_access_is_untrusted() {
    for forge in Forge::both() {
        let repository = victim(forge);
        let number =
            repository.request("branch", STRANGER, false, |it| it.write("stacks/demo.yaml", &stack("demo", "two")));
        repository.plan(number).done();
        assert!(repository.plan_comment(number).contains("its author mallory may not write to the repository"));
        repository.check_calls();
    }
}

#[test]
fn output_folder_behind_a_link_is_refused() {
    let repository = victim(Forge::github());
    let number = repository.request("branch", AUTHOR, false, |it| {
        it.write(".gitignore", "/out/\n");
        symlink("..", it.path("terrace-plan")).unwrap();
    });
    let secrets = [("SECRET_TOKEN", "hunter2")];
    let ran = repository.job(&["pr", "plan"], "pull_request", number, &secrets).with_code(1);
    ran.prints("`terrace-plan` is a link or a file");
    assert!(!repository.project.has("plans.json") && !repository.project.has("comment.md"));
    // A link in the folder is replaced, not followed.
    repository.push(number, |it| {
        std::fs::remove_file(it.path("terrace-plan")).unwrap();
        std::fs::create_dir(it.path("terrace-plan")).unwrap();
        symlink("../../secret.txt", it.path("terrace-plan/comment.md")).unwrap();
    });
    std::fs::remove_dir_all(repository.path("terrace.yaml")).unwrap_or_default();
    let _ = repository.job(&["pr", "plan"], "pull_request", number, &secrets);
    assert_eq!(repository.project.read("secret.txt"), "hunter2-outside");
}

/// A small repository whose tree lists ten billion files.
#[test]
fn tree_bomb_of_a_fork_is_limited() {
    let repository = victim(Forge::github());
    let base = repository.head();
    let blob = repository.git(&["hash-object", "-w", "stacks/demo.yaml"]);
    let tree = |entry: &str| {
        let lines: String = (0..10).map(|number| format!("{entry}\tf{number}.yaml\n")).collect();
        repository.project.write("tree.txt", lines);
        let path = repository.project.path("tree.txt");
        let input = std::fs::File::open(path).unwrap();
        let made =
            std::process::Command::new("git").arg("mktree").current_dir(repository.path(".")).stdin(input).output();
        let made = made.unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    };
    let bomb = (0..9).fold(tree(&format!("100644 blob {blob}")), |inner, _| tree(&format!("040000 tree {inner}")));
    let head = repository.git(&["commit-tree", "-p", &base, "-m", "Bomb", &bomb]);
    let number = repository.forge.open(STRANGER, &head, &base, true);
    let ran = repository.job(&["pr", "plan"], "pull_request_target", number, &[("SECRET_TOKEN", "hunter2")]).done();
    let comment = repository.plan_comment(number);
    assert!(comment.contains("the commit has too many files"), "{comment}\n{ran}");
    repository.check_calls();
}

/// Git runs the programs that attributes of a request name, and variables of a job change the repository.
#[test]
fn filters_and_variables_of_git_do_not_run() {
    let repository = Repository::with_stack(Forge::github());
    repository.git(&["config", "filter.evil.smudge", "touch ../pwned; cat"]);
    repository.write(".gitattributes", "*.yaml filter=evil\n");
    repository.commit("Attributes");
    let number = repository.request("feature", AUTHOR, false, |it| it.write("stacks/demo.yaml", &stack("demo", "two")));
    // Git itself ran the filter for the checkout of the test.
    let _ = std::fs::remove_file(repository.project.path("pwned"));
    let alternate = [
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "core.bare"),
        ("GIT_CONFIG_VALUE_0", "true"),
        ("GIT_DIR", "/nonexistent"),
        ("GIT_ATTR_SOURCE", "nonexistent"),
    ];
    repository.job(&["pr", "plan"], "pull_request", number, &alternate).done();
    assert!(repository.plan_comment(number).contains("\"one\" → \"two\""));
    assert!(!repository.project.has("pwned"));
    repository.check_calls();
}

/// In the event `pull_request` of a fork, the files of the request are checked out, merged with the base.
#[test]
fn checked_out_configuration_of_a_fork_is_not_used() {
    let repository = victim(Forge::github());
    let number = repository.request("fork", STRANGER, true, |it| {
        it.write(
            "terrace.yaml",
            "encryption: {keyCommand: [touch, ../pwned]}\nenvironments: {evil: {overlay: embedded}}\n",
        );
        it.write("stacks/demo.yaml", &stack("demo", "two"));
    });
    repository.git(&["checkout", "--quiet", "-b", "merged", "main"]);
    repository.write("stacks/other.yaml", &stack("other", "x"));
    repository.commit("Meanwhile");
    repository.git(&["merge", "--quiet", "--no-ff", "--message", "Merge", "fork"]);
    assert!(repository.read("terrace.yaml").contains("pwned"));
    repository.job(&["pr", "plan"], "pull_request", number, &[("SECRET_TOKEN", "hunter2")]).done();
    let comment = repository.plan_comment(number);
    assert!(comment.contains("| `demo@prod` | `local_file.a` | changed |"), "{comment}");
    assert!(!comment.contains("@evil") && !comment.contains("other@prod"), "{comment}");
    assert!(!repository.project.has("pwned"));
    repository.check_calls();
}
