//! The way to an existing cluster: kubeconfig, context, credentials.

use std::{io, path::PathBuf, time::Duration};

use bootstrap_install::{Patience, Unanswered, ask_aloud};
use kube::{
    Client,
    config::{Kubeconfig, KubeconfigError},
};

use super::rights;
use crate::{
    cluster::{
        Say,
        connect::{self, chain},
        made::NEXT_STEP,
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
        let contexts = kubeconfig.contexts.iter();
        let Some(found) = contexts.clone().find(|context| context.name == self.context) else {
            let known = listed(contexts.map(|context| context.name.as_str()));
            let name = &self.context;
            return Err(Failure::usage(format!(
                "--context {name}: {place} has no such context; it has {known}"
            )));
        };
        let context = found.context.as_ref();
        let missing = |what: &str, name: &str, known: String| {
            let of = &self.context;
            Failure::usage(format!(
                "--context {of}: it names the {what} `{name}`, and {place} has no such {what}; it has {known}"
            ))
        };
        let cluster = context.map(|context| context.cluster.as_str()).unwrap_or_default();
        let clusters = kubeconfig.clusters.iter().map(|cluster| cluster.name.as_str());
        if !clusters.clone().any(|name| name == cluster) {
            return Err(missing("cluster", cluster, listed(clusters)));
        }
        // A context without a user is one for which the API server asks for no credentials.
        let user = context.and_then(|context| context.user.as_deref()).unwrap_or_default();
        let users = kubeconfig.auth_infos.iter().map(|user| user.name.as_str());
        if !user.is_empty() && !users.clone().any(|name| name == user) {
            return Err(missing("user", user, listed(users)));
        }
        Ok(kubeconfig)
    }

    /// Where the API server is, as the kubeconfig says.
    fn server(&self) -> Result<String, Failure> {
        let kubeconfig = self.read()?;
        let context = kubeconfig.contexts.iter().find(|context| context.name == self.context);
        let named = context.and_then(|context| context.context.as_ref()).map(|context| &context.cluster);
        let cluster = kubeconfig.clusters.iter().find(|cluster| Some(&cluster.name) == named);
        Ok(cluster.and_then(|cluster| cluster.cluster.as_ref()?.server.clone()).unwrap_or_default())
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
        let answer = asked.map_err(|_| {
            let seconds = ANSWERS_WITHIN.as_secs();
            self.fails(&format!("did not answer within {seconds} s; is it reachable from here?"))
        })?;
        answer.map(|info| info.git_version).map_err(|error| self.fails(&explained(&error)))
    }

    /// Waits until the API server answers: one that is being restarted does so again.
    pub(super) async fn answers(&self, patience: Patience, say: Say<'_>) -> Result<(), Failure> {
        let client = self.client().await?;
        let place = format!("context {} of {}", self.context, self.kubeconfig.display());
        let tell = |why: &str| say(format!("{place}: waiting for an answer, as {why}"));
        match ask_aloud(patience, || client.apiserver_version(), tell).await {
            Ok(_) => Ok(()),
            // Asked outright, it says it with what to do.
            Err(Unanswered::Refused(_)) => self.version().await.map(drop),
            Err(late) => Err(Failure::infrastructure(format!("{place}: {late}; {NEXT_STEP}"))),
        }
    }

    /// What is wrong with the API server, in one sentence.
    fn fails(&self, why: &str) -> Failure {
        let (context, place) = (&self.context, self.kubeconfig.display());
        let server = self.server().unwrap_or_default();
        Failure::infrastructure(format!("context {context} of {place}: the API server {server} {why}"))
    }
}

/// Names for people.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// What the API server does by an error of the first request, and what to do.
fn explained(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 401 => {
            format!("does not accept the credentials ({}); they may have expired: renew them", status.message)
        }
        kube::Error::Api(status) => format!("answers {}: {}", status.code, status.message),
        other => {
            let why = innermost(other);
            if why.contains("certificate") {
                format!(
                    "and the certificates do not fit: {why}; use the kubeconfig of this very cluster, or renew it"
                )
            } else {
                format!("cannot be reached: {why}")
            }
        }
    }
}

