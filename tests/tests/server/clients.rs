//! HTTP clients of other languages read the answer to a body over the limit: they send the whole body first.

use std::io::ErrorKind;
use std::process::Command;
use terrace_tests::served::Served;
use terrace_tests::{Project, print_note};

/// Clients: the program that must be installed, the interpreter, the script's name and its text. A script gets the URL
/// and a file with the body, and prints the status.
const CLIENTS: [(&str, &str, &str, &str); 4] = [
    ("curl", "sh", "curl.sh", include_str!("clients/curl.sh")),
    ("python3", "python3", "client.py", include_str!("clients/client.py")),
    ("node", "node", "client.mjs", include_str!("clients/client.mjs")),
    ("java", "java", "Client.java", include_str!("clients/Client.java")),
];

#[test]
fn clients_of_other_languages_read_the_413_of_a_long_body() {
    let project = Project::new();
    project.write("terrace.yaml", "environments: {test: {}}\nserver: {bodyLimit: 1MB}\n");
    let server = Served::start(&project, &[]);
    project.write("body", vec![b'a'; 30 << 20]);
    for (program, interpreter, script, text) in CLIENTS {
        if Command::new(program).arg("--version").output().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            print_note(&format!("skipped: the client {script}, because `{program}` is not installed"));
            continue;
        }
        project.write(script, text);
        for path in ["/v1/validate", "/api/v1/plans"] {
            let url = format!("{}{path}", server.url());
            let mut command = Command::new(interpreter);
            command.current_dir(project.path("")).args([script, &url, "body"]);
            let ran = project.start(command).finish();
            assert_eq!(ran.stdout, "413", "{script}: {path}: {}", ran.stderr);
        }
    }
}
