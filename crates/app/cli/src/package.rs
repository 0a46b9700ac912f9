//! `mesos-execute --package`: a file goes into HDFS by the Hadoop client, from where agents fetch it for the task.

use std::io;
use std::path::{Component, Path};
use std::process::{Command, Stdio};

use messor_flags::ExecuteFlags;

#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    #[error("--package: there is no file '{0}'")]
    Missing(String),
    #[error("--package: '{0}' leaves the folder of its user: name the file without '..'")]
    Path(String),
    #[error("the Hadoop client '{program}' cannot be started: {source}; say where it is with --hadoop")]
    Start { program: String, source: io::Error },
    #[error("there is a file at {0} already: --overwrite replaces it")]
    Exists(String),
    #[error("'{command}' failed: {text}")]
    Failed { command: String, text: String },
}

/// Puts the package there, if the flags name one; its address is for the task.
pub fn put(flags: &ExecuteFlags, user: &str) -> Result<Option<String>, PackageError> {
    let Some(package) = &flags.package else { return Ok(None) };
    if !Path::new(package).is_file() {
        return Err(PackageError::Missing(package.clone()));
    }
    let uri = format!("hdfs://{}/{user}/{}", flags.hdfs, below(package)?);
    // The client of Hadoop answers with 0 and 1 to that; other numbers, and some of its errors that are 1, show when it copies.
    if run(&flags.hadoop, &["-test", "-e", &uri])?.0 {
        if !flags.overwrite {
            return Err(PackageError::Exists(uri));
        }
        done(&flags.hadoop, &["-rm", &uri])?;
    }
    done(&flags.hadoop, &["-copyFromLocal", package, &uri])?;
    Ok(Some(uri))
}

/// The path of a package below the folder of its user.
fn below(package: &str) -> Result<String, PackageError> {
    let mut parts = Vec::new();
    for part in Path::new(package).components() {
        match part {
            Component::Normal(name) => parts.push(name.to_string_lossy().into_owned()),
            Component::RootDir | Component::CurDir => {}
            _ => return Err(PackageError::Path(package.to_owned())),
        }
    }
    Ok(parts.join("/"))
}

/// Whether it succeeded, and what it wrote to standard error.
fn run(hadoop: &str, words: &[&str]) -> Result<(bool, String), PackageError> {
    let output = Command::new(hadoop)
        .arg("fs")
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| PackageError::Start { program: hadoop.to_owned(), source })?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

fn done(hadoop: &str, words: &[&str]) -> Result<(), PackageError> {
    match run(hadoop, words)? {
        (true, _) => Ok(()),
        (false, text) => {
            Err(PackageError::Failed { command: format!("{hadoop} fs {}", words.join(" ")), text })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use messor_flags::Request;

    use super::*;

    /// A client of Hadoop whose HDFS is a folder.
    const CLIENT: &str = "#!/bin/sh
root=$(dirname \"$0\")/hdfs
at() { echo \"$root/${1#hdfs://}\"; }
case $1:$2 in
  fs:-test) test -e \"$(at \"$4\")\" ;;
  fs:-rm) rm \"$(at \"$3\")\" ;;
  fs:-copyFromLocal) mkdir -p \"$(dirname \"$(at \"$4\")\")\" && cp \"$3\" \"$(at \"$4\")\" ;;
  *) echo \"what is $*?\" >&2; exit 2 ;;
esac
";

    fn flags(words: &[String]) -> ExecuteFlags {
        let words = [&["--master=h", "--name=n", "--command=true"].map(str::to_owned)[..], words].concat();
        match messor_flags::parse::<ExecuteFlags>(&words, &messor_log::Surroundings).unwrap() {
            Request::Run(parsed) => parsed.flags,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_package_goes_to_where_the_task_fetches_it() {
        let folder = tempfile::tempdir().unwrap();
        let hadoop = folder.path().join("hadoop");
        fs::write(&hadoop, CLIENT).unwrap();
        fs::set_permissions(&hadoop, fs::Permissions::from_mode(0o755)).unwrap();
        let package = folder.path().join("app.tgz");
        fs::write(&package, "one").unwrap();
        let package = package.to_str().unwrap();
        let hadoop = format!("--hadoop={}", hadoop.display());
        let put = |more: &[String]| {
            let words = [&[hadoop.clone(), "--hdfs=name:9000".to_owned()][..], more].concat();
            put(&flags(&words), "me").map_err(|error| error.to_string())
        };
        assert_eq!(put(&[]), Ok(None));
        let named = format!("--package={package}");
        let uri = put(std::slice::from_ref(&named)).unwrap().unwrap();
        assert_eq!(uri, format!("hdfs://name:9000/me{package}"));
        let stored = folder.path().join("hdfs").join(uri.strip_prefix("hdfs://").unwrap());
        assert_eq!(fs::read_to_string(&stored).unwrap(), "one");
        fs::write(package, "two").unwrap();
        assert!(put(std::slice::from_ref(&named)).unwrap_err().contains("--overwrite"));
        assert_eq!(fs::read_to_string(&stored).unwrap(), "one");
        put(&[named, "--overwrite".to_owned()]).unwrap();
        assert_eq!(fs::read_to_string(&stored).unwrap(), "two");
        assert!(put(&["--package=/not/there".to_owned()]).unwrap_err().contains("no file '/not/there'"));
        assert!(below("a/../b").is_err());
    }

    #[test]
    fn a_client_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let package = folder.path().join("p");
        fs::write(&package, "").unwrap();
        let words = ["--hadoop=/not/there".to_owned(), format!("--package={}", package.display())];
        let error = put(&flags(&words), "me").unwrap_err().to_string();
        assert!(error.contains("'/not/there' cannot be started"), "{error}");
    }
}
