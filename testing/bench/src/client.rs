//! A blocking HTTP client on one connection that is kept, for operators' requests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use messor_codec::http_client::{RequestBody, Response, ResponseCollector, write_request_head};

/// The largest answer that is taken: /state of the largest cluster.
const ANSWER_BYTES: usize = 2 << 30;
const ANSWER_TIME: Duration = Duration::from_secs(300);

pub struct Client {
    stream: TcpStream,
    answers: ResponseCollector,
    buffer: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

pub const JSON: &str = "application/json";
pub const PROTOBUF: &str = "application/x-protobuf";

impl Client {
    pub fn connect(address: SocketAddr) -> Result<Client, String> {
        let broken = |error: std::io::Error| format!("{address}: {error}");
        let stream = TcpStream::connect(address).map_err(broken)?;
        stream.set_nodelay(true).map_err(broken)?;
        stream.set_read_timeout(Some(ANSWER_TIME)).map_err(broken)?;
        Ok(Client { stream, answers: ResponseCollector::new(ANSWER_BYTES), buffer: vec![0; 256 * 1024] })
    }

    pub fn get(&mut self, path: &str) -> Result<Answer, String> {
        self.ask("GET", path, &[], &[])
    }

    /// A call of the operators' API in protobuf, answered as `accept`.
    pub fn call(&mut self, body: &[u8], accept: &str) -> Result<Answer, String> {
        self.ask("POST", "/master/api/v1", &[("Content-Type", PROTOBUF), ("Accept", accept)], body)
    }

    fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, String> {
        let mut request = Vec::new();
        let mut all = vec![("Host", "localhost")];
        all.extend_from_slice(headers);
        let framing = if method == "GET" { RequestBody::None } else { RequestBody::Length(body.len()) };
        write_request_head(&mut request, method, path, &all, framing).map_err(|error| error.to_string())?;
        request.extend_from_slice(body);
        let broken = |error: std::io::Error| format!("{method} {path}: {error}");
        self.stream.write_all(&request).map_err(broken)?;
        loop {
            let answer = self.answers.next_response().map_err(|error| format!("{method} {path}: {error}"))?;
            if let Some(Response { head, body }) = answer {
                return Ok(Answer { status: head.status, body });
            }
            let count = self.stream.read(&mut self.buffer).map_err(broken)?;
            if count == 0 {
                return Err(format!("{method} {path}: the connection ended"));
            }
            self.answers.push(&self.buffer[..count]);
        }
    }
}
