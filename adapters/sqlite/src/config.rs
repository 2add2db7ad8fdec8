//! What a store is opened with.

use std::path::PathBuf;

/// What an acknowledged commit survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: every batch is synced to the disk before it is acknowledged (`synchronous = FULL`).
    #[default]
    PowerLoss,
    /// The death of the process, by whatever signal. A power cut may lose the last commits, never their order or
    /// anybody's consistency (`synchronous = NORMAL`).
    ProcessCrash,
}

/// How to open a [`SqliteStore`](crate::SqliteStore).
#[derive(Clone, Debug)]
pub struct SqliteConfig {
    /// The database file; it is made when missing, its folder is not. Beside it lie `-wal`, `-shm` and `.lock`.
    pub path: PathBuf,
    /// What an acknowledged commit survives.
    pub durability: Durability,
    /// Connections for reads that memory can't answer, at least one.
    pub readers: u32,
    /// The most operations that share a transaction, at least one.
    pub max_batch: usize,
    /// The most rows of each kind that are kept in memory, and of events that wait for the bus. A booking takes about
    /// 4 KB.
    pub cached_rows: usize,
}

impl SqliteConfig {
    /// The defaults: survives a power cut, 4 readers, 256 operations per transaction, 16,384 rows of each kind in
    /// memory.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: Durability::default(),
            readers: 4,
            max_batch: 256,
            cached_rows: 16_384,
        }
    }

    /// With another durability.
    #[must_use]
    pub const fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }
}
