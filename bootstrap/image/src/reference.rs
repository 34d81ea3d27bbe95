//! Image names in the one form that container runtimes compare.

use crate::ImageError;

/// The full form of an image's name: `app:1` is `docker.io/library/app:1`, as every container runtime reads
/// it. A name without tag or digest gets `:latest`.
pub fn normalize(name: &str) -> Result<String, ImageError> {
    let refuse = |reason| ImageError::Name { name: name.to_owned(), reason };
    if name.is_empty() {
        return Err(refuse("it is empty"));
    }
    if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(refuse("it contains white space"));
    }
    let (domain, rest) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest.to_owned()),
        Some(_) => ("docker.io", name.to_owned()),
        None => ("docker.io", format!("library/{name}")),
    };
    let path_end = rest.find(['@', ':']).unwrap_or(rest.len());
    let (path, suffix) = rest.split_at(path_end);
    if path.split('/').any(str::is_empty) {
        return Err(refuse("a part of its path is empty"));
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c);
    if !path.chars().all(allowed) {
        return Err(refuse("its path may hold only a-z, 0-9, '.', '_', '-' and '/'"));
    }
    if suffix.len() == 1 {
        return Err(refuse("its tag or digest is empty"));
    }
    let suffix = if suffix.is_empty() { ":latest" } else { suffix };
    Ok(format!("{domain}/{path}{suffix}"))
}

#[cfg(test)]
mod tests {
    use super::normalize;

    #[test]
    fn names_become_what_runtimes_compare() {
        for (given, full) in [
            ("app:1", "docker.io/library/app:1"),
            ("user/app", "docker.io/user/app:latest"),
            ("localhost/app:1", "localhost/app:1"),
            ("localhost:5000/app:1", "localhost:5000/app:1"),
            ("ghcr.io/kubeflow/kubeflow-e2e:0.1.0", "ghcr.io/kubeflow/kubeflow-e2e:0.1.0"),
            ("ghcr.io/a/b@sha256:00", "ghcr.io/a/b@sha256:00"),
        ] {
            assert_eq!(normalize(given).unwrap(), full);
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_a_reason() {
        for (given, reason) in [
            ("", "empty"),
            ("a b", "white space"),
            ("ghcr.io/App:1", "a-z"),
            ("ghcr.io//app:1", "empty"),
            ("app:", "tag"),
        ] {
            let said = normalize(given).unwrap_err().to_string();
            assert!(said.contains(reason), "{given}: {said}");
        }
    }
}
