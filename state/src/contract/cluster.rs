//! A PostgreSQL server for the tests, in a temporary folder, reached through a socket in it.
//!
//! A small script starts the server. If root runs the tests, the script runs as another user, because the server
//! refuses root. At the end of its input, when the tests are over in any way, it stops the server and removes the
//! folder.

use super::proxy::Proxy;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

/// The password of the server's only user.
pub const PASSWORD: &str = "hunter2-of-the-tests";

const SCRIPT: &str = r#"
PATH="$PATH:$(printf %s: /usr/lib/postgresql/*/bin /usr/local/bin)"
command -v initdb >/dev/null && command -v pg_ctl >/dev/null || { echo missing; exit 1; }
folder=$(TMPDIR=/tmp mktemp -d) || exit 1
cd "$folder"
printf %s "$1" >password
options="-k $folder -c fsync=off -c full_page_writes=off -c max_connections=400 -c log_line_prefix='%d '"
case "$2" in
  0) options="$options -c listen_addresses=" ;;
  *) options="$options -c listen_addresses=127.0.0.1 -p $2 -c ssl=on"
     options="$options -c ssl_cert_file=$folder/certificate -c ssl_key_file=$folder/key"
     printf '%s\n' '[req]' 'distinguished_name=name' 'x509_extensions=about' '[name]' '[about]' \
       'basicConstraints=critical,CA:FALSE' 'subjectAltName=DNS:localhost' >about
     openssl req -x509 -config about -newkey rsa:2048 -nodes -subj /CN=localhost -days 2 \
       -keyout key -out certificate >log 2>&1 || { echo "no openssl"; exit 1; } ;;
esac
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

/// A running server.
pub struct Cluster {
    folder: String,
    port: u16,
    // Closing this input stops the server.
    orders: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    _script: Child,
}

static SHARED: OnceLock<Cluster> = OnceLock::new();
static DATABASES: AtomicUsize = AtomicUsize::new(0);

impl Cluster {
    /// The server that all tests of a program share.
    pub fn shared() -> &'static Self {
        SHARED.get_or_init(|| Self::started(0))
    }

    /// A server for a single test, which may stop it.
    #[must_use]
    pub fn alone() -> Self {
        Self::started(0)
    }

    /// A server that also listens at `localhost`, with TLS and a certificate for that name.
    #[must_use]
    pub fn encrypted() -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        Self::started(port)
    }

    /// Starts a server. A test without PostgreSQL has not passed: it panics.
    fn started(port: u16) -> Self {
        let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
        let mut script = match is_root {
            true => Command::new("runuser"),
            false => Command::new("sh"),
        };
        if is_root {
            script.args(["-u", "postgres", "--", "sh"]);
        }
        let mut script = script
            .args(["-c", SCRIPT, "sh", PASSWORD, &port.to_string()])
            .current_dir("/tmp")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tests need a shell, and `runuser` if root runs them");
        let (input, mut output) = (script.stdin.take().unwrap(), BufReader::new(script.stdout.take().unwrap()));
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let folder = line.trim().strip_prefix("ready ").map(str::to_owned);
        let advice = "these tests need PostgreSQL and, when root runs them, its user `postgres`: \
                      `apt-get install postgresql`";
        assert!(folder.is_some(), "{advice} (output: {})", line.trim());
        Self { folder: folder.unwrap(), port, orders: Mutex::new((input, output)), _script: script }
    }

    /// Executes `stop`, `start` or `restart`, and waits for its end.
    pub fn order(&self, command: &str) {
        let mut orders = self.orders.lock().unwrap();
        let (input, output) = &mut *orders;
        writeln!(input, "{command}").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), format!("did {command}: 0"));
    }

    /// The URL of a database, which may be missing.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let port = if self.port == 0 { 5432 } else { self.port };
        format!("postgres://terrace:{PASSWORD}@/{database}?host={}&port={port}", self.folder)
    }

    /// A proxy in front of this server.
    #[must_use]
    pub fn proxy(&self) -> Proxy {
        let port = if self.port == 0 { 5432 } else { self.port };
        Proxy::before(format!("{}/.s.PGSQL.{port}", self.folder))
    }

    /// The URL of a database through a proxy.
    #[must_use]
    pub fn through(&self, proxy: &Proxy, url: &str) -> String {
        let database = url.split_once("@/").and_then(|(_, rest)| rest.split_once('?')).unwrap().0;
        format!("postgres://terrace:{PASSWORD}@127.0.0.1:{}/{database}?sslmode=disable", proxy.port())
    }

    /// The port of a server that listens at `localhost`.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The file with the certificate of such a server.
    #[must_use]
    pub fn certificate(&self) -> String {
        format!("{}/certificate", self.folder)
    }

    /// The log of the server.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(format!("{}/log", self.folder)).unwrap()
    }

    /// Creates an empty database, and returns its URL.
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
