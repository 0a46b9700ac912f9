//! One port for libprocess messages and HTTP; links, reconnects, bounded queues.
