//! The time that lines carry: this moment, in the zone of this host.

use std::sync::OnceLock;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

const LOCAL_TIME: &str = "/etc/localtime";

static ZONE: OnceLock<TimeZone> = OnceLock::new();

pub fn now() -> Zoned {
    Timestamp::now().to_zoned(ZONE.get_or_init(zone).clone())
}

/// As glibc has it: what TZ says, or else /etc/localtime as it lies there. To ask for the zone of the system would look for
/// the name behind that link, through all folders of zones, while a program that starts is waited for.
fn zone() -> TimeZone {
    let named = std::env::var_os("TZ").is_some();
    let local = (!named).then(|| std::fs::read(LOCAL_TIME).ok()).flatten();
    local.and_then(|bytes| TimeZone::tzif("Local", &bytes).ok()).unwrap_or_else(TimeZone::system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zone_is_the_system_s() {
        let time = Timestamp::now();
        assert_eq!(time.to_zoned(zone()).offset(), time.to_zoned(TimeZone::system()).offset());
    }
}
