//! A full disk in the middle of an apply counts as a crash: completed steps are recorded or recovered.

use crate::terrace::{Terrace, folder, write};
use crate::world;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const OBJECTS: usize = 40;

/// Applies to a state on disks of growing size that fill up, and finally to one with enough room.
pub(crate) fn run(binary: &Path) {
    if !rustix::process::geteuid().is_root() {
        println!("skipped the full disk: only root can mount one");
        return;
    }
    let terrace = Terrace { binary: binary.to_owned(), folder: folder("disk") };
    let disk = terrace.folder.join("disk");
    std::fs::create_dir_all(&disk).expect("a folder to mount on");
    if !mount(&["-t", "tmpfs", "-o", "size=100k", "tmpfs"], &disk) {
        println!("skipped the full disk: mounting fails here");
        return;
    }
    let commands: Vec<String> =
        ["create", "read", "delete", "find"].iter().map(|verb| format!("{verb}: [sh, thing.sh, {verb}]")).collect();
    let ballast = "x".repeat(20_000);
    write(
        &terrace.folder,
        "stack.yaml",
        &format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: crash}}\nresources:\n  - {{type: local_command, \
             name: r, forEach: '${{{{ range({OBJECTS}) }}}}', config: {{{}, input: {ballast}, \
             environment: {{KEY: 'r-${{{{ string(each.key) }}}}', VALUE: '1'}}}}}}\n",
            commands.join(", ")
        ),
    );
    let arguments = ["apply", "stack.yaml", "--auto-approve", "-q", "--state", "sqlite:disk/state.db"];
    let mut fills = 0;
    for size in (200..6_000).step_by(200) {
        let is_grown = mount(&["-o", &format!("remount,size={size}k")], &disk);
        assert!(is_grown, "the disk grows");
        let ended = terrace.run(&arguments);
        match ended.code {
            Some(0) => break,
            // Completed steps are recorded; the next run continues after them.
            Some(1) => fills += 1,
            _ => panic!("{}: a full disk ended with {ended}", terrace.folder.display()),
        }
    }
    assert!(fills > 3, "the disk was full only {fills} times");
    let is_grown = mount(&["-o", "remount,size=64m"], &disk);
    assert!(is_grown, "the disk grows");
    let ended = terrace.run(&arguments);
    assert_eq!(ended.code, Some(0), "{ended}");
    let found = world::objects(&terrace.folder).unwrap_or_else(|fault| panic!("{}: {fault}", terrace.folder.display()));
    let keys: BTreeSet<String> = (0..OBJECTS).map(|number| format!("r-{number}")).collect();
    assert_eq!(found.into_keys().collect::<BTreeSet<_>>(), keys);
    let plan = terrace.run(&["plan", "stack.yaml", "--detailed-exitcode", "--state", "sqlite:disk/state.db"]);
    assert_eq!(plan.code, Some(0), "{plan}");
    let is_gone = Command::new("umount").arg(&disk).status().is_ok_and(|status| status.success());
    assert!(is_gone, "the disk can be unmounted");
    std::fs::remove_dir_all(&terrace.folder).expect("the folder can be removed");
    println!("the disk was full {fills} times, and nothing was lost");
}

fn mount(options: &[&str], on: &Path) -> bool {
    Command::new("mount").args(options).arg(on).status().is_ok_and(|status| status.success())
}
