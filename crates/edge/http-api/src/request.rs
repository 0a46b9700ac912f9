//! A request as endpoints see it: read whole, its target cut and decoded. How it came over the wire is net's affair.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Version, header};
use messor_codec::negotiation;
use messor_codec::target::{Query, Target, TargetError, decode};

#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub version: Version,
    /// As it was sent: path and query.
    pub target: String,
    /// As Apache Mesos takes it apart: the first part (of a process, mostly) decoded, the others as they were sent,
    /// slashes that say nothing left out. One that begins with two slashes is no path of ours.
    pub path: String,
    pub query: Query,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Who asks, as far as the network says; None of a request that came by no network.
    pub peer: Option<IpAddr>,
}

/// What a v1 call or event is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaType {
    Json,
    Protobuf,
}

/// The largest body of a request. Calls with thousands of tasks have some megabytes.
pub const BODY_LIMIT_BYTES: usize = 64 * 1024 * 1024;

pub const JSON: &str = "application/json";
pub const PROTOBUF: &str = "application/x-protobuf";
pub const RECORDIO: &str = "application/recordio";

impl MediaType {
    pub fn name(self) -> &'static str {
        match self {
            MediaType::Json => JSON,
            MediaType::Protobuf => PROTOBUF,
        }
    }
}

impl Request {
    pub fn new(
        method: Method,
        target: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Request, TargetError> {
        let sent = target.to_string();
        let target = Target::parse(target)?;
        let path = path_of(target)?;
        Ok(Request {
            method,
            version: Version::HTTP_11,
            target: sent,
            path,
            query: Query::parse(target.query)?,
            headers,
            body,
            peer: None,
        })
    }

    /// Reads a request to its end; the answer, where it cannot be read.
    pub async fn read(request: messor_net::Request) -> Result<Request, messor_net::Response> {
        let (parts, body) =
            messor_net::read_body(request, BODY_LIMIT_BYTES).await.map_err(|error| error.response())?;
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let version = parts.version;
        let peer = parts.extensions.get::<messor_net::PeerIp>().map(|peer| peer.0);
        match Request::new(parts.method, target, parts.headers, body) {
            Ok(request) => Ok(Request { peer, version, ..request }),
            Err(error) => Err(messor_net::text(http::StatusCode::BAD_REQUEST, error.to_string())),
        }
    }

    pub fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn accepts(&self, media_type: &str) -> bool {
        negotiation::accepts_media_type(self.header(header::ACCEPT), media_type)
    }

    /// The media type of the body, without its parameters; None when there is no Content-Type header.
    pub fn content_type(&self) -> Option<String> {
        self.header(header::CONTENT_TYPE).map(negotiation::media_type)
    }
}

fn path_of(target: Target<'_>) -> Result<String, TargetError> {
    if target.path.starts_with("//") {
        return Ok(target.path.to_string());
    }
    let mut segments = target.segments();
    let mut path = format!("/{}", decode(segments.next().unwrap_or_default())?);
    for segment in segments {
        path.push('/');
        path.push_str(segment);
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart_as_by_apache_mesos() {
        let path =
            |target: &str| Request::new(Method::GET, target, HeaderMap::new(), Bytes::new()).map(|r| r.path);
        for (target, wanted) in [
            ("/", "/"),
            ("/master/state?x=1", "/master/state"),
            ("/master//state/", "/master/state"),
            ("/master/%73tate", "/master/%73tate"),
            ("/slave%281%29/health", "/slave(1)/health"),
            ("//master/state", "//master/state"),
        ] {
            assert_eq!(path(target), Ok(wanted.to_string()), "{target}");
        }
        assert!(path("/mas%zzter/state").is_err());
    }
}
