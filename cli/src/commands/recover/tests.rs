use super::*;
use crate::args::FormatArguments;
use uuid::Uuid;

fn step(address: &str, is_in_doubt: bool) -> Recovered {
    let (resource, key) = split_deposed(address);
    let (stack, resource) = stacks::split(resource).unwrap();
    Recovered {
        step: InterruptedStep {
            stack: stack.parse().unwrap(),
            address: resource.parse().unwrap(),
            deposed: key.map(str::to_owned),
            operation: Uuid::nil(),
            step: 0,
        },
        address: address.to_owned(),
        found: "the provider cannot tell".to_owned(),
        is_in_doubt,
        was_open: false,
        is_open: false,
    }
}

fn checked(text: &str, steps: &[Recovered]) -> Result<(), Failure> {
    let local = BTreeSet::from(["local".to_owned()]);
    check_answers(&[(text.to_owned(), Verdict::Absent)], steps, &local, Some("local"))
}

#[test]
fn answer_matches_an_address_with_or_without_stack() {
    let steps = [step("a@local:api/local_file.x[\"k:1\"]", true), step("b@local:local_file.y", true)];
    assert_eq!(checked("api/local_file.x[\"k:1\"]", &steps), Ok(()));
    assert_eq!(checked("a@local:api/local_file.x[\"k:1\"]", &steps), Ok(()));
    let other = checked("b@local:api/local_file.x[\"k:1\"]", &steps).unwrap_err();
    assert_eq!(other.hints, ["name a step in doubt: `a@local:api/local_file.x[\"k:1\"]`, `b@local:local_file.y`"]);
}

#[test]
fn answer_during_the_call_is_refused() {
    let steps = [Recovered { was_open: true, ..step("a@local:local_file.x", true) }];
    assert_eq!(checked("local_file.x", &steps).unwrap_err().exit, Exit::Refused);
}

#[test]
fn answers_in_two_spellings_must_agree() {
    let steps = [step("a@local:local_file.x", true), step("a@local:local_file.y", true)];
    let checked_answers = |texts: &[(&str, Verdict)]| {
        let answers: Vec<_> = texts.iter().map(|(text, verdict)| ((*text).to_owned(), *verdict)).collect();
        check_one_answer(&answers, &steps[0], &steps, Some("local")).map_err(|failure| failure.message.unwrap())
    };
    let (short, long) = ("local_file.x", "a@local:local_file.x");
    assert_eq!(
        checked_answers(&[(short, Verdict::Absent), (long, Verdict::Absent), ("local_file.y", Verdict::Tainted)]),
        Ok(())
    );
    for other in [Verdict::Unchanged, Verdict::Tainted] {
        let failure = checked_answers(&[(short, Verdict::Absent), (long, other)]).unwrap_err();
        assert_eq!(
            failure,
            "`local_file.x` and `a@local:local_file.x` are the same resource, and have different decisions"
        );
    }
}

#[test]
fn answer_for_several_stacks_or_none_is_refused() {
    let steps = [step("a@local:local_file.x", true), step("b@local:local_file.x", true)];
    let several = checked("local_file.x", &steps).unwrap_err();
    assert_eq!(several.hints, ["name one of them: `a@local:local_file.x`, `b@local:local_file.x`"]);
    let none = checked("local_file.x", &[]).unwrap_err();
    assert_eq!(none.hints, ["nothing is in doubt in `local`; choose another environment with `--env`"]);
}

#[test]
fn answer_without_key_prefers_the_present_object() {
    let (present, deposed) = ("a@local:local_file.x", "a@local:local_file.x (deposed 0badcafe)");
    let steps = [step(deposed, true), step(present, true)];
    let matching = |text: &str, steps: &[Recovered]| -> Vec<String> {
        steps.iter().filter(|it| matches(text, it, steps, Some("local"))).map(|it| it.address.clone()).collect()
    };
    assert_eq!(matching("local_file.x", &steps), [present]);
    assert_eq!(matching("local_file.x (deposed 0badcafe)", &steps), [deposed]);
    assert_eq!(matching(deposed, &steps), [deposed]);
    assert_eq!(matching("local_file.x (deposed another)", &steps), [] as [&str; 0]);
    assert_eq!(matching("local_file.x", &steps[..1]), [deposed]);
    let several = [step(deposed, true), step("a@local:local_file.x (deposed 1badcafe)", true)];
    assert!(checked("local_file.x", &several).unwrap_err().message.unwrap().starts_with("there are several steps"));
}

