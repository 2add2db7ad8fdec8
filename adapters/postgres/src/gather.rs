//! Callers that wait are gathered: whoever carries work out takes all that has come meanwhile.

use std::sync::Arc;

use rideplane_ports::{Kind, PortError};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::rows::Result;

/// How many may wait before callers wait to be heard.
const QUEUE: usize = 4096;

/// Work and who waits for it.
#[derive(Debug)]
pub(crate) struct Op<W, A> {
    pub(crate) work: W,
    pub(crate) answer: oneshot::Sender<A>,
}

/// Where work is left.
#[derive(Debug)]
pub(crate) struct Desk<W, A>(parking_lot::Mutex<Option<mpsc::Sender<Op<W, A>>>>);

/// Where it is fetched, by one or several.
#[derive(Debug)]
pub(crate) struct Tray<W, A>(Arc<Mutex<mpsc::Receiver<Op<W, A>>>>);

impl<W, A> Clone for Tray<W, A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

pub(crate) fn desk<W, A>() -> (Desk<W, A>, Tray<W, A>) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Desk(parking_lot::Mutex::new(Some(sender))), Tray(Arc::new(Mutex::new(receiver))))
}

impl<W, A> Desk<W, A> {
    /// Leaves the work and waits for its answer. Who stops waiting after it was left leaves it to be done.
    pub(crate) async fn ask(&self, operation: &'static str, work: W) -> Result<A> {
        let (answer, waiting) = oneshot::channel();
        let closed =
            || PortError::new(Kind::Unavailable, operation, "nothing was written: the store is closed");
        let sender = self.0.lock().clone().ok_or_else(closed)?;
        sender.send(Op { work, answer }).await.map_err(|_| closed())?;
        drop(sender);
        waiting.await.map_err(|_| {
            let message = "the store was closed before it answered: the write may or may not have happened";
            PortError::new(Kind::OutcomeUnknown, operation, message)
        })
    }

    /// Takes no more: who asks now is told that the store is closed. What was left before is still fetched.
    pub(crate) fn close(&self) {
        drop(self.0.lock().take());
    }
}

impl<W, A> Tray<W, A> {
    /// Waits for work and takes all there is, at most `limit`; nothing once everybody who could ask has gone.
    pub(crate) async fn take(&self, limit: usize) -> Vec<Op<W, A>> {
        let mut ops = Vec::new();
        self.0.lock().await.recv_many(&mut ops, limit).await;
        ops
    }

    /// Takes what is there without waiting.
    pub(crate) fn take_now(&self, limit: usize) -> Vec<Op<W, A>> {
        let mut ops = Vec::new();
        if let Ok(mut receiver) = self.0.try_lock() {
            while ops.len() < limit {
                let Ok(op) = receiver.try_recv() else { break };
                ops.push(op);
            }
        }
        ops
    }
}
