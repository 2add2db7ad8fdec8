//! `rideplane token`: a bearer token of the local key, for curl, tests and demos.

use anyhow::{Context as _, bail};
use rideplane_core::time::Span;
use rideplane_core::time::Timestamp;
use rideplane_http::auth::{Audience, Issuer, Roles};

use crate::cli::{Role, TokenArgs};
use crate::config::Config;
use crate::keys;

/// Makes the token. The data directory and its key are made if they are not there, so that a token can be
/// had before the first `serve`.
///
/// # Errors
/// A key that can't be had, and a configuration under which the token would be refused.
pub fn token(args: &TokenArgs, config: &Config, now: Timestamp) -> anyhow::Result<String> {
    if config.auth.public_key_file.is_some() {
        bail!(
            "auth.public_key_file is set: the server believes only the tokens of {}, get one there",
            config.auth.issuer
        );
    }
    let whom = Audience { issuer: config.auth.issuer.clone(), audience: config.auth.audience.clone() };
    let roles = Roles { operator: args.role.contains(&Role::Operator) };
    let key = keys::token_key(&config.data)?;
    let ttl = Span::from_seconds(i64::from(args.ttl_s));
    Issuer::new(&key, whom).issue(&args.user, roles, now, ttl).context("the token could not be made")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rideplane_http::auth::Verifier;

    #[test]
    fn the_server_of_the_same_data_directory_believes_the_token() {
        let data = tempfile::tempdir().unwrap();
        let mut config = Config { data: data.path().into(), ..Config::default() };
        let now = Timestamp::from_unix_seconds(1_767_225_600);
        for role in [vec![], vec![Role::Operator]] {
            let operator = !role.is_empty();
            let args =
                TokenArgs { user: "rider-1".parse().unwrap(), role, ttl_s: 60, data: None, config: None };
            let token = token(&args, &config, now).unwrap();
            let whom = Audience { issuer: "rideplane".into(), audience: "rideplane".into() };
            let verifier = Verifier::new(whom, config.auth.leeway, keys::trusted_keys(&config).unwrap());
            let principal = verifier.verify(&token, now).unwrap();
            assert_eq!((principal.user_id.as_str(), principal.roles.operator), ("rider-1", operator));
            assert!(verifier.verify(&token, now.plus(Span::from_seconds(65))).is_err());
        }
        config.auth.public_key_file = Some("idp.pem".into());
        let args =
            TokenArgs { user: "rider-1".parse().unwrap(), role: vec![], ttl_s: 60, data: None, config: None };
        assert!(token(&args, &config, now).unwrap_err().to_string().contains("auth.public_key_file"));
    }
}
