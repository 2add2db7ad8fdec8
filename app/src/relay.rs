//! From the outbox onto the bus.

use rideplane_ports::{Envelope, PortError, Topic};
use serde_json::Value;

use crate::{App, AppError};

/// What one visit did.
#[derive(Debug, Default)]
pub struct Relayed {
    /// Events that are on the bus now and were not before.
    pub published: usize,
    /// Why it stopped early; the rest stays in the outbox.
    pub error: Option<PortError>,
}

/// What only the rider's own client may see.
const SECRETS: [&str; 2] = ["client_secret", "next_action"];

impl App {
    /// Publishes waiting events, at most `limit`, in order, and marks what the bus has taken. After a crash in between
    /// an event comes twice, under the same id; none is ever left out.
    ///
    /// # Errors
    /// When the outbox can't be read or marked.
    pub async fn relay_once(
        &self,
        publisher: &dyn rideplane_ports::EventPublisher,
        limit: usize,
    ) -> Result<Relayed, AppError> {
        let pending = self.ports.outbox.pending(limit).await?;
        if pending.is_empty() {
            return Ok(Relayed::default());
        }
        let public: Vec<Envelope> = pending.into_iter().map(without_secrets).collect();
        let published = publisher.publish(&public).await;
        let taken = public.get(..published.count).unwrap_or(&public);
        if !taken.is_empty() {
            self.ports.outbox.mark_published(taken, self.now()).await?;
        }
        Ok(Relayed { published: taken.len(), error: published.error })
    }
}

/// The bus is read by many: what authenticates a payment does not go there.
fn without_secrets(envelope: Envelope) -> Envelope {
    let may_hold_one = envelope.topic == Topic::Payments;
    if !may_hold_one || !SECRETS.iter().any(|secret| envelope.data.contains(secret)) {
        return envelope;
    }
    let mut data: Value = serde_json::from_str(&envelope.data).unwrap_or(Value::Null);
    strip(&mut data);
    Envelope { data: data.to_string(), ..envelope }
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !SECRETS.contains(&name.as_str()));
            members.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rideplane_core::ids::{VehicleId, Version};
    use rideplane_core::time::Timestamp;
    use rideplane_ports::AggregateKey;

    #[test]
    fn secrets_stay_inside() {
        let envelope = Envelope {
            topic: Topic::Payments,
            aggregate: AggregateKey::Vehicle(VehicleId::new("v").unwrap()),
            version: Version(1),
            name: "PaymentIntentCreated".to_owned(),
            at: Timestamp::EPOCH,
            data: r#"{"payment":[{"client_secret":"pi_1_secret_2","intent":"pi_1"}]}"#.to_owned(),
        };
        let id = envelope.id();
        let public = without_secrets(envelope);
        assert_eq!(public.data, r#"{"payment":[{"intent":"pi_1"}]}"#);
        assert_eq!(public.id(), id);
    }
}
