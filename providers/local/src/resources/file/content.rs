//! The planned and the stored content of a file.

use super::failure::file_error;
use crate::project::{Entry, Project, ProjectPath, invalid};
use crate::resources::attributes::{given, text};
use base16ct::lower::encode_string;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cap_std::fs::{Dir, File, MetadataExt};
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};
use terrace_provider::{Attributes, ErrorKind, ProviderError, Value};

/// Only the digest of a larger file is returned.
const MAX_SHOWN_SIZE: u64 = 16 << 20;

/// The three forms of content.
pub(super) const FORMS: [&str; 3] = ["content", "contentBase64", "source"];

/// The planned content of a file.
pub(super) enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The content of another file.
    Source(Dir, ProjectPath),
}

/// The digest and size of the content.
pub(super) struct Summary {
    /// Hexadecimal.
    pub(super) sha256: String,
    /// In bytes.
    pub(super) size: i64,
}

impl Content {
    /// The content from the attributes; they must be known.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the base64 is invalid or the source is outside the project folder.
    pub(super) fn of(project: &Project, attributes: &Attributes) -> Result<Self, ProviderError> {
        if let Some(content) = text(attributes, "content") {
            return Ok(Self::Bytes(content.as_bytes().to_vec()));
        }
        if let Some(encoded) = text(attributes, "contentBase64") {
            return decode(encoded).map(Self::Bytes);
        }
        match text(attributes, "source") {
            Some(source) => {
                let path = project.path("source", source)?;
                project.check(&path)?;
                Ok(Self::Source(project.root()?, path))
            }
            None => Err(ProviderError::bug("a local_file without known content")),
        }
    }

    /// Calculates the digest and the size.
    ///
    /// # Errors
    ///
    /// `NotFound` if the source does not exist; also if it cannot be read.
    pub(super) fn digest(&self) -> Result<Summary, ProviderError> {
        self.copy_to(&mut io::sink())?.map_err(|error| ProviderError::bug(format!("the sink refused bytes: {error}")))
    }

    /// Writes the content; the inner error is the one of the target.
    ///
    /// # Errors
    ///
    /// If the source cannot be read.
    pub(super) fn copy_to(&self, target: &mut dyn Write) -> Result<io::Result<Summary>, ProviderError> {
        let mut digesting = Digesting { target, hash: Sha256::new(), size: 0 };
        let copied = match self {
            Self::Bytes(bytes) => digesting.write_all(bytes),
            Self::Source(root, path) => {
                let mut source = open_source(root, path)?;
                let mut buffer = vec![0_u8; 64 << 10];
                loop {
                    let count = source.read(&mut buffer).map_err(|error| file_error("read", path, &error))?;
                    match buffer.get(..count) {
                        Some([]) | None => break Ok(()),
                        Some(bytes) => {
                            if let Err(error) = digesting.write_all(bytes) {
                                break Err(error);
                            }
                        }
                    }
                }
            }
        };
        Ok(copied.map(|()| digesting.finish()))
    }
}

fn open_source(root: &Dir, path: &ProjectPath) -> Result<File, ProviderError> {
    let wrong = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            ProviderError::new(ErrorKind::NotFound, format!("`source` is `{}`: there is no such file", path.display()))
        }
        _ => crate::project::path_error("source", path.as_path(), &error),
    };
    let metadata = root.metadata(path.as_path()).map_err(wrong)?;
    if !metadata.is_file() {
        return Err(invalid("source", format!("`source` is `{}`: expected a regular file", path.display())));
    }
    root.open(path.as_path()).map_err(wrong)
}

/// Decodes base64; white space is allowed because YAML blocks contain it.
pub(super) fn decode(encoded: &str) -> Result<Vec<u8>, ProviderError> {
    let compact: String = encoded.split_ascii_whitespace().collect();
    STANDARD.decode(compact).map_err(|_| {
        // The message of the decoder quotes the text, which may be secret.
        invalid("contentBase64", "`contentBase64` is not base64 with padding").solution("encode it with `base64 FILE`")
    })
}

