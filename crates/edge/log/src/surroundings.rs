//! What flags are read from: this process's environment and the files of this host.

use std::fs::File;
use std::io::Read;

use messor_flags::Source;
use rustix::fs::Access;

/// A larger file is no value of a flag.
const LARGEST_FILE: u64 = 16 << 20;

/// The environment and file system that this process really has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings;

impl Source for Surroundings {
    fn variables(&self) -> Vec<(String, String)> {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    fn read_file(&self, path: &str) -> Result<String, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let mut text = String::new();
        file.take(LARGEST_FILE + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
        if text.len() as u64 > LARGEST_FILE {
            return Err(format!("it is larger than {LARGEST_FILE} bytes"));
        }
        Ok(text)
    }

    fn host_default(&self, flag: &str) -> Option<String> {
        if flag != "runtime_dir" {
            return None;
        }
        let writable = rustix::fs::access("/var/run", Access::READ_OK | Access::WRITE_OK).is_ok();
        Some(if writable { "/var/run/mesos" } else { "{tmp}/mesos/runtime" }.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_up_to_a_bound() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_string();
        std::fs::write(path("small"), "text").unwrap();
        assert_eq!(Surroundings.read_file(&path("small")).as_deref(), Ok("text"));
        assert!(Surroundings.read_file(&path("none")).is_err());
        File::create(path("large")).unwrap().set_len(LARGEST_FILE + 1).unwrap();
        assert!(Surroundings.read_file(&path("large")).unwrap_err().contains("larger"));
        std::fs::write(path("binary"), [0xff]).unwrap();
        assert!(Surroundings.read_file(&path("binary")).is_err());
    }

    #[test]
    fn the_runtime_directory_depends_on_the_host() {
        assert!(Surroundings.host_default("runtime_dir").is_some());
        assert_eq!(Surroundings.host_default("work_dir"), None);
    }
}
