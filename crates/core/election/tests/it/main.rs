//! The machines against ZooKeeper as it is on a bad day (`world`), and in shown sequences (`sequences`).

mod laws;
mod sequences;
mod servers;
mod world;
