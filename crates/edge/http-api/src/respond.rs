//! From answers to what net writes.

use http::{HeaderName, HeaderValue, StatusCode, header};
use messor_net::{Body, Response};

use crate::answer::Answer;
use crate::request::MediaType;

pub fn whole(answer: Answer) -> Response {
    answer.map(Body::full)
}

/// An open stream of events. `name` is its Mesos-Stream-Id, where the API has one.
pub fn stream(body: Body, media: MediaType, name: Option<&str>) -> Response {
    let mut response = http::Response::new(body);
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media.name()));
    if let Some(value) = name.and_then(|name| HeaderValue::from_str(name).ok()) {
        response.headers_mut().insert(HeaderName::from_static("mesos-stream-id"), value);
    }
    response
}
