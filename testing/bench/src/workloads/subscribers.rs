//! Operators who watch events: each is to hear of every task that is launched and runs to its end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use messor_codec::http_client::{Part, RequestBody, ResponseDecoder, write_request_head};
use messor_codec::recordio;
use messor_proto::Wire;
use messor_proto::mesos::master::event::Type;
use messor_proto::mesos::master::{Call, call};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::{grouped, kilobytes, millis, registered};
use crate::board::{Board, Count};
use crate::client::PROTOBUF;
use crate::figures::{Figures, Recorder};
use crate::fleet::Life;
use crate::masters::{Kind, Master, Programs};
use crate::scheduler::{Api, Plan, STEP_TIME, Scheduler};
use crate::usage::Meter;

/// Running and finished.
const UPDATES_OF_TASK: usize = 2;

#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub subscribers: usize,
    pub agents: usize,
    pub tasks: usize,
}

struct Subscriber {
    stream: TcpStream,
    response: ResponseDecoder,
    records: recordio::Decoder,
    added: usize,
    updated: usize,
}

impl Subscriber {
    fn connect(master: SocketAddr) -> Result<Subscriber, String> {
        let broken = |error: std::io::Error| format!("a subscriber: {error}");
        let mut stream = TcpStream::connect(master).map_err(broken)?;
        let call = Call { r#type: Some(call::Type::Subscribe as i32), ..Default::default() }.encode_bytes();
        let headers = [("Host", "localhost"), ("Content-Type", PROTOBUF), ("Accept", PROTOBUF)];
        let mut request = Vec::new();
        let framing = RequestBody::Length(call.len());
        write_request_head(&mut request, "POST", "/master/api/v1", &headers, framing)
            .map_err(|error| error.to_string())?;
        request.extend_from_slice(&call);
        stream.write_all(&request).map_err(broken)?;
        stream.set_nonblocking(true).map_err(broken)?;
        let (response, records) = (ResponseDecoder::new(), recordio::Decoder::default());
        Ok(Subscriber { stream, response, records, added: 0, updated: 0 })
    }

    /// Reads what is there.
    fn read(&mut self, buffer: &mut [u8], tasks: usize, board: &Board) -> Result<(), String> {
        let count = match self.stream.read(buffer) {
            Ok(0) => return Err("the stream of a subscriber ended".to_string()),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(format!("a subscriber: {error}")),
        };
        self.response.push(&buffer[..count]);
        while let Some(part) = self.response.next_part().map_err(|error| error.to_string())? {
            match part {
                Part::Head(head) if head.status == 200 => {}
                Part::Head(head) => return Err(format!("a subscriber was answered {}", head.status)),
                Part::Data(data) => self.records.push(&data),
                Part::End => return Err("the stream of a subscriber ended".to_string()),
            }
        }
        let complete = |subscriber: &Subscriber| {
            subscriber.added == tasks && subscriber.updated == tasks * UPDATES_OF_TASK
        };
        while let Some(record) = self.records.next_record().map_err(|error| error.to_string())? {
            let before = complete(self);
            match kind(&record)? {
                kind if kind == Type::Subscribed as i32 => board.add(Count::Watching, 1),
                kind if kind == Type::TaskAdded as i32 => self.added += 1,
                kind if kind == Type::TaskUpdated as i32 => self.updated += 1,
                _ => continue,
            }
            if self.added > tasks || self.updated > tasks * UPDATES_OF_TASK {
                return Err(format!("{} added and {} updated of {tasks} tasks", self.added, self.updated));
            }
            if complete(self) && !before {
                board.add(Count::Watched, 1);
            }
        }
        Ok(())
    }
}

/// The type of an event is its first field.
fn kind(record: &[u8]) -> Result<i32, String> {
    match record {
        [0x08, kind, ..] if *kind < 0x80 => Ok(i32::from(*kind)),
        _ => Err(format!("an event that begins {:?}", &record[..record.len().min(8)])),
    }
}

fn watch(
    mut subscribers: Vec<Subscriber>,
    tasks: usize,
    board: &Board,
    ended: &AtomicBool,
) -> Result<(), String> {
    let broken = |error: rustix::io::Errno| format!("epoll: {error}");
    let all = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(broken)?;
    for (number, subscriber) in subscribers.iter().enumerate() {
        let data = epoll::EventData::new_u64(number as u64);
        epoll::add(&all, &subscriber.stream, data, epoll::EventFlags::IN).map_err(broken)?;
    }
    let mut buffer = vec![0; 256 * 1024];
    let mut events = Vec::with_capacity(256);
    // Now and then it looks whether the run has ended.
    let pause = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    while !ended.load(Ordering::Relaxed) {
        match epoll::wait(&all, spare_capacity(&mut events), Some(&pause)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(broken(error)),
        }
        for event in events.drain(..) {
            let number = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
            subscribers[number].read(&mut buffer, tasks, board)?;
        }
    }
    Ok(())
}

pub fn run(programs: &Programs, kind: Kind, size: Size, figures: &mut Figures) -> Result<(), String> {
    let Size { subscribers, agents, tasks } = size;
    let flag = format!("max_operator_event_stream_subscribers={subscribers}");
    let master = Master::start(programs, kind, &[flag])?;
    let board = Arc::new(Board::default());
    let fleet = registered(&master, &board, agents, tasks, Life::Finish)?;
    let before = master.memory()?;
    let streams: Vec<_> =
        (0..subscribers).map(|_| Subscriber::connect(master.address)).collect::<Result<_, _>>()?;
    let ended = AtomicBool::new(false);
    let (span, after) = std::thread::scope(|scope| {
        scope.spawn(|| {
            if let Err(fault) = watch(streams, tasks, &board, &ended) {
                board.fail(fault);
            }
        });
        let outcome = (|| {
            board.wait(Count::Watching, subscribers as u64, STEP_TIME, "subscribers are told the state")?;
            let after = master.memory()?;
            let plan = Plan { first: 0, tasks, tasks_per_offer: tasks.div_ceil(agents), ..Plan::default() };
            let meter = Meter::start(master.pid())?;
            let _scheduler = Scheduler::subscribe(&board, master.address, Api::Http, plan, None)?;
            board.wait(Count::Watched, subscribers as u64, STEP_TIME, "subscribers hear of all tasks")?;
            let span = meter.stop()?;
            board.wait(Count::FinishedAcknowledged, tasks as u64, STEP_TIME, "tasks end")?;
            board.close()?;
            Ok::<_, String>((span, after))
        })();
        ended.store(true, Ordering::Relaxed);
        outcome
    })?;
    drop(fleet);
    let who = format!("{} subscribers, {} tasks to their end", grouped(subscribers), grouped(tasks));
    let mut recorder = Recorder { figures, kind, workload: "subscribers", size: who };
    let events = (subscribers * tasks * (1 + UPDATES_OF_TASK)) as f64;
    recorder.more("events told", "events/s", events / span.wall.as_secs_f64(), None);
    recorder.less("an event told, CPU", "ms", millis(span.master) / events, None);
    let memory = kilobytes(after.anonymous_bytes, before.anonymous_bytes, subscribers);
    recorder.less("memory", "KB/subscriber", memory, None);
    recorder.span(span);
    Ok(())
}

#[cfg(test)]
mod tests {
    use messor_proto::mesos::master::Event;

    use super::*;

    #[test]
    fn types_are_told_from_the_first_field() {
        let event = Event { r#type: Some(Type::TaskUpdated as i32), ..Default::default() };
        assert_eq!(kind(&event.encode_bytes()), Ok(3));
        assert!(kind(b"").is_err());
    }
}
