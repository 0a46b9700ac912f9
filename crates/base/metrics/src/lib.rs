//! Counters, gauges and timers, and their snapshot; no I/O.
