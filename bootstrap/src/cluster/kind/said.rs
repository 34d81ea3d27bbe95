//! What `kind` prints, in our words. Pure.

use crate::failure::Failure;

/// What an error of `kind` is told with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// The file of `--kind-config`.
    pub(super) config: Option<&'a str>,
    /// The node image that was asked for.
    pub(super) image: Option<&'a str>,
}

/// A line for people from a line of `kind`, if it is worth one: what it begins to do, and what it warns of.
pub(super) fn progress(line: &str) -> Option<String> {
    let line = line.trim();
    if let Some(step) = line.strip_prefix('•') {
        // Pictures and dots at its end are for terminals.
        let step = step.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != ')');
        return Some(format!("kind: {}", step.trim()));
    }
    let warning = ["WARNING: ", "WARN: "].iter().find_map(|prefix| line.strip_prefix(prefix));
    warning.map(|warning| format!("kind warns: {}", warning.trim()))
}

/// Whether the line says that the API server serves.
pub(super) fn serves(line: &str) -> bool {
    line.trim().starts_with("✓ Starting control-plane")
}

/// Why `kind create cluster` failed, by what it printed to standard error.
pub(super) fn explain(stderr: &str, asked: Asked<'_>) -> Failure {
    let error = main_error(stderr);
    let output = stderr.split_once("Command Output:").map(|(_, output)| telling(output)).unwrap_or_default();
    let said = stderr.to_lowercase();
    let has = |signs: &[&str]| signs.iter().any(|sign| said.contains(sign));
    let image = asked.image.unwrap_or("of kind's own choice");
    if let Some(config) = asked.config.filter(|_| is_about_config(stderr)) {
        return Failure::usage(format!("--kind-config {config}: kind refuses it: {}", without_lines(&error)));
    }
    if has(&["does not match the detected host platform", "exec format error"]) {
        return Failure::infrastructure(format!(
            "the node image {image} is for another processor than this machine's: name one for it with --kind-image"
        ));
    }
    if has(&["failed to pull image"]) {
        return Failure::infrastructure(format!(
            "the node image {image} is not on this machine and cannot be pulled: {}; load it (`docker load`), or name \
             one that is there with --kind-image",
            if output.is_empty() { &error } else { &output }
        ));
    }
    if has(&["port is already allocated", "address already in use", "ports are not available"]) {
        return Failure::infrastructure(format!(
            "a port that the kind configuration gives to the cluster is in use: {output}; end what uses it, or write \
             another port"
        ));
    }
    if has(&["no space left on device"]) {
        return Failure::infrastructure(
            "the disk became full while kind made the cluster: make room (`docker system prune` removes what no \
             container uses) and try again",
        );
    }
    if has(&["too many open files", "inotify"]) {
        return Failure::infrastructure(format!(
            "a node could not watch its files, as fs.inotify.max_user_instances is too low for it: raise it (`sudo \
             sysctl fs.inotify.max_user_instances=2280`) and try again; kind says: {error}"
        ));
    }
    let more = if output.is_empty() { String::new() } else { format!(": {output}") };
    Failure::infrastructure(format!("kind could not make the cluster: {error}{more}"))
}

/// `kind` reads the configuration before it says that it creates anything, and applies the patches in it later.
fn is_about_config(stderr: &str) -> bool {
    let elsewhere = ["already exist", "rootless", "command \"docker", "command \"podman", "docker info"];
    let began = stderr.lines().any(|line| line.trim_start().starts_with("Creating cluster"));
    let about_patches = ["failed to generate kubeadm config", "failed to patch", "containerd config"];
    if began {
        return about_patches.iter().any(|sign| stderr.contains(sign));
    }
    stderr.contains("ERROR:") && !elsewhere.iter().any(|sign| stderr.contains(sign))
}

/// The sentence after `ERROR: failed to create cluster:`, with what belongs to it on further lines.
fn main_error(stderr: &str) -> String {
    let Some((_, rest)) = stderr.split_once("ERROR: ") else { return telling(stderr) };
    let rest = rest.strip_prefix("failed to create cluster: ").unwrap_or(rest);
    let lines = rest
        .lines()
        .map(str::trim)
        .take_while(|line| !line.is_empty() && !line.starts_with("Command Output"));
    let lines: Vec<_> = lines.filter(|line| !line.starts_with("Stack Trace")).take(6).collect();
    shorten(&lines.join(" "))
}

/// A program's whole command line says less than its first two words.
fn shorten(error: &str) -> String {
    let parts = error.split_once("command \"").and_then(|(before, rest)| {
        let (command, after) = rest.split_once("\" failed with error: exit status ")?;
        let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
        let words: Vec<&str> = command.split(' ').take(2).collect();
        Some(format!("{before}`{}` failed{after}", words.join(" ")))
    });
    parts.unwrap_or_else(|| error.to_owned())
}

