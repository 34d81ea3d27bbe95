//! What was ours goes, at whatever call it was left; what is somebody else's stays.

use std::fs;

use nix::sys::signal::Signal;

use crate::stand_in::{DOWN, LIMIT, RECORD, StandIn, UP};

pub fn killed() {
    for call in [
        "snap install",
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

pub fn interrupted() {
    for call in ["snap watch", "microk8s enable ingress"] {
        let stand_in = StandIn::new();
        stand_in.write("hang", call);
        let mut up = stand_in.start(&UP);
        up.await_path(&stand_in.path("hanging"), LIMIT);
        up.signal(Signal::SIGINT);
        up.wait(LIMIT).expect(130);
        assert_eq!(stand_in.left(), Vec::<&str>::new(), "{call}");
        stand_in.end_hanging();
    }
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
    fs::remove_file(stand_in.path("changes")).unwrap();
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
            // snapd forgets its changes after a while.
            fs::remove_file(stand_in.path("changes")).unwrap();
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
