//! glog-shaped log lines to standard error and rotated files.
