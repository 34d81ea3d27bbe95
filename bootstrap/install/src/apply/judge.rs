//! What an API server's refusal means: passing, or final. Pure, and the only place that decides it.

use std::{error::Error as _, io, time::Duration};

use kube::{client::AuthError, core::Status};

/// What to do about a failed request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Judgement {
    /// It may pass: try again.
    Passing {
        /// One sentence that says what is waited for.
        reason: String,
        /// When the server asks to be asked again.
        after: Option<Duration>,
    },
    /// It will not pass by itself.
    Final(Refusal),
}

/// Why an object cannot be applied.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Other field managers own fields of it, and the caller did not ask to take them over.
    #[error("{fields} managed by {managers}; take over with force, or leave them to the other")]
    Conflict {
        /// The managers, quoted.
        managers: String,
        /// The fields, with their verb.
        fields: String,
    },
    /// The namespace is neither there nor in the set.
    #[error("namespace {0} does not exist and is not in the set; create it or add it")]
    NoNamespace(String),
    /// The API server does not know the kind.
    #[error("the API server serves no {0}; its CRD is missing or serves another version")]
    NotServed(String),
    /// A field that only a new object can have.
    #[error("{0}; delete the object to have it made anew")]
    Immutable(String),
    /// Anything else, in the API server's words.
    #[error("{0}")]
    Other(String),
}

/// What is known of the object that was refused.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// `apiVersion` and kind.
    pub kind: &'a str,
    /// Whether the set brings the CRD.
    pub fresh: bool,
    /// Whether its namespace comes from the set, or from Kubernetes itself.
    pub namespace: bool,
}

/// Judges a failed request to apply an object.
pub fn judge(error: &kube::Error, expected: Expected<'_>) -> Judgement {
    match error {
        kube::Error::Api(status) => judge_status(status, expected),
        other => judge_way(other),
    }
}

/// Judges a failed request of which nothing is known but that it may be repeated: whatever the API server says of the
/// object is final, and what it says of itself passes.
pub fn judge_question(error: &kube::Error) -> Judgement {
    let kube::Error::Api(status) = error else { return judge_way(error) };
    let message = words(status);
    match status.code {
        408 | 500.. => Judgement::Passing { reason: message, after: asked_pause(status) },
        429 => busy(status),
        _ => Judgement::Final(Refusal::Other(message)),
    }
}

/// Judges a request that got no answer.
fn judge_way(error: &kube::Error) -> Judgement {
    match error {
        // Credentials that are not to be had now are had by no waiting: who gives them has been asked.
        other if is_credentials(other) => Judgement::Final(Refusal::Other(root_cause(other))),
        kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_)
            if !is_tls(error) =>
        {
            passing(format!("the API server cannot be reached: {}", root_cause(error)))
        }
        other if is_tls(other) => Judgement::Final(Refusal::Other(format!(
            "the API server's certificate is not accepted: {}; use the kubeconfig of this very cluster",
            root_cause(other)
        ))),
        other => Judgement::Final(Refusal::Other(root_cause(other))),
    }
}

/// Judges what the API server answered.
fn judge_status(status: &Status, expected: Expected<'_>) -> Judgement {
    let (message, after) = (words(status), asked_pause(status));
    let details = status.details.as_ref();
    match status.code {
        404 if details.is_some_and(|details| details.kind == "namespaces") => {
            let namespace = details.map(|details| details.name.clone()).unwrap_or_default();
            if expected.namespace {
                passing(format!("namespace {namespace} does not exist yet"))
            } else {
                Judgement::Final(Refusal::NoNamespace(namespace))
            }
        }
        404 if expected.fresh => passing(format!("{} is not served yet", expected.kind)),
        404 => Judgement::Final(Refusal::NotServed(expected.kind.to_owned())),
        409 => {
            conflict(status).map_or_else(|| Judgement::Passing { reason: message, after }, Judgement::Final)
        }
        429 => busy(status),
        // The API server answers an object that does not fit its kind's schema with 500.
        500 if message.contains("failed to create typed patch object") => {
            Judgement::Final(Refusal::Other(message))
        }
        408 | 500.. => Judgement::Passing { reason: message, after },
        _ if message.contains("field is immutable") || message.contains("updates to statefulset spec") => {
            Judgement::Final(Refusal::Immutable(message))
        }
        _ => Judgement::Final(Refusal::Other(message)),
    }
}

