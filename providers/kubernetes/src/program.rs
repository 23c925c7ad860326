//! Programs in containers of pods. Their connection can end before they do.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{AttachedProcess, TerminalSize};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// Largest error output of a program in bytes.
const LARGEST_ERROR: u64 = 64 << 10;

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
}

impl Program {
    pub(crate) fn new(mut process: AttachedProcess) -> Self {
        let end = end_of(&mut process);
        Self { process, end }
    }

    /// Its output, once. It fails if the connection ends first.
    pub fn output(&mut self) -> Option<impl AsyncRead + Unpin + Send + use<>> {
        let end = Some(self.end.clone());
        self.process.stdout().map(|inner| Output { inner, end })
    }

    /// Waits for its end, after its output was read.
    ///
    /// # Errors
    /// The end of its error output, or the reason that its end is unknown.
    pub async fn wait(mut self) -> Result<(), String> {
        let mut text = String::new();
        if let Some(inner) = self.process.stderr() {
            let errors = Output { inner, end: Some(self.end.clone()) };
            let _ = errors.take(LARGEST_ERROR).read_to_string(&mut text).await;
        }
        match self.end.clone().await {
            Some(status) if status.status.as_deref() == Some("Success") => Ok(()),
            Some(status) => {
                let message = status.message.unwrap_or_default();
                let last = text.lines().rev().find(|line| !line.trim().is_empty());
                Err(last.map_or(message, str::to_owned))
            }
            None => Err(LOST.to_owned()),
        }
    }
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
