//! What was ours goes, at whatever call it was left; what is somebody else's stays.

use std::fs;

use nix::sys::signal::Signal;

use crate::stand_in::{DOWN, LIMIT, RECORD, StandIn, UP};

/// Progress as it comes.
const JSON: [&str; 2] = ["--output", "json"];

pub fn killed() {
    for call in [
        "snap watch",
        "snap refresh --hold",
        "microk8s status",
        "microk8s enable dns",
        "microk8s enable metallb",
        "microk8s config",
    ] {
        let stand_in = StandIn::new();
        stand_in.killed_at(call, &UP);
        assert!(stand_in.left().contains(&RECORD), "{call}");
        stand_in.run(&DOWN).expect(0);
        assert_eq!(stand_in.left(), Vec::<&str>::new(), "{call}");
    }
    // In the midst of a removal.
    let stand_in = StandIn::new();
    stand_in.killed_at("microk8s config", &UP);
    stand_in.killed_at("snap remove", &DOWN);
    stand_in.run(&DOWN).expect(0);
    assert_eq!(stand_in.left(), Vec::<&str>::new());
}

pub fn killed_while_snapd_is_asked() {
    // The program goes on asking, and snapd begins after all.
    for kept in [&DOWN[..], &UP] {
        let stand_in = StandIn::new();
        stand_in.killed_without_the_call("snap install", &UP);
        let mut next = stand_in.start(&[kept, &JSON].concat());
        next.await_line("the wait", LIMIT, |line| line.contains("which still asks snapd"));
        stand_in.go_on();
        if kept == DOWN {
            next.wait(LIMIT).expect(0);
            assert!(stand_in.calls().contains(&"snap abort 1".to_owned()), "{:?}", stand_in.calls());
            assert_eq!(stand_in.lines("changes")[0].split(' ').nth(1), Some("Undone"));
        } else {
            // There is no API server behind this one.
            stand_in.write("fail", "microk8s status");
            next.wait(LIMIT).expect(4);
            assert_eq!(stand_in.calls().iter().filter(|call| call.starts_with("snap install")).count(), 1);
            stand_in.run(&DOWN).expect(0);
        }
        assert_eq!(stand_in.left(), Vec::<&str>::new());
    }
    // snapd has answered nobody: `down` waits for what may come of it, and the owner decides.
    let stand_in = StandIn::new();
    stand_in.killed_at("snap install", &UP);
    let mut down = stand_in.start(&[&DOWN[..], &JSON].concat());
    down.await_line("the wait", LIMIT, |line| line.contains("was killed before it had an answer"));
    stand_in.write("changes", "1 Doing Install \"microk8s\" snap from \"latest/stable\" channel\n");
    assert!(down.wait(LIMIT).expect(4).stderr.contains("cannot be told"));
    stand_in.write("changes", "1 Error Install \"microk8s\" snap from \"latest/stable\" channel\n");
    stand_in.asked_an_hour_ago();
    stand_in.run(&DOWN).expect(0);
    assert_eq!(stand_in.left(), Vec::<&str>::new());
}

pub fn refreshed() {
    for forgotten in [false, true] {
        let stand_in = StandIn::new();
        stand_in.killed_at("microk8s config", &UP);
        if forgotten {
            stand_in.forgotten();
        }
        stand_in.refreshed();
        stand_in.run(&DOWN).expect(0);
        assert_eq!(stand_in.left(), Vec::<&str>::new());
        assert_eq!(stand_in.calls().last().unwrap(), "snap remove --purge microk8s");
    }
}

pub fn interrupted() {
    for call in ["snap watch", "microk8s enable ingress"] {
        let stand_in = StandIn::new();
        let up = stand_in.started_up_to(call, &UP);
        up.signal(Signal::SIGINT);
        up.wait(LIMIT).expect(130);
        assert_eq!(stand_in.left(), Vec::<&str>::new(), "{call}");
        stand_in.end_hanging();
    }
    // One that a killed `up` had only written down is installed by the next.
    let stand_in = StandIn::new();
    stand_in.killed_at("snap install", &UP);
    stand_in.asked_an_hour_ago();
    let up = stand_in.started_up_to("microk8s enable ingress", &UP);
    up.signal(Signal::SIGINT);
    up.wait(LIMIT).expect(130);
    assert_eq!(stand_in.left(), Vec::<&str>::new());
    stand_in.end_hanging();
    // What was there before stays.
    let stand_in = StandIn::new();
    stand_in.killed_at("microk8s enable dns", &UP);
    let up = stand_in.started_up_to("microk8s enable ingress", &UP);
    up.signal(Signal::SIGINT);
    up.wait(LIMIT).expect(130);
    assert!(stand_in.left().contains(&"installed"));
    stand_in.end_hanging();
    stand_in.run(&DOWN).expect(0);
}

