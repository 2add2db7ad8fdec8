//! Connections that read.
//!
//! A single row by its key takes microseconds, less than handing the question to another thread: it is read where it is
//! asked ([`Readers::at_once`]). What may take longer runs where tokio lets threads wait ([`Readers::apart`]), on
//! connections of its own, so that a lookup never waits behind a long list.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rideplane_ports::{Kind, PortError};
use rusqlite::Connection;

use crate::open;
use crate::rows::Result;

/// Reading connections, for short and for long reads.
#[derive(Debug)]
pub(crate) struct Readers {
    short: Pool,
    long: Arc<Pool>,
}

impl Readers {
    /// Opens `count` connections of each sort.
    pub(crate) fn open(path: &Path, count: u32) -> Result<Self> {
        Ok(Self { short: Pool::open(path, count)?, long: Arc::new(Pool::open(path, count)?) })
    }

    /// Reads at most a few rows by their keys, on this thread.
    pub(crate) fn at_once<T>(
        &self,
        operation: &'static str,
        read: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        self.short.read(operation, read)
    }

    /// Reads whatever it takes, on a thread that may wait.
    pub(crate) async fn apart<T: Send + 'static>(
        &self,
        operation: &'static str,
        read: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let pool = Arc::clone(&self.long);
        let reading = tokio::task::spawn_blocking(move || pool.read(operation, read));
        reading.await.map_err(|_| PortError::new(Kind::Unavailable, operation, "the read was broken off"))?
    }

    /// Lets go of the file. A read that is under way comes to its end first.
    pub(crate) fn close(&self) {
        self.short.close();
        self.long.close();
    }
}

/// Connections of which any will do; `None` once closed.
#[derive(Debug)]
struct Pool {
    connections: Vec<Mutex<Option<Connection>>>,
    turn: AtomicUsize,
}

impl Pool {
    fn open(path: &Path, count: u32) -> Result<Self> {
        let connections: Result<_> = (0..count.max(1))
            .map(|_| open::reader(path).map(|connection| Mutex::new(Some(connection))))
            .collect();
        Ok(Self { connections: connections?, turn: AtomicUsize::new(0) })
    }

    fn read<T>(&self, operation: &'static str, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let closed = || PortError::new(Kind::Unavailable, operation, "the store is closed");
        let held = self.any().ok_or_else(closed)?;
        read(held.as_ref().ok_or_else(closed)?)
    }

    /// One that is free, or else one by turns.
    fn any(&self) -> Option<MutexGuard<'_, Option<Connection>>> {
        if let Some(free) = self.connections.iter().find_map(|connection| connection.try_lock().ok()) {
            return Some(free);
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(self.connections.len())?;
        self.connections.get(turn).map(lock)
    }

    fn close(&self) {
        for connection in &self.connections {
            drop(lock(connection).take());
        }
    }
}

fn lock(connection: &Mutex<Option<Connection>>) -> MutexGuard<'_, Option<Connection>> {
    // A reader that panicked left its statement reset, not the connection broken.
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}
