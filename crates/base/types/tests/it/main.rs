//! The algebra of Resources by laws and by example, and its borders: protobuf, text, JSON.

mod examples;
mod laws;
mod text;
mod wire;

use messor_proto::mesos;
use messor_proto::mesos::resource::{DiskInfo, disk_info};
use messor_types::{Reservation, ReservationKind, Resource, Resources, Role, parse_resources};

fn resources(text: &str) -> Resources {
    parse_resources(text, &Role::star()).unwrap()
}

fn dynamic(role: &str) -> Reservation {
    Reservation::new(ReservationKind::Dynamic, role)
}

fn volume(megabytes: f64, id: &str) -> Resource {
    let persistence = disk_info::Persistence { id: id.to_string(), ..Default::default() };
    Resource::scalar("disk", megabytes)
        .with_reservation(dynamic("role"))
        .with_disk(DiskInfo { persistence: Some(persistence), ..Default::default() })
}

fn sourced(megabytes: f64, kind: disk_info::source::Type, id: Option<&str>) -> Resource {
    let source = disk_info::Source { r#type: kind.into(), id: id.map(String::from), ..Default::default() };
    Resource::scalar("disk", megabytes).with_disk(DiskInfo { source: Some(source), ..Default::default() })
}

fn labels(pairs: &[(&str, &str)]) -> mesos::Labels {
    let label =
        |(key, value): &(&str, &str)| mesos::Label { key: key.to_string(), value: Some(value.to_string()) };
    mesos::Labels { labels: pairs.iter().map(label).collect() }
}
