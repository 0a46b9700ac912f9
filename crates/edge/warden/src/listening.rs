//! The thread that listens to one warden.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use messor_linux::poll::{PollFd, PollFlags, poll};
use messor_linux::{Pid, wait};

use crate::client::{Event, Shared};
use crate::message::{Request, Told};
use crate::socket::{self, Connection};

/// One that was just started has to load its program first.
const GREETING_LIMIT: Duration = Duration::from_secs(30);

/// Says hello, and waits for the answer.
pub(crate) fn greet(stream: &UnixStream) -> io::Result<(Connection, Told)> {
    let mut connection = Connection::new(stream.try_clone()?)?;
    match socket::send(stream, &Request::Hello.encode()) {
        // It has said why, and closed.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        answer => answer?,
    }
    let end = Instant::now() + GREETING_LIMIT;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        poll(&mut [PollFd::new(&connection, PollFlags::IN)], Some(left))?;
        let goes_on = connection.receive()?;
        if let Some(mut frame) = connection.next()? {
            return Ok((connection, Told::decode(frame.decoder()).map_err(io::Error::other)?));
        }
        if !goes_on {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Takes in what the warden says until it ends, on a thread of its own.
pub(crate) fn start(
    shared: &Arc<Shared>,
    connection: Connection,
    generation: u64,
    started: Option<Pid>,
) -> io::Result<()> {
    let shared = Arc::downgrade(shared);
    let thread = std::thread::Builder::new().name("warden".into());
    thread.spawn(move || run(&shared, connection, generation, started)).map(drop)
}

fn run(shared: &Weak<Shared>, mut connection: Connection, generation: u64, started: Option<Pid>) {
    let why = loop {
        match listen(shared, &mut connection) {
            Ok(true) => {}
            Ok(false) => break io::ErrorKind::BrokenPipe.into(),
            Err(error) => break error,
        }
    };
    drop(connection);
    if let Some(shared) = shared.upgrade() {
        let left = shared.lose(generation, &why);
        let end = match started.map(wait::try_wait) {
            Some(Ok(Some(exit))) => format!("it {exit}"),
            _ => why.to_string(),
        };
        (shared.events)(Event::Lost(end));
        if let Err(error) = shared.watcher.add(&shared, left) {
            (shared.events)(Event::Said(format!("its containers are not watched: {error}")));
        }
    }
    if let Some(pid) = started {
        // Not before it ends, which may be long after this client.
        let _ = wait::wait(pid);
    }
}

/// False: it ended.
fn listen(shared: &Weak<Shared>, connection: &mut Connection) -> io::Result<bool> {
    // What came with the greeting is there before anything more is.
    if !take_in(shared, connection)? {
        return Ok(false);
    }
    poll(&mut [PollFd::new(&*connection, PollFlags::IN)], None)?;
    let goes_on = connection.receive()?;
    Ok(take_in(shared, connection)? && goes_on)
}

/// False: nobody listens any more.
fn take_in(shared: &Weak<Shared>, connection: &mut Connection) -> io::Result<bool> {
    while let Some(mut frame) = connection.next()? {
        let told = Told::decode(frame.decoder()).map_err(io::Error::other)?;
        let Some(shared) = shared.upgrade() else { return Ok(false) };
        shared.take(told);
    }
    Ok(true)
}
