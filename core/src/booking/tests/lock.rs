//! The lock of a vehicle in a few rules: newer than everything before, not expired, each command once.

use std::collections::BTreeMap;

use crate::ids::CommandId;
use crate::time::Timestamp;
use crate::unlock::{AckClaims, AckResult, Action, CommandClaims, Refusal};

#[derive(Clone, Debug, Default)]
pub(super) struct Lock {
    pub(super) open: bool,
    pub(super) odometer_m: u64,
    highest: (u64, u64),
    answers: BTreeMap<CommandId, AckClaims>,
}

impl Lock {
    /// The answer, and whether the command was carried out just now.
    pub(super) fn hear(&mut self, command: &CommandClaims, now: Timestamp) -> (AckClaims, bool) {
        if let Some(answer) = self.answers.get(&command.command_id) {
            return (answer.clone(), false);
        }
        let refusal = if command.epoch.0 < self.highest.0 {
            Some(Refusal::StaleEpoch)
        } else if command.counter <= self.highest.1 {
            Some(Refusal::StaleCounter)
        } else if now >= command.expires_at {
            Some(Refusal::Expired)
        } else {
            None
        };
        self.highest = self.highest.max((command.epoch.0, command.counter));
        let result = refusal.map_or(AckResult::Done, AckResult::Refused);
        if refusal.is_none() {
            self.open = command.action == Action::Unlock;
            self.odometer_m += 700;
        }
        let answer = ack(command, result, now, self.odometer_m);
        self.answers.insert(command.command_id, answer.clone());
        (answer, refusal.is_none())
    }
}

pub(super) fn ack(command: &CommandClaims, result: AckResult, now: Timestamp, odometer_m: u64) -> AckClaims {
    AckClaims {
        vehicle_id: command.vehicle_id.clone(),
        booking_id: command.booking_id,
        command_id: command.command_id,
        request_hash: command.hash(),
        action: command.action,
        result,
        epoch: command.epoch,
        counter: command.counter,
        executed_at: now,
        odometer_m,
        position: None,
        charge: None,
    }
}
