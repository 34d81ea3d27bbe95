//! What the operator gets: bodies, refusals, and connections that break.

use std::fmt;

use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::{
    Response, StatusCode,
    body::Bytes,
    header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};

use super::{Call, Refusal};

/// Why a call gets no answer, or a watch its end.
#[derive(Debug)]
pub struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

impl Refused {
    pub(super) fn because(why: impl fmt::Display) -> Self {
        Self(why.to_string())
    }
}

/// A body that is sent to the operator.
pub(super) type Answer = UnsyncBoxBody<Bytes, Refused>;

/// The answer that says no.
pub(super) fn refuse(refusal: &Refusal, call: &Call) -> Response<Answer> {
    let status = StatusCode::from_u16(refusal.code).unwrap();
    let body = refusal.body(&call.resource, call.name.as_deref()).to_string();
    let mut answer = json(status, body.into());
    if let Some(seconds) = refusal.retry_after {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// An answer of JSON.
pub(super) fn json(status: StatusCode, body: Bytes) -> Response<Answer> {
    let mut answer = Response::new(whole(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// A body that is there at once.
pub(super) fn whole(body: Bytes) -> Answer {
    Full::new(body).map_err(Refused::because).boxed_unsync()
}
