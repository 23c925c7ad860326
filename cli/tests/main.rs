//! Makes `cargo test` build the binary: Cargo builds the binaries of a package that has an integration test. The tests
//! of the workspace's `tests` folder need it.

#[test]
fn binary_prints_its_version() {
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_terrace")).arg("version").output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    assert!(String::from_utf8(ran.stdout).unwrap().starts_with("terrace "));
}
