//! What the operator says of the logger by parameters of its module, and a container by its environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use messor_proto::mesos::Parameter;

use crate::options;

/// The name by which Apache Mesos knows this logger.
pub const MODULE: &str = "org_apache_mesos_LogrotateContainerLogger";

const DEFAULT_BYTES: u64 = 10 << 20;
const PAGE_BYTES: u64 = 4096;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SettingsError {
    #[error("{MODULE} has no parameter '{0}'")]
    NoParameter(String),
    #[error("the parameter '{name}' of {MODULE}: {problem}")]
    Parameter { name: String, problem: String },
    #[error("'{0}' is not there or cannot be run: install logrotate, or name it by 'logrotate_path'")]
    NoLogrotate(String),
    #[error("the container's logger cannot be set by the variable {name}: {problem}")]
    Variable { name: String, problem: String },
}

/// How one of the two streams is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    pub max_bytes: u64,
    pub options: Option<String>,
}

impl Stream {
    const DEFAULT: Stream = Stream { max_bytes: DEFAULT_BYTES, options: None };

    /// The words for `mesos-logrotate-logger`.
    pub fn arguments(&self, file: &Path, user: Option<&str>, settings: &Settings) -> Vec<OsString> {
        let flag = |name: &str, value: &std::ffi::OsStr| {
            let mut word = OsString::from(format!("--{name}="));
            word.push(value);
            word
        };
        let size = format!("{}B", self.max_bytes);
        let mut words = vec![
            flag("log_filename", file.as_os_str()),
            flag("max_size", size.as_ref()),
            flag("logrotate_path", settings.logrotate_path.as_ref()),
        ];
        words.extend(self.options.as_ref().map(|options| flag("logrotate_options", options.as_ref())));
        words.extend(user.map(|user| flag("user", user.as_ref())));
        words
    }
}

/// What holds for containers that say nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub stdout: Stream,
    pub stderr: Stream,
    /// Where `mesos-logrotate-logger` is, if not where the agent's other programs are.
    pub launcher_dir: Option<PathBuf>,
    pub logrotate_path: String,
    prefix: String,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            stdout: Stream::DEFAULT,
            stderr: Stream::DEFAULT,
            launcher_dir: None,
            logrotate_path: "logrotate".into(),
            prefix: "CONTAINER_LOGGER_".into(),
        }
    }
}

fn size(text: &str) -> Result<u64, String> {
    let size = messor_stdx::parse_size(text).map_err(|error| error.to_string())?;
    if size < PAGE_BYTES {
        Err(format!("{text} is less than a page of memory, {PAGE_BYTES}B"))
    } else {
        Ok(size)
    }
}

impl Settings {
    pub fn of_parameters(parameters: &[Parameter]) -> Result<Settings, SettingsError> {
        let mut settings = Settings::default();
        for Parameter { key, value } in parameters {
            let wrong = |problem: String| SettingsError::Parameter { name: key.clone(), problem };
            match key.as_str() {
                "max_stdout_size" => settings.stdout.max_bytes = size(value).map_err(wrong)?,
                "max_stderr_size" => settings.stderr.max_bytes = size(value).map_err(wrong)?,
                "logrotate_stdout_options" => settings.stdout.options = Some(value.clone()),
                "logrotate_stderr_options" => settings.stderr.options = Some(value.clone()),
                "environment_variable_prefix" => settings.prefix.clone_from(value),
                "launcher_dir" => settings.launcher_dir = Some(PathBuf::from(value)),
                "logrotate_path" => settings.logrotate_path.clone_from(value),
                // The logger here has one thread.
                "libprocess_num_worker_threads" if value.parse().is_ok_and(|threads: u32| threads > 0) => {}
                "libprocess_num_worker_threads" => {
                    return Err(wrong(format!("'{value}' has to be a number of at least 1")));
                }
                _ => return Err(SettingsError::NoParameter(key.clone())),
            }
        }
        Ok(settings)
    }

    /// Whether logrotate is there.
    pub fn check(&self) -> Result<(), SettingsError> {
        if finds(&self.logrotate_path) {
            Ok(())
        } else {
            Err(SettingsError::NoLogrotate(self.logrotate_path.clone()))
        }
    }

