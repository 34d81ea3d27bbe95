//! The Jupyter protocol, as the client of one kernel.
//!
//! What arrives is kept as the JSON that the kernel sent: nothing that a newer kernel adds is lost on its way into the
//! notebook.

use std::{net::Ipv4Addr, time::Duration};

use jupyter_protocol::{
    ConnectionInfo, ExecuteRequest, InterruptRequest, JupyterMessage, KernelInfoRequest, ShutdownRequest,
};
use jupyter_zmq_client::{
    ClientControlConnection, ClientIoPubConnection, ClientShellConnection, Connection, RawMessage,
    RuntimeError, create_client_control_connection, create_client_iopub_connection,
    create_client_shell_connection_with_identity, peer_identity_for_session,
};
use serde_json::Value;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use uuid::Uuid;
use zeromq::SocketRecv;

/// How often a kernel that does not listen yet is looked at.
const LISTEN_POLL: Duration = Duration::from_millis(10);

/// How long after an answer the kernel's broadcast may be missing before it is asked again.
const GREETING_PAUSE: Duration = Duration::from_millis(250);

/// Answers without any broadcast after which a kernel is taken for one that broadcasts nothing when it is asked.
const GREETINGS_WITHOUT_BROADCAST: u32 = 12;

/// Where a message came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Channel {
    /// Answers to requests.
    Shell,
    /// Broadcasts: outputs and states.
    IoPub,
}

/// A message of the kernel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Where it came from.
    pub channel: Channel,
    /// Its type, such as `stream`.
    pub kind: String,
    /// The request that it belongs to.
    pub parent: String,
    /// When it was sent, by the kernel's own account.
    pub date: Option<String>,
    /// What it says.
    pub content: Value,
    /// Size of the content in bytes.
    pub bytes: usize,
}

/// Why talking to the kernel failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A socket failed, or a message is not signed by the kernel.
    #[error("the kernel cannot be talked to: {0}")]
    Transport(#[from] RuntimeError),
    /// A message has no readable JSON.
    #[error("the kernel sent a message that cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// A client of one kernel.
pub struct Client {
    shell: ClientShellConnection,
    iopub: ClientIoPubConnection,
    control: ClientControlConnection,
}

impl Client {
    /// Connects as soon as the kernel listens and returns when it answers and its broadcasts arrive; also what the
    /// kernel says of its language.
    ///
    /// It has no deadline of its own: the caller stops waiting.
    pub async fn connect(info: &ConnectionInfo) -> Result<(Self, Value), ClientError> {
        // All channels are bound before a kernel answers; looking often costs less than the sockets' own slow retries.
        for port in [info.shell_port, info.iopub_port, info.control_port] {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
                sleep(LISTEN_POLL).await;
            }
        }
        let session = Uuid::new_v4().to_string();
        let identity = peer_identity_for_session(&session)?;
        let mut client = Self {
            iopub: create_client_iopub_connection(info, "", &session).await?,
            shell: create_client_shell_connection_with_identity(info, &session, identity).await?,
            control: create_client_control_connection(info, &session).await?,
        };
        let language = client.greet().await?;
        Ok((client, language))
    }

    /// Asks the kernel about itself until it answers and a broadcast has come too: only then is no output missed.
    /// Returns the `language_info` of its answer.
    async fn greet(&mut self) -> Result<Value, ClientError> {
        let (mut answers, mut heard, mut language) = (0, false, Value::Null);
        self.ask().await?;
        while answers == 0 || !heard {
            match timeout(GREETING_PAUSE, self.receive()).await {
                Ok(message) => match message? {
                    Message { channel: Channel::IoPub, .. } => heard = true,
                    Message { mut content, .. } => {
                        answers += 1;
                        language = content["language_info"].take();
                    }
                },
                Err(_) if answers >= GREETINGS_WITHOUT_BROADCAST => break,
                // One question is under way until it is answered: a kernel may take long to start.
                Err(_) if answers > 0 => self.ask().await?,
                Err(_) => {}
            }
        }
        Ok(language)
    }

    /// Asks the kernel about itself.
    async fn ask(&mut self) -> Result<(), ClientError> {
        self.send(JupyterMessage::new(KernelInfoRequest {}, None)).await
    }

    /// The request that executes a cell. All of the cell's messages name its id as their parent.
    pub fn execute_request(code: &str, may_raise: bool) -> JupyterMessage {
        let request = ExecuteRequest {
            code: code.to_owned(),
            silent: false,
            store_history: true,
            user_expressions: None,
            allow_stdin: false,
            stop_on_error: !may_raise,
        };
        JupyterMessage::new(request, None)
    }

    /// Sends a request whose answer comes over the shell channel. It has no deadline of its own: the caller
    /// stops waiting.
    pub async fn send(&mut self, request: JupyterMessage) -> Result<(), ClientError> {
        Ok(self.shell.send(request).await?)
    }

    /// Asks the kernel to interrupt what it runs.
    pub async fn interrupt(&mut self) -> Result<(), ClientError> {
        Ok(self.control.send(JupyterMessage::new(InterruptRequest {}, None)).await?)
    }

    /// Asks the kernel to end.
    pub async fn shut_down(&mut self) -> Result<(), ClientError> {
        Ok(self.control.send(JupyterMessage::new(ShutdownRequest { restart: false }, None)).await?)
    }

    /// The next message of either channel. Nothing is lost when this is cancelled.
    pub async fn receive(&mut self) -> Result<Message, ClientError> {
        tokio::select! {
            message = receive(&mut self.shell, Channel::Shell) => message,
            message = receive(&mut self.iopub, Channel::IoPub) => message,
        }
    }
}

