//! Registry operations: the durable facts a master may act on.