/// A file on disk.
pub(super) struct Stored {
    /// Hexadecimal.
    pub(super) sha256: String,
    /// In bytes.
    pub(super) size: i64,
    /// The permission bits and the file type.
    pub(super) mode: u32,
    /// The content in the recorded form, if this form can represent it.
    pub(super) content: Option<(&'static str, Value)>,
}

impl Stored {
    /// Reads the file of an entry; `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// If it is not a regular file or cannot be read.
    pub(super) fn read(
        entry: &Entry,
        path: &ProjectPath,
        recorded: &Attributes,
    ) -> Result<Option<Self>, ProviderError> {
        let Some((mut file, mode, length)) = open_regular(entry, path)? else { return Ok(None) };
        let form = ["content", "contentBase64"].into_iter().find(|form| given(recorded, form).is_some());
        let mut bytes = Vec::new();
        let mut sink = io::sink();
        let target: &mut dyn Write = if form.is_some() && length <= MAX_SHOWN_SIZE { &mut bytes } else { &mut sink };
        let is_shown = form.is_some() && length <= MAX_SHOWN_SIZE;
        let mut digesting = Digesting { target, hash: Sha256::new(), size: 0 };
        io::copy(&mut file, &mut digesting).map_err(|error| file_error("read", path, &error))?;
        let Summary { sha256, size } = digesting.finish();
        let content = form.filter(|_| is_shown).map(|form| (form, in_form(form, recorded, bytes)));
        Ok(Some(Self { sha256, size, mode, content }))
    }
}

/// Converts bytes to the recorded form. Bytes that are not UTF-8 become text with replacement characters: this shows a
/// difference, and the digest decides.
fn in_form(form: &str, recorded: &Attributes, bytes: Vec<u8>) -> Value {
    if form == "content" {
        return String::from_utf8_lossy(&bytes).into_owned().into();
    }
    match text(recorded, form) {
        // Line breaks in the base64 of the descriptor are not drift.
        Some(encoded) if decode(encoded).is_ok_and(|recorded| recorded == bytes) => encoded.into(),
        _ => STANDARD.encode(bytes).into(),
    }
}

/// Opens a regular file without following a link; `None` if it does not exist.
fn open_regular(entry: &Entry, path: &ProjectPath) -> Result<Option<(File, u32, u64)>, ProviderError> {
    let metadata = match entry.folder.symlink_metadata(&entry.name) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(file_error("look at", path, &error)),
    };
    expect_regular(&metadata, path)?;
    match entry.folder.open(&entry.name) {
        Ok(file) => Ok(Some((file, metadata.mode(), metadata.len()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file_error("read", path, &error)),
    }
}

/// Checks that the path is a regular file.
///
/// # Errors
///
/// `InvalidInput` with the kind of the object at the path.
pub(super) fn expect_regular(metadata: &cap_std::fs::Metadata, path: &ProjectPath) -> Result<(), ProviderError> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(());
    }
    let (kind, solution) = if kind.is_symlink() {
        ("a symbolic link", "name the file that the link leads to, or use another path")
    } else if kind.is_dir() {
        ("a folder", "name a file in it, use another path, or declare the folder as a `local_directory`")
    } else {
        ("a device, pipe or socket", "use another path")
    };
    let message = format!("`path` is `{}`: expected a regular file, found {kind}", path.display());
    Err(invalid("path", message).solution(solution))
}

/// The form in which the content of an imported file is recorded; `None` if the file is missing or too large.
pub(super) fn importable_form(entry: &Entry, path: &ProjectPath) -> Result<Option<&'static str>, ProviderError> {
    let Some((mut file, _, length)) = open_regular(entry, path)? else { return Ok(None) };
    if length > MAX_SHOWN_SIZE {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| file_error("read", path, &error))?;
    Ok(Some(if std::str::from_utf8(&bytes).is_ok() { "content" } else { "contentBase64" }))
}

/// Forwards bytes and calculates their digest and size.
struct Digesting<'a> {
    target: &'a mut dyn Write,
    hash: Sha256,
    size: u64,
}

impl Digesting<'_> {
    fn finish(self) -> Summary {
        let sha256 = encode_string(&self.hash.finalize());
        Summary { sha256, size: i64::try_from(self.size).unwrap_or(i64::MAX) }
    }
}

impl Write for Digesting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.target.write_all(bytes)?;
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.target.flush()
    }
}
