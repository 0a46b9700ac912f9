//! The v1 scheduler API: POST /api/v1/scheduler.

use messor_master_core::{Event, ReplyId, StreamId};
use messor_net::Response;
use messor_proto::mesos::scheduler::{Call, call};

use super::{MasterSite, answer_of, ending};
use crate::answer::{Answer, bad_request};
use crate::call::{accepted, decode};
use crate::gateway::Reply;
use crate::request::{MediaType, Request};
use crate::respond;

const STREAM_ID: &str = "mesos-stream-id";

impl MasterSite {
    pub(super) async fn scheduler_call(&self, request: &Request) -> Response {
        match self.scheduler_call_or_refusal(request).await {
            Ok(response) => response,
            Err(refusal) => respond::whole(refusal),
        }
    }

    async fn scheduler_call_or_refusal(&self, request: &Request) -> Result<Response, Answer> {
        let call: Call = decode(request)?;
        messor_validation::validate_scheduler_call(&call, None)
            .map_err(|error| bad_request(format!("failed to validate scheduler::Call: {error}")))?;
        if call.r#type() == call::Type::Subscribe {
            return self.subscribe(request, call).await;
        }
        let stream = request.header(STREAM_ID);
        let (reply, answer) = self.gateway.request();
        self.machine.request(Event::SchedulerCall {
            reply: ReplyId(reply),
            principal: None,
            stream: stream.and_then(|name| self.gateway.find(name)).map(StreamId),
            call: Box::new(call),
        });
        match answer.await {
            Ok(Reply::Outcome(outcome)) => Ok(respond::whole(answer_of(outcome, request))),
            Ok(Reply::Stream(..)) | Err(_) => Err(ending()),
        }
    }

    async fn subscribe(&self, request: &Request, call: Call) -> Result<Response, Answer> {
        let media = accepted(request)?;
        if request.header(STREAM_ID).is_some() {
            return Err(bad_request("SUBSCRIBE calls must not have the header 'Mesos-Stream-Id'"));
        }
        let stream = self.gateway.prepare(media, false);
        let (reply, answer) = self.gateway.request();
        self.machine.request(Event::Subscribe {
            stream: StreamId(stream),
            reply: ReplyId(reply),
            principal: None,
            call: Box::new(call),
        });
        self.opened(request, stream, answer, media, true).await
    }

    /// Waits for a stream to be opened, or for the refusal.
    pub(super) async fn opened(
        &self,
        request: &Request,
        stream: u64,
        answer: tokio::sync::oneshot::Receiver<Reply<messor_master_core::Outcome>>,
        media: MediaType,
        named: bool,
    ) -> Result<Response, Answer> {
        match answer.await {
            Ok(Reply::Stream(body, name)) => Ok(respond::stream(body, media, named.then_some(name.as_str()))),
            Ok(Reply::Outcome(outcome)) => {
                self.gateway.forget(stream);
                Err(answer_of(outcome, request))
            }
            Err(_) => Err(ending()),
        }
    }
}
