//! A PostgreSQL server of the tests' own, in a folder of its own, reached through a socket in it.
//!
//! It is started by a small script, which runs as another user where this one is root (the server refuses to be), and
//! which stops it and removes the folder when the end of its input is reached: when the tests are over, however they end.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

/// The password of the server's only user.
pub const PASSWORD: &str = "hunter2-of-the-tests";

const SCRIPT: &str = r#"
PATH="$PATH:$(printf %s: /usr/lib/postgresql/*/bin /usr/local/bin)"
command -v initdb >/dev/null && command -v pg_ctl >/dev/null || { echo missing; exit 1; }
folder=$(mktemp -d /tmp/terrace-postgres-XXXXXX) || exit 1
cd "$folder"
printf %s "$1" >password
options="-k $folder -c listen_addresses= -c fsync=off -c full_page_writes=off -c max_connections=400"
if initdb -D data -U terrace -A scram-sha-256 --pwfile=password -E UTF8 --no-locale --no-sync >log 2>&1 &&
   pg_ctl start -w -D data -l log -o "$options" >>log 2>&1; then
  echo "ready $folder"
else
  tr '\n' ' ' <log
fi
while read -r command; do
  pg_ctl "$command" -w -D data -l log -m immediate -o "$options" >>log 2>&1
  echo "did $command: $?"
done
pg_ctl stop -w -D data -m immediate >>log 2>&1
rm -rf "$folder"
"#;

/// A server that runs.
pub struct Cluster {
    folder: String,
    // Its end is what stops the server.
    orders: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    _script: Child,
}

static SHARED: OnceLock<Cluster> = OnceLock::new();
static DATABASES: AtomicUsize = AtomicUsize::new(0);

impl Cluster {
    /// The server that all tests of a program share.
    pub fn shared() -> &'static Self {
        SHARED.get_or_init(Self::start)
    }

    /// A server for a test that stops it.
    ///
    /// # Panics
    /// When PostgreSQL is not installed, or does not start: such a test has not passed.
    #[must_use]
    pub fn start() -> Self {
        let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
        let mut script = match is_root {
            true => Command::new("runuser"),
            false => Command::new("sh"),
        };
        if is_root {
            script.args(["-u", "postgres", "--", "sh"]);
        }
        let mut script = script
            .args(["-c", SCRIPT, "sh", PASSWORD])
            .current_dir("/tmp")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell, and `runuser` where the tests are run by root");
        let (input, mut output) = (script.stdin.take().unwrap(), BufReader::new(script.stdout.take().unwrap()));
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let folder = line.trim().strip_prefix("ready ").map(str::to_owned);
        let advice = "these tests need PostgreSQL and, when root runs them, its user `postgres`: \
                      `apt-get install postgresql`";
        assert!(folder.is_some(), "{advice} (it said: {})", line.trim());
        Self { folder: folder.unwrap(), orders: Mutex::new((input, output)), _script: script }
    }

    /// `stop`, `start` or `restart`: done when this returns.
    pub fn order(&self, command: &str) {
        let mut orders = self.orders.lock().unwrap();
        let (input, output) = &mut *orders;
        writeln!(input, "{command}").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), format!("did {command}: 0"));
    }

    /// A URL of a database, be there one or not.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://terrace:{PASSWORD}@/{database}?host={}", self.folder)
    }

    /// Makes an empty database, and gives its URL.
    pub async fn database(&self) -> String {
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        self.connect("postgres").await.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        self.url(&name)
    }

    /// A connection to a database.
    pub async fn connect(&self, database: &str) -> tokio_postgres::Client {
        connect(&self.url(database)).await
    }
}

/// A connection to the database of a URL.
pub async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
