//! How values are written for people: resources, times, states.

use messor_proto::mesos::{self, TaskState, TimeInfo};
use messor_proto::{Version, WireEnum};
use messor_types::{ResourceName, Resources, Scalar};

use super::screen::Tone;

/// Resources of a message; what this version cannot read is left out.
pub fn resources(list: &[mesos::Resource]) -> Resources {
    let mut all = Resources::new();
    for resource in list {
        if let Ok(resource) = messor_types::Resource::from_proto(resource) {
            all.insert(resource);
        }
    }
    all
}

pub fn amount(resources: &Resources, name: &str) -> Scalar {
    resources.scalar(&ResourceName::new(name)).unwrap_or_default()
}

/// `2/8`: of so much.
pub fn share(used: &Resources, total: &Resources, name: &str) -> String {
    format!("{}/{}", amount(used, name), amount(total, name))
}

/// `cpus:2 mem:1024 ports:[31000-32000]`, by name, whatever they are reserved to.
pub fn summary(resources: &Resources) -> String {
    let mut plain = Resources::new();
    for resource in resources.iter() {
        plain.insert(messor_types::Resource::new(resource.name().clone(), resource.value().clone()));
    }
    let words = plain.iter().map(|resource| format!("{}:{}", resource.name().as_str(), resource.value()));
    words.collect::<Vec<_>>().join(" ")
}

/// `cpus:2 mem:1024` of a map of a quota.
pub fn quantities<'q>(map: impl IntoIterator<Item = (&'q String, &'q mesos::value::Scalar)>) -> String {
    let words = map.into_iter().map(|(name, scalar)| format!("{name}:{}", Scalar::from_f64(scalar.value)));
    words.collect::<Vec<_>>().join(" ")
}

/// Local time, to the second.
pub fn time(nanoseconds: i64) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)) {
        Ok(time) => {
            let zoned = time.to_zoned(jiff::tz::TimeZone::system());
            zoned.strftime("%Y-%m-%d %H:%M:%S").to_string()
        }
        Err(_) => String::new(),
    }
}

/// Short: the time of today, the date of another day.
pub fn moment(seconds: Option<f64>) -> String {
    let whole = timestamp(seconds);
    let today = time(i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or_default());
    match (whole.split_once(' '), today.split_once(' ')) {
        (Some((date, time)), Some((today, _))) => if date == today { time } else { date }.to_owned(),
        _ => whole,
    }
}

pub fn time_info(time: Option<&TimeInfo>) -> String {
    time.map(|info| self::time(info.nanoseconds)).unwrap_or_default()
}

/// Of a status, in seconds with a fraction.
pub fn timestamp(seconds: Option<f64>) -> String {
    seconds.map(|seconds| time((seconds * 1e9) as i64)).unwrap_or_default()
}

/// `RUNNING` for TASK_RUNNING, and how good that is.
pub fn task_state(state: TaskState) -> (&'static str, Tone) {
    let name = state.wire_name(Version::V1);
    let tone = match state {
        TaskState::TaskRunning => Tone::Good,
        TaskState::TaskStaging | TaskState::TaskStarting | TaskState::TaskKilling => Tone::Passing,
        TaskState::TaskFinished | TaskState::TaskKilled => Tone::Faint,
        _ => Tone::Bad,
    };
    (name.strip_prefix("TASK_").unwrap_or(name), tone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_types::{Role, parse_resources};

    #[test]
    fn resources_are_summed_by_name() {
        let all = parse_resources("cpus:2;cpus(a):1.5;mem:64;ports:[1-3,5-5]", &Role::star()).unwrap();
        assert_eq!(summary(&all), "cpus:3.5 mem:64 ports:[1-3, 5-5]");
        assert_eq!(share(&parse_resources("cpus:1", &Role::star()).unwrap(), &all, "cpus"), "1/3.5");
        assert_eq!(share(&Resources::new(), &all, "gpus"), "0/0");
    }
}
