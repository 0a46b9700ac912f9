//! The whole cluster on one thread from one seed, with faults and invariants.
