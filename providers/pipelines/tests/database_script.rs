//! The script of database servers in a cluster, with PostgreSQL on this machine: the password of the Secret is that of the server.

use crate::harness::Project;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use terrace_pipelines::database::{DatabaseSpec, Engine};
use tokio_postgres::{Client, Config, NoTls};
use tokio_util::sync::CancellationToken;

/// The script in the chart. A test of the chart compares it with that of the executor.
const SCRIPT: &str = include_str!("../../../deploy/helm/pipeline/database.sh");
/// Passwords that would break statements or shells without quoting.
const PASSWORDS: [&str; 4] =
    ["first", r#"O'Brien \' $HOME $(id) `id` "%s\n" ''; DROP ROLE x; --"#, r"\'\", " é €  *?[a]~!#&|<>\t "];

/// Data of a server, its programs, and the user that runs it.
struct Server {
    folder: tempfile::TempDir,
    programs: PathBuf,
    user: (u32, u32),
    port: u16,
}

impl Server {
    async fn prepare() -> Self {
        // The server of a project shows the programs and the user of servers on this machine.
        let project = Project::new("nothing: {pipeline: [{run: noise}]}\n");
        let spec = DatabaseSpec { name: "x".to_owned(), engine: Some(Engine::Postgres), ..DatabaseSpec::default() };
        let databases = project.databases();
        let record = databases.create(&spec, &CancellationToken::new()).await.unwrap();
        let process = std::fs::read_to_string(record.data.join("postmaster.pid")).unwrap();
        let process = PathBuf::from("/proc").join(process.lines().next().unwrap());
        let programs = process.join("exe").canonicalize().unwrap().parent().unwrap().to_owned();
        let owner = record.data.metadata().unwrap();
        let user = (owner.uid(), owner.gid());
        databases.remove("x").await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        chown(folder.path(), Some(user.0), Some(user.1)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { folder, programs, user, port }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the script with this password and version of the Secret.
    fn start(&self, password: &str, secret: &str) -> Child {
        std::fs::write(self.path("password"), password).unwrap();
        chown(self.path("password"), Some(self.user.0), Some(self.user.1)).unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT]).current_dir(self.folder.path()).env_clear();
        let path = std::env::join_paths([self.programs.as_path(), Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
        command.env("PATH", path).env("PGDATA", self.path("data")).env("PASSWORD_FILE", self.path("password"));
        command.env("SECRET", secret).env("PGPORT", self.port.to_string());
        command.uid(self.user.0).gid(self.user.1).spawn().unwrap()
    }

    /// Ends the server as the pod does.
    fn stop(&self, mut child: Child) {
        let mut stop = Command::new(self.programs.join("pg_ctl"));
        stop.args(["stop", "-s", "-m", "fast", "-D"]).arg(self.path("data")).current_dir(self.folder.path());
        assert!(stop.uid(self.user.0).gid(self.user.1).status().unwrap().success());
        assert!(child.wait().unwrap().success());
    }

    async fn connect(&self, password: &str) -> Result<Client, tokio_postgres::Error> {
        self.connect_as("postgres", password).await
    }

    async fn connect_as(&self, user: &str, password: &str) -> Result<Client, tokio_postgres::Error> {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user(user).dbname("postgres").password(password);
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    async fn connect_after_start(&self, child: &mut Child, password: &str) -> Client {
        let started = Instant::now();
        loop {
            match self.connect(password).await {
                Ok(client) => return client,
                Err(error) => {
                    assert_eq!(child.try_wait().unwrap(), None, "{error}");
                    assert!(started.elapsed() < Duration::from_secs(60), "{password}: {error}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_password_of_the_secret_becomes_that_of_the_server() {
    let server = Server::prepare().await;
    let mut former: Option<&str> = None;
    for (number, password) in PASSWORDS.into_iter().chain([PASSWORDS[1]]).enumerate() {
        let mut child = server.start(password, &number.to_string());
        let client = server.connect_after_start(&mut child, password).await;
        client.batch_execute("CREATE TABLE IF NOT EXISTS kept (a integer)").await.unwrap();
        if let Some(former) = former {
            assert!(server.connect(former).await.is_err(), "{former}");
        }
        former = Some(password);
        drop(client);
        server.stop(child);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn server_does_not_start_with_a_password_that_it_refused() {
    let server = Server::prepare().await;
    let mut child = server.start("first", "1");
    let client = server.connect_after_start(&mut child, "first").await;
    client.batch_execute("CREATE ROLE other SUPERUSER LOGIN PASSWORD 'other'").await.unwrap();
    drop(client);
    let other = server.connect_as("other", "other").await.unwrap();
    other.batch_execute("ALTER ROLE postgres RENAME TO renamed").await.unwrap();
    drop(other);
    server.stop(child);
    let mut child = server.start("second", "2");
    let started = Instant::now();
    let status = loop {
        if server.connect_as("other", "other").await.is_ok() || started.elapsed() > Duration::from_secs(60) {
            server.stop(child);
            panic!("the server runs without its password");
        }
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(!status.success());
    let marker = std::fs::read_to_string(server.path("data.secret")).unwrap();
    assert_eq!(marker, "1\n", "the next start tries again");
}
