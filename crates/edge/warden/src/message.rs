//! What agent and warden say to each other. The first message of each side has the version of the rest.

use std::path::PathBuf;

use messor_linux::Exit;
use messor_linux::container::{Process, StartError, Step};

use crate::encoding::{Decoded, Decoder, Encoder, Malformed, path};
use crate::plan;

/// Part of the socket's name, so that an agent never meets a warden that speaks another one.
pub(crate) const VERSION: u8 = 1;

/// A number of the agent's that the answer has as well.
pub(crate) type Number = u64;

pub(crate) enum Request<'a> {
    Hello,
    Fork {
        number: Number,
        container: &'a str,
        status_file: &'a PathBuf,
        process: &'a Process,
    },
    GoOn {
        number: Number,
        fork: Number,
    },
    /// Nobody wants it any more. There is no answer.
    Abandon {
        fork: Number,
    },
    Signal {
        number: Number,
        pid: i32,
        signal: i32,
    },
    Strays {
        number: Number,
    },
}

impl Request<'_> {
    pub fn encode(&self) -> Encoder<'_> {
        let mut encoder = Encoder::default();
        match self {
            Request::Hello => {
                encoder.byte(0);
                encoder.byte(VERSION);
            }
            Request::Fork { number, container, status_file, process } => {
                encoder.byte(1);
                encoder.number(*number);
                encoder.text(container);
                path(&mut encoder, status_file);
                plan::encode(&mut encoder, process);
            }
            Request::GoOn { number, fork } => {
                encoder.byte(2);
                encoder.number(*number);
                encoder.number(*fork);
            }
            Request::Abandon { fork } => {
                encoder.byte(3);
                encoder.number(*fork);
            }
            Request::Signal { number, pid, signal } => {
                encoder.byte(4);
                encoder.number(*number);
                encoder.signed(*pid);
                encoder.signed(*signal);
            }
            Request::Strays { number } => {
                encoder.byte(5);
                encoder.number(*number);
            }
        }
        encoder
    }
}

/// A request as it arrives.
#[derive(Debug)]
pub(crate) enum Asked {
    Hello { version: u8 },
    Fork { number: Number, container: String, status_file: PathBuf, process: Box<Process> },
    GoOn { number: Number, fork: Number },
    Abandon { fork: Number },
    Signal { number: Number, pid: i32, signal: i32 },
    Strays { number: Number },
}

impl Asked {
    pub fn decode(mut decoder: Decoder<'_>) -> Decoded<Asked> {
        let asked = match decoder.byte()? {
            0 => Asked::Hello { version: decoder.byte()? },
            1 => Asked::Fork {
                number: decoder.number()?,
                container: decoder.text()?,
                status_file: decoder.path()?,
                process: Box::new(plan::decode(&mut decoder)?),
            },
            2 => Asked::GoOn { number: decoder.number()?, fork: decoder.number()? },
            3 => Asked::Abandon { fork: decoder.number()? },
            4 => {
                Asked::Signal { number: decoder.number()?, pid: decoder.signed()?, signal: decoder.signed()? }
            }
            5 => Asked::Strays { number: decoder.number()? },
            _ => return Err(Malformed),
        };
        decoder.end()?;
        Ok(asked)
    }
}

/// What the warden says.
#[derive(Debug)]
pub(crate) enum Told {
    /// With the processes it has: pid, container, file of the status.
    Hello {
        version: u8,
        pid: i32,
        known: Vec<(i32, String, PathBuf)>,
    },
    /// Another agent, of this process, is being served.
    Taken {
        pid: i32,
    },
    Forked {
        number: Number,
        pid: i32,
    },
    Done {
        number: Number,
    },
    Failed {
        number: Number,
        error: StartError,
    },
    Pids {
        number: Number,
        pids: Vec<i32>,
    },
    Ended {
        pid: i32,
        container: String,
        exit: Exit,
    },
    Said {
        text: String,
    },
}

impl Told {
    pub fn encode(&self) -> Encoder<'static> {
        let mut encoder = Encoder::default();
        match self {
            Told::Hello { version, pid, known } => {
                encoder.byte(0);
                encoder.byte(*version);
                encoder.signed(*pid);
                encoder.list(known.iter(), |encoder, (pid, container, status_file)| {
                    encoder.signed(*pid);
                    encoder.text(container);
                    path(encoder, status_file);
                });
            }
            Told::Taken { pid } => {
                encoder.byte(1);
                encoder.signed(*pid);
            }
            Told::Forked { number, pid } => {
                encoder.byte(2);
                encoder.number(*number);
                encoder.signed(*pid);
            }
            Told::Done { number } => {
                encoder.byte(3);
                encoder.number(*number);
            }
            Told::Failed { number, error } => {
                encoder.byte(4);
                encoder.number(*number);
                encode_error(&mut encoder, error);
            }
            Told::Pids { number, pids } => {
                encoder.byte(5);
                encoder.number(*number);
                encoder.list(pids.iter(), |encoder, pid| encoder.signed(*pid));
            }
            Told::Ended { pid, container, exit } => {
                encoder.byte(6);
                encoder.signed(*pid);
                encoder.text(container);
                encoder.signed(exit.to_wait_status());
            }
            Told::Said { text } => {
                encoder.byte(7);
                encoder.text(text);
            }
        }
        encoder
    }

    pub fn decode(mut decoder: Decoder<'_>) -> Decoded<Told> {
        let told = match decoder.byte()? {
            0 => Told::Hello {
                version: decoder.byte()?,
                pid: decoder.signed()?,
                known: decoder.list(|decoder| Ok((decoder.signed()?, decoder.text()?, decoder.path()?)))?,
            },
            1 => Told::Taken { pid: decoder.signed()? },
            2 => Told::Forked { number: decoder.number()?, pid: decoder.signed()? },
            3 => Told::Done { number: decoder.number()? },
            4 => Told::Failed { number: decoder.number()?, error: decode_error(&mut decoder)? },
            5 => Told::Pids { number: decoder.number()?, pids: decoder.list(Decoder::signed)? },
            6 => Told::Ended {
                pid: decoder.signed()?,
                container: decoder.text()?,
                exit: decode_exit(&mut decoder)?,
            },
            7 => Told::Said { text: decoder.text()? },
            _ => return Err(Malformed),
        };
        decoder.end()?;
        Ok(told)
    }
}