/// What the API server says, or else the number by which it does.
fn words(status: &Status) -> String {
    let message = status.message.trim();
    if message.is_empty() { format!("the API server answers {}", status.code) } else { message.to_owned() }
}

/// When the API server asks to be asked again.
fn asked_pause(status: &Status) -> Option<Duration> {
    let seconds = status.details.as_ref().map(|details| details.retry_after_seconds);
    seconds.filter(|seconds| *seconds > 0).map(|seconds| Duration::from_secs(seconds.into()))
}

fn busy(status: &Status) -> Judgement {
    Judgement::Passing {
        reason: format!("the API server is busy: {}", words(status)),
        after: asked_pause(status),
    }
}

const fn passing(reason: String) -> Judgement {
    Judgement::Passing { reason, after: None }
}

/// The other field managers, if that is what the conflict is about.
fn conflict(status: &Status) -> Option<Refusal> {
    let causes = status.details.as_ref().map_or(&[][..], |details| &details.causes);
    let conflicts: Vec<_> = causes.iter().filter(|cause| cause.reason == "FieldManagerConflict").collect();
    let mut managers: Vec<&str> = conflicts.iter().map(|cause| manager(&cause.message)).collect();
    managers.sort_unstable();
    managers.dedup();
    let first = conflicts.first()?;
    let fields = match conflicts.len() {
        1 => format!("{} is", first.field),
        more => format!("{} and {} more are", first.field, more - 1),
    };
    Some(Refusal::Conflict { managers: managers.join(", "), fields })
}

/// The quoted manager in `conflict with "kubectl" using apps/v1`; the whole text where there is none.
fn manager(message: &str) -> &str {
    let quoted =
        message.find('"').zip(message.rfind('"')).and_then(|(first, last)| message.get(first..=last));
    quoted.filter(|quoted| quoted.len() > 2).unwrap_or(message)
}

/// Whether the connection failed for its certificates, which no waiting mends.
fn is_tls(error: &kube::Error) -> bool {
    causes(error).any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
    })
}

/// Whether it is the credentials that are not to be had.
fn is_credentials(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Auth(_)) || causes(error).any(<dyn std::error::Error>::is::<AuthError>)
}

/// The text of the innermost cause.
fn root_cause(error: &kube::Error) -> String {
    causes(error).last().map_or_else(|| error.to_string(), ToString::to_string)
}

