//! The offers of one ACCEPT: they exist, belong together and to the framework that accepts them.

use std::collections::BTreeSet;

use messor_types::{AgentId, FrameworkId, OfferId, Role};

/// What has to be known of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferFacts<'a> {
    pub framework: &'a FrameworkId,
    pub agent: &'a AgentId,
    pub role: &'a Role,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    #[error("no offers were given")]
    None,
    #[error("offer {0} was given twice")]
    Twice(OfferId),
    #[error("offer {0} is no longer valid")]
    Unknown(OfferId),
    #[error("offer {offer} was made to framework {owner}, not to {framework}")]
    Framework { offer: OfferId, owner: FrameworkId, framework: FrameworkId },
    #[error("offers of one ACCEPT must be of one role: offer {offer} is of '{role}', the first of '{first}'")]
    Role { offer: OfferId, role: Role, first: Role },
    #[error("offers of one ACCEPT must be of one agent: offer {offer} is of {agent}, the first of {first}")]
    Agent { offer: OfferId, agent: AgentId, first: AgentId },
}

/// Checks the offers of an ACCEPT of `framework`; `find` knows the offers that are outstanding. Answers with the facts
/// of the first.
pub fn validate_offers<'a>(
    offers: &[OfferId],
    framework: &FrameworkId,
    find: impl Fn(&OfferId) -> Option<OfferFacts<'a>>,
) -> Result<OfferFacts<'a>, OfferError> {
    let mut seen = BTreeSet::new();
    if let Some(offer) = offers.iter().find(|offer| !seen.insert(*offer)) {
        return Err(OfferError::Twice(offer.clone()));
    }
    let mut first: Option<OfferFacts<'a>> = None;
    for offer in offers {
        let facts = find(offer).ok_or_else(|| OfferError::Unknown(offer.clone()))?;
        let offer = offer.clone();
        if facts.framework != framework {
            return Err(OfferError::Framework {
                offer,
                owner: facts.framework.clone(),
                framework: framework.clone(),
            });
        }
        let first = first.get_or_insert_with(|| facts.clone());
        if facts.role != first.role {
            return Err(OfferError::Role { offer, role: facts.role.clone(), first: first.role.clone() });
        }
        if facts.agent != first.agent {
            return Err(OfferError::Agent { offer, agent: facts.agent.clone(), first: first.agent.clone() });
        }
    }
    first.ok_or(OfferError::None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_belong_together() {
        let (f, g) = (FrameworkId::new("F"), FrameworkId::new("G"));
        let (s, t) = (AgentId::new("S"), AgentId::new("T"));
        let (a, b) = (Role::new("a"), Role::new("b"));
        let find = |offer: &OfferId| {
            let (framework, agent, role) = match offer.as_str() {
                "1" | "2" => (&f, &s, &a),
                "other-role" => (&f, &s, &b),
                "other-agent" => (&f, &t, &a),
                "other-framework" => (&g, &s, &a),
                _ => return None,
            };
            Some(OfferFacts { framework, agent, role })
        };
        let check = |ids: &[&str]| {
            let ids: Vec<OfferId> = ids.iter().map(|id| OfferId::new(id)).collect();
            validate_offers(&ids, &f, find).map(|facts| facts.agent.clone())
        };
        assert_eq!(check(&["1"]), Ok(s.clone()));
        assert_eq!(check(&["1", "2"]), Ok(s.clone()));
        assert_eq!(check(&[]), Err(OfferError::None));
        assert_eq!(check(&["1", "1"]), Err(OfferError::Twice(OfferId::new("1"))));
        assert_eq!(check(&["1", "9"]), Err(OfferError::Unknown(OfferId::new("9"))));
        assert!(matches!(check(&["1", "other-role"]), Err(OfferError::Role { .. })));
        assert!(matches!(check(&["1", "other-agent"]), Err(OfferError::Agent { .. })));
        assert!(matches!(check(&["other-framework"]), Err(OfferError::Framework { .. })));
    }
}
