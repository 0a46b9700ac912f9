//! `mesos-usage`: memory and CPU time of a process and all below it, as ResourceStatistics.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use messor_flags::UsageFlags;
use messor_linux::procfs;
use messor_proto::mesos::ResourceStatistics;
use messor_proto::{Version, Wire};

use super::SmallError;

pub fn print(flags: &UsageFlags, out: &mut dyn Write) -> Result<(), SmallError> {
    let pid = flags
        .pid
        .ok_or_else(|| SmallError::Wrong("--pid is required: give the number of a process".to_owned()))?;
    let statistics = measure(pid)?;
    if flags.recordio {
        let record = statistics.encode_as(Version::V0);
        let size = u32::try_from(record.len()).unwrap_or(u32::MAX);
        out.write_all(&size.to_ne_bytes())?;
        out.write_all(&record)?;
    } else {
        out.write_all(&statistics.to_json(Version::V0))?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn measure(pid: i32) -> Result<ResourceStatistics, SmallError> {
    let unknown = |error| SmallError::Wrong(format!("processes cannot be looked at: {error}"));
    let all = procfs::processes().map_err(unknown)?;
    if !all.iter().any(|process| process.pid == pid) {
        return Err(SmallError::Wrong(format!("there is no process {pid}")));
    }
    let usage = procfs::tree_usage(&all, pid);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(ResourceStatistics {
        timestamp: now.as_secs_f64(),
        cpus_user_time_secs: Some(usage.user_time.as_secs_f64()),
        cpus_system_time_secs: Some(usage.system_time.as_secs_f64()),
        mem_rss_bytes: Some(usage.resident_bytes),
        ..ResourceStatistics::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(pid: u32, recordio: bool) -> Result<Vec<u8>, SmallError> {
        let mut out = Vec::new();
        let flags = UsageFlags { pid: i32::try_from(pid).ok(), recordio, ..UsageFlags::default() };
        print(&flags, &mut out).map(|()| out)
    }

    #[test]
    fn this_process_uses_something() {
        let json = String::from_utf8(printed(std::process::id(), false).unwrap()).unwrap();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert!(value["mem_rss_bytes"].as_u64().unwrap() > 100_000 && value["timestamp"].is_f64(), "{json}");
        assert!(value["cpus_user_time_secs"].is_number() && json.ends_with("}\n"), "{json}");
    }

    #[test]
    fn a_record_has_its_size_in_front() {
        let bytes = printed(std::process::id(), true).unwrap();
        let (size, record) = bytes.split_first_chunk().unwrap();
        assert_eq!(u32::from_ne_bytes(*size) as usize, record.len());
        let read = ResourceStatistics::decode_checked_as(record, Version::V0).unwrap();
        assert!(read.mem_rss_bytes.unwrap() > 100_000);
    }

    #[test]
    fn a_process_that_is_not_there_is_no_answer() {
        assert!(printed(i32::MAX as u32, false).unwrap_err().to_string().contains("there is no process"));
        let error = print(&UsageFlags::default(), &mut Vec::new()).unwrap_err().to_string();
        assert!(error.starts_with("--pid is required"), "{error}");
    }
}
