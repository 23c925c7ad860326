//! Being told by the database when somebody queued a request, wherever that was.

use super::connection::PATIENCE;
use super::error::Failure;
use std::future::poll_fn;
use std::time::Duration;
use tokio_postgres::{AsyncMessage, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

/// What a request is announced on. Stores in other schemas of the database use it, too: who listens looks for itself.
pub(super) const CHANNEL: &str = "terrace_request";

/// Interval of test statements: a connection that only listens may be dead for hours.
const PULSE: Duration = Duration::from_secs(10);

/// Tells of requests that others than `origin` queue, as long as the connection lasts, which is one of its own.
pub(super) async fn listen(
    config: &Config,
    connector: MakeRustlsConnect,
    origin: &str,
    wake: &(dyn Fn() + Send + Sync),
) -> Result<(), Failure> {
    let (client, mut connection) = in_time(config.connect(connector)).await?;
    let listening = subscribe(&client, wake);
    let hearing = async {
        while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
            match message? {
                AsyncMessage::Notification(notification) if notification.payload() != origin => wake(),
                _ => {}
            }
        }
        Ok(())
    };
    tokio::select! {
        heard = hearing => heard,
        failed = listening => failed,
    }
}

/// Subscribes to the channel, and asks from time to time whether the connection still answers; returns only with a failure.
async fn subscribe(client: &Client, wake: &(dyn Fn() + Send + Sync)) -> Result<(), Failure> {
    in_time(client.batch_execute(&format!("LISTEN {CHANNEL}"))).await?;
    // Requests may have been queued before.
    wake();
    loop {
        tokio::time::sleep(PULSE).await;
        in_time(client.batch_execute("")).await?;
    }
}

async fn in_time<T>(asked: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Failure> {
    Ok(tokio::time::timeout(PATIENCE, asked).await.map_err(|_| Failure::Late(PATIENCE))??)
}
