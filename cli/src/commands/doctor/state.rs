//! Checks of the state: reading, writing, and the disk below it.

use super::finding::{Finding, Status};
use crate::settings::{DEFAULT_STATE, Settings};
use crate::ui::Ui;
use crate::wiring::key::find as find_key;
use crate::wiring::store;
use rustix::fs::{Access as FileAccess, access, statvfs};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use terrace_engine::address::{SHARED, StackId};
use terrace_engine::record;
use terrace_engine::seal::Seal;
use terrace_engine::store::{Selection, StateStore, StoreError};
use terrace_engine::text::shell_word;
use terrace_provider::value::wire::WireError;
use terrace_state::{Access, StoreUrl, damage, find_saved_copy, format_of, newest_format};
use uuid::Uuid;

const SUBJECT: &str = "state";
/// The subject of findings about recorded values that no configured key opens.
pub(super) const SEALED_VALUES: &str = "sealed values";
const OPERATIONS: &str = "operations";
/// Free space, in bytes, that the next apply may fill.
const LOW_SPACE: u64 = 100 << 20;
/// Free space, in bytes, that is too little for an apply.
const NO_SPACE: u64 = 5 << 20;

/// Checks the state.
pub(super) async fn check(settings: &Settings, ui: &Ui) -> Vec<Finding> {
    let StoreUrl::Sqlite(path) = &settings.state else { return content(settings, ui).await };
    let mut findings = file(settings, ui, path).await;
    let near = path.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    // A file that cannot be read as a state may be something else, such as a descriptor.
    let is_state = !findings.iter().any(|finding| finding.subject == SUBJECT && finding.status == Status::Fail);
    findings.extend(permissions(path, near, is_state));
    findings.extend(disk(near));
    findings.extend(saved(path));
    findings
}

/// The finding about a saved copy of a lost state file that was not restored.
fn saved(path: &Path) -> Option<Finding> {
    let saved = find_saved_copy(path)?;
    let message = format!("`{}` is a copy of a state file that was lost while in use", saved.display());
    Some(Finding::warn(
        SUBJECT,
        message,
        match path.exists() {
            true => {
                "if the present state has no changes that you need, move the copy to the path of the state and run \
                     `terrace recover`; else remove the copy"
            }
            false => "move the copy to the path of the state and run `terrace recover`",
        },
    ))
}

/// Checks that the file exists, and its content.
async fn file(settings: &Settings, ui: &Ui, path: &Path) -> Vec<Finding> {
    let url = &settings.state;
    let folder = path.parent().unwrap_or(Path::new("/"));
    if !path.exists() {
        return vec![match folder.is_dir() || path.ends_with(DEFAULT_STATE) {
            true => Finding::ok(SUBJECT, format!("{url}: it does not exist yet, the first apply creates it")),
            false => Finding::fail(
                SUBJECT,
                format!("{url}: there is no folder `{}`", folder.display()),
                format!(
                    "create it with `mkdir -p {}`, or name another state",
                    shell_word(&folder.display().to_string())
                ),
            ),
        }];
    }
    content(settings, ui).await
}

/// Checks the content.
async fn content(settings: &Settings, ui: &Ui) -> Vec<Finding> {
    let format = match format(settings).await {
        Ok(format) => format,
        Err(finding) => return vec![*finding],
    };
    let found = match store(settings, Access::ReadOnly).await {
        Ok(store) => found(store.as_ref(), settings, ui).await.map_err(Into::into),
        Err(failure) => Err(failure),
    };
    match found {
        Ok((stacks, more)) => {
            let whole = Finding::ok(SUBJECT, format!("{}: format {format}, stacks: {stacks}", settings.state));
            std::iter::once(whole).chain(more).collect()
        }
        Err(failure) => vec![Finding::of_failure(SUBJECT, &failure)],
    }
}

