//! The way to an existing cluster: kubeconfig, context, credentials.

use std::{path::PathBuf, time::Duration};

use kube::{
    Client,
    config::{Kubeconfig, KubeconfigError},
};

use super::rights;
use crate::{
    cluster::{
        connect::{self, chain},
        supported,
    },
    failure::Failure,
    input::yaml,
};

/// How long the API server may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(15);

/// Which cluster, and as whom.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) kubeconfig: PathBuf,
    pub(super) context: String,
}

impl Access {
    /// The kubeconfig, if it has the context.
    pub(super) fn read(&self) -> Result<Kubeconfig, Failure> {
        let place = self.kubeconfig.display();
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig)
            .map_err(|error| Failure::usage(format!("--kubeconfig {place}: {}", unreadable(&error))))?;
        let known: Vec<&str> = kubeconfig.contexts.iter().map(|context| context.name.as_str()).collect();
        if known.contains(&self.context.as_str()) {
            return Ok(kubeconfig);
        }
        let known =
            if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
        Err(Failure::usage(format!("--context {}: {place} has no such context; {known}", self.context)))
    }

    /// A client.
    pub(super) async fn client(&self) -> Result<Client, Failure> {
        let client = connect::through(self.read()?, Some(&self.context), false).await;
        client.map_err(|why| Failure {
            message: format!("--kubeconfig {}: {}", self.kubeconfig.display(), why.message),
            ..why
        })
    }

    /// Whether the cluster answers, is new enough, and lets us do what a run does.
    pub(super) async fn check(&self) -> Result<(), Failure> {
        supported::check(&self.version().await?).map_err(Failure::infrastructure)?;
        rights::check(&self.client().await?, &self.context).await
    }

    /// The version of Kubernetes.
    pub(super) async fn version(&self) -> Result<String, Failure> {
        let client = self.client().await?;
        let asked = tokio::time::timeout(ANSWERS_WITHIN, client.apiserver_version()).await;
        let fails = |why: String| Failure::infrastructure(format!("context {}: {why}", self.context));
        let answer = asked.map_err(|_| {
            fails(format!(
                "the API server did not answer within {} s; is it reachable from here?",
                ANSWERS_WITHIN.as_secs()
            ))
        })?;
        answer.map(|info| info.git_version).map_err(|error| fails(explained(&error)))
    }
}

/// What an error of the first request means, and what to do.
fn explained(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 401 => format!(
            "the API server does not accept the credentials ({}); they may have expired: renew them",
            status.message
        ),
        kube::Error::Api(status) => format!("the API server answers {}: {}", status.code, status.message),
        other => {
            let why = innermost(other);
            if why.contains("certificate") {
                format!(
                    "the certificates do not fit: {why}; use the kubeconfig of this very cluster, or renew it"
                )
            } else {
                format!("the API server cannot be reached: {why}")
            }
        }
    }
}

/// Why a kubeconfig cannot be read.
fn unreadable(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::Parse(error) => format!("no kubeconfig: {}", yaml::problem(error)),
        other => chain(other),
    }
}

/// The innermost cause in an error: the others only repeat it.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_that_is_not_there_is_refused_with_those_that_are() {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let access = |context: &str| Access { kubeconfig: kubeconfig.clone(), context: context.into() };
        let refused = access("a").read().unwrap_err();
        assert!(refused.message.contains("No such file"), "{refused}");
        std::fs::write(&kubeconfig, "a: 1\n b: 2\n").unwrap();
        let refused = access("a").read().unwrap_err();
        assert!(
            refused
                .message
                .ends_with("no kubeconfig: line 2 column 3: mapping values are not allowed in this context"),
            "{refused}"
        );
        std::fs::write(
            &kubeconfig,
            "apiVersion: v1\nkind: Config\ncontexts: [{name: a, context: {cluster: a}}, {name: b, context: {cluster: b}}]\n",
        )
        .unwrap();
        access("b").read().unwrap();
        let refused = access("c").read().unwrap_err();
        assert!(refused.message.ends_with("has no such context; it has a, b"), "{refused}");
        assert_eq!(refused.code, crds::ExitCode::Usage);
    }

    #[test]
    fn refused_credentials_are_told_from_a_server_that_is_not_there() {
        let status = serde_json::json!({"code": 401, "message": "Unauthorized", "reason": "Unauthorized"});
        let error = kube::Error::Api(Box::new(serde_json::from_value(status).unwrap()));
        assert!(explained(&error).contains("may have expired"));
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(
            explained(&kube::Error::Service(Box::new(refused)))
                .starts_with("the API server cannot be reached")
        );
    }

    #[tokio::test]
    async fn credentials_that_are_not_to_be_had_are_no_wrong_flag() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let text = serde_json::json!({
            "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
            "users": [{"name": "u", "user": {"exec": {"apiVersion": "client.authentication.k8s.io/v1",
                "command": "sh", "args": ["-c", "echo expired >&2; exit 1"], "interactiveMode": "Never"}}}],
            "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
        });
        std::fs::write(&kubeconfig, text.to_string()).unwrap();
        let refused = Access { kubeconfig, context: "a".into() }.client().await.err().unwrap();
        assert_eq!(refused.code, crds::ExitCode::Infrastructure);
        assert!(refused.message.contains("failed: expired"), "{refused}");
    }
}
