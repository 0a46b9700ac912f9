//! The agent's half: one connection to a switchboard's socket for one request. It must not know who asks.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use messor_codec::chunked;
use messor_codec::http_client::{
    HttpError, Part, RequestBody, ResponseDecoder, ResponseHead, write_request_head,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// A switchboard that has just been started gets so long until it listens.
const PATIENCE: Duration = Duration::from_secs(5);
const TRY_EVERY: Duration = Duration::from_millis(10);

const READ_BYTES: usize = 32 * 1024;

/// More than any answer that is no stream.
const ANSWER_LIMIT_BYTES: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    #[error("the I/O switchboard cannot be reached: {0}")]
    Connect(#[source] io::Error),
    #[error("the connection with the I/O switchboard broke: {0}")]
    Broken(#[source] io::Error),
    #[error("the I/O switchboard answered something that cannot be understood: {0}")]
    Answer(#[from] HttpError),
    #[error("the answer of the I/O switchboard is longer than {ANSWER_LIMIT_BYTES} bytes")]
    TooLong,
}

/// An answer that comes in pieces.
pub struct Attached {
    pub head: ResponseHead,
    reader: Reader,
}

struct Reader {
    stream: OwnedReadHalf,
    decoder: ResponseDecoder,
    /// Dropped with the conversation: the switchboard sees that nobody is there any more.
    _writer: Option<OwnedWriteHalf>,
}

/// Sends input to a container.
pub struct Input {
    writer: OwnedWriteHalf,
}

async fn connect(socket: &Path) -> Result<UnixStream, AttachError> {
    let begin = tokio::time::Instant::now();
    loop {
        match UnixStream::connect(socket).await {
            Ok(stream) => return Ok(stream),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
                    && begin.elapsed() < PATIENCE =>
            {
                tokio::time::sleep(TRY_EVERY).await;
            }
            Err(error) => return Err(AttachError::Connect(error)),
        }
    }
}

/// Sends a whole request and reads the head of its answer.
pub async fn attach_output(
    socket: &Path,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Attached, AttachError> {
    let (reader, mut writer) = connect(socket).await?.into_split();
    let mut request = Vec::new();
    let headers = with_host(headers);
    write_request_head(&mut request, "POST", "/", &headers, RequestBody::Length(body.len()))?;
    request.extend_from_slice(body);
    writer.write_all(&request).await.map_err(AttachError::Broken)?;
    Reader { stream: reader, decoder: ResponseDecoder::new(), _writer: Some(writer) }.head().await
}

/// Begins to send input: what is sent by [`Input`] follows, and the answer may come at any time.
pub async fn attach_input(
    socket: &Path,
    headers: &[(&str, &str)],
) -> Result<(Input, impl Future<Output = Result<Attached, AttachError>> + Send + use<>), AttachError> {
    let (reader, mut writer) = connect(socket).await?.into_split();
    let mut request = Vec::new();
    write_request_head(&mut request, "POST", "/", &with_host(headers), RequestBody::Chunked)?;
    writer.write_all(&request).await.map_err(AttachError::Broken)?;
    let reader = Reader { stream: reader, decoder: ResponseDecoder::new(), _writer: None };
    Ok((Input { writer }, reader.head()))
}

/// Tells a switchboard of Apache Mesos, which waits for that, that its answer to an input has arrived.
pub async fn acknowledge_input(socket: &Path) -> Result<(), AttachError> {
    let (reader, mut writer) = connect(socket).await?.into_split();
    let mut request = Vec::new();
    let path = "/acknowledge_container_input_response";
    write_request_head(&mut request, "POST", path, &with_host(&[]), RequestBody::Length(0))?;
    writer.write_all(&request).await.map_err(AttachError::Broken)?;
    let answer = Reader { stream: reader, decoder: ResponseDecoder::new(), _writer: Some(writer) };
    answer.head().await.map(drop)
}

/// The host of a socket in the file system has no name.
fn with_host<'h>(headers: &[(&'h str, &'h str)]) -> Vec<(&'h str, &'h str)> {
    let mut all = vec![("Host", ""), ("Connection", "close")];
    all.extend_from_slice(headers);
    all
}

impl Input {
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut chunk = Vec::with_capacity(bytes.len() + 16);
        chunked::write_chunk(&mut chunk, bytes);
        self.writer.write_all(&chunk).await
    }

    /// No more will come.
    pub async fn end(&mut self) -> io::Result<()> {
        let mut end = Vec::new();
        chunked::write_end(&mut end);
        self.writer.write_all(&end).await
    }
}

impl Reader {
    async fn head(mut self) -> Result<Attached, AttachError> {
        loop {
            match self.part().await? {
                Some(Part::Head(head)) => return Ok(Attached { head, reader: self }),
                Some(_) => {}
                None => return Err(AttachError::Broken(io::ErrorKind::UnexpectedEof.into())),
            }
        }
    }

    /// The next part; None: the connection ended where it may.
    async fn part(&mut self) -> Result<Option<Part>, AttachError> {
        let mut buffer = [0; READ_BYTES];
        loop {
            if let Some(part) = self.decoder.next_part()? {
                return Ok(Some(part));
            }
            match self.stream.read(&mut buffer).await.map_err(AttachError::Broken)? {
                0 => {
                    self.decoder.finish()?;
                    return Ok(None);
                }
                count => self.decoder.push(&buffer[..count]),
            }
        }
    }
}

impl Attached {
    /// The next piece of the body; None at its end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, AttachError> {
        match self.reader.part().await? {
            Some(Part::Data(data)) => Ok(Some(data.into())),
            Some(Part::Head(_) | Part::End) | None => Ok(None),
        }
    }

    /// The whole body, of an answer that is no stream.
    pub async fn whole(&mut self) -> Result<Vec<u8>, AttachError> {
        let mut body = Vec::new();
        while let Some(piece) = self.next().await? {
            body.extend_from_slice(&piece);
            if body.len() > ANSWER_LIMIT_BYTES {
                return Err(AttachError::TooLong);
            }
        }
        Ok(body)
    }
}
