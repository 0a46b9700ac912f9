//! ftp and ftps downloads into an open file; ftps is TLS from the first byte, as curl reads that scheme.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use suppaftp::types::FileType;
use suppaftp::{
    FtpError as LibraryError, FtpResult, FtpStream, ImplFtpStream, Mode, RustlsConnector, RustlsFtpStream,
    Status, TlsConnector, TlsStream,
};

use crate::tls::{self, TlsError};
use crate::uri::FtpSource;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(300);
const BUFFER_BYTES: usize = 128 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum FtpError {
    #[error("the host has no address")]
    NoAddress,
    #[error("the download stalled: nothing came for {}", messor_stdx::format_duration(*.0))]
    Stalled(Duration),
    #[error("connecting failed: {0}")]
    Connect(io::Error),
    #[error("the FTP server or the way to it failed: {0}")]
    Session(LibraryError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the sandbox file cannot be written: {0}")]
    Write(io::Error),
}

/// What a session is for.
enum Job<'f> {
    Download(&'f mut File),
    Size,
}

pub(crate) fn download(
    source: &FtpSource,
    into: &mut File,
    stall_timeout: Option<Duration>,
) -> Result<u64, FtpError> {
    perform(source, Job::Download(into), stall_timeout)
}

/// What a download will be, as the server says without sending it.
pub(crate) fn size(source: &FtpSource, stall_timeout: Option<Duration>) -> Result<u64, FtpError> {
    perform(source, Job::Size, stall_timeout)
}

fn perform(source: &FtpSource, job: Job<'_>, stall_timeout: Option<Duration>) -> Result<u64, FtpError> {
    let address = (source.host.as_str(), source.port)
        .to_socket_addrs()
        .map_err(FtpError::Connect)?
        .next()
        .ok_or(FtpError::NoAddress)?;
    let mode = if address.is_ipv6() { Mode::ExtendedPassive } else { Mode::Passive };
    let session = |error: LibraryError| of_session(error, stall_timeout);
    if source.secure {
        let connector = TimedConnector { inner: tls::client_config()?.into(), stall_timeout };
        let mut stream =
            RustlsFtpStream::connect_secure_implicit(address, connector, &source.host).map_err(session)?;
        // The data connection must be as private as the control connection.
        stream.custom_command("PBSZ 0", &[Status::CommandOk]).map_err(session)?;
        stream.custom_command("PROT P", &[Status::CommandOk]).map_err(session)?;
        log_in(stream, mode, source, job, stall_timeout)
    } else {
        let socket = TcpStream::connect_timeout(&address, connect_timeout(stall_timeout))
            .map_err(|error| of_io(error, stall_timeout, FtpError::Connect))?;
        socket.set_read_timeout(stall_timeout).map_err(FtpError::Connect)?;
        socket.set_write_timeout(stall_timeout).map_err(FtpError::Connect)?;
        let stream = FtpStream::connect_with_stream(socket).map_err(session)?;
        log_in(stream, mode, source, job, stall_timeout)
    }
}

fn log_in<T: TlsStream>(
    stream: ImplFtpStream<T>,
    mode: Mode,
    source: &FtpSource,
    job: Job<'_>,
    stall_timeout: Option<Duration>,
) -> Result<u64, FtpError> {
    let session = |error: LibraryError| of_session(error, stall_timeout);
    let mut stream = stream.passive_stream_builder(move |address| {
        let socket = TcpStream::connect_timeout(&address, connect_timeout(stall_timeout))
            .map_err(LibraryError::ConnectionError)?;
        socket.set_read_timeout(stall_timeout).map_err(LibraryError::ConnectionError)?;
        Ok(socket)
    });
    stream.set_mode(mode);
    // The address in a PASV answer is not to be trusted: the data comes from the host that was named.
    stream.set_passive_nat_workaround(true);
    stream.login(&source.user, &source.password).map_err(session)?;
    stream.transfer_type(FileType::Binary).map_err(session)?;
    let into = match job {
        Job::Download(into) => into,
        Job::Size => return Ok(stream.size(&source.path).map_err(session)? as u64),
    };
    let mut data = stream.retr_as_stream(&source.path).map_err(session)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut received = 0;
    loop {
        match data.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                into.write_all(&buffer[..count]).map_err(FtpError::Write)?;
                received += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                let wrap = |error| FtpError::Session(LibraryError::ConnectionError(error));
                return Err(of_io(error, stall_timeout, wrap));
            }
        }
    }
    // Only the server's closing reply tells a whole file from a cut connection.
    data.finish().map_err(session)?;
    Ok(received)
}

fn connect_timeout(stall_timeout: Option<Duration>) -> Duration {
    stall_timeout.unwrap_or(CONNECT_TIMEOUT).min(CONNECT_TIMEOUT)
}

fn of_session(error: LibraryError, stall_timeout: Option<Duration>) -> FtpError {
    match error {
        LibraryError::ConnectionError(error) => {
            of_io(error, stall_timeout, |error| FtpError::Session(LibraryError::ConnectionError(error)))
        }
        other => FtpError::Session(other),
    }
}

fn of_io(
    error: io::Error,
    stall_timeout: Option<Duration>,
    other: impl Fn(io::Error) -> FtpError,
) -> FtpError {
    match (error.kind(), stall_timeout) {
        (io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut, Some(timeout)) => FtpError::Stalled(timeout),
        _ => other(error),
    }
}

/// Gives each socket its time limits before the TLS handshake, which would otherwise wait for ever.
#[derive(Debug)]
struct TimedConnector {
    inner: RustlsConnector,
    stall_timeout: Option<Duration>,
}

impl TlsConnector for TimedConnector {
    type Stream = <RustlsConnector as TlsConnector>::Stream;

    fn connect(&self, domain: &str, stream: TcpStream) -> FtpResult<Self::Stream> {
        stream.set_read_timeout(self.stall_timeout).map_err(LibraryError::ConnectionError)?;
        stream.set_write_timeout(self.stall_timeout).map_err(LibraryError::ConnectionError)?;
        self.inner.connect(domain, stream)
    }
}
