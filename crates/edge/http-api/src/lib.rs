//! Mesos endpoints and v1 calls: names, codes, JSON of answers.
