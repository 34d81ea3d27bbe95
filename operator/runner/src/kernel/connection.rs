//! The connection file: tells a kernel where to listen and which key signs its messages.

use std::{
    fs::{self, OpenOptions},
    io,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use jupyter_protocol::{ConnectionInfo, Transport};
use jupyter_zmq_client::peek_ports_with_listeners;
use uuid::Uuid;

/// Only we talk to the kernel. TCP and not sockets in files, because some kernels know nothing else.
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A connection file, gone with this value.
#[derive(Debug)]
pub struct ConnectionFile {
    /// Where the kernel will listen.
    pub info: ConnectionInfo,
    path: PathBuf,
}

impl ConnectionFile {
    /// Chooses free ports and a key, and writes them to a file in `folder` that only we can read.
    ///
    /// The ports are free again when this returns: a kernel that finds one taken is started anew by the caller.
    pub async fn create(folder: &Path, kernel: &str) -> Result<Self, jupyter_zmq_client::RuntimeError> {
        let (ports, held) = peek_ports_with_listeners(ADDRESS, 5).await?;
        let [shell_port, iopub_port, stdin_port, control_port, hb_port] = ports[..] else {
            return Err(io::Error::other(format!("{} ports instead of 5", ports.len())).into());
        };
        drop(held);
        let info = ConnectionInfo {
            ip: ADDRESS.to_string(),
            transport: Transport::TCP,
            shell_port,
            iopub_port,
            stdin_port,
            control_port,
            hb_port,
            key: Uuid::new_v4().to_string(),
            signature_scheme: "hmac-sha256".into(),
            kernel_name: Some(kernel.to_owned()),
        };
        let path = folder.join(format!(".kernel-{}.json", Uuid::new_v4()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        serde_json::to_writer(file, &info)?;
        Ok(Self { info, path })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ConnectionFile {
    fn drop(&mut self) {
        // The kernel may have removed it itself; its key is worth nothing once the kernel has ended.
        let _ = fs::remove_file(&self.path);
    }
}