    /// Standard output and error of a container with this environment.
    pub fn of_container<'e>(
        &self,
        environment: impl Iterator<Item = (&'e str, &'e str)>,
    ) -> Result<(Stream, Stream), SettingsError> {
        let (mut stdout, mut stderr) = (self.stdout.clone(), self.stderr.clone());
        for (name, value) in environment {
            let Some(rest) = name.strip_prefix(self.prefix.as_str()) else { continue };
            let wrong = |problem: String| SettingsError::Variable { name: name.to_owned(), problem };
            let options = || options::check(value).map(|()| value.to_owned()).map_err(wrong);
            match rest.to_ascii_lowercase().as_str() {
                "max_stdout_size" => stdout.max_bytes = size(value).map_err(wrong)?,
                "max_stderr_size" => stderr.max_bytes = size(value).map_err(wrong)?,
                "logrotate_stdout_options" => stdout.options = Some(options()?),
                "logrotate_stderr_options" => stderr.options = Some(options()?),
                _ => return Err(wrong("there is no such setting of the logger".to_owned())),
            }
        }
        Ok((stdout, stderr))
    }
}

/// Whether a program is there: by its path, or by its name on PATH.
pub(crate) fn finds(program: &str) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let runs = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return runs(Path::new(program));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    !program.is_empty() && std::env::split_paths(&path).any(|directory| runs(&directory.join(program)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(list: &[(&str, &str)]) -> Vec<Parameter> {
        list.iter().map(|(key, value)| Parameter { key: (*key).into(), value: (*value).into() }).collect()
    }

    #[test]
    fn parameters_are_those_of_the_module() {
        assert_eq!(Settings::of_parameters(&[]).unwrap(), Settings::default());
        let settings = Settings::of_parameters(&parameters(&[
            ("max_stdout_size", "1MB"),
            ("logrotate_stderr_options", "rotate 3\npostrotate\ntrue\nendscript"),
            ("launcher_dir", "/usr/libexec/mesos"),
            ("libprocess_num_worker_threads", "2"),
        ]))
        .unwrap();
        assert_eq!((settings.stdout.max_bytes, settings.stderr.max_bytes), (1 << 20, 10 << 20));
        assert!(settings.stderr.options.is_some() && settings.stdout.options.is_none());
        for (key, value, said) in [
            ("max_size", "1MB", "has no parameter 'max_size'"),
            ("max_stdout_size", "1KB", "less than a page"),
            ("max_stderr_size", "much", "'max_stderr_size'"),
            ("libprocess_num_worker_threads", "0", "at least 1"),
        ] {
            let error = Settings::of_parameters(&parameters(&[(key, value)])).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_container_overrides_by_its_environment() {
        let settings = Settings::default();
        let environment = [
            ("HOME", "/"),
            ("CONTAINER_LOGGER_MAX_STDERR_SIZE", "2MB"),
            ("CONTAINER_LOGGER_LOGROTATE_STDOUT_OPTIONS", "rotate 9"),
        ];
        let (stdout, stderr) = settings.of_container(environment.into_iter()).unwrap();
        assert_eq!((stdout.max_bytes, stdout.options.as_deref()), (10 << 20, Some("rotate 9")));
        assert_eq!((stderr.max_bytes, stderr.options), (2 << 20, None));
        for (name, value) in [
            ("CONTAINER_LOGGER_MAX_SIZE", "1MB"),
            ("CONTAINER_LOGGER_MAX_STDOUT_SIZE", "1"),
            ("CONTAINER_LOGGER_LOGROTATE_STDERR_OPTIONS", "include /etc/shadow"),
        ] {
            let error = settings.of_container([(name, value)].into_iter()).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_logrotate_that_is_not_there_is_told() {
        let settings = Settings { logrotate_path: "/no/such/logrotate".into(), ..Settings::default() };
        assert!(settings.check().unwrap_err().to_string().contains("install logrotate"));
        assert!(finds("sh") && finds("/bin/sh") && !finds("no-such-program") && !finds("/etc/passwd"));
    }
}
