//! What is asked, and whether an answer has what it should.

use messor_proto::mesos::master::{Call, Response, call};
use messor_proto::{Wire, mesos};
use serde_json::Value;

use super::Size;
use crate::client::{Answer, Client, JSON, PROTOBUF};

/// So far the length of an answer may be from that of the first one, which was looked through: an offer more or less, and
/// numbers of more digits.
pub(super) const TOLERANCE_BYTES: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    Path(&'static str),
    Call(call::Type, &'static str),
}

pub(super) const READS: [(&str, Read); 8] = [
    ("/state", Read::Path("/master/state")),
    ("/state-summary", Read::Path("/master/state-summary")),
    ("/tasks", Read::Path("/master/tasks?limit=1000000")),
    ("GET_STATE, JSON", Read::Call(call::Type::GetState, JSON)),
    ("GET_STATE, protobuf", Read::Call(call::Type::GetState, PROTOBUF)),
    ("GET_TASKS, protobuf", Read::Call(call::Type::GetTasks, PROTOBUF)),
    ("GET_AGENTS, JSON", Read::Call(call::Type::GetAgents, JSON)),
    ("GET_AGENTS, protobuf", Read::Call(call::Type::GetAgents, PROTOBUF)),
];

pub(super) fn ask(client: &mut Client, read: Read) -> Result<Answer, String> {
    let answer = match read {
        Read::Path(path) => client.get(path)?,
        Read::Call(kind, accept) => {
            let call = Call { r#type: Some(kind as i32), ..Default::default() };
            client.call(&call.encode_bytes(), accept)?
        }
    };
    if answer.status != 200 {
        return Err(format!("{read:?} was answered {}", answer.status));
    }
    Ok(answer)
}

fn tasks_of(frameworks: &Value, key: &str) -> usize {
    let of = |framework: &Value| framework[key].as_array().map_or(0, Vec::len);
    frameworks.as_array().map_or(0, |frameworks| frameworks.iter().map(of).sum())
}

fn length(value: &Value) -> usize {
    value.as_array().map_or(0, Vec::len)
}

/// An answer has all that there is.
pub(super) fn check(name: &str, read: Read, body: &[u8], size: Size) -> Result<(), String> {
    let document = || serde_json::from_slice::<Value>(body).map_err(|error| format!("{name}: {error}"));
    let proto = || Response::decode_checked(body).map_err(|error| format!("{name}: {error}"));
    let all = (size.agents, size.running, size.completed);
    let of_tasks = |tasks: &Value| (length(&tasks["tasks"]), length(&tasks["completed_tasks"]));
    let (seen, expected) = match (name, read) {
        ("/state", _) => {
            let state = document()?;
            let frameworks = &state["frameworks"];
            let tasks = (tasks_of(frameworks, "tasks"), tasks_of(frameworks, "completed_tasks"));
            ((length(&state["slaves"]), tasks.0, tasks.1), all)
        }
        ("/state-summary", _) => {
            let state = document()?;
            let running = state["frameworks"][0]["TASK_RUNNING"].as_u64().unwrap_or(0);
            ((length(&state["slaves"]), usize::try_from(running).unwrap_or(0), 0), (all.0, all.1, 0))
        }
        ("/tasks", _) => ((0, length(&document()?["tasks"]), 0), (0, all.1 + all.2, 0)),
        ("GET_STATE, JSON", _) => {
            let state = &document()?["get_state"];
            let tasks = of_tasks(&state["get_tasks"]);
            ((length(&state["get_agents"]["agents"]), tasks.0, tasks.1), all)
        }
        ("GET_STATE, protobuf", _) => {
            let state = proto()?.get_state.unwrap_or_default();
            let (tasks, agents) = (state.get_tasks.unwrap_or_default(), state.get_agents.unwrap_or_default());
            ((agents.agents.len(), tasks.tasks.len(), tasks.completed_tasks.len()), all)
        }
        ("GET_TASKS, protobuf", _) => {
            let tasks = proto()?.get_tasks.unwrap_or_default();
            ((0, tasks.tasks.len(), tasks.completed_tasks.len()), (0, all.1, all.2))
        }
        (_, Read::Call(_, PROTOBUF)) => {
            let agents: mesos::master::response::GetAgents = proto()?.get_agents.unwrap_or_default();
            ((agents.agents.len(), 0, 0), (all.0, 0, 0))
        }
        _ => ((length(&document()?["get_agents"]["agents"]), 0, 0), (all.0, 0, 0)),
    };
    if seen != expected {
        return Err(format!("{name} tells (agents, tasks, completed) {seen:?}, not {expected:?}"));
    }
    Ok(())
}

impl Read {
    fn is_json(self) -> bool {
        !matches!(self, Read::Call(_, PROTOBUF))
    }

    /// What every answer is looked at for, at no cost: it is as long as the first, give or take so much, and a document of JSON ends.
    pub(super) fn is_whole(self, body: &[u8], first: usize, tolerance: usize) -> Result<(), String> {
        if body.len().abs_diff(first) > tolerance {
            return Err(format!("{self:?} was answered {} bytes, and {first} at first", body.len()));
        }
        if self.is_json() && !(body.starts_with(b"{") && body.ends_with(b"}")) {
            return Err(format!("{self:?} was answered with a document that does not end"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_short_or_cut_are_seen() {
        let state = READS[0].1;
        assert_eq!(state.is_whole(b"{\"a\":[1,2]}", 10, 1), Ok(()));
        assert!(state.is_whole(b"{\"a\":[1,2]}", 13, 1).unwrap_err().contains("11 bytes, and 13 at first"));
        assert!(state.is_whole(b"{\"a\":[1,2] ", 11, 0).unwrap_err().contains("does not end"));
        assert_eq!(READS[4].1.is_whole(b"\x0a\x01", 2, 0), Ok(()));
    }
}
