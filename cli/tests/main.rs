//! The binary is there: a package with an integration test has its binaries built by `cargo test`, and the tests of
//! the workspace's `tests` folder need this one.

#[test]
fn the_binary_tells_its_version() {
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_terrace")).arg("version").output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    assert!(String::from_utf8(ran.stdout).unwrap().starts_with("terrace "));
}
