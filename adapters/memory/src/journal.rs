//! An append-only file of JSON lines, for what must survive the end of the process.
//!
//! A line is written before its effect shows, in one `write`, without `fsync`: it survives the process being killed,
//! not a power cut. That is what a test gateway and simulated vehicles need.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use rideplane_ports::{Kind, PortError};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Fewer lines than this are never worth rewriting.
const REWRITE_FROM: usize = 1_000;

pub(crate) struct Journal {
    file: File,
    path: PathBuf,
    operation: &'static str,
    length: u64,
    lines: usize,
    broken: bool,
}

impl Journal {
    /// Opens the journal, or makes it, and tells each of its lines in order. A last line without its end was being
    /// written when the process died, and nobody got an answer for it: it is cut off.
    pub(crate) fn open<T: DeserializeOwned>(
        path: &Path,
        operation: &'static str,
        mut each: impl FnMut(T),
    ) -> Result<Self, PortError> {
        let failed = |what: &str, error: std::io::Error| {
            let message = format!("{} can't be {what}: {error}", path.display());
            PortError::new(Kind::Unavailable, operation, message).with_source(error)
        };
        let file = options().open(path).map_err(|error| failed("opened", error))?;
        lock(&file, path, operation)?;
        let (mut length, mut lines, mut line) = (0_u64, 0_usize, Vec::new());
        let mut reader = BufReader::new(&file);
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(|error| failed("read", error))?;
            if read == 0 {
                break;
            }
            if line.last() != Some(&b'\n') {
                tracing::warn!(path = %path.display(), bytes = read, "the last line is torn: it is dropped");
                file.set_len(length).map_err(|error| failed("mended", error))?;
                break;
            }
            let parsed = serde_json::from_slice(&line).map_err(|error| {
                let message = format!("line {} of {} is damaged: {error}", lines + 1, path.display());
                PortError::new(Kind::Corrupt, operation, message).with_source(error)
            })?;
            each(parsed);
            length += read as u64;
            lines += 1;
        }
        Ok(Self { file, path: path.to_owned(), operation, length, lines, broken: false })
    }

    /// Writes one line. After an error nothing of it is in the file, or the journal takes no more lines.
    pub(crate) fn append<T: Serialize>(&mut self, line: &T) -> Result<(), PortError> {
        if self.broken {
            return Err(self.error("written: an earlier line could not be taken back, start again"));
        }
        let mut bytes = serde_json::to_vec(line).map_err(|error| self.error(&format!("written: {error}")))?;
        bytes.push(b'\n');
        if let Err(error) = (&self.file).write_all(&bytes) {
            self.broken = self.file.set_len(self.length).is_err();
            return Err(self.error(&format!("written: {error}")));
        }
        self.length += bytes.len() as u64;
        self.lines += 1;
        Ok(())
    }

    /// Puts `live` lines in place of all, where that at least halves the file.
    pub(crate) fn shorten<T: Serialize>(
        &mut self,
        live: usize,
        lines: impl Iterator<Item = T>,
    ) -> Result<(), PortError> {
        if self.lines < REWRITE_FROM || self.lines / 2 < live {
            return Ok(());
        }
        let beside = self.path.with_extension("rewriting");
        let write = |error: std::io::Error| self.error(&format!("shortened: {error}"));
        drop(std::fs::remove_file(&beside));
        let file = options().open(&beside).map_err(write)?;
        lock(&file, &beside, self.operation)?;
        let (mut out, mut written) = (BufWriter::new(&file), 0);
        for line in lines {
            serde_json::to_writer(&mut out, &line).map_err(|error| write(error.into()))?;
            out.write_all(b"\n").map_err(write)?;
            written += 1;
        }
        out.flush().map_err(write)?;
        drop(out);
        std::fs::rename(&beside, &self.path).map_err(write)?;
        self.length = file.metadata().map_err(write)?.len();
        self.lines = written;
        self.file = file;
        Ok(())
    }

    fn error(&self, what: &str) -> PortError {
        PortError::new(Kind::Unavailable, self.operation, format!("{} can't be {what}", self.path.display()))
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn lock(file: &File, path: &Path, operation: &'static str) -> Result<(), PortError> {
    let why = match file.try_lock() {
        Ok(()) => return Ok(()),
        Err(TryLockError::WouldBlock) => "is in use by another process: stop that one first".to_owned(),
        Err(TryLockError::Error(error)) => format!("can't be locked: {error}"),
    };
    Err(PortError::new(Kind::Unavailable, operation, format!("{} {why}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_a_torn_end_and_a_rewrite() {
        let path = std::env::temp_dir().join(format!("rideplane-journal-{}.jsonl", std::process::id()));
        drop(std::fs::remove_file(&path));
        let read = |path: &Path| {
            let mut seen = Vec::new();
            Journal::open(path, "test", |n: u32| seen.push(n)).map(|journal| (journal, seen))
        };
        let (mut journal, seen) = read(&path).unwrap();
        assert!(seen.is_empty());
        (0..1_200).for_each(|n: u32| journal.append(&n).unwrap());
        assert!(read(&path).err().unwrap().to_string().contains("in use"));
        drop(journal);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"12").unwrap();

        let (mut journal, seen) = read(&path).unwrap();
        assert_eq!(seen.len(), 1_200);
        journal.append(&7_u32).unwrap();
        journal.shorten(2, [1_u32, 2].into_iter()).unwrap();
        journal.append(&3_u32).unwrap();
        drop(journal);
        let (_, seen) = read(&path).unwrap();
        assert_eq!(seen, [1, 2, 3]);

        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"x\n4\n").unwrap();
        assert_eq!(read(&path).err().unwrap().kind(), Kind::Corrupt);
        std::fs::remove_file(&path).unwrap();
    }
}
