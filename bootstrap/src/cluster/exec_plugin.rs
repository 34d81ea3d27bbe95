//! Programs that a kubeconfig names for its credentials, such as those of the clouds. One that hangs must not hang us: the
//! client calls it without a deadline, so it is called by `timeout`, in the middle of a run too, when a token has expired.

use std::{
    io::{IsTerminal as _, stdin},
    path::Path,
    process::Output,
    time::Duration,
};

use kube::{
    client::AuthError,
    config::{AuthInfo, ExecConfig, Kubeconfig},
};

/// How long one may take: people may have to log in by a browser.
pub(super) const WITHIN: Duration = Duration::from_mins(2);

/// How long one that was asked to end may go on.
const GRACE: Duration = Duration::from_secs(5);

/// How `timeout` ends when the program did not end in time: by itself, or killed.
const LATE: [i32; 2] = [124, 137];
/// How it ends when the program cannot be started, or is not there.
const MISSING: [i32; 2] = [126, 127];

/// The program that the user of a context gets its credentials from.
pub(super) fn of(kubeconfig: &Kubeconfig, context: &str) -> Option<String> {
    user(kubeconfig, context)?.exec.as_ref()?.command.clone()
}

/// Why a program that gives the credentials of a context could not be kept from hanging, if so.
pub(super) fn unbounded(kubeconfig: &Kubeconfig, context: &str, has_timeout: bool) -> Option<String> {
    let provider = user(kubeconfig, context)?.auth_provider.as_ref();
    let old = provider.and_then(|provider| provider.config.get("cmd-path"));
    if let Some(program) = old {
        return Some(format!(
            "the credentials of context {context} come from `{program}` by an auth-provider, which Kubernetes no longer knows: \
             let the kubeconfig name it as `exec`"
        ));
    }
    let program = of(kubeconfig, context).filter(|_| !has_timeout)?;
    Some(format!(
        "the program `{program}`, which gives the credentials of context {context}, could hang, and this machine lacks the \
         program `timeout`, which would end it: install coreutils"
    ))
}

fn user<'a>(kubeconfig: &'a Kubeconfig, context: &str) -> Option<&'a AuthInfo> {
    let context = kubeconfig.contexts.iter().find(|found| found.name == context)?;
    let user = context.context.as_ref()?.user.as_ref()?;
    kubeconfig.auth_infos.iter().find(|found| found.name == *user)?.auth_info.as_ref()
}

/// Gives every program of a kubeconfig a deadline, which the program `timeout` keeps.
pub(super) fn bound(kubeconfig: &mut Kubeconfig, timeout: &Path, within: Duration) {
    let users = kubeconfig.auth_infos.iter_mut().filter_map(|user| user.auth_info.as_mut());
    for exec in users.filter_map(|user| user.exec.as_mut()) {
        bound_one(exec, timeout, within, stdin().is_terminal());
    }
}

fn bound_one(exec: &mut ExecConfig, timeout: &Path, within: Duration, terminal: bool) {
    let Some(command) = exec.command.replace(timeout.display().to_string()) else {
        // Without a command there is nothing to call, and the client says so.
        exec.command = None;
        return;
    };
    let seconds = |duration: Duration| duration.as_secs().to_string();
    // Only in the foreground may it read from the terminal. Small systems do not know the flag, and have no people.
    let foreground = terminal.then(|| "--foreground".to_owned());
    let bounds = ["-k".to_owned(), seconds(GRACE), seconds(within), command];
    let args = exec.args.take().unwrap_or_default();
    exec.args = Some(foreground.into_iter().chain(bounds).chain(args).collect());
}

/// Why there are no credentials, where it is the program's doing.
pub(super) fn explained(error: &kube::Error, plugin: &str, within: Duration) -> Option<String> {
    let kube::Error::Auth(error) = error else { return None };
    let place = format!("the program `{plugin}`, which gives the credentials of this context");
    let by_hand = "run it by hand to see why";
    Some(match error {
        AuthError::AuthExecRun { out, .. } => match out.status.code() {
            Some(code) if LATE.contains(&code) => {
                format!("{place}, did not end within {} s: {by_hand}", within.as_secs())
            }
            Some(code) if MISSING.contains(&code) => format!("{place}, is not installed, or not on the PATH"),
            _ => format!("{place}, failed: {}; {by_hand}", said(out)),
        },
        AuthError::AuthExecStart(error) => format!("{place}, cannot be started: {error}"),
        AuthError::AuthExecParse(_) | AuthError::ExecPluginFailed => {
            format!("{place}, did not print an ExecCredential with a status: {by_hand}")
        }
        _ => return None,
    })
}