/// Why a kubeconfig cannot be read.
fn unreadable(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::ReadConfig(error, _) if error.kind() == io::ErrorKind::NotFound => {
            "no such file".into()
        }
        KubeconfigError::ReadConfig(error, _) => error.to_string(),
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
    use std::io::{Read as _, Write as _};

    use tokio::time::Instant;

    use super::*;

    #[test]
    fn a_context_that_is_not_there_is_refused_with_those_that_are() {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let access = |context: &str| Access { kubeconfig: kubeconfig.clone(), context: context.into() };
        let refused = access("a").read().unwrap_err();
        assert_eq!(refused.message, format!("--kubeconfig {}: no such file", kubeconfig.display()));
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
            "apiVersion: v1\nkind: Config\nclusters: [{name: x, cluster: {server: 'https://x'}}]\n\
             contexts: [{name: a, context: {cluster: x}}, {name: b, context: {cluster: x}}]\n",
        )
        .unwrap();
        access("b").read().unwrap();
        let refused = access("c").read().unwrap_err();
        assert!(refused.message.ends_with("has no such context; it has a, b"), "{refused}");
        assert_eq!(refused.code, crds::ExitCode::Usage);
    }

    #[test]
    fn a_context_whose_cluster_or_user_is_not_there_is_refused_with_those_that_are() {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let text = serde_json::json!({
            "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
            "contexts": [
                {"name": "nowhere", "context": {"cluster": "gone", "user": ""}},
                {"name": "nobody", "context": {"cluster": "c", "user": "gone"}},
                {"name": "anybody", "context": {"cluster": "c", "user": ""}},
            ],
        });
        std::fs::write(&kubeconfig, text.to_string()).unwrap();
        let access = |context: &str| Access { kubeconfig: kubeconfig.clone(), context: context.into() };
        access("anybody").read().unwrap();
        let place = kubeconfig.display();
        for (context, what, known) in [("nowhere", "cluster", "c"), ("nobody", "user", "none")] {
            let refused = access(context).read().unwrap_err();
            let wanted = format!(
                "--context {context}: it names the {what} `gone`, and {place} has no such {what}; it has {known}"
            );
            assert_eq!(refused, Failure::usage(wanted));
        }
    }

    /// The context `a` of a kubeconfig, whose API server is at this port; the kubeconfig goes with the folder.
    fn at(port: u16) -> (tempfile::TempDir, Access) {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let text = serde_json::json!({
            "clusters": [{"name": "c", "cluster": {"server": format!("http://127.0.0.1:{port}")}}],
            "contexts": [{"name": "a", "context": {"cluster": "c"}}],
        });
        std::fs::write(&kubeconfig, text.to_string()).unwrap();
        (folder, Access { kubeconfig, context: "a".into() })
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named_with_its_kubeconfig() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        // A port that was free a moment ago, and that nobody listens on.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (_folder, access) = at(port);
        let refused = access.version().await.unwrap_err();
        assert_eq!(refused.code, crds::ExitCode::Infrastructure);
        let place =
            format!("context a of {}: the API server http://127.0.0.1:{port} ", access.kubeconfig.display());
        assert!(refused.message.starts_with(&format!("{place}cannot be reached: ")), "{refused}");
    }

    #[tokio::test]
    async fn an_api_server_that_comes_back_is_waited_for() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (_folder, access) = at(port);
        let version = r#"{"major":"1","minor":"36","gitVersion":"v1.36.0","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}"#;
        let server = std::thread::spawn(move || {
            for (code, body) in [("503 Service Unavailable", "starting"), ("200 OK", version)] {
                let (mut connection, _) = listener.accept().unwrap();
                let _ = connection.read(&mut [0; 4096]).unwrap();
                let length = body.len();
                write!(
                    connection,
                    "HTTP/1.1 {code}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                )
                .unwrap();
            }
        });
        let mut said = Vec::new();
        let patience = Patience::until(Instant::now() + Duration::from_mins(1));
        access.answers(patience, &mut |line| said.push(line)).await.unwrap();
        server.join().unwrap();
        let [waiting] = said.as_slice() else { panic!("{said:?}") };
        assert!(waiting.ends_with(": waiting for an answer, as starting"), "{waiting}");
        // Nobody listens any more.
        let patience = Patience::until(Instant::now() + Duration::from_millis(200));
        let late = access.answers(patience, &mut |line| said.push(line)).await.unwrap_err();
        assert!(late.message.contains("cannot be reached: ") && late.message.ends_with(NEXT_STEP), "{late}");
    }

    #[test]
    fn refused_credentials_are_told_from_a_server_that_is_not_there() {
        let status = serde_json::json!({"code": 401, "message": "Unauthorized", "reason": "Unauthorized"});
        let error = kube::Error::Api(Box::new(serde_json::from_value(status).unwrap()));
        assert!(explained(&error).contains("may have expired"));
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert!(explained(&kube::Error::Service(Box::new(refused))).starts_with("cannot be reached: "));
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