/// The format of a readable state; a finding if the state does not exist or has a problem.
async fn format(settings: &Settings) -> Result<u32, Box<Finding>> {
    let url = &settings.state;
    let newest = newest_format(url);
    let format = match format_of(url).await {
        Ok(0) => {
            return Err(Box::new(Finding::ok(
                SUBJECT,
                format!("{url}: it does not exist yet, the first apply creates it"),
            )));
        }
        Ok(format) => format,
        Err(error) => {
            let remedy = match &error {
                StoreError::NewerFormat { .. } => "use a newer terrace, or another state",
                StoreError::Unavailable { .. } if !matches!(url, StoreUrl::Sqlite(_)) => {
                    "check that the server runs and accepts this user, or name another state with `--state`"
                }
                _ => {
                    "name another state with `--state`; or move this file away, then read a copy with `terrace state import`"
                }
            };
            return Err(Box::new(Finding::fail(SUBJECT, error.to_string(), remedy)));
        }
    };
    let content = if matches!(url, StoreUrl::Sqlite(_)) { "its file" } else { "its content" };
    match damage(url).await {
        Ok(None) => {}
        Ok(Some(found)) => {
            return Err(Box::new(Finding::fail(
                SUBJECT,
                format!("{url}: {content} is damaged: {found}"),
                "restore it from a backup; `terrace state export` may save the readable part",
            )));
        }
        Err(error) => return Err(Box::new(Finding::of_failure(SUBJECT, &error.into()))),
    }
    if format < newest {
        return Err(Box::new(Finding::warn(
            SUBJECT,
            format!("{url} has the older format {format}, this terrace writes format {newest}"),
            "nothing to do: `terrace state upgrade`, or the next command that writes, upgrades it; older \
             builds cannot read it afterwards",
        )));
    }
    Ok(format)
}

/// The number of stacks, and findings about interrupted operations.
async fn found(store: &dyn StateStore, settings: &Settings, ui: &Ui) -> Result<(usize, Vec<Finding>), StoreError> {
    let mut findings = unopened(store, settings, ui).await?;
    let operations = store.unended_operations().await?;
    for operation in operations.iter().filter(|operation| operation.is_abandoned) {
        let (id, kind) = (operation.id, &operation.kind);
        let (message, remedy) = match operation.is_requested {
            true => (
                format!("no server works on operation `{id}` ({kind})"),
                format!("start a server to continue it, or end it with `terrace operations cancel {id}`"),
            ),
            false => (
                format!("the process of operation `{id}` ({kind}) is gone"),
                format!("run `{}` to resolve its steps", recover(&operation.stacks)),
            ),
        };
        findings.push(Finding::warn(OPERATIONS, message, remedy));
    }
    // Skips open steps of these operations: running ones have open steps, and interrupted ones are reported already.
    let runs = |operation: Uuid| operations.iter().any(|other| other.id == operation);
    // Includes stacks with an open step.
    let stacks = store.stacks().await?;
    let count = stacks.len();
    for stack in stacks {
        let open = store.open_intents(&stack, &Selection::All).await?;
        let in_doubt = open.iter().filter(|open| !runs(open.intent.operation));
        let in_doubt: BTreeSet<String> = in_doubt.map(|open| open.intent.row.address.to_string()).collect();
        let Some(first) = in_doubt.first() else { continue };
        let more = match in_doubt.len() {
            1 => String::new(),
            count => format!(" and of {} more", count - 1),
        };
        findings.push(Finding::warn(
            OPERATIONS,
            format!("{stack}: the last step of {first}{more} is in doubt"),
            format!("run `{}` to resolve it", recover(std::slice::from_ref(&stack))),
        ));
    }
    Ok((count, findings))
}

/// Opens a sealed row of each configured environment. The checks of the keys report their own errors.
async fn unopened(store: &dyn StateStore, settings: &Settings, ui: &Ui) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    let mut stacks: BTreeMap<String, Vec<StackId>> = BTreeMap::new();
    for stack in store.known_stacks().await? {
        stacks.entry(stack.environment.clone()).or_default().push(stack);
    }
    for (name, stacks) in stacks {
        let Some(environment) = settings.configuration.environment(&name, &settings.variables).0 else { continue };
        let Ok(seal) = find_key(settings, environment.encryption.as_ref(), false, ui) else { continue };
        seal.bind_to(store).await?;
        let Some((row, why)) = first_sealed(store, &stacks, &seal).await? else { continue };
        let place = match (environment.encryption, seal.has_key()) {
            (Some(_), _) => format!("`environments.{name}.encryption` of terrace.yaml"),
            (None, true) => "`TERRACE_STATE_KEY` or `encryption.previous` of terrace.yaml".to_owned(),
            (None, false) => "`TERRACE_STATE_KEY`, or its file in `encryption.keyFile` of terrace.yaml".to_owned(),
        };
        findings.push(Finding::fail(
            SEALED_VALUES,
            format!("the recorded values of {row} cannot be opened: {why}"),
            format!(
                "provide the key that sealed them in {place}; if it is lost, `terrace state rm` drops the resource from the state"
            ),
        ));
    }
    Ok(findings)
}

