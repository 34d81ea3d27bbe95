//! A TLS proxy between the operator and a real API server, which breaks what a script tells it to break and writes down
//! every call.
//!
//! The operator trusts the proxy's certificate and sends its own token, which is passed on: authentication and
//! authorization are the API server's. Only the operator's view of whole kinds is narrowed to what one case needs, so that
//! many cases with an operator each share one API server.

mod answer;
mod call;
mod course;
mod journal;
mod script;
mod skew;
mod state;
mod stream;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use jiff::SignedDuration;
use kube::Client;
use nix::unistd::Pid;
use rustls::pki_types::PrivateKeyDer;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

use self::state::State;
pub use self::{
    answer::Refused,
    call::Call,
    journal::{Entry, Journal},
    script::{Fault, Moment, Refusal, Rule, Script},
};

/// A running proxy; dropping it ends it and its connections.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its certificate, as PEM.
    pub certificate: String,
    /// What the operator did.
    pub journal: Journal,
    state: Arc<State>,
    listener: JoinHandle<()>,
}

impl Proxy {
    /// Starts one in front of `upstream`, through which the operator sees no run but this one.
    pub async fn start(upstream: Client, run: &str) -> Self {
        let identity = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(identity.signing_key.serialize_der().into());
        let tls = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![identity.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let journal = Journal::default();
        let state = Arc::new(State {
            upstream,
            run: run.to_owned(),
            journal: journal.clone(),
            killed: watch::Sender::new(0),
            doomed: AtomicBool::new(false),
            changing: watch::Sender::default(),
        });
        Self {
            address: listener.local_addr().unwrap(),
            certificate: identity.cert.pem(),
            journal,
            state: Arc::clone(&state),
            listener: tokio::spawn(accept(listener, acceptor, state)),
        }
    }

    /// Goes by these rules from now on; calls are counted from here.
    pub fn follow(&self, rules: Vec<Rule>) {
        self.state.changing.send_modify(|changing| changing.script = Script::new(rules));
    }

    /// The process that a rule may kill.
    pub fn set_victim(&self, pid: Pid) {
        self.state.changing.send_modify(|changing| changing.victim = Some(pid));
        self.state.doomed.store(false, Ordering::SeqCst);
    }

    /// Counts the kills.
    pub fn kills(&self) -> watch::Receiver<usize> {
        self.state.killed.subscribe()
    }

    /// Kills nobody any more: the process is about to be waited for, and its number free for another.
    pub fn spare(&self) {
        self.state.changing.send_modify(|changing| changing.victim = None);
    }

    /// Takes no token but this one from now on.
    pub fn accept_only(&self, token: &str) {
        let only = Some(format!("Bearer {token}"));
        self.state.changing.send_modify(|changing| changing.only_token = only);
    }

    /// From now on the operator's clock is ahead of the API server's by so much.
    pub fn set_clock_ahead(&self, by: SignedDuration) {
        self.state.changing.send_modify(|changing| changing.ahead = by);
    }

    /// When the last fault happened, if any did.
    pub fn last_fault(&self) -> Option<Instant> {
        self.state.changing.borrow().last_fault
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Serves every connection in a task of its own.
async fn accept(listener: TcpListener, acceptor: TlsAcceptor, state: Arc<State>) {
    // The connections end with this task.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, acceptor.clone(), Arc::clone(&state)));
        while connections.try_join_next().is_some() {}
    }
}

/// One connection. How it ends is the operator's affair: a killed one just goes.
async fn serve(stream: TcpStream, acceptor: TlsAcceptor, state: Arc<State>) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { state.handle(request).await }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