/// Line numbers are those of the file that `kind` was given, which nobody wrote.
fn without_lines(error: &str) -> String {
    let mut words: Vec<&str> = error.split(' ').collect();
    let numbered = |words: &[&str]| words.first() == Some(&"line") && words[1].ends_with(':');
    while let Some(at) = words.windows(2).position(numbered) {
        words.drain(at..at + 2);
    }
    words.join(" ")
}

/// The one line of a program's long output that tells most: its last complaint, else its last line.
fn telling(output: &str) -> String {
    let lines = output.lines().map(str::trim).filter(|line| !line.is_empty());
    let complains = |line: &&str| {
        let line = line.to_lowercase();
        line.starts_with("error") || line.contains("could not") || line.contains(" error ")
    };
    lines.clone().rfind(complains).or_else(|| lines.clone().next_back()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use crds::ExitCode;

    use super::*;

    fn explained(stderr: &str) -> (ExitCode, String) {
        let asked = Asked { config: Some("my.yaml"), image: Some("kindest/node:v1") };
        let failure = explain(stderr, asked);
        (failure.code, failure.message)
    }

    #[test]
    fn what_kind_begins_is_shown_without_its_pictures() {
        let shown = |line| progress(line).unwrap_or_default();
        assert_eq!(
            shown(" • Ensuring node image (kindest/node:v1.36.4) 🖼  ..."),
            "kind: Ensuring node image (kindest/node:v1.36.4)"
        );
        assert_eq!(shown(" • Starting control-plane 🕹️  ..."), "kind: Starting control-plane");
        assert_eq!(shown("WARNING: cgroup v1 is deprecated"), "kind warns: cgroup v1 is deprecated");
        for silent in [" ✓ Preparing nodes 📦", "Creating cluster \"a\" ...", "Have a nice day! 👋", ""]
        {
            assert_eq!(progress(silent), None, "{silent}");
        }
        assert!(serves(" ✓ Starting control-plane 🕹️") && !serves(" • Starting control-plane 🕹️  ..."));
    }

    #[test]
    fn a_configuration_that_kind_refuses_is_an_error_of_usage_in_kinds_words() {
        let decode = "ERROR: failed to create cluster: unable to decode config: yaml: unmarshal errors:\n  line 7: \
                      field constraints not found in type v1alpha4.Node\n";
        assert_eq!(
            explained(decode),
            (
                ExitCode::Usage,
                "--kind-config my.yaml: kind refuses it: unable to decode config: yaml: unmarshal errors: \
                 field constraints not found in type v1alpha4.Node"
                    .into()
            )
        );
        let patch = "Creating cluster \"a\" ...\n ✗ Writing configuration 📜\nERROR: failed to create cluster: failed to \
                     generate kubeadm config content: yaml: line 2";
        assert_eq!(explained(patch).0, ExitCode::Usage);
    }

    #[test]
    fn what_is_wrong_with_the_machine_is_one_sentence() {
        let created = "Creating cluster \"a\" ...\nERROR: failed to create cluster: ";
        for (rest, sentence) in [
            (
                "failed to pull image \"x\": command \"docker pull x\" failed with error: exit status 1\n\nCommand Output: \
                 Error response from daemon: manifest unknown",
                "the node image kindest/node:v1 is not on this machine and cannot be pulled: Error response from daemon: \
                 manifest unknown; load it",
            ),
            (
                "command \"docker run\" failed with error: exit status 125\n\nCommand Output: 5ab\ndocker: Error response \
                 from daemon: Bind for 0.0.0.0:80 failed: port is already allocated.",
                "a port that the kind configuration gives to the cluster is in use: docker: Error response",
            ),
            (
                "exec /usr/local/bin/entrypoint: exec format error",
                "the node image kindest/node:v1 is for another",
            ),
            ("write /x: no space left on device", "the disk became full"),
            ("Failed to create inotify watch: too many open files", "a node could not watch its files"),
            (
                "failed to init node with kubeadm: command \"docker exec --privileged a kubeadm init\" failed with error: exit \
                 status 1\n\nCommand Output: I0101\nerror execution phase wait-control-plane: the kubelet is not healthy\nTo see the stack",
                "kind could not make the cluster: failed to init node with kubeadm: `docker exec` failed: error execution \
                 phase wait-control-plane: the kubelet is not healthy",
            ),
        ] {
            let (code, message) = explained(&format!("{created}{rest}"));
            assert_eq!(code, ExitCode::Infrastructure);
            assert!(message.starts_with(sentence), "{message}");
        }
    }
}
