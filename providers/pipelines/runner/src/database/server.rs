//! Process of a PostgreSQL server. It outlives the process that starts it, and is found again by its file
//! `postmaster.pid`: the server is a process with that id whose working directory is the data folder.

use super::error::{DatabaseError, DatabaseErrorKind, operation_error};
use super::programs::Programs;
use super::record::{Account, HOST, PASSWORD, Record, USER, write_private};
use crate::executor::local::MARK;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use secrecy::{ExposeSecret, SecretString};
use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

/// Name of the server's log.
const LOG: &str = "server.log";
/// Interval between checks of a server that starts or ends.
const POLL: Duration = Duration::from_millis(50);
/// Timeout of a start.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Signals that end a server, with the time to wait after each.
const STOP_SIGNALS: [(Signal, Duration); 3] = [
    (Signal::INT, Duration::from_secs(20)),
    (Signal::QUIT, Duration::from_secs(5)),
    (Signal::KILL, Duration::from_secs(5)),
];
/// Number of attempts with another port if a process takes the free one.
const PORTS: usize = 5;
/// Number of log lines in an error.
const ERROR_LINES: usize = 5;

/// A running server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Server {
    pid: Pid,
    /// It accepts connections.
    pub(super) is_ready: bool,
    /// Its port.
    pub(super) port: Option<u16>,
}

/// Returns the running server of a data folder.
pub(super) fn running(data: &Path) -> Option<Server> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let lines: Vec<&str> = text.lines().collect();
    let pid = Pid::from_raw(lines.first()?.trim().parse().ok().filter(|pid| *pid > 0)?)?;
    let is_ready = lines.get(7).is_some_and(|status| status.trim() == "ready");
    let port = lines.get(3).and_then(|port| port.trim().parse().ok());
    is_alive(pid, data).then_some(Server { pid, is_ready, port })
}

/// Returns true if a process with that id works in a data folder. After a crash of the machine, another process may
/// have the id.
fn is_alive(pid: Pid, data: &Path) -> bool {
    if !Path::new("/proc/self/cwd").exists() {
        return test_kill_process(pid).is_ok();
    }
    let works_in = fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero()));
    works_in.is_ok_and(|folder| data.canonicalize().is_ok_and(|data| data == folder))
}

/// Creates a command that runs as the server's user, without the environment of this process.
fn command(program: &Path, record: &Record) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LC_ALL", "C").env(MARK, record.process_mark());
    command.current_dir("/").stdin(Stdio::null()).process_group(0);
    if let Some(account) = &record.account {
        // This drops root's supplementary groups too.
        command.uid(account.uid).gid(account.gid);
    }
    command
}

fn set_owner(path: &Path, account: Option<&Account>) -> io::Result<()> {
    account.map_or(Ok(()), |account| chown(path, Some(account.uid), Some(account.gid)))
}

/// Creates the data of a new server in a temporary folder, and then moves it into place, so that existing data is
/// complete.
///
/// # Errors
/// When it cannot be created; then nothing remains.
pub(super) async fn initialise(
    programs: &Programs,
    folder: &Path,
    record: &Record,
    password: &SecretString,
    cancel: &CancellationToken,
) -> Result<(), DatabaseError> {
    let broken = |error: io::Error| operation_error("create the data of", &record.name, &error);
    let place = record.data.parent().unwrap_or(folder);
    let partial = place.join("data.partial");
    let password_path = place.join("password.partial");
    fs::create_dir_all(place).map_err(broken)?;
    let prepared = fs::create_dir(&partial)
        .and_then(|()| fs::set_permissions(&partial, fs::Permissions::from_mode(0o700)))
        .and_then(|()| set_owner(&partial, record.account.as_ref()))
        .and_then(|()| write_private(&password_path, password.expose_secret()))
        .and_then(|()| set_owner(&password_path, record.account.as_ref()));
    prepared.map_err(broken)?;
    let mut initdb = command(&programs.path("initdb"), record);
    initdb.arg("-D").arg(&partial).args(["-U", USER, "-A", "scram-sha-256", "-E", "UTF8", "--no-locale"]);
    initdb.arg("--pwfile").arg(&password_path).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = tokio::select! {
        output = initdb.output() => output.map_err(broken),
        () = cancel.cancelled() => {
            Err(DatabaseError::new(DatabaseErrorKind::Cancelled, "cancelled while creating a database"))
        }
    };
    let _ = fs::remove_file(&password_path);
    let output = output?;
    if !output.status.success() {
        return Err(startup_error("the data of", &record.name, &String::from_utf8_lossy(&output.stderr)));
    }
    fs::rename(&partial, &record.data).map_err(broken)
}

