//! Whose tokens are accepted.

use crate::config::{Clerk, ClerkKeys, Config, SignIn};
use advisor_api::auth::{
    Authenticator,
    clerk::{Issuer, IssuerKeys, TOKEN_LIFE_MAX},
    jwks::{Jwks, JwksLimits},
    own_issuer,
    registration::People,
    revoked::Revoked,
    roles::RoleRules,
};
use advisor_commands::Commands;
use advisor_events::{Clock, UserId};
use anyhow::Result;
use std::{collections::HashSet, sync::Arc};

/// The application's issuer, the server's own, or both, as configured.
pub(super) fn authenticator(
    config: &Config,
    commands: &Arc<Commands>,
    revoked: &Arc<Revoked>,
    clock: &Arc<dyn Clock>,
) -> Result<Authenticator> {
    let SignIn { clerk, own_tokens, role_claim, operators, analysts, .. } = &config.sign_in;
    let (operators, analysts) = (people(operators), people(analysts));
    let mut issuers = Vec::new();
    if let Some(clerk) = clerk {
        let roles = RoleRules { claim: role_claim.clone(), operators: operators.clone(), analysts: analysts.clone() };
        issuers.push(issuer(clerk, roles, config.limits.jwks, clock)?);
    }
    if *own_tokens {
        issuers.push(own_issuer::load_or_create(&config.data_dir)?.accepted(operators, analysts));
    }
    let people: Arc<dyn People> = Arc::<Commands>::clone(commands);
    Ok(Authenticator::new(issuers, people, Arc::clone(revoked), Arc::clone(clock), config.limits.remembered))
}

fn people(ids: &[String]) -> HashSet<UserId> {
    ids.iter().map(|id| UserId::from(id.as_str())).collect()
}

fn issuer(clerk: &Clerk, roles: RoleRules, limits: JwksLimits, clock: &Arc<dyn Clock>) -> Result<Issuer> {
    let keys = match &clerk.keys {
        ClerkKeys::Jwks(url) => IssuerKeys::Jwks(Jwks::new(url, Arc::clone(clock), limits)?),
        ClerkKeys::Pem(pem) => IssuerKeys::from_pem(pem)?,
    };
    Ok(Issuer {
        name: clerk.issuer.clone(),
        keys,
        authorized_parties: clerk.authorized_parties.clone(),
        audiences: clerk.audiences.clone(),
        roles,
        token_life_max: TOKEN_LIFE_MAX,
    })
}
