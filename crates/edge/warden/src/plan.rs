//! The plan of a process, as it goes to the warden.

use std::ffi::OsString;
use std::os::fd::AsFd;

use messor_linux::capabilities::CapabilitySet;
use messor_linux::container::{
    Before, CapabilityRequest, Enter, FileOperation, Kept, Mount, Namespaces, Process, Seccomp, Stream,
};
use messor_linux::limits::Limit;
use messor_linux::spawn::Session;
use messor_linux::users::Identity;

use crate::encoding::{Decoded, Decoder, Encoder, Malformed, path};

pub(crate) fn encode<'a>(encoder: &mut Encoder<'a>, process: &'a Process) {
    // All fields by name, so that a new one is not forgotten here.
    let Process {
        program,
        arguments,
        environment,
        directory,
        stdin,
        stdout,
        stderr,
        keep,
        session,
        terminal,
        cgroups,
        enter,
        clone,
        mounts,
        masked_paths,
        read_only_paths,
        operations,
        before,
        rootfs,
        untrusted,
        limits,
        identity,
        capabilities,
        no_new_privileges,
        seccomp,
    } = process;
    encoder.text(program);
    encoder.list(arguments.iter(), Encoder::text);
    encode_environment(encoder, environment);
    encoder.option(directory.as_deref(), path);
    for stream in [stdin, stdout, stderr] {
        match stream {
            Stream::Null => encoder.byte(0),
            Stream::Descriptor(descriptor) => {
                encoder.byte(1);
                encoder.descriptor(descriptor.as_fd());
            }
            Stream::Terminal => encoder.byte(2),
        }
    }
    encoder.list(keep.iter(), |encoder, kept| {
        encoder.signed(kept.number);
        encoder.descriptor(kept.descriptor.as_fd());
    });
    encoder.byte(match session {
        Session::Same => 0,
        Session::NewGroup => 1,
        Session::New => 2,
    });
    encoder.option(terminal.as_ref(), |encoder, terminal| encoder.descriptor(terminal.as_fd()));
    encoder.list(cgroups.iter(), |encoder, cgroup| path(encoder, cgroup));
    encoder.option(enter.as_ref(), |encoder, enter| {
        encoder.signed(enter.pid);
        encoder.number(enter.namespaces.flags().into());
    });
    encoder.number(clone.flags().into());
    encoder.list(mounts.iter(), encode_mount);
    for paths in [masked_paths, read_only_paths, untrusted] {
        encoder.list(paths.iter(), |encoder, one| path(encoder, one));
    }
    encoder.list(operations.iter(), encode_operation);
    encoder.list(before.iter(), |encoder, before| {
        encoder.text(&before.program);
        encoder.list(before.arguments.iter(), Encoder::text);
        encode_environment(encoder, &before.environment);
    });
    encoder.option(rootfs.as_deref(), path);
    encoder.list(limits.iter(), |encoder, limit| {
        encoder.number(limit.resource().into());
        encoder.number(limit.soft);
        encoder.number(limit.hard);
    });
    encoder.option(identity.as_ref(), |encoder, identity| {
        encoder.number(identity.uid.into());
        encoder.number(identity.gid.into());
        encoder.list(identity.groups.iter(), |encoder, group| encoder.number((*group).into()));
    });
    encoder.option(capabilities.as_ref(), |encoder, request| {
        for set in [request.effective, request.bounding] {
            encoder.option(set, |encoder, set| encoder.number(set.bits()));
        }
    });
    encoder.truth(*no_new_privileges);
    encoder.option(seccomp.as_ref(), |encoder, seccomp| {
        encoder.list(seccomp.programs.iter(), |encoder, program| {
            encoder.list(program.iter(), |encoder, word| encoder.number(*word));
        });
    });
}

fn encode_environment(encoder: &mut Encoder<'_>, environment: &[(OsString, OsString)]) {
    encoder.list(environment.iter(), |encoder, (name, value)| {
        encoder.text(name);
        encoder.text(value);
    });
}

fn encode_mount(encoder: &mut Encoder<'_>, mount: &Mount) {
    encoder.option(mount.source.as_deref(), path);
    path(encoder, &mount.target);
    encoder.option(mount.kind.as_deref(), Encoder::text);
    encoder.number(mount.flags);
    encoder.option(mount.options.as_deref(), Encoder::text);
}

