//! The hierarchical DRF allocator as a deterministic machine.
