//! The course of one call: to the API server and back, with what its fault makes of it.

use std::sync::{Arc, atomic::Ordering};

use crds::names::label;
use futures::TryStreamExt as _;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{
    Request, Response, StatusCode, Uri,
    body::{Bytes, Frame, Incoming},
    header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, HOST},
    http::request::Parts,
};
use kube::client::Body;

use super::{
    Call, Fault, Moment, Refused,
    answer::{Answer, json, refuse, whole},
    skew,
    state::{Going, State},
    stream,
};
use crate::faults::outcome::GATE;

impl State {
    /// Serves a request, and writes down what became of it.
    pub(super) async fn handle(
        self: &Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Answer>, Refused> {
        let (parts, body) = request.into_parts();
        let call = Call::of(&parts.method, &parts.uri);
        let mut open = self.journal.begin(call.clone());
        let body = body.collect().await.map_err(Refused::because)?.to_bytes();
        if self.doomed.load(Ordering::SeqCst) {
            return Err(self.kill());
        }
        let fault = self.fault_of(&call, parts.headers.get(AUTHORIZATION));
        let going = fault.as_ref().map(|fault| {
            open.entry.fault = Some(fault.to_string());
            self.note_fault();
            Going(self)
        });
        let result = self.carry_out(&call, parts, body, fault.as_ref()).await;
        drop(going);
        open.entry.status = result.as_ref().ok().map(|answer| answer.status().as_u16());
        result
    }

    /// Serves a call, or does to it what the fault says.
    async fn carry_out(
        self: &Arc<Self>,
        call: &Call,
        parts: Parts,
        body: Bytes,
        fault: Option<&Fault>,
    ) -> Result<Response<Answer>, Refused> {
        let ahead = self.changing.borrow().ahead;
        let body = if ahead.is_zero() { body } else { skew::shift(&body, ahead).into() };
        // Whole objects and their metadata alone are different lists.
        let list = (call.site(), parts.headers.get(ACCEPT).cloned());
        match fault {
            Some(Fault::Drop) => return Err(Refused::because("dropped")),
            Some(Fault::Answer(refusal)) => return Ok(refuse(refusal, call)),
            Some(Fault::Kill(Moment::Before)) => return Err(self.kill()),
            Some(Fault::Older) => {
                if let Some(older) = self.changing.borrow().lists.get(&list).cloned() {
                    return Ok(json(StatusCode::OK, older));
                }
            }
            // The fault itself: a request that comes late.
            Some(Fault::Delay(wait)) => tokio::time::sleep(*wait).await,
            _ => {}
        }
        let answer =
            self.upstream.send(self.passed_on(call, parts, body)?).await.map_err(Refused::because)?;
        let (mut head, body) = answer.into_parts();
        skew::shift_date(&mut head.headers, -ahead);
        if call.verb == "watch" {
            let body = if fault.is_some() || !ahead.is_zero() {
                let events = stream::disturbed(Box::pin(body.into_data_stream()), fault);
                let events = events.map_ok(move |line| Frame::data(skew::shift(&line, -ahead).into()));
                StreamBody::new(events).boxed_unsync()
            } else {
                body.map_err(Refused::because).boxed_unsync()
            };
            return Ok(Response::from_parts(head, body));
        }
        let body = body.collect().await.map_err(Refused::because)?.to_bytes();
        match fault {
            Some(Fault::LoseAnswer) => return Err(Refused::because("the answer is lost")),
            Some(Fault::Kill(Moment::Committed)) => return Err(self.kill()),
            Some(Fault::Kill(Moment::Answered)) => self.kill_at_next(),
            _ => {}
        }
        if call.verb == "list" && head.status == StatusCode::OK {
            self.changing.send_modify(|changing| {
                changing.lists.entry(list).or_insert_with(|| body.clone());
            });
        }
        let body = if ahead.is_zero() { body } else { skew::shift(&body, -ahead).into() };
        head.headers.remove(CONTENT_LENGTH);
        Ok(Response::from_parts(head, whole(body)))
    }

    /// The request as it goes on: with the operator's own token.
    fn passed_on(&self, call: &Call, parts: Parts, body: Bytes) -> Result<Request<Body>, Refused> {
        let mut uri = parts.uri;
        if call.is_wide() {
            let query = self.narrowed(&call.resource, uri.query().unwrap_or_default());
            uri = format!("{}?{query}", uri.path()).parse::<Uri>().map_err(Refused::because)?;
        }
        let mut request = Request::new(Body::from(body.to_vec()));
        *request.method_mut() = parts.method;
        *request.uri_mut() = uri;
        *request.headers_mut() = parts.headers;
        request.headers_mut().remove(HOST);
        Ok(request)
    }

    /// The query for a whole kind, without the objects of other cases: those would be the work of this operator too, or
    /// its load.
    fn narrowed(&self, resource: &str, query: &str) -> String {
        let run = &self.run;
        match (resource, query.split_once("labelSelector=")) {
            ("e2etests", _) => format!("{query}&fieldSelector=metadata.name%3D{run}"),
            ("jobs" | "pods", Some((before, after))) => {
                format!("{before}labelSelector={}%3D{run}%2C{after}", label::RUN.replace('/', "%2F"))
            }
            ("pods", None) => format!("{query}&fieldSelector=metadata.namespace%3D{GATE}"),
            _ => query.to_owned(),
        }
    }
}
