//! Resources and attributes as operators write them, and PIDs.

use messor_types::{
    Pid, ResourceFormat, ResourceQuantities, Resources, Role, parse_attributes, parse_resources,
};

use crate::text;

pub fn resources(data: &[u8]) {
    let text = text(data);
    let _ = ResourceQuantities::parse(text);
    let Ok(resources) = parse_resources(text, &Role::new("*")) else { return };
    let again = Resources::from_proto(&resources.to_proto(ResourceFormat::PostRefinement));
    assert_eq!(again.as_ref(), Ok(&resources));
    assert!(resources.contains(&resources));
}

pub fn attributes(data: &[u8]) {
    let _ = parse_attributes(text(data));
}

pub fn pid(data: &[u8]) {
    let Ok(pid) = text(data).parse::<Pid>() else { return };
    assert_eq!(pid.to_string().parse(), Ok(pid));
}