/// Starts a server and waits until it accepts connections. Then the record has its port.
///
/// # Errors
/// When it does not start.
pub(super) async fn start(
    programs: &Programs,
    folder: &Path,
    record: &mut Record,
    cancel: &CancellationToken,
) -> Result<(), DatabaseError> {
    if let Some(server) = running(&record.data) {
        // The process that started it was killed. The server may still be starting, for example recovering from a
        // crash.
        record.port = server.port.or(record.port);
        return wait_until_ready(folder, record, None, cancel).await;
    }
    // PostgreSQL would mistake any process with the id in this file for the server.
    let _ = fs::remove_file(record.data.join("postmaster.pid"));
    for attempt in 1.. {
        let port = match record.port.filter(|port| record.is_port_fixed || is_free(*port)) {
            Some(port) => port,
            None => free_port().map_err(|error| operation_error("find a free port for", &record.name, &error))?,
        };
        if record.is_port_fixed && !is_free(port) {
            return Err(port_in_use(&record.name, port));
        }
        record.port = Some(port);
        match start_on_port(programs, folder, record, port, cancel).await {
            Err(error) if error.kind == DatabaseErrorKind::InUse && !record.is_port_fixed && attempt < PORTS => {
                record.port = None
            }
            Err(error) if error.kind == DatabaseErrorKind::InUse => return Err(port_in_use(&record.name, port)),
            done => return done,
        }
    }
    Ok(())
}

fn port_in_use(name: &str, port: u16) -> DatabaseError {
    DatabaseError::new(
        DatabaseErrorKind::Failed,
        format!("the database `{name}` cannot listen on port {port}: it is in use"),
    )
    .hint("choose another `port`, or omit it for a free one")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((HOST, port)).is_ok()
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((HOST, 0))?.local_addr()?.port())
}

/// Starts a server on a port.
async fn start_on_port(
    programs: &Programs,
    folder: &Path,
    record: &Record,
    port: u16,
    cancel: &CancellationToken,
) -> Result<(), DatabaseError> {
    let broken = |error: io::Error| operation_error("start", &record.name, &error);
    let log = folder.join(LOG);
    let open = File::options().create(true).write(true).truncate(true).mode(0o600).open(&log);
    let output = open.map_err(broken)?;
    let errors = output.try_clone().map_err(broken)?;
    let mut server = command(&programs.path("postgres"), record);
    server.arg("-D").arg(&record.data).arg("-p").arg(port.to_string());
    // No socket in the file system, since paths of sockets are shorter than those of projects may be. No log of
    // statements, since they may contain secrets.
    for option in [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "logging_collector=off",
        "log_checkpoints=off",
        "log_min_error_statement=panic",
        "log_statement=none",
    ] {
        server.arg("-c").arg(option);
    }
    server.stdout(output).stderr(errors);
    let child = server.spawn().map_err(broken)?;
    wait_until_ready(folder, record, Some(child), cancel).await
}