#[test]
fn answer_about_a_resolved_step_is_accepted() {
    assert_eq!(checked("local_file.x", &[step("a@local:local_file.x", false)]), Ok(()));
}

#[test]
fn contradicting_options_are_refused() {
    let of = |absent: &str, tainted: &str| RecoverArguments {
        plaintext_secrets: false,
        stacks: Vec::new(),
        unchanged: Vec::new(),
        absent: vec![absent.to_owned()],
        tainted: vec![tainted.to_owned()],
        format: FormatArguments::default(),
    };
    assert!(answers(&of("local_file.x", "local_file.x")).is_err());
    assert!(answers(&of("local_file", "local_file.x")).is_err());
    assert_eq!(answers(&of("local_file.x", "a@local:local_file.y")).unwrap().len(), 2);
}

#[test]
fn answer_with_a_stack_selects_its_environment() {
    let arguments = RecoverArguments {
        plaintext_secrets: false,
        stacks: Vec::new(),
        unchanged: Vec::new(),
        absent: Vec::new(),
        tainted: Vec::new(),
        format: FormatArguments::default(),
    };
    let named = |chosen, answer: &str, usual| {
        let answers = [(answer.to_owned(), Verdict::Absent)];
        named_environments(&arguments, chosen, &answers, usual).map(|named| named.into_iter().collect::<Vec<_>>())
    };
    assert_eq!(named(None, "a@prod:local_file.x", Some("local")).unwrap(), ["prod"]);
    assert_eq!(named(None, "local_file.x", Some("local")).unwrap(), ["local"]);
    let nowhere = named(None, "local_file.x", None).unwrap_err();
    assert_eq!(nowhere.message.unwrap(), "`local_file.x` names no environment");
    let chosen = StackId::new("b", "prod");
    assert_eq!(named(Some(&chosen), "local_file.x", Some("local")).unwrap(), ["prod"]);
}

#[test]
fn failure_names_the_options_for_steps_in_doubt() {
    let failure = still_in_doubt(&[&step("a@local:local_file.x", true)]);
    assert_eq!(failure.exit, Exit::Error);
    for (hint, option) in failure.hints[1..].iter().zip(["unchanged", "absent", "tainted"]) {
        assert!(hint.starts_with(&format!("`terrace recover --{option} a@local:local_file.x`: ")), "{hint}");
    }
}

#[test]
fn open_call_is_not_up_for_decision() {
    let doubt = step("a@local:local_file.y", true);
    let open = Recovered { was_open: true, is_open: true, ..step("a@local:local_file.z", true) };
    assert_eq!([&doubt, &open].map(can_be_decided), [true, false]);
    let failure = still_in_doubt(&[&open, &doubt]);
    assert!(failure.hints.iter().all(|hint| !hint.contains("local_file.z")), "{failure:?}");
    assert!(failure.hints.iter().any(|hint| hint.contains("--absent a@local:local_file.y")), "{failure:?}");
    let failure = still_in_doubt(&[&open]);
    assert_eq!(failure.hints, ["the call may still take effect: run `terrace recover` again later"]);
    // Its process ended while recovery waited.
    let ended = Recovered { is_open: false, ..open };
    let failure = still_in_doubt(&[&ended]);
    assert!(failure.hints.iter().any(|hint| hint.contains("--absent a@local:local_file.z")), "{failure:?}");
}

#[test]
fn lease_to_revoke_is_named_by_its_id() {
    let lease = LeaseInfo {
        id: "7".to_owned(),
        stack: "demo@local".parse().unwrap(),
        component: "a".into(),
        holder: "jane".to_owned(),
        operation: Uuid::nil(),
        since: Timestamp::UNIX_EPOCH,
        expires: Timestamp::UNIX_EPOCH,
    };
    assert!(nothing_message(Some(&lease), lease.expires).contains("`terrace unlock 7`"));
    let later = LeaseInfo { expires: Timestamp::MAX, ..lease };
    assert!(nothing_message(Some(&later), Timestamp::UNIX_EPOCH).contains("run this again after that"));
}
