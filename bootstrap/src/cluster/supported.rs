//! Which versions of Kubernetes a run works on.

/// The oldest minor version of Kubernetes 1: sidecar containers are stable since then, and the tests run on it.
const OLDEST: u32 = 33;

/// Whether a run works on this version, as people or the API server name it (`1.36`, `v1.36.3`, `v1.34.1-eks-1`).
pub fn check(version: &str) -> Result<(), String> {
    let mut numbers = version.trim_start_matches('v').split('.');
    let major = numbers.next().and_then(|number| number.parse::<u32>().ok());
    let minor = numbers.next().and_then(|number| {
        let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().ok()
    });
    match (major, minor) {
        (Some(1), Some(minor)) if minor >= OLDEST => Ok(()),
        (Some(1), Some(_)) => {
            Err(format!("Kubernetes {version} is too old: 1.{OLDEST} is the oldest that is supported"))
        }
        _ => Err(format!("{version:?} is no version of Kubernetes 1.{OLDEST} or newer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_are_refused_and_distributions_are_not() {
        for version in ["v1.33.0", "v1.36.3", "v1.34.1-eks-abc", "v1.35+", "1.36"] {
            assert_eq!(check(version), Ok(()), "{version}");
        }
        assert_eq!(
            check("v1.32.9").unwrap_err(),
            "Kubernetes v1.32.9 is too old: 1.33 is the oldest that is supported"
        );
        assert!(check("v0.0.0-master").is_err());
        assert!(check("").is_err());
    }
}