/// The error's causes, outermost first.
fn causes(error: &kube::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |cause| {
        // An I/O error passes over what it wraps when it is asked for its source.
        let wrapped = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map_or_else(|| (**cause).source(), |wrapped| Some(wrapped))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const KNOWN: Expected<'_> = Expected { kind: "apps/v1 Deployment", fresh: false, namespace: true };
    const FRESH: Expected<'_> = Expected { kind: "kubeflow.org/v1 Profile", fresh: true, namespace: true };

    fn answer(code: u16, message: &str, details: &Value) -> kube::Error {
        let status = json!({"code": code, "message": message, "reason": "Any", "details": details});
        kube::Error::Api(Box::new(serde_json::from_value(status).unwrap()))
    }

    fn reason(judgement: Judgement) -> String {
        match judgement {
            Judgement::Passing { reason, .. } => reason,
            Judgement::Final(refusal) => panic!("final: {refusal}"),
        }
    }

    fn refusal(judgement: Judgement) -> String {
        match judgement {
            Judgement::Final(refusal) => refusal.to_string(),
            Judgement::Passing { reason, .. } => panic!("passing: {reason}"),
        }
    }

    #[test]
    fn a_fresh_crd_passes_and_an_unknown_kind_does_not() {
        let gone = answer(404, "the server could not find the requested resource", &json!({}));
        assert_eq!(reason(judge(&gone, FRESH)), "kubeflow.org/v1 Profile is not served yet");
        assert_eq!(
            refusal(judge(&gone, KNOWN)),
            "the API server serves no apps/v1 Deployment; its CRD is missing or serves another version"
        );
    }

    #[test]
    fn a_namespace_of_the_set_is_waited_for_and_another_is_not() {
        let gone =
            answer(404, "namespaces \"user\" not found", &json!({"kind": "namespaces", "name": "user"}));
        assert_eq!(reason(judge(&gone, KNOWN)), "namespace user does not exist yet");
        assert_eq!(
            refusal(judge(&gone, Expected { namespace: false, ..FRESH })),
            "namespace user does not exist and is not in the set; create it or add it"
        );
    }

    #[test]
    fn a_busy_server_says_when_to_come_again() {
        let busy = answer(429, "storage is (re)initializing", &json!({"retryAfterSeconds": 1}));
        assert_eq!(
            judge(&busy, KNOWN),
            Judgement::Passing {
                reason: "the API server is busy: storage is (re)initializing".into(),
                after: Some(Duration::from_secs(1)),
            }
        );
    }

    #[test]
    fn a_question_passes_by_what_the_server_says_of_itself_alone() {
        for code in [408, 429, 500, 503, 504] {
            reason(judge_question(&answer(code, "no", &json!({}))));
        }
        for code in [400, 401, 403, 404, 409, 410, 422] {
            assert_eq!(refusal(judge_question(&answer(code, "no", &json!({})))), "no");
        }
        let asked = judge_question(&answer(503, "", &json!({"retryAfterSeconds": 2})));
        let words = "the API server answers 503".to_owned();
        assert_eq!(asked, Judgement::Passing { reason: words, after: Some(Duration::from_secs(2)) });
        let lost = kube::Error::Service(Box::new(io::Error::from(io::ErrorKind::ConnectionReset)));
        reason(judge_question(&lost));
        let expired = kube::Error::Service(Box::new(AuthError::AuthExec("expired".into())));
        assert!(refusal(judge_question(&expired)).contains("expired"));
    }

    #[test]
    fn a_webhook_that_does_not_answer_passes_with_the_servers_words() {
        let words = "Internal error occurred: failed calling webhook \"a.example\": failed to call webhook: Post \"https://a.b.svc:443/?timeout=10s\": dial tcp: connection refused";
        assert_eq!(reason(judge(&answer(500, words, &json!({})), KNOWN)), words);
    }

    #[test]
    fn an_object_that_does_not_fit_its_schema_is_final() {
        let words = "failed to create typed patch object (a/b; apps/v1, Kind=Deployment): .spec.replcas: field not declared in schema";
        assert_eq!(refusal(judge(&answer(500, words, &json!({})), KNOWN)), words);
    }

    #[test]
    fn a_denial_is_final_in_the_webhooks_words() {
        let words = "admission webhook \"a.example\" denied the request: no";
        assert_eq!(refusal(judge(&answer(400, words, &json!({})), KNOWN)), words);
    }

    #[test]
    fn an_immutable_field_has_a_way_out() {
        let words = "Deployment.apps \"a\" is invalid: spec.selector: Invalid value: {}: field is immutable";
        assert_eq!(
            refusal(judge(&answer(422, words, &json!({})), KNOWN)),
            format!("{words}; delete the object to have it made anew")
        );
    }

    #[test]
    fn a_conflict_names_the_other_manager() {
        let cause = |field: &str| json!({"reason": "FieldManagerConflict", "message": "conflict with \"kubectl\" using apps/v1", "field": field});
        let one = answer(409, "Apply failed with 1 conflict", &json!({"causes": [cause(".spec.replicas")]}));
        assert_eq!(
            refusal(judge(&one, KNOWN)),
            ".spec.replicas is managed by \"kubectl\"; take over with force, or leave them to the other"
        );
        let two = answer(
            409,
            "Apply failed with 2 conflicts",
            &json!({"causes": [cause(".spec.replicas"), cause(".spec.paused")]}),
        );
        assert_eq!(
            refusal(judge(&two, KNOWN)),
            ".spec.replicas and 1 more are managed by \"kubectl\"; take over with force, or leave them to the other"
        );
        let race = answer(409, "the object has been modified", &json!({}));
        assert_eq!(reason(judge(&race, KNOWN)), "the object has been modified");
    }

    #[test]
    fn a_lost_connection_passes_and_a_wrong_certificate_does_not() {
        let service = |kind: io::ErrorKind, text: &'static str| {
            kube::Error::Service(Box::new(io::Error::new(kind, text)))
        };
        assert_eq!(
            reason(judge(&service(io::ErrorKind::ConnectionReset, "connection reset by peer"), KNOWN)),
            "the API server cannot be reached: connection reset by peer"
        );
        let certificate =
            io::Error::new(io::ErrorKind::InvalidData, "invalid peer certificate: UnknownIssuer");
        let wrapped = kube::Error::Service(Box::new(io::Error::other(certificate)));
        assert_eq!(
            refusal(judge(&wrapped, KNOWN)),
            "the API server's certificate is not accepted: invalid peer certificate: UnknownIssuer; \
             use the kubeconfig of this very cluster"
        );
    }
}
