//! mesos-tcp-connect: tries a TCP connection. Our executors check by themselves; it is here for those that call it by name,
//! inside a container's network too.

use std::net::{IpAddr, Shutdown, TcpStream};
use std::process::ExitCode;

use messor_flags::{Request, TcpConnectFlags};

/// The program; `arguments` are the words after its name.
pub fn tcp_connect(arguments: &[String]) -> ExitCode {
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mesos-tcp-connect: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    let parsed = match messor_flags::parse::<TcpConnectFlags>(arguments, &messor_log::Surroundings) {
        Ok(Request::Run(parsed)) => parsed,
        Ok(Request::Help(text) | Request::Version(text)) => {
            println!("{text}");
            return Ok(());
        }
        Err(error) => return Err(error.to_string()),
    };
    for warning in &parsed.warnings {
        eprintln!("mesos-tcp-connect: {warning}");
    }
    let (Some(ip), Some(port)) = (&parsed.flags.ip, parsed.flags.port) else {
        return Err("--ip and --port are required".into());
    };
    let address: IpAddr = ip.parse().map_err(|_| format!("--ip '{ip}' is not an IP address"))?;
    println!("Connecting to {ip}:{port}");
    let stream = TcpStream::connect((address, port)).map_err(|error| error.to_string())?;
    println!("Successfully established TCP connection");
    // It was made, and that is all that counts.
    let _ = stream.shutdown(Shutdown::Both);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(arguments: &[&str]) -> Result<(), String> {
        run(&arguments.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn a_port_is_open_or_not() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = format!("--port={}", listener.local_addr().unwrap().port());
        ask(&["--ip=127.0.0.1", &port]).unwrap();
        drop(listener);
        assert!(ask(&["--ip=127.0.0.1", &port]).unwrap_err().contains("refused"));
    }

    #[test]
    fn what_is_missing_or_wrong_is_said() {
        assert!(ask(&["--port=1"]).unwrap_err().contains("--ip"));
        assert!(ask(&["--ip=127.0.0.1"]).unwrap_err().contains("--port"));
        assert!(ask(&["--ip=localhost", "--port=1"]).unwrap_err().contains("not an IP address"));
    }
}
