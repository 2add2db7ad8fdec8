//! The plans on offer.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::plan::PricingPlan;
use crate::ids::PlanId;

/// Every plan by its id. Reads a whole `system_pricing_plans.json` document or a bare list of plans; writes the
/// list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanCatalogue {
    plans: BTreeMap<PlanId, Arc<PricingPlan>>,
}

impl PlanCatalogue {
    /// Reads a GBFS `system_pricing_plans.json` document, `{"data": {"plans": [..]}}` with or without its header
    /// (`last_updated`, `ttl`, `version`), or a bare list of plans.
    ///
    /// # Errors
    /// On the first plan that is refused, with its id, field and value, and on a plan id that occurs twice.
    ///
    /// ```
    /// use rideplane_core::pricing::PlanCatalogue;
    /// let text = r#"{"version": "3.1", "data": {"plans": [
    ///     {"plan_id": "city", "currency": "EUR", "price": 1.5, "is_taxable": false}
    /// ]}}"#;
    /// let plans = PlanCatalogue::from_gbfs(&mut serde_json::Deserializer::from_str(text))?;
    /// assert_eq!(plans.get(&"city".parse()?).unwrap().unlock().to_string(), "1.5");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_gbfs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }

    /// The plan of this id.
    #[must_use]
    pub fn get(&self, plan_id: &PlanId) -> Option<&Arc<PricingPlan>> {
        self.plans.get(plan_id)
    }

    /// Puts a plan on offer; the one that it replaces, if any. Quotes made under that one keep it.
    pub fn insert(&mut self, plan: impl Into<Arc<PricingPlan>>) -> Option<Arc<PricingPlan>> {
        let plan = plan.into();
        self.plans.insert(plan.plan_id().clone(), plan)
    }

    /// All plans, by id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<PricingPlan>> {
        self.plans.values()
    }

    /// How many plans there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.plans.len()
    }

    /// Whether there is no plan.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.plans.is_empty()
    }
}

impl Serialize for PlanCatalogue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.plans.values())
    }
}

impl<'de> Deserialize<'de> for PlanCatalogue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Document)
    }
}

/// `data` of the document.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    plans: Plans,
}

struct Plans(PlanCatalogue);

impl<'de> Deserialize<'de> for Plans {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Document).map(Self)
    }
}

struct Document;

impl<'de> Visitor<'de> for Document {
    type Value = PlanCatalogue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a GBFS system_pricing_plans document or a list of plans")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<PlanCatalogue, A::Error> {
        let mut catalogue = PlanCatalogue::default();
        while let Some(plan) = list.next_element::<PricingPlan>()? {
            if let Some(twice) = catalogue.insert(plan) {
                return Err(A::Error::custom(format_args!("plan_id {} occurs twice", twice.plan_id())));
            }
        }
        Ok(catalogue)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PlanCatalogue, A::Error> {
        const FIELDS: &[&str] = &["last_updated", "ttl", "version", "data"];
        let mut catalogue = None;
        while let Some(field) = map.next_key::<String>()? {
            match field.as_str() {
                "data" if catalogue.is_some() => return Err(A::Error::duplicate_field("data")),
                "data" => catalogue = Some(map.next_value::<Data>()?.plans.0),
                "last_updated" | "ttl" | "version" => {
                    map.next_value::<IgnoredAny>()?;
                }
                _ => return Err(A::Error::unknown_field(&field, FIELDS)),
            }
        }
        catalogue.ok_or_else(|| A::Error::missing_field("data"))
    }
}
