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
    /// Whether anybody said so.
    pub is_said: bool,
    pub file: Option<PathBuf>,
    pub authorization: Option<String>,
    /// Where agents are told somebody else.
    pub agent_authorization: Option<String>,
    pub principal: Option<String>,
    /// Files of the Python command line, which are not used.
    pub plugins: Vec<String>,
}

impl Settings {
    /// With a master that somebody said, and nothing else.
    pub fn of_master(master: &str, said_by: &str) -> Settings {
        Settings {
            master: master.to_string(),
            said_by: said_by.to_string(),
            is_said: true,
            file: None,
            authorization: None,
            agent_authorization: None,
            principal: None,
            plugins: Vec::new(),
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
        settings.is_said = false;
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
            settings.is_said = true;
        }
        Ok(settings)
    }

    fn take(&mut self, text: &str, path: &Path) -> Result<(), String> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
        let plugins = table.get("plugins").map(|list| {
            let list: Option<Vec<&str>> =
                list.as_array().and_then(|list| list.iter().map(toml::Value::as_str).collect());
            list.ok_or("'plugins' must be a list of strings")
        });
        self.plugins = plugins.transpose()?.unwrap_or_default().into_iter().map(str::to_owned).collect();
        if let Some(agent) = table.get("agent") {
            let agent = agent.as_table().ok_or("'agent' must be a table")?;
            if agent.get("ssl").is_some_and(|value| value.as_bool() != Some(false)) {
                return Err("'agent.ssl': not supported yet: agents are asked without TLS".to_string());
            }
            (_, self.agent_authorization) = credentials(agent, "agent")?;
        }
        let Some(master) = table.get("master") else { return Ok(()) };
        let master = master.as_table().ok_or("'master' must be a table")?;
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
                self.is_said = true;
            }
            (None, None) => {}
        }
        (self.principal, self.authorization) = credentials(master, "master")?;
        Ok(())
    }
}

fn word(table: &toml::Table, name: &str, whole: &str) -> Result<Option<String>, String> {
    match table.get(name) {
        None => Ok(None),
        Some(value) => match value.as_str() {
            Some(text) => Ok(Some(text.to_owned())),
            None => Err(format!("'{whole}' must be a string")),
        },
    }
}

/// The principal of a table, and the header that its secret makes.
fn credentials(table: &toml::Table, name: &str) -> Result<(Option<String>, Option<String>), String> {
    let principal = word(table, "principal", &format!("{name}.principal"))?;
    let header = match (&principal, word(table, "secret", &format!("{name}.secret"))?) {
        (Some(principal), Some(secret)) => {
            Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{principal}:{secret}"))))
        }
        (None, Some(_)) => return Err(format!("'{name}.secret' is given, '{name}.principal' is not")),
        _ => None,
    };
    Ok((principal, header))
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
    fn agents_may_be_told_somebody_else_and_plugins_are_known() {
        let text = "plugins = [\"/p\"]\n[master]\nprincipal = \"me\"\nsecret = \"s\"\n[agent]\nprincipal = \"you\"\nsecret = \"t\"";
        let found = settings(text, None).unwrap();
        assert_eq!(found.authorization.as_deref(), Some("Basic bWU6cw=="));
        assert_eq!(found.agent_authorization.as_deref(), Some("Basic eW91OnQ="));
        assert_eq!(found.plugins, ["/p"]);
        assert!(!found.is_said && settings("", Some("m:1")).unwrap().is_said);
    }

    #[test]
    fn what_is_wrong_in_it_is_named() {
        for (text, word) in [
            ("plugins = 1", "'plugins' must be a list of strings"),
            ("[agent]\nssl = true", "'agent.ssl': not supported yet"),
            ("[agent]\nsecret = \"s\"", "'agent.principal' is not"),
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