/// The last thing that it said, or how it ended.
fn said(out: &Output) -> String {
    let stderr = String::from_utf8_lossy(&out.stderr);
    let last = stderr.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.map_or_else(|| out.status.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use kube::{Client, Config, config::KubeConfigOptions};

    use super::*;
    use crate::tool::on_the_path;

    fn kubeconfig(program: &str, script: &str) -> Kubeconfig {
        let exec = serde_json::json!({
            "apiVersion": "client.authentication.k8s.io/v1", "command": program, "args": ["-c", script],
            "interactiveMode": "Never",
        });
        serde_json::from_value(serde_json::json!({
            "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
            "users": [{"name": "u", "user": {"exec": exec}}],
            "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
        }))
        .unwrap()
    }

    async fn refused(program: &str, script: &str, within: Duration) -> Option<String> {
        let mut kubeconfig = kubeconfig(program, script);
        assert_eq!(of(&kubeconfig, "a").as_deref(), Some(program));
        bound(&mut kubeconfig, &on_the_path("timeout").unwrap(), within);
        let options = KubeConfigOptions { context: Some("a".into()), ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
        let error = Client::try_from(config).err()?;
        Some(explained(&error, program, within).unwrap_or_else(|| error.to_string()))
    }

    #[tokio::test]
    async fn a_program_that_hangs_or_fails_is_named_with_the_reason() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let place =
            |program: &str| format!("the program `{program}`, which gives the credentials of this context");
        let (sh, short, long) = (place("sh"), Duration::from_secs(1), Duration::from_mins(1));
        let late = refused("sh", "exec sleep 600", short).await.unwrap();
        assert_eq!(late, format!("{sh}, did not end within 1 s: run it by hand to see why"));
        let failed = refused("sh", "echo no session >&2; exit 3", long).await.unwrap();
        assert_eq!(failed, format!("{sh}, failed: no session; run it by hand to see why"));
        let silent = refused("sh", "exit 3", long).await.unwrap();
        assert_eq!(silent, format!("{sh}, failed: exit status: 3; run it by hand to see why"));
        let missing = refused("kfe2e-no-such-program", "", long).await.unwrap();
        assert_eq!(
            missing,
            format!("{}, is not installed, or not on the PATH", place("kfe2e-no-such-program"))
        );
        let nonsense = refused("sh", "echo hello", long).await.unwrap();
        assert!(nonsense.starts_with(&format!("{sh}, did not print an ExecCredential")), "{nonsense}");
        let status = r#"{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "t"}}"#;
        assert_eq!(refused("sh", &format!("echo '{status}'"), long).await, None);
    }

    #[test]
    fn a_program_that_nothing_would_end_is_refused() {
        let exec = kubeconfig("sh", "x");
        assert_eq!(unbounded(&exec, "a", true), None);
        assert!(unbounded(&exec, "a", false).unwrap().contains("lacks the program `timeout`"));
        let with = |config| -> Kubeconfig {
            let mut all = serde_json::to_value(&exec).unwrap();
            all["users"][0]["user"] = serde_json::json!({"auth-provider": {"name": "gcp", "config": config}});
            serde_json::from_value(all).unwrap()
        };
        let old = unbounded(&with(serde_json::json!({"cmd-path": "/bin/g"})), "a", true).unwrap();
        assert!(old.contains("come from `/bin/g` by an auth-provider"), "{old}");
        assert_eq!(unbounded(&with(serde_json::json!({"id-token": "t"})), "a", false), None);
    }

    #[test]
    fn only_on_a_terminal_it_stays_in_the_foreground() {
        for (terminal, args) in [(false, "-k 5 120 sh -c x"), (true, "--foreground -k 5 120 sh -c x")] {
            let kubeconfig = kubeconfig("sh", "x");
            let mut exec = kubeconfig.auth_infos[0].auth_info.clone().unwrap().exec.unwrap();
            bound_one(&mut exec, Path::new("/bin/timeout"), WITHIN, terminal);
            assert_eq!(
                (exec.command.unwrap(), exec.args.unwrap().join(" ")),
                ("/bin/timeout".into(), args.into())
            );
        }
    }
}
