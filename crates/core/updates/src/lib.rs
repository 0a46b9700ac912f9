//! Status update streams: at least once, in order, acknowledged.
