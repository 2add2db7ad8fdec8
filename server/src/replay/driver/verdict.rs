//! Whether all that was done holds: the audit of the store, and the provider's books against the ledger.

use rideplane_app::audit::{AuditReport, audit};
use rideplane_core::money::{Currency, Money};
use rideplane_core::time::Span;

use super::Env;
use crate::replay::report::{Counter, MoneyFlow, Recorder};

/// The accounts of the audit, and what the report calls them.
const ACCOUNTS: [(&str, MoneyFlow); 5] = [
    ("authorized", MoneyFlow::Authorized),
    ("captured", MoneyFlow::Captured),
    ("released", MoneyFlow::Released),
    ("refunded", MoneyFlow::Refunded),
    ("open", MoneyFlow::Open),
];

/// Audits the store and puts what was found into the record.
pub(super) async fn judge(env: &Env, recorder: &mut Recorder, published: u64) -> anyhow::Result<()> {
    let world = &env.world;
    recorder.add(Counter::EventPublished, published);
    recorder.outbox_pending(world.app.ports().outbox.pending_count().await?);
    recorder.add(Counter::PaymentDeclined, world.bank.declined());
    recorder.add(Counter::PaymentRequiresAction, world.bank.requires_action());
    let audited = audit(&*world.audit, world.app.now(), Span::ZERO).await?;
    for violation in &audited.violations {
        recorder.audit_violation(format!("{}: {}: {}", violation.rule, violation.aggregate, violation.found));
    }
    for (name, flow) in ACCOUNTS {
        for (currency, minor) in audited.money.get(name).into_iter().flatten() {
            recorder.money(flow, Money::from_minor(*minor, currency.parse()?));
        }
    }
    if audited.events != published {
        let events = audited.events;
        recorder.audit_violation(format!(
            "every event is published: {events} in the store, {published} on the bus"
        ));
    }
    compare(env, &audited, recorder);
    Ok(())
}

/// The provider must have done exactly what the ledger says.
fn compare(env: &Env, audited: &AuditReport, recorder: &mut Recorder) {
    for (currency, totals) in env.world.bank.gateway().totals() {
        let theirs = [totals.authorized, totals.captured, totals.released, totals.refunded, totals.open];
        for ((name, _), theirs) in ACCOUNTS.into_iter().zip(theirs) {
            let ours = posted(audited, name, currency);
            if ours != theirs.to_minor() {
                let theirs = theirs.to_minor();
                recorder.audit_violation(format!(
                    "the provider's books equal the ledger: {name} {currency}: {theirs} there, {ours} here (minor units)"
                ));
            }
        }
    }
}

fn posted(audited: &AuditReport, account: &str, currency: Currency) -> i64 {
    let sums = audited.money.get(account);
    sums.and_then(|sums| sums.get(&currency.to_string())).copied().unwrap_or(0)
}