/// The next message of one channel, its signature verified.
async fn receive<S: SocketRecv>(
    connection: &mut Connection<S>,
    channel: Channel,
) -> Result<Message, ClientError> {
    let parts = connection.socket.recv().await.map_err(RuntimeError::from)?;
    let message = RawMessage::from_multipart(parts, &connection.mac)?;
    let part = |index: usize| message.jparts.get(index).map_or(&[][..], |part| part);
    read(channel, part(0), part(1), part(3))
}

/// A message from its header, its parent's header and its content.
fn read(channel: Channel, header: &[u8], parent: &[u8], content: &[u8]) -> Result<Message, ClientError> {
    let (header, parent) = (json(header)?, json(parent)?);
    let text = |object: &Value, key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
    Ok(Message {
        channel,
        kind: text(&header, "msg_type").unwrap_or_default(),
        parent: text(&parent, "msg_id").unwrap_or_default(),
        date: text(&header, "date"),
        content: json(content)?,
        bytes: content.len(),
    })
}

/// JSON of bytes that should be UTF-8; Python lets through bytes of file names that are not.
fn json(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    match str::from_utf8(bytes) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_str(&String::from_utf8_lossy(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cell_that_may_raise_lets_the_kernel_go_on() {
        for may_raise in [false, true] {
            let request = serde_json::to_value(Client::execute_request("x", may_raise).content).unwrap();
            assert_eq!((&request["code"], &request["stop_on_error"]), (&"x".into(), &(!may_raise).into()));
        }
    }

    #[test]
    fn a_message_keeps_what_the_kernel_sent() {
        let message = read(
            Channel::IoPub,
            br#"{"msg_type": "stream", "date": "2026-01-02T03:04:05Z"}"#,
            br#"{"msg_id": "m1"}"#,
            br#"{"name": "stdout", "text": "x", "new": 0.1}"#,
        )
        .unwrap();
        assert_eq!((message.kind.as_str(), message.parent.as_str()), ("stream", "m1"));
        assert_eq!(message.content["new"], 0.1);
    }

    #[test]
    fn bytes_that_are_no_utf_8_become_marks_and_bad_json_an_error() {
        let message = read(Channel::Shell, b"{}", b"{}", b"{\"text\": \"a\xff\"}").unwrap();
        assert_eq!(message.content["text"], "a\u{fffd}");
        assert!(read(Channel::Shell, b"", b"{}", b"{}").is_err());
    }
}
