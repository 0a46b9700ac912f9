//! Messages as far as the load looks into them. Decoding skips the rest, so that the load costs less than the master
//! that is measured. Field numbers are those of the Mesos wire, which v0 and v1 share here.

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub struct Id {
    #[prost(string, optional, tag = "1")]
    pub value: Option<String>,
}

impl Id {
    pub fn text(id: &Option<Id>) -> &str {
        id.as_ref().and_then(|id| id.value.as_deref()).unwrap_or_default()
    }
}

/// SlaveRegisteredMessage and SlaveReregisteredMessage.
#[derive(Clone, PartialEq, Message)]
pub struct AgentRegistered {
    #[prost(message, optional, tag = "1")]
    pub agent_id: Option<Id>,
}

#[derive(Clone, PartialEq, Message)]
pub struct RunTask {
    /// The id of the framework is in there; the field of its own is not set any more.
    #[prost(message, optional, tag = "2")]
    pub framework: Option<Framework>,
    #[prost(message, optional, tag = "4")]
    pub task: Option<Task>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Framework {
    #[prost(message, optional, tag = "3")]
    pub id: Option<Id>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Task {
    #[prost(message, optional, tag = "2")]
    pub id: Option<Id>,
    #[prost(message, optional, tag = "3")]
    pub agent_id: Option<Id>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Acknowledgement {
    #[prost(message, optional, tag = "2")]
    pub framework_id: Option<Id>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub uuid: Option<Vec<u8>>,
}

/// FrameworkRegisteredMessage; the event SUBSCRIBED is the same.
#[derive(Clone, PartialEq, Message)]
pub struct Subscribed {
    #[prost(message, optional, tag = "1")]
    pub framework_id: Option<Id>,
}

/// ResourceOffersMessage; the event OFFERS is the same.
#[derive(Clone, PartialEq, Message)]
pub struct Offers {
    #[prost(message, repeated, tag = "1")]
    pub offers: Vec<Offer>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Offer {
    #[prost(message, optional, tag = "1")]
    pub id: Option<Id>,
    #[prost(message, optional, tag = "3")]
    pub agent_id: Option<Id>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Status {
    #[prost(message, optional, tag = "1")]
    pub task_id: Option<Id>,
    #[prost(int32, optional, tag = "2")]
    pub state: Option<i32>,
    #[prost(message, optional, tag = "5")]
    pub agent_id: Option<Id>,
    /// Only where an acknowledgement is expected.
    #[prost(bytes = "vec", optional, tag = "11")]
    pub uuid: Option<Vec<u8>>,
}

/// The event UPDATE.
#[derive(Clone, PartialEq, Message)]
pub struct Update {
    #[prost(message, optional, tag = "1")]
    pub status: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
pub struct StatusUpdateMessage {
    #[prost(message, optional, tag = "1")]
    pub update: Option<StatusUpdate>,
    /// Empty when the master itself says it.
    #[prost(string, optional, tag = "2")]
    pub pid: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct StatusUpdate {
    #[prost(message, optional, tag = "3")]
    pub agent_id: Option<Id>,
    #[prost(message, optional, tag = "4")]
    pub status: Option<Status>,
    #[prost(bytes = "vec", optional, tag = "6")]
    pub uuid: Option<Vec<u8>>,
}

/// An event of a scheduler's stream.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    #[prost(int32, optional, tag = "1")]
    pub kind: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub subscribed: Option<Subscribed>,
    #[prost(message, optional, tag = "3")]
    pub offers: Option<Offers>,
    #[prost(message, optional, tag = "5")]
    pub update: Option<Update>,
    #[prost(message, optional, tag = "8")]
    pub error: Option<Error>,
}

/// The event ERROR, and FrameworkErrorMessage.
#[derive(Clone, PartialEq, Message)]
pub struct Error {
    #[prost(string, optional, tag = "1")]
    pub message: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub text: Option<String>,
}

#[cfg(test)]
mod tests {
    use messor_proto::mesos::{AgentId, TaskId, TaskStatus};
    use messor_proto::{Wire, mesos};

    use super::*;

    #[test]
    fn numbers_are_those_of_the_wire() {
        let status = TaskStatus {
            task_id: TaskId { value: "t".into() },
            state: 1,
            agent_id: Some(AgentId { value: "a".into() }),
            uuid: Some(vec![7; 16]),
            ..Default::default()
        };
        let brief = Status {
            task_id: Some(Id { value: Some("t".into()) }),
            state: Some(1),
            agent_id: Some(Id { value: Some("a".into()) }),
            uuid: Some(vec![7; 16]),
        };
        assert_eq!(Status::decode(status.encode_bytes().as_slice()).unwrap(), brief);
        let event = mesos::scheduler::Event {
            r#type: Some(4),
            update: Some(mesos::scheduler::event::Update { status: status.clone() }),
            ..Default::default()
        };
        let read = Event::decode(event.encode_bytes().as_slice()).unwrap();
        assert_eq!(read.update.unwrap().status.unwrap(), brief);
        let update = mesos::internal::StatusUpdateMessage {
            update: mesos::internal::StatusUpdate {
                status,
                agent_id: Some(AgentId { value: "a".into() }),
                uuid: Some(vec![8; 16]),
                ..Default::default()
            },
            pid: Some("slave(1)@127.0.0.1:1".into()),
        };
        let read = StatusUpdateMessage::decode(update.encode_bytes().as_slice()).unwrap();
        assert_eq!(read.pid.as_deref(), Some("slave(1)@127.0.0.1:1"));
        let update = read.update.unwrap();
        assert_eq!((update.status, update.uuid), (Some(brief), Some(vec![8; 16])));
        let acknowledgement = mesos::internal::StatusUpdateAcknowledgementMessage {
            uuid: vec![9; 16],
            framework_id: mesos::FrameworkId { value: "f".into() },
            ..Default::default()
        };
        let read = Acknowledgement::decode(acknowledgement.encode_bytes().as_slice()).unwrap();
        assert_eq!((Id::text(&read.framework_id), read.uuid), ("f", Some(vec![9; 16])));
    }
}
