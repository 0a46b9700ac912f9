//! Isolators that note what they are asked: in which order, and what becomes of what they say.

use std::path::Path;
use std::sync::{Arc, Mutex};

use messor_agent_core::{ContainerEvent, LaunchFailure};
use messor_isolators::{Container, Isolator, IsolatorError, Limitations};
use messor_proto::mesos::environment::Variable;
use messor_proto::mesos::slave::{ContainerLaunchInfo, ContainerLimitation};
use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::{Environment, ResourceStatistics};
use messor_types::ContainerId;

use crate::{Bench, environment, made, shell};

type Calls = Arc<Mutex<Vec<String>>>;

struct Noting {
    name: &'static str,
    calls: Calls,
    failing: Option<&'static str>,
}

impl Noting {
    fn note(&self, what: &str, container: &ContainerId) -> Result<(), IsolatorError> {
        self.calls.lock().unwrap().push(format!("{container} {what} {}", self.name));
        match self.failing == Some(what) {
            true => Err(IsolatorError::Invalid("it says no".into())),
            false => Ok(()),
        }
    }
}

impl Isolator for Noting {
    fn name(&self) -> &'static str {
        self.name
    }

    fn prepare(&self, container: &Container) -> Result<Option<ContainerLaunchInfo>, IsolatorError> {
        self.note("prepare", &container.id)?;
        let variable = Variable {
            name: format!("OF_{}", self.name.to_uppercase()),
            value: Some(container.config.directory.clone()),
            ..Variable::default()
        };
        let environment = Some(Environment { variables: vec![variable] });
        Ok(Some(ContainerLaunchInfo { environment, ..ContainerLaunchInfo::default() }))
    }

    fn isolate(&self, container: &Container, pid: i32) -> Result<(), IsolatorError> {
        assert!(pid > 0);
        self.note("isolate", &container.id)
    }

    fn update(&self, container: &Container) -> Result<(), IsolatorError> {
        self.note("update", &container.id)
    }

    fn usage(&self, _container: &Container) -> Result<ResourceStatistics, IsolatorError> {
        let memory = (self.name == "a").then_some(77);
        Ok(ResourceStatistics { mem_file_bytes: memory, ..ResourceStatistics::default() })
    }

    fn cleanup(&self, container: &ContainerId) -> Result<(), IsolatorError> {
        self.note("cleanup", container)
    }
}

fn bench(failing: Option<&'static str>) -> (Bench, Calls) {
    let calls = Calls::default();
    let make = |name, failing| Arc::new(Noting { name, calls: calls.clone(), failing }) as Arc<dyn Isolator>;
    let isolators = |work_dir: &Path| {
        let mut all = made("posix/mem", work_dir);
        all.extend([make("a", None), make("b", failing)]);
        all
    };
    (Bench::isolated("exit 0", isolators, |_| {}), calls)
}

fn taken(calls: &Calls) -> String {
    std::mem::take(&mut *calls.lock().unwrap()).join(", ").replace("c1 ", "")
}

#[tokio::test]
async fn isolators_are_asked_in_order_and_clean_up_in_reverse() {
    let (mut bench, calls) = bench(None);
    bench.launch(shell("c1", "env >env; sleep 1000"));
    bench.launched().await;
    assert_eq!(taken(&calls), "prepare a, prepare b, isolate a, isolate b");
    let usage = bench.containerizer.usage().await.unwrap();
    let (_, statistics) = &usage[&ContainerId::new("c1")];
    assert!(statistics.mem_file_bytes == Some(77) && statistics.mem_rss_bytes.is_some(), "{statistics:?}");
    bench.destroy("c1");
    assert_eq!(bench.exited().await, Some(9));
    assert_eq!(taken(&calls), "cleanup b, cleanup a");
}

#[tokio::test]
async fn what_isolators_put_into_the_environment_is_there() {
    let (mut bench, _) = bench(None);
    bench.launch(shell("c1", "env >env"));
    bench.launched().await;
    bench.exited().await;
    let (sandbox, text) = (bench.sandbox("c1"), bench.read("c1", "env"));
    let variables = environment(&text);
    assert_eq!((variables["OF_A"], variables["COLOUR"]), (sandbox.to_str().unwrap(), "green"));
    assert_eq!(variables["OF_B"], variables["MESOS_SANDBOX"]);
}

#[tokio::test]
async fn an_isolator_that_says_no_ends_the_launch_and_all_clean_up() {
    for (failing, expected) in [
        ("prepare", "prepare a, prepare b, cleanup b, cleanup a"),
        ("isolate", "prepare a, prepare b, isolate a, isolate b, cleanup b, cleanup a"),
    ] {
        let (mut bench, calls) = bench(Some(failing));
        bench.launch(shell("c1", "touch ran"));
        let (reason, message) = bench.failed().await;
        assert_eq!(reason, LaunchFailure::Launch);
        assert!(message.contains(&format!("the isolator 'b' cannot {failing} it: it says no")), "{message}");
        assert_eq!(taken(&calls), expected);
        assert!(!bench.sandbox("c1").join("ran").exists());
    }
}

/// U033: the reason, the words and the resources of the limit are told.
#[tokio::test]
async fn what_goes_beyond_a_limit_ends_with_its_reason() {
    let mut bench = Bench::new();
    bench.launch(shell("c1", "sleep 1000"));
    bench.launched().await;
    bench.reports.exceeded(
        &ContainerId::new("c1"),
        ContainerLimitation {
            message: Some("it has too much".into()),
            reason: Some(Reason::ContainerLimitationMemory as i32),
            ..ContainerLimitation::default()
        },
    );
    let ContainerEvent::Exited { limitation: Some(limitation), status, .. } = bench.event().await else {
        panic!("no limitation")
    };
    assert_eq!((limitation.message(), status), ("it has too much", Some(9)));
    assert_eq!(limitation.reason(), Reason::ContainerLimitationMemory);
}