pub fn foreign() {
    let stand_in = StandIn::new();
    stand_in.installed_by_somebody(1);
    let refused = stand_in.run(&UP).expect(4);
    assert!(refused.stderr.contains("on this machine already and not by kfe2e"), "{}", refused.stderr);
    stand_in.run(&DOWN).expect(0);
    assert_eq!((stand_in.calls(), stand_in.left()), (Vec::<String>::new(), vec!["installed"]));
    // One that somebody installs right now.
    fs::remove_file(stand_in.path("installed")).unwrap();
    stand_in.write("changes", "1 Doing Install \"microk8s\" snap from \"1.32/stable\" channel\n");
    stand_in.run(&UP).expect(4);
    assert_eq!(stand_in.calls(), Vec::<String>::new());
}

pub fn installed_after_a_kill() {
    // Nothing says whose it is: kfe2e may have begun it.
    let stand_in = StandIn::new();
    stand_in.killed_at("snap install", &UP);
    stand_in.installed_by_somebody(1);
    for arguments in [&DOWN[..], &UP] {
        let ended = stand_in.run(arguments).expect(4);
        assert!(ended.stderr.contains("cannot be told"), "{}", ended.stderr);
    }
    assert_eq!(stand_in.left(), ["installed", RECORD]);
    assert!(!stand_in.calls().iter().any(|call| call.contains("remove") || call.contains("abort")));
    // The same while it is being installed.
    fs::remove_file(stand_in.path("installed")).unwrap();
    stand_in.write("changes", "1 Doing Install \"microk8s\" snap from \"1.32/stable\" channel\n");
    stand_in.run(&DOWN).expect(4);
    assert_eq!(stand_in.lines("changes").len(), 1);
    // Its owner has decided.
    stand_in.forgotten();
    stand_in.asked_an_hour_ago();
    stand_in.run(&DOWN).expect(0);
    assert_eq!(stand_in.left(), Vec::<&str>::new());

    // Ours came to nothing, and theirs came after.
    let stand_in = StandIn::new();
    stand_in.killed_at("snap watch", &UP);
    stand_in.write("changes", "1 Error Install \"microk8s\" snap from \"latest/stable\" channel\n");
    stand_in.installed_by_somebody(2);
    stays(&stand_in);
}

pub fn reinstalled() {
    for forgotten in [false, true] {
        let stand_in = StandIn::new();
        stand_in.killed_at("microk8s config", &UP);
        stand_in.removed_by_hand();
        stand_in.installed_by_somebody(4);
        if forgotten {
            stand_in.forgotten();
        }
        stays(&stand_in);
    }
}

/// What is installed is somebody else's: it is neither joined nor loaded nor removed, and the record goes.
fn stays(stand_in: &StandIn) {
    stand_in.write("calls", "");
    let refused = stand_in.run(&UP).expect(4);
    assert!(refused.stderr.contains("not the one that kfe2e installed"), "{}", refused.stderr);
    stand_in.run(&["image", "load", "--name", "ours", "/nowhere"]);
    let ended = stand_in.run(&DOWN).expect(0);
    assert!(format!("{}{}", ended.stdout, ended.stderr).contains("it stays"), "{}", ended.stdout);
    assert_eq!((stand_in.calls(), stand_in.left()), (Vec::<String>::new(), vec!["installed"]));
    stand_in.run(&DOWN).expect(0);
    assert_eq!(stand_in.calls(), Vec::<String>::new());
}

pub fn overtaken() {
    let install = "snap install microk8s --classic --channel=latest/stable --no-wait";
    for (moment, calls) in
        [("3 snap changes microk8s".to_owned(), vec![]), (format!("1 {install}"), vec![install])]
    {
        let stand_in = StandIn::new();
        stand_in.write("intrude", &moment);
        let ended = stand_in.run(&UP).expect(4);
        assert!(ended.stderr.contains("somebody else installs"), "{}", ended.stderr);
        assert_eq!(
            (stand_in.calls(), stand_in.left()),
            (calls.into_iter().map(str::to_owned).collect(), vec!["installed"])
        );
        stand_in.run(&DOWN).expect(0);
        assert_eq!(stand_in.left(), ["installed"]);
    }
}