fn encode_operation(encoder: &mut Encoder<'_>, operation: &FileOperation) {
    match operation {
        FileOperation::Symlink { to, link } => {
            encoder.byte(0);
            path(encoder, to);
            path(encoder, link);
        }
        FileOperation::MakeDirectory { path: made, with_parents } => {
            encoder.byte(1);
            path(encoder, made);
            encoder.truth(*with_parents);
        }
        FileOperation::Rename { from, to } => {
            encoder.byte(2);
            path(encoder, from);
            path(encoder, to);
        }
        FileOperation::Mount(mount) => {
            encoder.byte(3);
            encode_mount(encoder, mount);
        }
    }
}

/// Fields are evaluated in the order in which they stand, which is that of `encode`.
pub(crate) fn decode(decoder: &mut Decoder<'_>) -> Decoded<Process> {
    let small = |number: u64| u32::try_from(number).map_err(|_| Malformed);
    let namespaces = |number: u64| Namespaces::from_flags(small(number)?).ok_or(Malformed);
    let program = decoder.os_text()?;
    let arguments = decoder.list(Decoder::os_text)?;
    let environment = decode_environment(decoder)?;
    let directory = decoder.option(Decoder::path)?;
    let stdin = decode_stream(decoder)?;
    let stdout = decode_stream(decoder)?;
    let stderr = decode_stream(decoder)?;
    let keep =
        decoder.list(|decoder| Ok(Kept { number: decoder.signed()?, descriptor: decoder.descriptor()? }))?;
    let session = match decoder.byte()? {
        0 => Session::Same,
        1 => Session::NewGroup,
        2 => Session::New,
        _ => return Err(Malformed),
    };
    let terminal = decoder.option(Decoder::descriptor)?;
    let cgroups = decoder.list(Decoder::path)?;
    let enter = decoder
        .option(|decoder| Ok(Enter { pid: decoder.signed()?, namespaces: namespaces(decoder.number()?)? }))?;
    let clone = namespaces(decoder.number()?)?;
    let mounts = decoder.list(decode_mount)?;
    let masked_paths = decoder.list(Decoder::path)?;
    let read_only_paths = decoder.list(Decoder::path)?;
    let untrusted = decoder.list(Decoder::path)?;
    let operations = decoder.list(decode_operation)?;
    let before = decoder.list(|decoder| {
        Ok(Before {
            program: decoder.os_text()?,
            arguments: decoder.list(Decoder::os_text)?,
            environment: decode_environment(decoder)?,
        })
    })?;
    let rootfs = decoder.option(Decoder::path)?;
    let limits = decoder.list(|decoder| {
        let resource = small(decoder.number()?)?;
        Ok(Limit::of_resource(resource, decoder.number()?, decoder.number()?))
    })?;
    let identity = decoder.option(|decoder| {
        Ok(Identity {
            uid: small(decoder.number()?)?,
            gid: small(decoder.number()?)?,
            groups: decoder.list(|decoder| small(decoder.number()?))?,
        })
    })?;
    let capabilities = decoder.option(|decoder| {
        let set = |decoder: &mut Decoder<'_>| {
            decoder.option(|decoder| decoder.number().map(CapabilitySet::from_bits))
        };
        Ok(CapabilityRequest { effective: set(decoder)?, bounding: set(decoder)? })
    })?;
    let no_new_privileges = decoder.truth()?;
    let seccomp = decoder
        .option(|decoder| Ok(Seccomp { programs: decoder.list(|decoder| decoder.list(Decoder::number))? }))?;
    Ok(Process {
        program,
        arguments,
        environment,
        directory,
        stdin,
        stdout,
        stderr,
        keep,
        session,
        terminal,
        cgroups,
        enter,
        clone,
        mounts,
        masked_paths,
        read_only_paths,
        operations,
        before,
        rootfs,
        untrusted,
        limits,
        identity,
        capabilities,
        no_new_privileges,
        seccomp,
    })
}

fn decode_stream(decoder: &mut Decoder<'_>) -> Decoded<Stream> {
    Ok(match decoder.byte()? {
        0 => Stream::Null,
        1 => Stream::Descriptor(decoder.descriptor()?),
        2 => Stream::Terminal,
        _ => return Err(Malformed),
    })
}

fn decode_environment(decoder: &mut Decoder<'_>) -> Decoded<Vec<(OsString, OsString)>> {
    decoder.list(|decoder| Ok((decoder.os_text()?, decoder.os_text()?)))
}

fn decode_mount(decoder: &mut Decoder<'_>) -> Decoded<Mount> {
    Ok(Mount {
        source: decoder.option(Decoder::path)?,
        target: decoder.path()?,
        kind: decoder.option(Decoder::text)?,
        flags: decoder.number()?,
        options: decoder.option(Decoder::text)?,
    })
}

