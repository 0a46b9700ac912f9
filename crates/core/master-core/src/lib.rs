//! The master as a deterministic machine: agents, frameworks, tasks, offers.
//!
//! It must not know sockets, HTTP, JSON, clocks or files: events come in, effects go out.

mod accepting;
mod adopting;
mod calls;
mod config;
mod draining;
mod driver;
mod effect;
mod event;
mod framework_metrics;
mod gc;
mod gone;
mod health;
mod inverse_offers;
mod launching;
mod leading;
mod maintenance;
mod master;
mod messages;
mod metrics;
mod notice;
mod offering;
mod operation_updates;
mod operations;
mod preempting;
mod publish;
mod quota;
mod reconciling;
mod recovering;
mod registering;
mod removal;
mod reregistering;
mod returning;
mod sessions;
mod state;
mod subscribing;
mod tasks;
mod turn;
mod updates;
mod updating;
mod view;
mod viewing;
mod weights;

pub use config::{Config, RateLimit};
pub use effect::{Effect, Level, Outcome};
pub use event::{Event, OperatorCall, ReplyId, StreamId, Timer};
pub use framework_metrics::{FrameworkCounts, Tally};
pub use master::Master;
pub use messages::{Known, Message};
pub use view::{AgentView, FrameworkRecord, FrameworkView, InverseOfferStatuses, SeenAgent, View};
