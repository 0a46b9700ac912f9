//! What the master remembers: agents, frameworks, offers. These modules keep the sums right; they decide nothing and
//! have no effects.

mod agent;
mod framework;
mod inverse_offers;
mod machines;
mod offer;
mod operation;
mod operation_counts;

pub(crate) use agent::{Agent, Agents, ExecutorEntry, Provider};
pub(crate) use framework::{Framework, Frameworks};
pub(crate) use inverse_offers::{InverseOfferRecord, InverseOffers};
pub(crate) use machines::Machines;
pub(crate) use offer::{OfferRecord, Offers};
pub(crate) use operation::Operations;
