//! What tests share: ports, temporary clusters, a small HTTP client.
