//! Mesos endpoints and v1 calls: paths, names, codes, the JSON of answers.
//!
//! It turns requests into events of the machines, and their views and effects into answers. It must not know how the
//! machines decide, nor sockets.

// Refusals are HTTP responses, made once a request at most: their size is of no account.
#![allow(clippy::result_large_err)]

pub mod agent;
pub mod answer;
pub mod call;
pub mod common;
pub mod cors;
pub mod document;
mod download;
pub mod endpoints;
pub mod files;
pub mod gateway;
mod health;
pub mod help;
pub mod home;
pub mod info;
pub mod machine;
pub mod master;
pub mod objects;
mod pace;
pub mod page;
mod places;
pub mod request;
pub mod respond;
mod scrape;
mod together;

pub use agent::{
    AgentSite, Answering, ContainerClass, ContainerError, ContainerLaunch, ContainerSource, ContainerUsage,
    Launched, NoContainers, Usage, UsageSource,
};
pub use common::{Common, Logging, MetricsSource};
pub use cors::Cors;
pub use files::Files;
pub use info::{BuildInfo, ProgramInfo};
pub use machine::{Input, Inputs, Machine};
pub use master::{MasterSite, REGISTRAR};
pub use pace::Pace;
pub use request::Request;
