//! The smallest servers that can be fetched from, each on a thread of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

/// Answers each connection's request with the bytes `answer` gives for its path; the thread ends with the test.
pub fn http(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, requests) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let head = read_head(&stream);
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            // The test may have ended already.
            let _ = sender.send(head);
            let _ = stream.write_all(&answer(&path));
        }
    });
    (address, requests)
}

/// Sends headers and a first part of the body, then nothing until the client goes away.
pub fn stalling_http() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_head(&stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc").unwrap();
        let _ = stream.read(&mut [0; 1]);
    });
    address
}

pub fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

fn read_head(stream: &TcpStream) -> String {
    let mut head = String::new();
    let mut reader = BufReader::new(stream);
    while reader.read_line(&mut head).unwrap() > 2 {}
    head
}

/// Serves one passive download of `content` and gives the commands it saw.
pub fn ftp(content: &'static str, closing: &'static str) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, commands) = mpsc::channel();
    thread::spawn(move || {
        let (mut control, _) = listener.accept().unwrap();
        let data = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = data.local_addr().unwrap().port();
        let lines = BufReader::new(control.try_clone().unwrap()).lines();
        control.write_all(b"220 ready\r\n").unwrap();
        for line in lines {
            let Ok(line) = line else { return };
            let reply = match line.split(' ').next().unwrap() {
                "USER" => "331 password please\r\n".to_owned(),
                "PASS" => "230 welcome\r\n".to_owned(),
                "TYPE" => "200 binary\r\n".to_owned(),
                // An address that must not be believed.
                "PASV" => format!("227 passive (10,255,255,1,{},{})\r\n", port / 256, port % 256),
                "RETR" => "150 here it comes\r\n".to_owned(),
                _ => "502 no\r\n".to_owned(),
            };
            let download = line.starts_with("RETR");
            let _ = sender.send(line);
            if control.write_all(reply.as_bytes()).is_err() {
                return;
            }
            if download {
                let (mut stream, _) = data.accept().unwrap();
                stream.write_all(content.as_bytes()).unwrap();
                drop(stream);
                control.write_all(closing.as_bytes()).unwrap();
            }
        }
    });
    (address, commands)
}
