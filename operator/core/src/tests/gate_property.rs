//! Readiness is never truer than what is there: whatever is added, removed or not ready.

use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any, prop_assert, prop_assume, prop_oneof},
    proptest,
};
use serde_json::{Value, json};

use super::gate_support::Gated;
use crate::gate::Reading;

/// Kinds of objects, each in a ready and in an unready form.
fn forms(kind: usize, index: usize) -> (Value, Value) {
    let name = format!("o{index}");
    let namespaced = json!({"name": name, "namespace": "kf", "generation": 1});
    let object = |api_version: &str, kind: &str, status: Value| json!({"apiVersion": api_version, "kind": kind, "metadata": namespaced, "status": status});
    let replicas = |available: i32| json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": available});
    let condition = |type_: &str, status: &str| json!({"conditions": [{"type": type_, "status": status}]});
    let both = |api_version: &str, kind: &str, good: Value, bad: Value| {
        (object(api_version, kind, good), object(api_version, kind, bad))
    };
    match kind {
        0 => both("apps/v1", "Deployment", replicas(1), replicas(0)),
        1 => both("apps/v1", "StatefulSet", replicas(1), replicas(0)),
        2 => both("v1", "PersistentVolumeClaim", json!({"phase": "Bound"}), json!({"phase": "Pending"})),
        3 => both("batch/v1", "Job", condition("Complete", "True"), json!({})),
        4 => both("cert-manager.io/v1", "Certificate", condition("Ready", "True"), json!({})),
        5 => both("example.org/v1", "Thing", json!({}), condition("Ready", "False")),
        _ => {
            let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": namespaced});
            let mut going = map.clone();
            going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            (map, going)
        }
    }
}

/// What happens to one object of the inventory.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Ready,
    Unready,
    Missing,
    Unserved,
    Unreadable,
}

fn fates() -> impl Strategy<Value = Vec<(usize, Fate)>> {
    let fate = prop_oneof![
        8 => Just(Fate::Ready),
        1 => Just(Fate::Unready),
        1 => Just(Fate::Missing),
        1 => Just(Fate::Unserved),
        1 => Just(Fate::Unreadable),
    ];
    vec((0_usize..7, fate), 1..12)
}

/// A gate over these objects after what happened to them.
fn gate(fates: &[(usize, Fate)]) -> Gated {
    let forms: Vec<_> = fates.iter().enumerate().map(|(index, (kind, _))| forms(*kind, index)).collect();
    let ready: Vec<Value> = forms.iter().map(|(ready, _)| ready.clone()).collect();
    let mut gated = Gated::inventory(&ready);
    for ((ready, unready), (_, fate)) in forms.iter().zip(fates) {
        match fate {
            Fate::Ready => {}
            Fate::Unready => gated.put(unready),
            Fate::Missing => gated.remove(ready),
            Fate::Unserved => gated.fail(ready, Reading::NotServed),
            Fate::Unreadable => gated.fail(ready, Reading::Unreadable("forbidden".into())),
        }
    }
    gated
}

proptest! {
    #[test]
    fn ready_means_each_of_them(fates in fates()) {
        let readiness = gate(&fates).readiness();
        let all = fates.iter().all(|(_, fate)| matches!(fate, Fate::Ready));
        assert_eq!(readiness.is_ready(), all);
        assert_eq!(usize::try_from(readiness.total).unwrap(), fates.len());
        assert_eq!(readiness.components.iter().any(|component| component.blocking.is_some()), !all);
        let more = readiness.components.iter().map(|component| component.total - component.ready).sum::<i32>();
        assert_eq!(more, readiness.total - readiness.ready);
    }

    #[test]
    fn no_change_for_the_worse_makes_it_truer(fates in fates(), which in any::<usize>(), how in 1_usize..5) {
        let before = gate(&fates).readiness();
        let mut worse = fates.clone();
        let good: Vec<usize> = (0..worse.len()).filter(|place| matches!(worse[*place].1, Fate::Ready)).collect();
        prop_assume!(!good.is_empty());
        worse[good[which % good.len()]].1 = [Fate::Ready, Fate::Unready, Fate::Missing, Fate::Unserved, Fate::Unreadable][how];
        let after = gate(&worse).readiness();
        prop_assert!(!after.is_ready());
        prop_assert!(after.ready <= before.ready, "{before:?} {after:?}");
    }

    #[test]
    fn what_no_inventory_names_changes_nothing(fates in fates(), stranger in 0_usize..7) {
        let mut gated = gate(&fates);
        let before = gated.readiness();
        let (ready, unready) = forms(stranger, 1000);
        gated.put(&ready);
        assert_eq!(gated.readiness(), before);
        gated.put(&unready);
        assert_eq!(gated.readiness(), before);
    }
}
