//! Planted defects: proof that the oracles see what they are there for.
//!
//! Each is a mutant of something around the system (its store, its provider, its vehicles, its bus, its clients), wrapped
//! over the real thing, so that no production code carries a switch. `rideplane-sim defects` runs seeds until an oracle
//! objects.

mod gateway;
mod store;

pub(crate) use gateway::MutantGateway;
use serde::{Deserialize, Serialize};
pub(crate) use store::StoreMutant;

/// What is wrong on purpose.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
#[value(rename_all = "kebab-case")]
pub enum Defect {
    /// The claim's `UPDATE` lacks its predicate: the last writer wins the vehicle.
    ClaimWithoutPredicate,
    /// The same for a booking's row: updates get lost.
    LostUpdate,
    /// The outbox is published before the claim is decided.
    OutboxBeforeClaim,
    /// A commit writes the vehicle and not the booking.
    TornCommit,
    /// A commit is acknowledged and forgotten.
    CommitForgotten,
    /// Idempotency records are not kept.
    LostIdempotency,
    /// A released vehicle is available at once, whatever commands are still out.
    QuarantineSkipped,
    /// The consumer does not remember what it has handled.
    InboxMissing,
    /// Now and then a posting is not written.
    LedgerLost,
    /// A booking ends and its vehicle is never told.
    ReleaseLost,
    /// An ack that comes too late starts the trip.
    LateAckStartsTrip,
    /// Events count as published when they are read, not when the bus has them.
    MarkedTooEarly,
    /// A booking is read without asking whose it is.
    OwnerNotChecked,
    /// A gateway call is repeated under a new key.
    RetryWithNewKey,
    /// The provider is told to void, says that it did, and did not.
    VoidLost,
    /// A hold that should be given back is captured.
    CaptureAfterExpiry,
    /// The whole hold is captured, not the fare.
    WholeHoldCaptured,
    /// The provider captures twice.
    DoubleCapture,
    /// The relay publishes a batch back to front.
    RelayReordered,
    /// The relay drops the first event of a batch.
    EventLost,
    /// The vehicle does not compare epochs and counters.
    EpochNotChecked,
    /// The vehicle obeys expired commands.
    ExpiredAccepted,
    /// The vehicle believes its own clock, which is minutes behind.
    ClockRaw,
    /// The vehicle's counter does not survive a power cut.
    MemoryLost,
    /// The vehicle carries a repeated command out again.
    CommandActsTwice,
    /// The vehicle acks what it did not do.
    AckWithoutAct,
    /// Whoever asks may unlock.
    UnlockForAnybody,
    /// A client takes "not known" for "failed" and says so.
    UnknownToldAsFailure,
    /// Reservation tokens repeat.
    IdsRepeat,
    /// No worker minds the deadlines.
    WorkerAsleep,
}

impl Defect {
    /// Every planted defect.
    pub const ALL: [Self; 30] = [
        Self::ClaimWithoutPredicate,
        Self::LostUpdate,
        Self::OutboxBeforeClaim,
        Self::TornCommit,
        Self::CommitForgotten,
        Self::LostIdempotency,
        Self::QuarantineSkipped,
        Self::InboxMissing,
        Self::LedgerLost,
        Self::ReleaseLost,
        Self::LateAckStartsTrip,
        Self::MarkedTooEarly,
        Self::OwnerNotChecked,
        Self::RetryWithNewKey,
        Self::VoidLost,
        Self::CaptureAfterExpiry,
        Self::WholeHoldCaptured,
        Self::DoubleCapture,
        Self::RelayReordered,
        Self::EventLost,
        Self::EpochNotChecked,
        Self::ExpiredAccepted,
        Self::ClockRaw,
        Self::MemoryLost,
        Self::CommandActsTwice,
        Self::AckWithoutAct,
        Self::UnlockForAnybody,
        Self::UnknownToldAsFailure,
        Self::IdsRepeat,
        Self::WorkerAsleep,
    ];

    /// The defect in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClaimWithoutPredicate => "claim without predicate",
            Self::LostUpdate => "booking updated without predicate",
            Self::OutboxBeforeClaim => "outbox before claim",
            Self::TornCommit => "commit not atomic",
            Self::CommitForgotten => "acknowledged commit forgotten",
            Self::LostIdempotency => "idempotency record lost",
            Self::QuarantineSkipped => "quarantine skipped",
            Self::InboxMissing => "inbox missing",
            Self::LedgerLost => "posting lost",
            Self::ReleaseLost => "release lost",
            Self::LateAckStartsTrip => "late ack starts a trip",
            Self::MarkedTooEarly => "marked as published too early",
            Self::OwnerNotChecked => "owner not checked",
            Self::RetryWithNewKey => "retry with a new key",
            Self::VoidLost => "void lost",
            Self::CaptureAfterExpiry => "capture instead of void",
            Self::WholeHoldCaptured => "whole hold captured",
            Self::DoubleCapture => "captured twice",
            Self::RelayReordered => "relay out of order",
            Self::EventLost => "event lost by the relay",
            Self::EpochNotChecked => "epoch not checked",
            Self::ExpiredAccepted => "expired command accepted",
            Self::ClockRaw => "clock used raw",
            Self::MemoryLost => "counter lost with the power",
            Self::CommandActsTwice => "repeated command acts twice",
            Self::AckWithoutAct => "ack without act",
            Self::UnlockForAnybody => "unlock for anybody",
            Self::UnknownToldAsFailure => "unknown told as failure",
            Self::IdsRepeat => "ids repeat",
            Self::WorkerAsleep => "worker asleep",
        }
    }

    pub(crate) const fn in_store(self) -> bool {
        matches!(
            self,
            Self::ClaimWithoutPredicate
                | Self::LostUpdate
                | Self::OutboxBeforeClaim
                | Self::TornCommit
                | Self::CommitForgotten
                | Self::LostIdempotency
                | Self::QuarantineSkipped
                | Self::InboxMissing
                | Self::LedgerLost
                | Self::ReleaseLost
                | Self::LateAckStartsTrip
                | Self::MarkedTooEarly
                | Self::OwnerNotChecked
                | Self::IdsRepeat
        )
    }

    pub(crate) const fn in_gateway(self) -> bool {
        matches!(self, Self::RetryWithNewKey | Self::CaptureAfterExpiry | Self::WholeHoldCaptured)
    }

    /// Whether only a message that comes after its time shows it.
    pub(crate) const fn needs_late_messages(self) -> bool {
        matches!(self, Self::EpochNotChecked | Self::ExpiredAccepted | Self::ClockRaw)
    }
}
