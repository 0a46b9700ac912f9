//! The Linux kernel: processes, signals, limits, /proc; the only unsafe code of the house.
