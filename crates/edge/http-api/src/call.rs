//! v1 calls: what the request's headers say of its body and of the answer, in the order in which 1.11.0 looks.

use http::StatusCode;
use messor_proto::{Version, Wire};

use crate::answer::{Answer, answer, bad_request, method_not_allowed, text};
use crate::request::{JSON, MediaType, PROTOBUF, Request};

/// Decodes the call in a request's body.
pub fn decode<C: Wire>(request: &Request) -> Result<C, Answer> {
    if request.method != http::Method::POST {
        return Err(method_not_allowed("POST", &request.method));
    }
    let content_type =
        request.content_type().ok_or_else(|| bad_request("expecting 'Content-Type' to be present"))?;
    match content_type.as_str() {
        JSON => C::from_json(&request.body, Version::V1)
            .map_err(|error| bad_request(format!("failed to read the body as a JSON {}: {error}", C::NAME))),
        PROTOBUF => C::decode_checked_as(&request.body, Version::V1).map_err(|error| {
            bad_request(format!("failed to read the body as a protobuf {}: {error}", C::NAME))
        }),
        _ => Err(text(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("expecting 'Content-Type' of {JSON} or {PROTOBUF}"),
        )),
    }
}

/// What the answer is to be written in: JSON before protobuf where both are accepted.
pub fn accepted(request: &Request) -> Result<MediaType, Answer> {
    if request.accepts(JSON) {
        Ok(MediaType::Json)
    } else if request.accepts(PROTOBUF) {
        Ok(MediaType::Protobuf)
    } else {
        Err(text(StatusCode::NOT_ACCEPTABLE, format!("expecting 'Accept' to allow '{PROTOBUF}' or '{JSON}'")))
    }
}

/// A message as the answer to a call.
pub fn respond(message: &impl Wire, media: MediaType) -> Answer {
    let body = match media {
        MediaType::Json => message.to_json(Version::V1),
        MediaType::Protobuf => message.encode_as(Version::V1),
    };
    answer(StatusCode::OK, media.name(), body)
}