/// The first row with sealed values, and why the key does not open it; nothing if it does.
async fn first_sealed(
    store: &dyn StateStore,
    stacks: &[StackId],
    seal: &Seal,
) -> Result<Option<(String, String)>, StoreError> {
    let no_key = Seal::without_key(true);
    for stack in stacks {
        for row in store.rows(stack, &Selection::All).await? {
            let name = format!("{stack}:{}", row.address);
            if !matches!(record::open(row.clone(), &no_key), Err(WireError::CannotOpen(_))) {
                continue;
            }
            return Ok(match record::open(row, seal) {
                Err(WireError::CannotOpen(why)) => Some((name, why)),
                _ => None,
            });
        }
    }
    Ok(None)
}

/// The command that resolves steps. Recovery of any stack includes the shared resources of its environment.
fn recover(stacks: &[StackId]) -> String {
    let own: Vec<String> = stacks.iter().filter(|stack| stack.name != SHARED).map(StackId::to_string).collect();
    match (own.is_empty(), stacks.first()) {
        (true, Some(shared)) => format!("terrace recover --env {}", shared.environment),
        (true, None) => "terrace recover".to_owned(),
        (false, _) => format!("terrace recover {}", own.join(" ")),
    }
}

/// Checks who can write and read the state.
fn permissions(path: &Path, near: &Path, is_state: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let not_writable = [path, near].into_iter().find(|it| it.exists() && access(*it, FileAccess::WRITE_OK).is_err());
    if let Some(place) = not_writable {
        findings.push(Finding::fail(
            SUBJECT,
            format!("`{}` cannot be written by this user", place.display()),
            "let this user write the file and its folder: the folder holds the log too",
        ));
    }
    let others = std::fs::metadata(path).map_or(0, |metadata| std::os::unix::fs::MetadataExt::mode(&metadata) & 0o077);
    if is_state && others != 0 {
        let action = if others & 0o022 == 0 { "read" } else { "changed" };
        findings.push(Finding::warn(
            SUBJECT,
            format!("`{}` can be {action} by other users of this machine", path.display()),
            format!("`chmod 600 {}`", shell_word(&path.display().to_string())),
        ));
    }
    findings
}

/// Checks the file system below the state.
fn disk(folder: &Path) -> Vec<Finding> {
    const DISK: &str = "disk of the state";
    let mut findings = Vec::new();
    if let Some(name) = network_file_system(folder) {
        findings.push(Finding::warn(
            DISK,
            format!("`{}` is on a network file system ({name}): SQLite's locks do not hold there", folder.display()),
            "keep the state on a local disk, and let every run use that machine",
        ));
    }
    let Ok(metadata) = statvfs(folder) else { return findings };
    let free = metadata.f_bavail.saturating_mul(metadata.f_frsize);
    let message = format!("{} MiB are free", free >> 20);
    findings.push(match free {
        0..NO_SPACE => Finding::fail(DISK, message, "free some space: without it applies fail"),
        NO_SPACE..LOW_SPACE => Finding::warn(DISK, message, "free some space soon"),
        _ => Finding::ok(DISK, message),
    });
    findings
}

/// The name of the network file system that a folder is on.
#[cfg(target_os = "linux")]
fn network_file_system(folder: &Path) -> Option<&'static str> {
    // From linux/magic.h.
    const KNOWN: [(u32, &str); 11] = [
        (0x6969, "NFS"),
        (0x517B, "SMB"),
        (0xFF53_4D42, "CIFS"),
        (0xFE53_4D42, "SMB2"),
        (0x0102_1997, "9P"),
        (0x5346_414F, "AFS"),
        (0x00C3_6400, "Ceph"),
        (0x0BD0_0BD0, "Lustre"),
        (0x4750_4653, "GPFS"),
        (0x6573_5546, "FUSE"),
        (0x7461_636F, "OCFS2"),
    ];
    let metadata = rustix::fs::statfs(folder).ok()?;
    // The field is wider than the number on some machines.
    let magic = u32::try_from(metadata.f_type & 0xFFFF_FFFF).ok()?;
    KNOWN.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name)
}

/// The name of the network file system that a folder is on: unknown on this system.
#[cfg(not(target_os = "linux"))]
fn network_file_system(_folder: &Path) -> Option<&'static str> {
    None
}
