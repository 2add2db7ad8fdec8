//! A rider's own data.

use rideplane_core::ids::{PaymentMethodId, UserId};
use rideplane_ports::Profile;
use serde::Deserialize;

use crate::view::ProfileView;
use crate::{App, AppError};

/// What a rider changes; what is absent stays. An empty text forgets.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutProfile {
    /// Where receipts go.
    #[serde(default)]
    pub email: Option<String>,
    /// For SMS, E.164.
    #[serde(default)]
    pub phone: Option<String>,
    /// For push messages.
    #[serde(default)]
    pub push_token: Option<String>,
    /// BCP 47.
    #[serde(default)]
    pub locale: Option<String>,
    /// IANA time zone.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// Serves a payment that names no method.
    #[serde(default)]
    pub default_payment_method_id: Option<PaymentMethodId>,
}

type Rule = fn(&str) -> bool;

impl App {
    /// The user's profile, made on first sight.
    ///
    /// # Errors
    /// When the store is down.
    pub async fn profile(&self, user: &UserId) -> Result<ProfileView, AppError> {
        if let Some(profile) = self.ports.store.profile(user).await? {
            return Ok(ProfileView(profile));
        }
        let profile = Profile::new(user.clone());
        self.ports.store.put_profile(&profile).await?;
        Ok(ProfileView(profile))
    }

    /// Changes the user's profile.
    ///
    /// # Errors
    /// [`AppError::Invalid`] names the field that can't be, never its value.
    pub async fn put_profile(&self, user: &UserId, change: PutProfile) -> Result<ProfileView, AppError> {
        let mut profile = self.profile(user).await?.0;
        let text = |field: &str, old: Option<String>, new: Option<String>, rule: Rule, hint: &str| match new {
            None => Ok(old),
            Some(new) if new.is_empty() => Ok(None),
            Some(new) if new.len() <= 4096 && rule(&new) => Ok(Some(new)),
            Some(_) => Err(AppError::Invalid(format!("{field} is not {hint}"))),
        };
        profile.email = text("email", profile.email, change.email, is_email, "an e-mail address")?;
        profile.phone =
            text("phone", profile.phone, change.phone, is_phone, "a phone number such as +4969123456")?;
        profile.push_token =
            text("push_token", profile.push_token, change.push_token, is_token, "a device token")?;
        profile.locale = text("locale", profile.locale, change.locale, is_tag, "a BCP 47 tag such as de-DE")?;
        profile.time_zone = text(
            "time_zone",
            profile.time_zone,
            change.time_zone,
            is_zone,
            "a time zone such as Europe/Berlin",
        )?;
        profile.default_payment_method_id =
            change.default_payment_method_id.or(profile.default_payment_method_id);
        self.ports.store.put_profile(&profile).await?;
        Ok(ProfileView(profile))
    }
}

/// One @ with something on both sides, no spaces, at most 254 bytes (RFC 5321): the mail itself is the real test.
fn is_email(text: &str) -> bool {
    let parts = text.split_once('@');
    let both = parts.is_some_and(|(local, domain)| {
        !local.is_empty() && domain.contains('.') && !domain.contains('@') && !domain.starts_with('.')
    });
    both && text.len() <= 254 && text.chars().all(|c| !c.is_whitespace() && !c.is_control())
}

/// E.164: a plus and 7 to 15 digits.
fn is_phone(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or_default();
    (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
}

fn is_token(text: &str) -> bool {
    text.bytes().all(|b| (0x21..0x7f).contains(&b))
}

fn is_tag(text: &str) -> bool {
    text.len() <= 35
        && text.split('-').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

fn is_zone(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_+-/".contains(&b);
    text.len() <= 64 && text.split('/').all(|part| !part.is_empty() && part.bytes().all(allowed))
}
