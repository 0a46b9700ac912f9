//! Containers of the posix kind: sandbox, fetch, launch, usage, destroy.
