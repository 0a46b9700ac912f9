//! A blocking HTTP client on one connection that is kept, for operators' requests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use messor_codec::http_client::{RequestBody, write_request_head};

/// The largest answer that is taken: /state of the largest cluster.
const ANSWER_BYTES: usize = 2 << 30;
const ANSWER_TIME: Duration = Duration::from_secs(300);
/// The longest line of a head, or of a chunk's size.
const LINE_BYTES: u64 = 64 * 1024;

/// It copies what it reads once, so that it is quicker than who answers.
pub struct Client {
    stream: BufReader<TcpStream>,
}

/// Room for an answer that does not say how long it is, so that it is not moved while it grows: what is not needed is never
/// touched, and is no memory.
const ROOM_BYTES: usize = 256 << 20;

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
        Ok(Client { stream: BufReader::with_capacity(64 * 1024, stream) })
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
        self.stream.get_mut().write_all(&request).map_err(broken)?;
        self.answer().map_err(|error| format!("{method} {path}: {error}"))
    }

    fn answer(&mut self) -> Result<Answer, String> {
        let status = self.line()?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or("an answer without a status")?;
        let (mut length, mut is_chunked) = (0, false);
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else {
                if line.is_empty() {
                    break;
                }
                return Err(format!("'{line}' is no header"));
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = number(value.trim(), 10)?,
                "transfer-encoding" => is_chunked = value.trim().eq_ignore_ascii_case("chunked"),
                _ => (),
            }
        }
        if is_chunked {
            return Ok(Answer { status, body: self.chunks()? });
        }
        let mut body = Vec::with_capacity(length);
        self.take(length, &mut body)?;
        Ok(Answer { status, body })
    }

    fn chunks(&mut self) -> Result<Vec<u8>, String> {
        let mut body = Vec::with_capacity(ROOM_BYTES);
        loop {
            let size = number(&self.line()?, 16)?;
            self.take(size, &mut body)?;
            if !self.line()?.is_empty() {
                return Err("a chunk is longer than it says".to_string());
            }
            if size == 0 {
                return Ok(body);
            }
        }
    }

    /// Without its end.
    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        let limited = (&mut self.stream).take(LINE_BYTES).read_line(&mut line);
        limited.map_err(|error| error.to_string())?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_string()),
            None => Err("the connection ended, or a line is too long".to_string()),
        }
    }

    fn take(&mut self, count: usize, body: &mut Vec<u8>) -> Result<(), String> {
        if body.len() + count > ANSWER_BYTES {
            return Err(format!("the answer is longer than {ANSWER_BYTES} bytes"));
        }
        let taken = (&mut self.stream).take(count as u64).read_to_end(body);
        if taken.map_err(|error| error.to_string())? < count {
            return Err("the connection ended within an answer".to_string());
        }
        Ok(())
    }
}

fn number(text: &str, radix: u32) -> Result<usize, String> {
    usize::from_str_radix(text, radix).map_err(|_| format!("'{text}' is no length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(answers: &'static [u8]) -> Result<Vec<(u16, String)>, String> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = Client::connect(listener.local_addr().unwrap()).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(answers).unwrap();
        drop(stream);
        let mut all = Vec::new();
        for _ in 0..2 {
            let answer = client.answer()?;
            all.push((answer.status, String::from_utf8(answer.body).unwrap()));
        }
        Ok(all)
    }

    #[test]
    fn answers_in_both_framings() {
        let both = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc\
            HTTP/1.1 404 Not Found\r\ntransfer-encoding: Chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\n";
        assert_eq!(asked(both), Ok(vec![(200, "abc".to_string()), (404, "def".to_string())]));
        let short = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc";
        assert!(asked(short).unwrap_err().contains("within an answer"));
        let cut = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
        assert!(asked(cut).unwrap_err().contains("ended"));
        let long = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n";
        assert!(asked(long).unwrap_err().contains("longer than it says"));
    }
}
