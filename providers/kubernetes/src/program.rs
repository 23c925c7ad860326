//! Programs in containers of pods. Their connection can end before they do.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{AttachedProcess, TerminalSize};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;

/// How much of a program's error output is kept, in bytes.
const KEPT_ERRORS: usize = 64 << 10;

/// The end of a program in a container: its status, or nothing if the connection ended first.
type End = Shared<BoxFuture<'static, Option<Status>>>;

/// The end of a connection before that of its program.
const LOST: &str = "the connection to the pod ended";

fn end_of(process: &mut AttachedProcess) -> End {
    let status = process.take_status();
    async move { status?.await }.boxed().shared()
}

/// Output of a program. The library leaves it open if the connection ends first.
struct Output<R> {
    inner: R,
    /// Nothing once the program has ended: then its output ends, too.
    end: Option<End>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Output<R> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Poll::Ready(read) = Pin::new(&mut this.inner).poll_read(context, buffer) {
            return Poll::Ready(read);
        }
        let Some(end) = &mut this.end else { return Poll::Pending };
        match Pin::new(end).poll(context) {
            Poll::Ready(None) => {
                this.end = None;
                Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, LOST)))
            }
            Poll::Ready(Some(_)) => {
                this.end = None;
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// A program in a container.
pub struct Program {
    process: AttachedProcess,
    end: End,
    errors: Option<JoinHandle<String>>,
}

impl Program {
    pub(crate) fn new(mut process: AttachedProcess) -> Self {
        let end = end_of(&mut process);
        let errors = process.stderr().map(|inner| Output { inner, end: Some(end.clone()) });
        Self { process, end, errors: errors.map(|errors| tokio::spawn(last_of(errors))) }
    }

    /// Its output, once. It fails if the connection ends first.
    pub fn output(&mut self) -> Option<impl AsyncRead + Unpin + Send + use<>> {
        let end = Some(self.end.clone());
        self.process.stdout().map(|inner| Output { inner, end })
    }

    /// Waits for its end, after its output was read.
    ///
    /// # Errors
    /// The line of its error output that has the reason, or why its end is unknown.
    pub async fn wait(mut self) -> Result<(), String> {
        let text = match self.errors.take() {
            Some(errors) => errors.await.unwrap_or_default(),
            None => String::new(),
        };
        match self.end.clone().await {
            Some(status) if status.status.as_deref() == Some("Success") => Ok(()),
            Some(status) => {
                let message = status.message.unwrap_or_default();
                Err(reason_in(&text).map_or(message, str::to_owned))
            }
            None => Err(LOST.to_owned()),
        }
    }
}

/// The line of an error output that has the reason: the last one with `error:`, which details may follow, or else the last one.
fn reason_in(text: &str) -> Option<&str> {
    let lines = || text.lines().rev().filter(|line| !line.trim().is_empty());
    lines().find(|line| line.contains("error: ")).or_else(|| lines().next())
}

/// Reads an error output to its end, and keeps its last bytes. It must be read beside the output: one connection has both, and
/// the library stops reading it while a buffer is full.
async fn last_of(mut errors: impl AsyncRead + Unpin) -> String {
    let (mut kept, mut part) = (Vec::new(), Vec::with_capacity(8 << 10));
    while errors.read_buf(&mut part).await.is_ok_and(|length| length > 0) {
        kept.append(&mut part);
        let old = kept.len().saturating_sub(KEPT_ERRORS);
        kept.drain(..old);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// A program in a container with its input, for a user.
pub struct Attached {
    process: AttachedProcess,
    end: End,
}

impl Attached {
    pub(crate) fn new(mut process: AttachedProcess) -> Self {
        let end = end_of(&mut process);
        Self { process, end }
    }

    /// Its input, once. The caller shuts it down to end it: a dropped input stays open.
    pub fn input(&mut self) -> Option<impl AsyncWrite + Unpin + Send + use<>> {
        self.process.stdin()
    }

    /// Its output, once. It fails if the connection ends first.
    pub fn output(&mut self) -> Option<impl AsyncRead + Unpin + Send + use<>> {
        let end = Some(self.end.clone());
        self.process.stdout().map(|inner| Output { inner, end })
    }

    /// Its error output, once; nothing with a terminal, which has one output. It fails if the connection ends first.
    pub fn errors(&mut self) -> Option<impl AsyncRead + Unpin + Send + use<>> {
        let end = Some(self.end.clone());
        self.process.stderr().map(|inner| Output { inner, end })
    }

    /// Sets the size of its terminal in characters.
    pub fn resizer(&mut self) -> Option<impl FnMut(u16, u16) + Send + use<>> {
        let mut sizes = self.process.terminal_size()?;
        // A full queue has newer sizes.
        Some(move |width, height| drop(sizes.try_send(TerminalSize { width, height })))
    }

    /// Waits for its end, and returns its exit code.
    ///
    /// # Errors
    /// The reason that its end is unknown.
    pub async fn exit_code(self) -> Result<u8, String> {
        let status = self.end.clone().await.ok_or(LOST)?;
        if status.status.as_deref() == Some("Success") {
            return Ok(0);
        }
        let causes = status.details.and_then(|details| details.causes).unwrap_or_default();
        let code = causes.iter().find(|cause| cause.reason.as_deref() == Some("ExitCode"));
        let code = code.and_then(|cause| cause.message.as_deref()?.parse().ok());
        code.ok_or_else(|| status.message.unwrap_or_else(|| "the cluster does not report the end".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::poll;
    use tokio::io::{AsyncWriteExt, simplex};

    #[test]
    fn reason_precedes_its_details() {
        let error = "pg_dump: error: query failed: ERROR:  permission denied for table orders";
        let text = format!("LOG:  plan:\n{error}\npg_dump: detail: Query was: LOCK TABLE public.orders\n\n");
        assert_eq!(reason_in(&text), Some(error));
        assert_eq!(reason_in("one\ntwo\n\n"), Some("two"));
        assert_eq!(reason_in("\n"), None);
    }

    #[tokio::test]
    async fn output_fails_if_the_connection_ends_before_the_program() {
        let (reader, mut writer) = simplex(64);
        let mut output = Output { inner: reader, end: Some(async { None }.boxed().shared()) };
        writer.write_all(b"rows").await.unwrap();
        let mut read = [0; 8];
        assert_eq!(output.read(&mut read).await.unwrap(), 4);
        assert_eq!(output.read(&mut read).await.unwrap_err().to_string(), LOST);
        drop(writer);
    }

    #[tokio::test]
    async fn long_errors_are_read_to_their_end() {
        let (reader, mut writer) = simplex(64);
        let writing = async move {
            writer.write_all(&vec![b'.'; 3 * KEPT_ERRORS]).await.unwrap();
            writer.write_all(b"\nthe reason\n").await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let (kept, ()) = tokio::join!(last_of(reader), writing);
        assert_eq!((kept.len(), kept.lines().last()), (KEPT_ERRORS, Some("the reason")));
    }

    #[tokio::test]
    async fn output_of_an_ended_program_is_read_to_its_end() {
        let (reader, mut writer) = simplex(64);
        let mut output = Output { inner: reader, end: Some(async { Some(Status::default()) }.boxed().shared()) };
        let mut read = [0; 8];
        assert!(poll!(std::pin::pin!(output.read(&mut read))).is_pending());
        writer.write_all(b"last").await.unwrap();
        writer.shutdown().await.unwrap();
        assert_eq!(output.read(&mut read).await.unwrap(), 4);
        assert_eq!(output.read(&mut read).await.unwrap(), 0);
    }
}
