//! Whether an agent may go on as the one of before: what of its description may differ (U038).

use messor_proto::mesos::{AgentInfo, Attribute, DomainInfo};
use messor_types::{
    Ranges, Resource, ResourceError, Resources, Scalar, attributes_equal, resource_to_post_refinement,
};

use crate::config::ReconfigurationPolicy;

/// Everything that differs and may not, in words; nothing if the agent may go on.
pub(crate) fn differences(
    policy: ReconfigurationPolicy,
    previous: &AgentInfo,
    current: &AgentInfo,
) -> Vec<String> {
    let mut found = Vec::new();
    changed(&mut found, "--hostname", &previous.hostname, &current.hostname);
    changed(&mut found, "--port", &previous.port(), &current.port());
    let fresh_domain = previous.domain.is_none() && policy == ReconfigurationPolicy::Additive;
    if previous.domain != current.domain && !fresh_domain {
        changed(&mut found, "--domain", &describe_domain(previous), &describe_domain(current));
    }
    match (resources(previous), resources(current)) {
        (Ok(previous), Ok(current)) => match policy {
            ReconfigurationPolicy::Equal if previous == current => {}
            ReconfigurationPolicy::Equal => changed(&mut found, "--resources", &previous, &current),
            ReconfigurationPolicy::Additive => {
                found.extend(previous.iter().filter_map(|resource| lost(resource, &current)));
            }
        },
        (Err(error), _) => found.push(format!("--resources cannot be read as they were: {error}")),
        (_, Err(error)) => found.push(format!("--resources cannot be read: {error}")),
    }
    match policy {
        ReconfigurationPolicy::Equal if attributes_equal(&previous.attributes, &current.attributes) => {}
        ReconfigurationPolicy::Equal => {
            let (previous, current) = (&previous.attributes, &current.attributes);
            changed(
                &mut found,
                "--attributes",
                &describe_attributes(previous),
                &describe_attributes(current),
            );
        }
        ReconfigurationPolicy::Additive => {
            found.extend(previous.attributes.iter().filter_map(|attribute| {
                let now = current.attributes.iter().find(|now| now.name == attribute.name);
                match now {
                    None => Some(format!("attribute '{}' is missing in --attributes", attribute.name)),
                    Some(now) if keeps(attribute, now) => None,
                    Some(now) => Some(format!(
                        "attribute '{}' was '{}' and is '{}'",
                        attribute.name,
                        describe_attribute(attribute),
                        describe_attribute(now)
                    )),
                }
            }));
        }
    }
    found
}

fn changed<T: PartialEq + std::fmt::Display>(found: &mut Vec<String>, what: &str, previous: &T, current: &T) {
    if previous != current {
        found.push(format!("{what} was '{previous}' and is '{current}'"));
    }
}

fn resources(info: &AgentInfo) -> Result<Resources, ResourceError> {
    let mut list = info.resources.clone();
    list.iter_mut().for_each(resource_to_post_refinement);
    Resources::from_proto(&list)
}

/// What is less of a resource than there was; each reservation and each disk counts for itself.
fn lost(resource: &Resource, current: &Resources) -> Option<String> {
    match current.iter().find(|now| now.same_kind(resource)) {
        None => Some(format!("'{resource}' is missing in --resources")),
        Some(now) if now.value().contains(resource.value()) => None,
        Some(now) => Some(format!("'{resource}' of --resources shrank to '{now}'")),
    }
}

/// Ranges may grow; text and numbers may not change.
fn keeps(previous: &Attribute, current: &Attribute) -> bool {
    let scalar = |attribute: &Attribute| attribute.scalar.map(|scalar| Scalar::from_f64(scalar.value));
    let ranges = |attribute: &Attribute| attribute.ranges.as_ref().map(Ranges::from).unwrap_or_default();
    previous.r#type == current.r#type
        && scalar(previous) == scalar(current)
        && ranges(current).contains(&ranges(previous))
        && previous.text == current.text
        && previous.set == current.set
}

fn describe_domain(info: &AgentInfo) -> String {
    let fault = info.domain.as_ref().and_then(|domain: &DomainInfo| domain.fault_domain.as_ref());
    match fault {
        Some(fault) => format!("{}/{}", fault.region.name, fault.zone.name),
        None => "none".to_string(),
    }
}

