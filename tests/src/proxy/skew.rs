//! The operator's clock against the API server's: what differs by an offset is the same as every time that passes between
//! them being shifted by it, the answers' dates too.

use std::sync::LazyLock;

use hyper::{
    HeaderMap,
    header::{DATE, HeaderValue},
};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use regex_lite::{Captures, Regex};

/// A time as Kubernetes writes it, up to the second.
static TIME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"("\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z""#).unwrap());

/// A body of JSON with all its times shifted.
pub(super) fn shift(body: &[u8], by: SignedDuration) -> Vec<u8> {
    let text = String::from_utf8_lossy(body);
    let shifted = TIME.replace_all(&text, |found: &Captures<'_>| {
        let time: Timestamp = format!("{}Z", &found[1][1..]).parse().unwrap();
        let fraction = found.get(2).map_or("", |fraction| fraction.as_str());
        format!("\"{}{fraction}Z\"", (time + by).strftime("%Y-%m-%dT%H:%M:%S"))
    });
    shifted.into_owned().into_bytes()
}

/// Shifts the date of an answer.
pub(super) fn shift_date(headers: &mut HeaderMap, by: SignedDuration) {
    let Some(date) = headers.get(DATE) else { return };
    let date = rfc2822::parse(date.to_str().unwrap()).unwrap().timestamp() + by;
    let text = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    headers.insert(DATE, HeaderValue::from_str(&text).unwrap());
}
