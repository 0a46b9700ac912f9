//! Downloads by the Hadoop client, for whatever schemes it knows: hdfs, s3 and others.
//!
//! It is started with plain arguments, never by a shell, and has as much time as it needs: it says nothing of how far
//! it has got, so a stall cannot be told. What it prints is bounded here.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Of what the client prints no more is looked at.
const OUTPUT_BYTES: u64 = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum HadoopError {
    #[error(
        "the Hadoop client '{program}' cannot be started: {source}; give the agent --hadoop_home, or put hadoop on its PATH"
    )]
    Start { program: String, source: io::Error },
    #[error("the Hadoop client {status}{said}")]
    Failed { status: String, said: String },
    #[error("the Hadoop client did not say a size: '{0}'")]
    NoSize(String),
    #[error("the Hadoop client cannot be watched: {0}")]
    Watch(io::Error),
}

/// `hadoop` of HADOOP_HOME, or else of PATH.
fn program() -> PathBuf {
    match std::env::var_os("HADOOP_HOME").filter(|home| !home.is_empty()) {
        Some(home) => Path::new(&home).join("bin/hadoop"),
        None => PathBuf::from("hadoop"),
    }
}

/// Copies to a path where nothing is yet.
pub(crate) fn download(uri: &str, to: &Path) -> Result<(), HadoopError> {
    download_by(&program(), uri, to)
}

fn download_by(program: &Path, uri: &str, to: &Path) -> Result<(), HadoopError> {
    run(program, &["fs".as_ref(), "-copyToLocal".as_ref(), uri.as_ref(), to.as_os_str()]).map(|_| ())
}

pub(crate) fn size(uri: &str) -> Result<u64, HadoopError> {
    size_by(&program(), uri)
}

fn size_by(program: &Path, uri: &str) -> Result<u64, HadoopError> {
    let said = run(program, &["fs".as_ref(), "-du".as_ref(), uri.as_ref()])?;
    size_in(&said, uri).ok_or_else(|| HadoopError::NoSize(last_line(&said)))
}

/// The line with the size is among warnings and the like. Newer clients have the space of all replicas in between.
fn size_in(said: &str, uri: &str) -> Option<u64> {
    said.lines().find_map(|line| {
        // A URI may have blanks.
        let rest = line.trim_end().strip_suffix(uri)?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        match fields[..] {
            [size] | [size, _] if rest.ends_with(char::is_whitespace) => size.parse().ok(),
            _ => None,
        }
    })
}

fn run(program: &Path, arguments: &[&std::ffi::OsStr]) -> Result<String, HadoopError> {
    let started = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn();
    let mut child =
        started.map_err(|source| HadoopError::Start { program: program.display().to_string(), source })?;
    let mut said = Vec::new();
    if let Some(output) = child.stdout.take() {
        let mut output = output.take(OUTPUT_BYTES);
        output.read_to_end(&mut said).map_err(HadoopError::Watch)?;
        // The rest is read so that the client does not stand still.
        io::copy(&mut output.into_inner(), &mut io::sink()).map_err(HadoopError::Watch)?;
    }
    let status = child.wait().map_err(HadoopError::Watch)?;
    let said = String::from_utf8_lossy(&said).into_owned();
    if status.success() {
        return Ok(said);
    }
    let line = last_line(&said);
    let status = status.code().map_or("was killed".to_owned(), |code| format!("exited with status {code}"));
    Err(HadoopError::Failed { status, said: if line.is_empty() { line } else { format!(" ({line})") } })
}

fn last_line(text: &str) -> String {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_found_among_other_lines() {
        let uri = "hdfs://name/a";
        assert_eq!(size_in("WARN slow\n1234  hdfs://name/a\n", uri), Some(1234));
        assert_eq!(size_in("1234  3702  hdfs://name/a\n", uri), Some(1234));
        assert_eq!(size_in("1234  hdfs://name/b\n", uri), None);
        assert_eq!(size_in("1234  x-hdfs://name/a\n", uri), None);
        assert_eq!(size_in("7  hdfs://name/a b\n", "hdfs://name/a b"), Some(7));
        assert_eq!(size_in("much  hdfs://name/a\n", uri), None);
    }

    /// A client that knows one URI.
    fn client(folder: &Path) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.join("hadoop");
        let script = r#"#!/bin/sh
echo "WARN this is a fake"
case "$1 $2 $3" in
  "fs -du hdfs://name/it's; a \$(file)") echo "5  $3" ;;
  "fs -copyToLocal hdfs://name/it's; a \$(file)") printf hello >"$4" ;;
  *) echo "No such file: $3"; exit 1 ;;
esac
"#;
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn the_client_gets_the_uri_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let client = client(folder.path());
        let (uri, to) = ("hdfs://name/it's; a $(file)", folder.path().join("to"));
        assert_eq!(size_by(&client, uri).unwrap(), 5);
        download_by(&client, uri, &to).unwrap();
        assert_eq!(std::fs::read_to_string(to).unwrap(), "hello");
    }

    #[test]
    fn what_the_client_says_last_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let client = client(folder.path());
        let error = size_by(&client, "hdfs://name/b").unwrap_err().to_string();
        assert_eq!(error, "the Hadoop client exited with status 1 (No such file: hdfs://name/b)");
        let error = size_by(&folder.path().join("none"), "hdfs://name/b").unwrap_err().to_string();
        assert!(error.contains("cannot be started") && error.contains("--hadoop_home"), "{error}");
    }
}