fn encode_error(encoder: &mut Encoder<'_>, error: &StartError) {
    let number =
        |source: &std::io::Error| source.raw_os_error().unwrap_or(rustix::io::Errno::IO.raw_os_error());
    match error {
        StartError::Wrong(text) => {
            encoder.byte(0);
            encoder.text(text);
        }
        StartError::Step { step, what, source } => {
            encoder.byte(1);
            encoder.byte(step.number());
            encoder.text(what);
            encoder.signed(number(source));
        }
        StartError::Before { command, exit } => {
            encoder.byte(2);
            encoder.text(command);
            encoder.signed(exit.to_wait_status());
        }
        StartError::Ended(exit) => {
            encoder.byte(3);
            encoder.signed(exit.to_wait_status());
        }
        StartError::Lost(source) => {
            encoder.byte(4);
            encoder.signed(number(source));
        }
    }
}

fn decode_error(decoder: &mut Decoder<'_>) -> Decoded<StartError> {
    Ok(match decoder.byte()? {
        0 => StartError::Wrong(decoder.text()?),
        1 => StartError::Step {
            step: Step::from_number(decoder.byte()?).ok_or(Malformed)?,
            what: decoder.os_text()?.to_string_lossy().into_owned(),
            source: std::io::Error::from_raw_os_error(decoder.signed()?),
        },
        2 => StartError::Before { command: decoder.text()?, exit: decode_exit(decoder)? },
        3 => StartError::Ended(decode_exit(decoder)?),
        4 => StartError::Lost(std::io::Error::from_raw_os_error(decoder.signed()?)),
        _ => return Err(Malformed),
    })
}

fn decode_exit(decoder: &mut Decoder<'_>) -> Decoded<Exit> {
    Exit::from_wait_status(decoder.signed()?).ok_or(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    fn decoder<'a>(encoder: &'a Encoder<'_>) -> Decoder<'a> {
        let descriptors = encoder.descriptors.iter().map(|one| one.try_clone_to_owned().unwrap());
        Decoder { bytes: &encoder.bytes, descriptors: descriptors.collect::<VecDeque<_>>() }
    }

    #[test]
    fn requests_arrive_as_they_were_made() {
        let process = Process { program: "true".into(), ..Process::default() };
        let status_file = PathBuf::from("/s");
        let requests = [
            (Request::Hello, "Hello { version: 1 }"),
            (
                Request::Fork { number: 1, container: "c", status_file: &status_file, process: &process },
                "Fork { number: 1, container: \"c\", status_file: \"/s\", process: Process { program: \"true\"",
            ),
            (Request::GoOn { number: 2, fork: 1 }, "GoOn { number: 2, fork: 1 }"),
            (Request::Abandon { fork: 1 }, "Abandon { fork: 1 }"),
            (Request::Signal { number: 3, pid: 4, signal: 15 }, "Signal { number: 3, pid: 4, signal: 15 }"),
            (Request::Strays { number: 5 }, "Strays { number: 5 }"),
        ];
        for (request, shown) in requests {
            let encoded = request.encode();
            let asked = format!("{:?}", Asked::decode(decoder(&encoded)).unwrap());
            assert!(asked.starts_with(shown), "{asked}");
            let more = Encoder { bytes: [encoded.bytes.as_slice(), &[0]].concat(), descriptors: Vec::new() };
            assert!(Asked::decode(decoder(&more)).is_err(), "{shown} with something left over");
        }
        assert!(Asked::decode(decoder(&Encoder { bytes: vec![99], ..Encoder::default() })).is_err());
    }

    #[test]
    fn answers_arrive_as_they_were_made() {
        let step = |code| StartError::Step {
            step: Step::Root,
            what: "/r".into(),
            source: std::io::Error::from_raw_os_error(code),
        };
        let exit = Exit::Exited(3);
        let told = [
            Told::Hello { version: 1, pid: 2, known: vec![(3, "c".into(), "/s".into())] },
            Told::Taken { pid: 4 },
            Told::Forked { number: 1, pid: 5 },
            Told::Done { number: 2 },
            Told::Failed { number: 3, error: step(2) },
            Told::Failed { number: 3, error: StartError::Wrong("w".into()) },
            Told::Failed { number: 3, error: StartError::Before { command: "x".into(), exit } },
            Told::Failed { number: 3, error: StartError::Ended(exit) },
            Told::Failed { number: 3, error: StartError::Lost(std::io::Error::from_raw_os_error(32)) },
            Told::Pids { number: 4, pids: vec![7, 8] },
            Told::Ended { pid: 5, container: "c".into(), exit },
            Told::Said { text: "words".into() },
        ];
        for one in told {
            let encoded = one.encode();
            let found = Told::decode(decoder(&encoded)).unwrap();
            assert_eq!(format!("{found:?}"), format!("{one:?}"));
        }
    }
}
