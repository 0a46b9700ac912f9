//! Where the master is and who asks, by flags, environment and the configuration file: the TOML of the Python command
//! line of Mesos, `~/.mesos/config.toml`.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::arguments::Common;

const DEFAULT_MASTER: &str = "127.0.0.1:5050";

#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("the configuration file {} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the configuration file {}: {reason}", path.display())]
    Wrong { path: PathBuf, reason: String },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub master: String,
    /// Which of the places said so.
    pub said_by: String,
    pub file: Option<PathBuf>,
    pub authorization: Option<String>,
    pub principal: Option<String>,
}

impl Settings {
    /// With a master that somebody said, and nothing else.
    pub fn of_master(master: &str, said_by: &str) -> Settings {
        Settings {
            master: master.to_string(),
            said_by: said_by.to_string(),
            file: None,
            authorization: None,
            principal: None,
        }
    }

    pub fn new(common: &Common, home: Option<&Path>) -> Result<Settings, SettingsError> {
        let default = home.map(|home| home.join(".mesos/config.toml"));
        // One that is named must be there.
        let file = match &common.config {
            Some(path) => Some(path.clone()),
            None => default.filter(|path| path.exists()),
        };
        let mut settings = Settings::of_master(DEFAULT_MASTER, "nothing says otherwise");
        if let Some(path) = file {
            let read = std::fs::read_to_string(&path);
            let text = read.map_err(|source| SettingsError::Read { path: path.clone(), source })?;
            settings
                .take(&text, &path)
                .map_err(|reason| SettingsError::Wrong { path: path.clone(), reason })?;
            settings.file = Some(path);
        }
        if let Some(master) = &common.master {
            settings.master = master.clone();
            settings.said_by = "--master or MESOS_MASTER".to_string();
        }
        Ok(settings)
    }

    fn take(&mut self, text: &str, path: &Path) -> Result<(), String> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
        let Some(master) = table.get("master") else { return Ok(()) };
        let master = master.as_table().ok_or("'master' must be a table")?;
        let word = |table: &toml::Table, name: &str, whole: &str| match table.get(name) {
            None => Ok(None),
            Some(value) => match value.as_str() {
                Some(text) => Ok(Some(text.to_owned())),
                None => Err(format!("'{whole}' must be a string")),
            },
        };
        let address = word(master, "address", "master.address")?;
        let zookeeper = match master.get("zookeeper") {
            None => None,
            Some(value) => {
                let zookeeper = value.as_table().ok_or("'master.zookeeper' must be a table")?;
                let addresses = zookeeper.get("addresses").and_then(toml::Value::as_array);
                let addresses: Option<Vec<&str>> =
                    addresses.and_then(|list| list.iter().map(toml::Value::as_str).collect());
                let addresses = addresses
                    .filter(|list| !list.is_empty())
                    .ok_or("'master.zookeeper.addresses' must be a list of strings")?;
                let path = word(zookeeper, "path", "master.zookeeper.path")?;
                let path = path.ok_or("'master.zookeeper.path' is missing")?;
                Some(format!("zk://{}/{}", addresses.join(","), path.trim_start_matches('/')))
            }
        };
        match (address, zookeeper) {
            (Some(_), Some(_)) => {
                return Err("give 'master.address' or 'master.zookeeper', not both".to_string());
            }
            (Some(found), None) | (None, Some(found)) => {
                self.master = found;
                self.said_by = path.display().to_string();
            }
            (None, None) => {}
        }
        self.principal = word(master, "principal", "master.principal")?;
        match (&self.principal, word(master, "secret", "master.secret")?) {
            (Some(principal), Some(secret)) => {
                self.authorization =
                    Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{principal}:{secret}"))));
            }
            (None, Some(_)) => return Err("'master.secret' is given, 'master.principal' is not".to_string()),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str, master: Option<&str>) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(".mesos")).unwrap();
        std::fs::write(folder.path().join(".mesos/config.toml"), text).unwrap();
        let common = Common { master: master.map(str::to_string), json: false, width: None, config: None };
        Settings::new(&common, Some(folder.path())).map_err(|error| error.to_string())
    }

    #[test]
    fn the_file_of_the_python_command_line_is_read() {
        assert_eq!(settings("", None).unwrap().master, "127.0.0.1:5050");
        assert_eq!(settings("[master]\naddress = \"m:1\"", None).unwrap().master, "m:1");
        assert_eq!(settings("[master]\naddress = \"m:1\"", Some("n:2")).unwrap().master, "n:2");
        let zookeeper = "[master.zookeeper]\naddresses = [\"a:1\", \"b:2\"]\npath = \"/mesos\"";
        assert_eq!(settings(zookeeper, None).unwrap().master, "zk://a:1,b:2/mesos");
        let secret = settings("[master]\nprincipal = \"me\"\nsecret = \"s\"", None).unwrap();
        assert_eq!(secret.authorization.as_deref(), Some("Basic bWU6cw=="));
    }

    #[test]
    fn what_is_wrong_in_it_is_named() {
        for (text, word) in [
            ("[master", "config.toml"),
            ("master = 1", "'master' must be a table"),
            ("[master]\naddress = 1", "'master.address' must be a string"),
            ("[master.zookeeper]\npath = \"/m\"", "'master.zookeeper.addresses'"),
            ("[master.zookeeper]\naddresses = [\"a\"]", "'master.zookeeper.path' is missing"),
            ("[master]\nsecret = \"s\"", "'master.principal' is not"),
        ] {
            let error = settings(text, None).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        let common = Common { master: None, json: false, width: None, config: Some("/not/there".into()) };
        assert!(Settings::new(&common, None).unwrap_err().to_string().contains("/not/there"));
    }
}
