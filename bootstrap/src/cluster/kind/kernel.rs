//! The kernel's limits of watched files: a node takes dozens of them, and Kubeflow's pods hundreds.

use bootstrap_embedded::{
    Roots,
    limits::{self, Needs, WATCHES},
};
use nix::unistd::Uid;

use super::mark::Mark;

/// What Kubeflow's documentation asks for on kind.
const LEAST: [u64; 2] = [2280, 1_255_360];

/// Raises the limits for the cluster with this mark; returns what to say of those that cannot be.
pub(super) fn raise(mark: &Mark) -> anyhow::Result<Option<String>> {
    let needs: Needs = WATCHES.map(str::to_owned).into_iter().zip(LEAST).collect();
    if Uid::effective().is_root() {
        limits::hold(&Roots::default().run, &holder(mark), &needs)?;
    }
    Ok(advice(&limits::too_low(&needs)))
}

/// Ends what the cluster needs; returns what to say of limits that could not be put back.
pub(super) fn restore(mark: &Mark) -> anyhow::Result<Vec<String>> {
    // Who may not raise them has not.
    if !Uid::effective().is_root() {
        return Ok(Vec::new());
    }
    let stay = |(limit, reason): (String, String)| format!("{} stays raised: {reason}", sysctl(&limit));
    Ok(limits::release(&Roots::default().run, &holder(mark))?.into_iter().map(stay).collect())
}

fn advice(low: &Needs) -> Option<String> {
    let settings: Vec<_> = low.iter().map(|(limit, least)| format!("{}={least}", sysctl(limit))).collect();
    (!settings.is_empty()).then(|| {
        format!(
            "Kubeflow's pods watch more files than this machine allows; raise its limits with `sudo sysctl {}`",
            settings.join(" ")
        )
    })
}

fn holder(mark: &Mark) -> String {
    format!("kind/{}", mark.as_str())
}

fn sysctl(limit: &str) -> String {
    limit.replace('/', ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_raise_them_is_told_how() {
        assert_eq!(advice(&Needs::new()), None);
        let low = Needs::from([(WATCHES[0].to_owned(), 2280), (WATCHES[1].to_owned(), 1_255_360)]);
        let command = "`sudo sysctl fs.inotify.max_user_instances=2280 fs.inotify.max_user_watches=1255360`";
        assert!(advice(&low).unwrap().ends_with(command));
    }
}
