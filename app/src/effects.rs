//! Carrying out what a booking's state calls for, and feeding the results back.

use rideplane_core::booking::{Command, journey};
use rideplane_core::ids::CommandId;
use rideplane_core::payment::{CallId, Fact, GatewayCall};
use rideplane_core::unlock::{CommandClaims, Unsigned};
use rideplane_ports::{Kind, PortError};

use crate::execute::Pair;
use crate::{App, AppError};

/// A create, a confirm and a release are three calls; the rest is room for look-ups.
const CALLS_PER_VISIT: usize = 8;

impl App {
    /// Makes the calls to the provider that are due now, one after another, until none is due or one stays open.
    pub(crate) async fn settle_payment(&self, mut pair: Pair) -> Result<Pair, AppError> {
        for _ in 0..CALLS_PER_VISIT {
            let Some(due) = pair.booking.state.effects(self.now()).gateway else {
                break;
            };
            let fact = self.call_gateway(&due.0, due.1).await;
            let before = pair.booking.version;
            pair = self.observe(pair, fact).await?;
            if pair.booking.version == before {
                break;
            }
        }
        Ok(pair)
    }

    /// Tells the booking what the provider said.
    pub(crate) async fn observe(&self, pair: Pair, fact: Fact) -> Result<Pair, AppError> {
        self.execute(pair, |pair, cx| {
            let command = Command::Observe(fact.clone());
            journey::decide(&pair.vehicle.state, &pair.booking.state, &command, cx)
        })
        .await
    }

    /// Makes one call, and says what came of it.
    pub(crate) async fn call_gateway(&self, call: &GatewayCall, id: CallId) -> Fact {
        let gateway = &self.ports.gateway;
        let answer = match call {
            GatewayCall::CreateIntent { key, amount, reference } => {
                gateway.create_intent(key, *amount, *reference).await
            }
            GatewayCall::ConfirmIntent { key, intent, method } => {
                gateway.confirm_intent(key, intent, method).await
            }
            GatewayCall::CaptureIntent { key, intent, amount } => {
                gateway.capture_intent(key, intent, *amount).await
            }
            GatewayCall::CancelIntent { key, intent } => gateway.cancel_intent(key, intent).await,
            GatewayCall::CreateRefund { key, intent, amount } => {
                return match gateway.create_refund(key, intent, *amount).await {
                    Ok(snapshot) => Fact::RefundAnswer { seq: id.seq, snapshot },
                    Err(error) => failed(id, &error),
                };
            }
            GatewayCall::FetchIntent { intent } => {
                return match gateway.fetch_intent(intent).await {
                    Ok(snapshot) => Fact::Fetched(snapshot),
                    Err(error) => failed(id, &error),
                };
            }
            GatewayCall::FetchRefund { refund } => {
                return match gateway.fetch_refund(refund).await {
                    Ok(snapshot) => Fact::RefundFetched(snapshot),
                    Err(error) => failed(id, &error),
                };
            }
        };
        match answer {
            Ok(snapshot) => Fact::Answer { op: id.op, seq: id.seq, snapshot },
            Err(error) => failed(id, &error),
        }
    }

    /// Signs the command that is out and hands it to the line. The same command is byte for byte the same each time.
    pub(crate) async fn deliver(&self, claims: &CommandClaims) -> Result<CommandId, PortError> {
        let signer = &self.ports.signer;
        let unsigned = Unsigned::command(claims, signer.key_id());
        let signature = signer.sign(unsigned.to_be_signed()).await?;
        let bytes = unsigned.finish(signature);
        self.ports.link.deliver(&claims.vehicle_id, &bytes, claims.expires_at).await?;
        Ok(claims.command_id)
    }
}

/// What an error of the gateway says about the call: done for sure, not done for sure, or open.
fn failed(id: CallId, error: &PortError) -> Fact {
    let (op, seq) = (id.op, id.seq);
    match error.kind() {
        Kind::OutcomeUnknown | Kind::Corrupt => Fact::Unknown { op, seq },
        Kind::Unavailable | Kind::RateLimited | Kind::Conflict => Fact::NotSent { op, seq },
        Kind::Rejected => Fact::Refused { op, seq, code: "rejected".into() },
        Kind::NotFound => Fact::Refused { op, seq, code: "not_found".into() },
    }
}
