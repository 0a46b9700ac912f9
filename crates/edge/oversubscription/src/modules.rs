//! `--modules`, `--resource_estimator` and `--qos_controller`: which of the modules that are built in, with which
//! parameters. Libraries are never loaded; a module that would need one is refused.

use std::collections::BTreeMap;

use messor_proto::mesos;
use messor_proto::{JsonError, Version, Wire};
use messor_types::{ResourcesTextError, Role, parse_resources};

use crate::{FixedEstimator, LoadController, QosController, ResourceEstimator};

const FIXED: &str = "org_apache_mesos_FixedResourceEstimator";
const LOAD: &str = "org_apache_mesos_LoadQoSController";

#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    #[error("--modules: {0}")]
    Json(#[from] JsonError),
    #[error("--modules: a module has no 'name'")]
    Nameless,
    #[error("--modules: the module '{0}' is there twice; take one out")]
    Twice(String),
    #[error(
        "--modules: the module '{name}' is not built in, and libraries cannot be loaded; take it out. There are {there}"
    )]
    NotBuiltIn { name: String, there: String },
    #[error("--{flag}: '{name}' is not built in; there is {there}")]
    Unknown { flag: &'static str, name: String, there: &'static str },
    #[error("--{flag}: the module '{name}' needs parameters: give them with --modules")]
    NotListed { flag: &'static str, name: &'static str },
    #[error("--modules: {module} needs the parameter {parameter}")]
    Missing { module: &'static str, parameter: &'static str },
    #[error("--modules: {module} has no parameter '{parameter}'")]
    NoParameter { module: &'static str, parameter: String },
    #[error("--modules: the parameter 'resources' of {FIXED}: {0}")]
    Resources(#[from] ResourcesTextError),
    #[error("--modules: the parameter '{parameter}' of {LOAD} has to be a number, not '{value}'")]
    Number { parameter: String, value: String },
}

/// The modules that `--modules` names, with their parameters.
#[derive(Clone, Debug, Default)]
pub struct Modules(BTreeMap<String, Vec<mesos::Parameter>>);

impl Modules {
    /// Where a library would be found is of no interest, as what is named is built in.
    /// `others` are modules that are built in elsewhere.
    pub fn parse(json: &str, others: &[&str]) -> Result<Modules, ModuleError> {
        let read = mesos::Modules::from_json(json.as_bytes(), Version::V0)?;
        let mut modules = BTreeMap::new();
        for module in read.libraries.into_iter().flat_map(|library| library.modules) {
            let name = module.name.filter(|name| !name.is_empty()).ok_or(ModuleError::Nameless)?;
            if ![FIXED, LOAD].iter().chain(others).any(|there| *there == name) {
                let there = [&[FIXED, LOAD], others].concat().join(", ");
                return Err(ModuleError::NotBuiltIn { name, there });
            }
            if modules.insert(name.clone(), module.parameters).is_some() {
                return Err(ModuleError::Twice(name));
            }
        }
        Ok(Modules(modules))
    }

    /// What a module that is named is given.
    pub fn of(&self, name: &str) -> Option<&[mesos::Parameter]> {
        self.0.get(name).map(Vec::as_slice)
    }

    fn parameters(
        &self,
        flag: &'static str,
        name: &str,
        there: &'static str,
    ) -> Result<&[mesos::Parameter], ModuleError> {
        if name != there {
            return Err(ModuleError::Unknown { flag, name: name.to_string(), there });
        }
        let found = self.0.get(there).map(Vec::as_slice);
        found.ok_or(ModuleError::NotListed { flag, name: there })
    }
}

/// The estimator of `--resource_estimator`.
pub fn resource_estimator(name: &str, modules: &Modules) -> Result<Box<dyn ResourceEstimator>, ModuleError> {
    let mut resources = None;
    for parameter in modules.parameters("resource_estimator", name, FIXED)? {
        if parameter.key != "resources" {
            return Err(ModuleError::NoParameter { module: FIXED, parameter: parameter.key.clone() });
        }
        resources = Some(parse_resources(&parameter.value, &Role::star())?);
    }
    let missing = ModuleError::Missing { module: FIXED, parameter: "'resources', such as cpus:14" };
    Ok(Box::new(FixedEstimator::new(resources.ok_or(missing)?)))
}

/// The controller of `--qos_controller`.
pub fn qos_controller(name: &str, modules: &Modules) -> Result<Box<dyn QosController>, ModuleError> {
    let (mut five, mut fifteen) = (None, None);
    for mesos::Parameter { key, value } in modules.parameters("qos_controller", name, LOAD)? {
        let threshold = match key.as_str() {
            "load_threshold_5min" => &mut five,
            "load_threshold_15min" => &mut fifteen,
            _ => return Err(ModuleError::NoParameter { module: LOAD, parameter: key.clone() }),
        };
        let number = value.trim().parse().ok().filter(|number: &f64| number.is_finite());
        *threshold =
            Some(number.ok_or_else(|| ModuleError::Number { parameter: key.clone(), value: value.clone() })?);
    }
    if five.is_none() && fifteen.is_none() {
        let parameter = "'load_threshold_5min' or 'load_threshold_15min'";
        return Err(ModuleError::Missing { module: LOAD, parameter });
    }
    Ok(Box::new(LoadController::new(five, fifteen)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_proto::mesos::ResourceUsage;

    fn module(name: &str, parameters: &str) -> Modules {
        let json = format!(
            r#"{{"libraries": [{{"file": "/usr/local/lib/lib.so", "modules":
                 [{{"name": "{name}", "parameters": [{parameters}]}}]}}]}}"#
        );
        Modules::parse(&json, &[]).unwrap()
    }

    fn refused<T>(result: Result<T, ModuleError>) -> String {
        result.err().expect("a refusal").to_string()
    }

    /// The documentation of 1.11.0 writes single objects where lists belong.
    #[test]
    fn the_examples_of_the_documentation_work() {
        let modules = Modules::parse(
            r#"{"libraries": {"file": "/usr/local/lib64/libfixed_resource_estimator.so", "modules":
                {"name": "org_apache_mesos_FixedResourceEstimator",
                 "parameters": {"key": "resources", "value": "cpus:14"}}}}"#,
            &[],
        )
        .unwrap();
        let mut estimator = resource_estimator(FIXED, &modules).unwrap();
        let all = estimator.oversubscribable(&ResourceUsage::default()).unwrap();
        assert_eq!(all.to_string(), "cpus{REV}:14");
        let thresholds =
            r#"{"key": "load_threshold_5min", "value": "6"}, {"key": "load_threshold_15min", "value": "4"}"#;
        assert!(qos_controller(LOAD, &module(LOAD, thresholds)).is_ok());
    }

    #[test]
    fn what_cannot_work_is_refused_by_the_name_of_its_flag() {
        let library = r#"{"libraries": [{"name": "l", "modules": [{"name": "com_example_M"}]}]}"#;
        let error = refused(Modules::parse(library, &[]));
        assert!(error.starts_with("--modules: the module 'com_example_M' is not built in"), "{error}");
        assert!(Modules::parse(library, &["com_example_M"]).unwrap().of("com_example_M").is_some());
        let twice =
            format!(r#"{{"libraries": [{{"modules": [{{"name": "{FIXED}"}}, {{"name": "{FIXED}"}}]}}]}}"#);
        assert!(refused(Modules::parse(&twice, &[])).contains("twice"));
        assert!(refused(Modules::parse(r#"{"libraries": [{"modules": [{}]}]}"#, &[])).contains("'name'"));
        assert!(refused(Modules::parse(r#"{"libraries": 7}"#, &[])).starts_with("--modules: "));

        let none = Modules::default();
        let error = refused(resource_estimator("com_example_M", &none));
        assert_eq!(error, format!("--resource_estimator: 'com_example_M' is not built in; there is {FIXED}"));
        assert!(refused(resource_estimator(FIXED, &none)).starts_with("--resource_estimator: "));
        assert!(refused(qos_controller(FIXED, &none)).starts_with("--qos_controller: "));
        assert!(refused(qos_controller(LOAD, &none)).contains("give them with --modules"));
    }

    #[test]
    fn parameters_are_checked() {
        let estimator = |parameters: &str| refused(resource_estimator(FIXED, &module(FIXED, parameters)));
        assert!(estimator("").contains("needs the parameter 'resources'"));
        assert!(estimator(r#"{"key": "resources", "value": "cpus"}"#).contains("'resources'"));
        assert!(estimator(r#"{"key": "x", "value": ""}"#).contains("no parameter 'x'"));
        let controller = |parameters: &str| refused(qos_controller(LOAD, &module(LOAD, parameters)));
        assert!(controller("").contains("'load_threshold_5min' or 'load_threshold_15min'"));
        for wrong in ["much", "inf", ""] {
            let error = controller(&format!(r#"{{"key": "load_threshold_5min", "value": "{wrong}"}}"#));
            assert!(error.contains("has to be a number"), "{error}");
        }
        assert!(controller(r#"{"key": "load_threshold_1min", "value": "1"}"#).contains("no parameter"));
    }
}
