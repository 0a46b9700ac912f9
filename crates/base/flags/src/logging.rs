//! The flags of logging, which master, agent, the local cluster and drivers share.

use crate::checks;
use crate::macros::flag_set;
use crate::value::Location;

flag_set! {
    /// Where log lines go.
    pub struct LoggingFlags {
        "Logging" {
            quiet: bool = "false"
                => "Log nothing to standard error.";
            logging_level: String = "INFO", check checks::logging_level
                => "Log messages of this level and above: INFO, WARNING or ERROR. With --quiet this concerns the files in --log_dir alone.";
            log_dir: Option<Location>
                => "Directory for log files, one series for each level. Without it nothing is written to disk. Standard error gets its lines all the same.";
            logbufsecs: u32 = "0"
                => "Seconds for which lines may be held back before they are written to files. 0 writes each at once.";
            initialize_driver_logging: bool = "true", no_effect "drivers in this program's process log as the program does"
                => "Whether scheduler and executor drivers log as described here.";
            external_log_file: Option<Location>
                => "A file that something else (such as syslog) writes this program's standard error to. It is shown in the web page and HTTP API, and takes precedence there over --log_dir.";
        }
    }
}
