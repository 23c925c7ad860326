//! Being told by the database when somebody queued a request, wherever that was.

use super::error::Failure;
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use tokio_postgres::{AsyncMessage, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

/// What a request is announced on. Stores in other schemas of the database use it, too: who listens looks for itself.
pub(super) const CHANNEL: &str = "terrace_request";

/// Tells of requests that others than `origin` queue, as long as the connection lasts, which is one of its own.
pub(super) async fn listen(
    config: &Config,
    connector: MakeRustlsConnect,
    origin: &str,
    wake: &(dyn Fn() + Send + Sync),
) -> Result<(), Failure> {
    let (client, mut connection) = config.connect(connector).await?;
    let listening = async {
        client.batch_execute(&format!("LISTEN {CHANNEL}")).await?;
        // What was queued before.
        wake();
        // As long as somebody has the client the connection is kept.
        pending::<Result<Infallible, Failure>>().await
    };
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
        failed = listening => failed.map(|never| match never {}),
    }
}