fn decode_operation(decoder: &mut Decoder<'_>) -> Decoded<FileOperation> {
    Ok(match decoder.byte()? {
        0 => FileOperation::Symlink { to: decoder.path()?, link: decoder.path()? },
        1 => FileOperation::MakeDirectory { path: decoder.path()?, with_parents: decoder.truth()? },
        2 => FileOperation::Rename { from: decoder.path()?, to: decoder.path()? },
        3 => FileOperation::Mount(decode_mount(decoder)?),
        _ => return Err(Malformed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::os::fd::OwnedFd;

    fn null() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    fn full() -> Process {
        let mount = Mount {
            source: Some("/source".into()),
            target: "/target".into(),
            kind: Some("tmpfs".into()),
            flags: 4097,
            options: Some("size=1".into()),
        };
        Process {
            program: "/bin/true".into(),
            arguments: vec!["true".into(), "".into()],
            environment: vec![("A".into(), "b".into())],
            directory: Some("/work".into()),
            stdin: Stream::Terminal,
            stdout: null().into(),
            stderr: Stream::Null,
            keep: vec![Kept { number: 7, descriptor: null() }],
            session: Session::New,
            terminal: Some(null()),
            cgroups: vec!["/cg".into()],
            enter: Some(Enter { pid: 12, namespaces: Namespaces::NET }),
            clone: Namespaces::MOUNT | Namespaces::PID,
            mounts: vec![mount.clone(), Mount::default()],
            masked_paths: vec!["/proc/kcore".into()],
            read_only_paths: vec!["/proc/sys".into()],
            operations: vec![
                FileOperation::Symlink { to: "a".into(), link: "/b".into() },
                FileOperation::MakeDirectory { path: "/c".into(), with_parents: true },
                FileOperation::Rename { from: "/d".into(), to: "/e".into() },
                FileOperation::Mount(mount),
            ],
            before: vec![Before {
                program: "sh".into(),
                arguments: vec!["sh".into()],
                environment: vec![("B".into(), "c".into())],
            }],
            rootfs: Some("/root".into()),
            untrusted: vec!["/sandbox".into()],
            limits: vec![Limit::new("RLMT_NOFILE", Some(1), Some(2)).unwrap()],
            identity: Some(Identity { uid: 1, gid: 2, groups: vec![3, 4] }),
            capabilities: Some(CapabilityRequest {
                effective: Some(CapabilitySet::from_bits(5)),
                bounding: None,
            }),
            no_new_privileges: true,
            seccomp: Some(Seccomp { programs: vec![vec![1, u64::MAX], vec![]] }),
        }
    }

    /// Descriptors have other numbers on the other side.
    fn shown(process: &Process) -> String {
        let text = format!("{process:?}");
        let pieces: Vec<&str> = text.split("fd: ").collect();
        pieces.iter().map(|piece| piece.trim_start_matches(|letter: char| letter.is_ascii_digit())).collect()
    }

    #[test]
    fn every_field_goes_there_and_comes_back() {
        for process in [full(), Process::default()] {
            let mut encoder = Encoder::default();
            encode(&mut encoder, &process);
            let descriptors: VecDeque<OwnedFd> =
                encoder.descriptors.iter().map(|one| one.try_clone_to_owned().unwrap()).collect();
            let mut decoder = Decoder { bytes: &encoder.bytes, descriptors };
            let found = decode(&mut decoder).unwrap();
            decoder.end().unwrap();
            assert_eq!(shown(&found), shown(&process));
        }
    }

    #[test]
    fn what_is_cut_off_is_malformed_and_takes_no_memory() {
        let process = full();
        let mut encoder = Encoder::default();
        encode(&mut encoder, &process);
        for length in 0..encoder.bytes.len() {
            let descriptors: VecDeque<OwnedFd> =
                encoder.descriptors.iter().map(|one| one.try_clone_to_owned().unwrap()).collect();
            let mut decoder = Decoder { bytes: &encoder.bytes[..length], descriptors };
            assert_eq!(decode(&mut decoder).unwrap_err(), Malformed, "{length}");
        }
        let mut decoder = Decoder { bytes: &[0xff; 64], descriptors: VecDeque::new() };
        assert!(decode(&mut decoder).is_err());
        let mut none = Decoder { bytes: &encoder.bytes, descriptors: VecDeque::new() };
        assert!(decode(&mut none).is_err(), "descriptors are missing");
    }
}