/// Waits until a server, started by this or another process, accepts connections. Stops a server that does not.
async fn wait_until_ready(
    folder: &Path,
    record: &Record,
    mut child: Option<Child>,
    cancel: &CancellationToken,
) -> Result<(), DatabaseError> {
    let (log, started) = (folder.join(LOG), Instant::now());
    loop {
        let server = running(&record.data);
        if server.is_some_and(|server| server.is_ready) {
            return Ok(());
        }
        let has_ended = match &mut child {
            Some(child) => child.try_wait().map(|status| status.is_some()),
            None => Ok(server.is_none()),
        };
        let failed = match has_ended {
            Ok(true) => {
                Some(startup_error("the server of", &record.name, &fs::read_to_string(&log).unwrap_or_default()))
            }
            Ok(false) if started.elapsed() >= START_TIMEOUT => {
                let what =
                    format!("the server of the database `{}` does not start within {START_TIMEOUT:?}", record.name);
                Some(
                    DatabaseError::new(DatabaseErrorKind::Failed, what)
                        .hint(format!("read its messages in `{}`", log.display())),
                )
            }
            Ok(false) if cancel.is_cancelled() => {
                Some(DatabaseError::new(DatabaseErrorKind::Cancelled, "cancelled while starting a database"))
            }
            Ok(false) => None,
            Err(error) => Some(operation_error("start", &record.name, &error)),
        };
        if let Some(error) = failed {
            stop(&record.data).await?;
            return Err(error);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Explains why a program of PostgreSQL failed, by its output.
fn startup_error(what: &str, name: &str, output: &str) -> DatabaseError {
    let lines: Vec<&str> = output.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let has = |text: &str| lines.iter().any(|line| line.contains(text));
    let shown =
        lines.get(lines.len().saturating_sub(ERROR_LINES)..).unwrap_or_default().iter().map(|line| (*line).to_owned());
    let error = |kind, text: &str| {
        DatabaseError::new(kind, format!("{what} the database `{name}` {text}")).facts(shown.clone())
    };
    if has("No space left on device") || has("Disk quota exceeded") {
        error(DatabaseErrorKind::Failed, "cannot be created: the disk is full")
            .hint("free space on the disk, then try again")
    } else if has("Address already in use") || has("could not bind") {
        error(DatabaseErrorKind::InUse, "cannot listen: its port is in use")
    } else if has("database files are incompatible") {
        error(DatabaseErrorKind::Failed, "has another release of PostgreSQL")
            .hint("install that release, or replace the database")
    } else if has("could not create shared memory") || has("could not map anonymous shared memory") {
        error(DatabaseErrorKind::Failed, "does not get enough memory").hint("end other programs, then try again")
    } else {
        error(DatabaseErrorKind::Failed, "could not be created or started")
            .hint("read PostgreSQL's messages above; `terrace doctor` checks the installation")
    }
}

/// Ends a server, and waits for its end.
///
/// # Errors
/// When it does not end.
pub(super) async fn stop(data: &Path) -> Result<(), DatabaseError> {
    for (signal, timeout) in STOP_SIGNALS {
        let Some(server) = running(data) else { return Ok(()) };
        // An error means that it has ended.
        let _ = kill_process(server.pid, signal);
        let started = Instant::now();
        while started.elapsed() < timeout {
            // Its file disappears a moment before the process.
            if !is_alive(server.pid, data) {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    }
    Err(DatabaseError::new(DatabaseErrorKind::Failed, format!("the server of `{}` does not end", data.display()))
        .hint("check its process; it may wait for a disk"))
}

/// Path of the password for PostgreSQL's programs.
pub(super) fn password_file(folder: &Path) -> std::path::PathBuf {
    folder.join(PASSWORD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_explains_output_of_postgres() {
        for (output, problem, kind) in [
            (
                "initdb: error: could not write to file: No space left on device",
                "the disk is full",
                DatabaseErrorKind::Failed,
            ),
            (
                "LOG:  could not bind IPv4 address: Address already in use",
                "its port is in use",
                DatabaseErrorKind::InUse,
            ),
            ("FATAL:  database files are incompatible with server", "another release", DatabaseErrorKind::Failed),
            ("something else", "could not be created or started", DatabaseErrorKind::Failed),
        ] {
            let error = startup_error("the server of", "x", output);
            assert!(error.message.contains(problem) && error.kind == kind, "{error:?}");
            assert_eq!(error.facts, [output]);
        }
    }

    #[tokio::test]
    async fn stop_waits_for_server_after_its_file_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mut ending = Command::new("python3");
        // As PostgreSQL, and unlike a shell, it handles the signal also if its parent ignores it, as in a background job.
        let script = "import os, signal, sys, time\n\
                      def end(*_): os.remove('postmaster.pid'); time.sleep(0.5); sys.exit(0)\n\
                      signal.signal(signal.SIGINT, end)\n\
                      print(flush=True)\n\
                      while True: time.sleep(0.05)\n";
        ending.args(["-c", script]);
        let mut server = ending.current_dir(folder.path()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut output = server.stdout.take().unwrap();
        tokio::io::AsyncReadExt::read_u8(&mut output).await.unwrap();
        let pid = Pid::from_raw(server.id().unwrap().cast_signed()).unwrap();
        fs::write(folder.path().join("postmaster.pid"), format!("{}\n", pid.as_raw_nonzero())).unwrap();
        stop(folder.path()).await.unwrap();
        assert!(!is_alive(pid, folder.path()));
        assert!(server.wait().await.unwrap().success(), "it got one signal, and ended by itself");
    }

    #[test]
    fn process_in_another_folder_is_not_the_server() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(running(folder.path()), None);
        let own = std::process::id();
        let text = format!("{own}\n{0}\n1\n5432\n\n127.0.0.1\n0\nready   \n", folder.path().display());
        fs::write(folder.path().join("postmaster.pid"), &text).unwrap();
        assert_eq!(running(folder.path()), None, "this process works in another folder");
        let here = std::env::current_dir().unwrap();
        assert_ne!(here, folder.path());
        for broken in ["", "x", "0", "-1\n", "99999999999999999999\n"] {
            fs::write(folder.path().join("postmaster.pid"), broken).unwrap();
            assert_eq!(running(folder.path()), None, "{broken}");
        }
    }
}
