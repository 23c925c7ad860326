use super::*;
use clap::{CommandFactory, Parser};

fn parse(line: &str) -> Result<CommandLine, clap::Error> {
    CommandLine::try_parse_from(line.split_whitespace())
}

#[test]
fn definitions_hold_together() {
    CommandLine::command().debug_assert();
}

#[test]
fn data_loss_is_allowed_everywhere_or_at_addresses() {
    let planning = |line: &str| match parse(line).unwrap().command {
        Command::Plan(plan) => plan.planning,
        other => panic!("{other:?}"),
    };
    assert_eq!(planning("terrace plan x.yaml").consent(), Consent::Nowhere);
    assert_eq!(planning("terrace plan --allow-data-loss x.yaml").consent(), Consent::Everywhere);
    let at = planning("terrace plan --allow-data-loss=a.b --allow-data-loss=a.c x.yaml").consent();
    assert_eq!(at, Consent::At(vec!["a.b".to_owned(), "a.c".to_owned()]));
}

#[test]
fn options_may_stand_anywhere() {
    let parsed = parse("terrace plan --refresh=false x.yaml --env staging -vv").unwrap();
    assert_eq!(parsed.global.env.as_deref(), Some("staging"));
    assert_eq!(parsed.global.verbose, 2);
    let Command::Plan(plan) = parsed.command else { panic!() };
    assert!(!plan.planning.refresh);
}

#[test]
fn a_mistyped_command_gets_a_suggestion() {
    let error = parse("terrace aply x.yaml").unwrap_err().to_string();
    assert!(error.contains("apply"), "{error}");
}

#[test]
fn the_topic_for_people_from_terraform_maps_commands() {
    let error = parse("terrace help coming-from-terraform").unwrap_err().to_string();
    assert!(error.contains("terraform force-unlock") && !error.contains("Usage"), "{error}");
    for word in ["terraform init", "terraform import", "-target", "-replace", "terraform taint", "fmt", "refresh"] {
        assert!(error.contains(word), "{word}");
    }
}

#[test]
fn what_can_be_listed_is_listed_without_a_subcommand() {
    for line in ["terrace stacks", "terrace leases --json", "terrace blueprints", "terrace providers --json"] {
        assert!(parse(line).is_ok(), "{line}");
        assert!(parse(&line.replace(" --json", " list")).is_ok(), "{line}");
    }
    let Command::Operations(operations) = parse("terrace operations --limit 3").unwrap().command else { panic!() };
    assert!(matches!(operations.command(), OperationsCommand::List { limit: 3, .. }));
    let Command::Operations(operations) = parse("terrace operations list").unwrap().command else { panic!() };
    assert!(matches!(operations.command(), OperationsCommand::List { limit: 20, .. }));
}
