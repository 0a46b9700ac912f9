//! The warden with real processes, namespaces, mounts and cgroups. Needs root; without, it says what it skips.

mod basics;
mod containers;
mod deaths;
mod escapes;
mod house;