fn describe_attribute(attribute: &Attribute) -> String {
    if let Some(text) = &attribute.text {
        return text.value.clone();
    }
    if let Some(ranges) = &attribute.ranges {
        return Ranges::from(ranges).to_string();
    }
    attribute.scalar.map(|scalar| scalar.value.to_string()).unwrap_or_default()
}

fn describe_attributes(attributes: &[Attribute]) -> String {
    let all: Vec<String> = attributes
        .iter()
        .map(|attribute| format!("{}:{}", attribute.name, describe_attribute(attribute)))
        .collect();
    all.join(";")
}

#[cfg(test)]
mod tests {
    use messor_proto::mesos::domain_info::{FaultDomain, fault_domain};
    use messor_types::{ResourceFormat, Role, parse_attributes, parse_resources};

    use super::*;

    fn info(resources: &str, attributes: &str) -> AgentInfo {
        AgentInfo {
            hostname: "host".to_string(),
            resources: parse_resources(resources, &Role::new("*"))
                .unwrap()
                .to_proto(ResourceFormat::PostRefinement),
            attributes: parse_attributes(attributes).unwrap(),
            ..AgentInfo::default()
        }
    }

    fn domain(region: &str) -> Option<DomainInfo> {
        let region = fault_domain::RegionInfo { name: region.to_string() };
        let zone = fault_domain::ZoneInfo { name: "z".to_string() };
        Some(DomainInfo { fault_domain: Some(FaultDomain { region, zone }) })
    }

    fn check(policy: ReconfigurationPolicy, previous: &AgentInfo, current: &AgentInfo, expected: &[&str]) {
        assert_eq!(differences(policy, previous, current), expected, "{policy:?}");
    }

    use ReconfigurationPolicy::{Additive, Equal};

    #[test]
    fn the_order_of_things_means_nothing() {
        let one = info("cpus:4;mem:64", "a:1;b:x");
        let two = info("mem:64;cpus:4", "b:x;a:1");
        check(Equal, &one, &two, &[]);
        check(Additive, &one, &two, &[]);
    }

    #[test]
    fn additive_allows_more_of_everything() {
        let one = info("cpus:4;ports:[1-10];keys:{a};disk(web):8", "level:3;range:[1-2];rack:x");
        let mut two =
            info("cpus:5;ports:[1-20];keys:{a, b};disk(web):9;gpus:1", "level:3;range:[1-9];rack:x;new:y");
        two.domain = domain("r");
        check(Additive, &one, &two, &[]);
        let differences = differences(Equal, &one, &two);
        assert_eq!(differences.len(), 3, "{differences:?}");
        assert!(differences[0].starts_with("--domain was 'none' and is 'r/z'"));
    }

    #[test]
    fn additive_allows_nothing_less() {
        let one =
            info("cpus:4;ports:[1-10];keys:{a, b};disk(web):8;gpus:1", "level:3;range:[1-9];rack:x;gone:1");
        let two = info("cpus:3;ports:[1-9];keys:{a};disk:8", "level:4;range:[1-2];rack:y");
        check(
            Additive,
            &one,
            &two,
            &[
                "'cpus:4' of --resources shrank to 'cpus:3'",
                "'ports:[1-10]' of --resources shrank to 'ports:[1-9]'",
                "'keys:{a, b}' of --resources shrank to 'keys:{a}'",
                "'disk(reservations: [(STATIC,web)]):8' is missing in --resources",
                "'gpus:1' is missing in --resources",
                "attribute 'level' was '3' and is '4'",
                "attribute 'range' was '[1-9]' and is '[1-2]'",
                "attribute 'rack' was 'x' and is 'y'",
                "attribute 'gone' is missing in --attributes",
            ],
        );
    }

    #[test]
    fn an_agent_stays_where_it_is() {
        let one = AgentInfo { domain: domain("r"), ..info("cpus:4", "") };
        let mut two = AgentInfo { domain: domain("s"), port: Some(5052), ..info("cpus:4", "") };
        two.hostname = "other".to_string();
        for policy in [Equal, Additive] {
            check(
                policy,
                &one,
                &two,
                &[
                    "--hostname was 'host' and is 'other'",
                    "--port was '5051' and is '5052'",
                    "--domain was 'r/z' and is 's/z'",
                ],
            );
        }
    }

    #[test]
    #[allow(deprecated)]
    fn roles_in_the_old_form_are_the_same() {
        let one = info("cpus(web):4", "");
        let mut old = one.clone();
        old.resources[0].reservations.clear();
        old.resources[0].role = Some("web".to_string());
        check(Equal, &old, &one, &[]);
    }
}
