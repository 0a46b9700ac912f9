//! End-to-end tests of the built binary against recorded and real Apache Mesos behaviour; they live in `tests/it`.
