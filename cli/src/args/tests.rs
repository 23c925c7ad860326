use super::*;
use clap::{CommandFactory, Parser};
use std::collections::BTreeMap;

fn parse(line: &str) -> Result<CommandLine, clap::Error> {
    CommandLine::try_parse_from(line.split_whitespace())
}

#[test]
fn command_definitions_are_valid() {
    CommandLine::command().debug_assert();
}

#[test]
fn data_loss_is_allowed_everywhere_or_at_addresses() {
    let planning = |line: &str| match parse(line).unwrap().command {
        Command::Plan(plan) => plan.planning,
        other => panic!("{other:?}"),
    };
    assert_eq!(planning("terrace plan x.yaml").data.consent(), Consent::Nowhere);
    assert_eq!(planning("terrace plan --allow-data-loss x.yaml").data.consent(), Consent::Everywhere);
    let at = planning("terrace plan --allow-data-loss=a.b --allow-data-loss=a.c x.yaml").data.consent();
    assert_eq!(at, Consent::At(vec!["a.b".to_owned(), "a.c".to_owned()]));
}

#[test]
fn options_are_accepted_at_any_position() {
    let parsed = parse("terrace plan --refresh=false x.yaml --env staging -vv").unwrap();
    assert_eq!(parsed.global.env.as_deref(), Some("staging"));
    assert_eq!(parsed.global.verbose, 2);
    let Command::Plan(plan) = parsed.command else { panic!() };
    assert!(!plan.planning.refresh);
}

#[test]
fn destroy_has_the_options_of_apply_except_five() {
    let command = CommandLine::command();
    let options = |name: &str| -> BTreeMap<String, String> {
        let options = command.find_subcommand(name).unwrap().get_opts();
        let options = options.filter(|option| option.get_long().is_some() && !option.is_hide_set());
        options.map(|it| (it.get_long().unwrap().to_owned(), it.get_help().unwrap().to_string())).collect()
    };
    let (apply, destroy) = (options("apply"), options("destroy"));
    let left_out: Vec<&str> = apply.keys().map(String::as_str).filter(|name| !destroy.contains_key(*name)).collect();
    assert_eq!(left_out, ["acl", "acl-field", "allow-deferral", "refresh-only", "replace"]);
    // A target of destroy includes dependents instead of dependencies, and an exclude the reverse. Other options are
    // equal.
    let other: Vec<&String> =
        destroy.iter().filter(|(name, help)| apply.get(*name) != Some(help)).map(|it| it.0).collect();
    assert_eq!(other, ["exclude", "target"]);
    for option in ["--replace=a.b", "--allow-deferral", "--refresh-only"] {
        assert!(parse(&format!("terrace destroy x.yaml {option}")).is_err(), "{option}");
    }
}

#[test]
fn a_mistyped_command_gets_a_suggestion() {
    let error = parse("terrace aply x.yaml").unwrap_err().to_string();
    assert!(error.contains("apply"), "{error}");
}

#[test]
fn listen_address_needs_a_port() {
    for command in ["serve --bind", "serve --sites", "role-mapper --bind"] {
        for wrong in ["localhost:8091", "127.0.0.1", "8091"] {
            let error = parse(&format!("terrace {command} {wrong}")).unwrap_err().to_string();
            assert!(error.contains("expected an IP address with its port, such as `127.0.0.1:8091`"), "{error}");
        }
        parse(&format!("terrace {command} [::1]:8091")).unwrap();
    }
}

/// The help text of a topic.
fn topic(name: &str) -> String {
    parse(&format!("terrace help {name}")).unwrap_err().to_string()
}

#[test]
fn terraform_topic_maps_every_terraform_command() {
    let text = topic("terraform");
    assert!(!text.contains("Usage"), "{text}");
    // The output of `terraform -help`, and the subcommands of `state`, `workspace` and `providers`.
    let commands = "init validate plan apply destroy console fmt force-unlock get graph import login logout metadata modules \
                    output providers refresh show stacks state taint test untaint version workspace";
    for command in commands.split_whitespace() {
        let is_mapped = text.lines().filter(|line| line.starts_with("  terraform ")).any(|line| {
            line.split("  ").nth(1).is_some_and(|words| words.split([' ', ',']).any(|word| word == command))
        });
        assert!(is_mapped, "`terraform {command}` is not mapped");
    }
    for command in ["list", "show", "mv", "rm", "pull", "push", "replace-provider"] {
        assert!(text.contains(&format!("terraform state {command}")), "{command}");
    }
    for option in ["-target", "-replace", "-out", "-destroy", "-refresh-only", "-var-file", "-auto-approve", "-chdir"] {
        assert!(text.contains(option), "{option}");
    }
}

/// Every command and option that the topic mentions exists.
#[test]
fn terraform_topic_mentions_existing_commands() {
    let text = topic("terraform");
    let mut checked = 0;
    for line in text.lines() {
        for part in line.split("terrace ").skip(1) {
            let end = part.find(['`', ',', ';', '(']).unwrap_or(part.len());
            let words: Vec<&str> = part[..end].split_whitespace().collect();
            let command = CommandLine::command();
            let mut at = &command;
            for word in words.iter().filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-')) {
                if word.starts_with("--") {
                    let is_known =
                        |command: &clap::Command| command.get_arguments().any(|it| it.get_long() == word.get(2..));
                    assert!(is_known(at) || is_known(&command), "`{line}` names `{word}`");
                } else if let Some(found) = at.find_subcommand(word) {
                    at = found;
                } else {
                    break;
                }
                checked += 1;
            }
            assert!(!std::ptr::eq(at, &command) || words.first() == Some(&"--chdir"), "`{line}` names no command");
        }
    }
    assert!(checked > 40, "{checked}");
}

#[test]
fn list_is_the_default_subcommand() {
    for line in ["terrace stacks", "terrace leases --json", "terrace blueprints", "terrace providers --json"] {
        assert!(parse(line).is_ok(), "{line}");
        assert!(parse(&line.replace(" --json", " list")).is_ok(), "{line}");
    }
    let Command::Operations(operations) = parse("terrace operations --limit 3").unwrap().command else { panic!() };
    assert!(matches!(operations.command(), OperationsCommand::List { limit: 3, .. }));
    let Command::Operations(operations) = parse("terrace operations list").unwrap().command else { panic!() };
    assert!(matches!(operations.command(), OperationsCommand::List { limit: 20, .. }));
}
