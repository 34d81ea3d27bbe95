//! A kernel that stops reading: what the runner sends to it is never taken.

use std::{
    fs,
    time::{Duration, Instant},
};

use crds::{v1alpha1::TestReason, verdict::Cells};

use crate::harness::{Pod, notebook};

/// An ipykernel behind a port that passes on what greets the kernel and takes no more than that.
const DEAF_KERNEL: &str = r#"
import json, socket, subprocess, sys, threading

info = json.load(open(sys.argv[1]))
front = socket.create_server(("127.0.0.1", info["shell_port"]))
spare = socket.create_server(("127.0.0.1", 0))
info["shell_port"] = spare.getsockname()[1]
spare.close()
inner = sys.argv[1] + ".inner"
json.dump(info, open(inner, "w"))
kernel = subprocess.Popen([sys.executable, "-m", "ipykernel_launcher", "-f", inner])

def forward(source, target, limit):
    while limit > 0 and (data := source.recv(65536)):
        target.sendall(data)
        limit -= len(data)

def serve(client):
    while True:
        try:
            server = socket.create_connection(("127.0.0.1", info["shell_port"]))
            break
        except ConnectionRefusedError:
            threading.Event().wait(0.05)
    threading.Thread(target=forward, args=(server, client, float("inf")), daemon=True).start()
    forward(client, server, 1 << 20)
    kernel.wait()

while True:
    client = front.accept()[0]
    threading.Thread(target=serve, args=(client,), daemon=True).start()
"#;

#[test]
fn a_cell_that_the_kernel_does_not_take_ends_with_the_test() {
    let pod = Pod::new();
    let program = pod.path("deaf.py");
    fs::write(&program, DEAF_KERNEL).unwrap();
    pod.add_kernel("deaf", &["python", program.to_str().unwrap(), "{connection_file}"]);
    // More than the port takes.
    let mut source = notebook(&["1", &format!("# big\n'{}'", "x".repeat(4 << 20))]);
    source["metadata"]["kernelspec"]["name"] = "deaf".into();
    let started = Instant::now();
    let ended = pod.notebook(&source, 12);
    assert_eq!(ended.verdict.reason, Some(TestReason::TimedOut), "{:?}", ended.verdict);
    assert_eq!(
        ended.verdict.message,
        "cell 2: not finished within the test's timeout of 12 s (the cell begins: # big)"
    );
    assert_eq!(ended.verdict.cells, Some(Cells { passed: 1, failed: 1, total: 2 }));
    assert!(started.elapsed() < Duration::from_mins(1), "{:?}", started.elapsed());
}
