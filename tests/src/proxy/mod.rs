//! A TLS proxy between the operator and a real API server, which breaks what a script tells it to break and writes down
//! every call.
//!
//! The operator trusts the proxy's certificate and sends its own token, which is passed on: authentication and
//! authorization are the API server's. Only the operator's view of whole kinds is narrowed to what one case needs, so that
//! many cases with an operator each share one API server.

mod answer;
mod call;
mod journal;
mod script;
mod skew;
mod stream;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crds::names::label;
use futures::TryStreamExt as _;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{
    Request, Response, StatusCode, Uri,
    body::{Bytes, Frame, Incoming},
    header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderValue},
    http::request::Parts,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use jiff::SignedDuration;
use kube::{Client, client::Body};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rustls::pki_types::PrivateKeyDer;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

use self::answer::{Answer, json, refuse, whole};
pub use self::{
    answer::Refused,
    call::Call,
    journal::{Entry, Journal},
    script::{Fault, Moment, Refusal, Rule, Script},
};
use crate::faults::outcome::GATE;

/// How long an operator that was answered may stay silent before it is killed: there may be no next call.
const SILENCE: Duration = Duration::from_millis(300);

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

/// What the connections share.
struct State {
    upstream: Client,
    run: String,
    journal: Journal,
    killed: watch::Sender<usize>,
    /// Whether the next call is the operator's last.
    doomed: AtomicBool,
    changing: watch::Sender<Changing>,
}

/// What changes while a case runs.
#[derive(Default)]
struct Changing {
    script: Script,
    lists: HashMap<(String, Option<HeaderValue>), Bytes>,
    only_token: Option<String>,
    victim: Option<Pid>,
    last_fault: Option<Instant>,
    ahead: SignedDuration,
}

/// A fault that goes on; it is over when this is dropped, also where the operator no longer waits for its answer.
struct Going<'a>(&'a State);

impl Drop for Going<'_> {
    fn drop(&mut self) {
        self.0.note_fault();
    }
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

impl State {
    async fn handle(self: &Arc<Self>, request: Request<Incoming>) -> Result<Response<Answer>, Refused> {
        let (parts, body) = request.into_parts();
        let call = Call::of(&parts.method, &parts.uri);
        let mut open = self.journal.begin(call.clone());
        let body = body.collect().await.map_err(Refused::because)?.to_bytes();
        if self.doomed.load(Ordering::SeqCst) {
            return Err(self.kill());
        }
        let fault = self.fault_of(&call, parts.headers.get(AUTHORIZATION));
        let going = fault.as_ref().map(|fault| {
            open.entry.fault = Some(fault.to_string());
            self.note_fault();
            Going(self)
        });
        let result = self.carry_out(&call, parts, body, fault.as_ref()).await;
        drop(going);
        open.entry.status = result.as_ref().ok().map(|answer| answer.status().as_u16());
        result
    }

    /// What becomes of a call, which is counted.
    fn fault_of(&self, call: &Call, token: Option<&HeaderValue>) -> Option<Fault> {
        let mut fault = None;
        self.changing.send_modify(|changing| {
            let refused =
                changing.only_token.as_ref().is_some_and(|only| token.is_none_or(|token| token != only));
            fault = if refused {
                Some(Fault::Answer(Refusal::UNAUTHORIZED))
            } else {
                changing.script.next(&call.site())
            };
        });
        fault
    }

    /// A fault begins, or ends.
    fn note_fault(&self) {
        self.changing.send_modify(|changing| changing.last_fault = Some(Instant::now()));
    }

    /// Serves a call, or does to it what the fault says.
    async fn carry_out(
        self: &Arc<Self>,
        call: &Call,
        parts: Parts,
        body: Bytes,
        fault: Option<&Fault>,
    ) -> Result<Response<Answer>, Refused> {
        let ahead = self.changing.borrow().ahead;
        let body = if ahead.is_zero() { body } else { skew::shift(&body, ahead).into() };
        // Whole objects and their metadata alone are different lists.
        let list = (call.site(), parts.headers.get(ACCEPT).cloned());
        match fault {
            Some(Fault::Drop) => return Err(Refused::because("dropped")),
            Some(Fault::Answer(refusal)) => return Ok(refuse(refusal, call)),
            Some(Fault::Kill(Moment::Before)) => return Err(self.kill()),
            Some(Fault::Older) => {
                if let Some(older) = self.changing.borrow().lists.get(&list).cloned() {
                    return Ok(json(StatusCode::OK, older));
                }
            }
            // The fault itself: a request that comes late.
            Some(Fault::Delay(wait)) => tokio::time::sleep(*wait).await,
            _ => {}
        }
        let answer =
            self.upstream.send(self.passed_on(call, parts, body)?).await.map_err(Refused::because)?;
        let (mut head, body) = answer.into_parts();
        skew::shift_date(&mut head.headers, -ahead);
        if call.verb == "watch" {
            let body = if fault.is_some() || !ahead.is_zero() {
                let events = stream::disturbed(Box::pin(body.into_data_stream()), fault);
                let events = events.map_ok(move |line| Frame::data(skew::shift(&line, -ahead).into()));
                StreamBody::new(events).boxed_unsync()
            } else {
                body.map_err(Refused::because).boxed_unsync()
            };
            return Ok(Response::from_parts(head, body));
        }
        let body = body.collect().await.map_err(Refused::because)?.to_bytes();
        match fault {
            Some(Fault::LoseAnswer) => return Err(Refused::because("the answer is lost")),
            Some(Fault::Kill(Moment::Committed)) => return Err(self.kill()),
            Some(Fault::Kill(Moment::Answered)) => self.kill_at_next(),
            _ => {}
        }
        if call.verb == "list" && head.status == StatusCode::OK {
            self.changing.send_modify(|changing| {
                changing.lists.entry(list).or_insert_with(|| body.clone());
            });
        }
        let body = if ahead.is_zero() { body } else { skew::shift(&body, -ahead).into() };
        head.headers.remove(CONTENT_LENGTH);
        Ok(Response::from_parts(head, whole(body)))
    }

    /// The request as it goes on: with the operator's own token.
    fn passed_on(&self, call: &Call, parts: Parts, body: Bytes) -> Result<Request<Body>, Refused> {
        let mut uri = parts.uri;
        if call.is_wide() {
            let query = self.narrowed(&call.resource, uri.query().unwrap_or_default());
            uri = format!("{}?{query}", uri.path()).parse::<Uri>().map_err(Refused::because)?;
        }
        let mut request = Request::new(Body::from(body.to_vec()));
        *request.method_mut() = parts.method;
        *request.uri_mut() = uri;
        *request.headers_mut() = parts.headers;
        request.headers_mut().remove(HOST);
        Ok(request)
    }

    /// The query for a whole kind, without the objects of other cases: those would be the work of this operator too, or
    /// its load.
    fn narrowed(&self, resource: &str, query: &str) -> String {
        let run = &self.run;
        match (resource, query.split_once("labelSelector=")) {
            ("e2etests", _) => format!("{query}&fieldSelector=metadata.name%3D{run}"),
            ("jobs" | "pods", Some((before, after))) => {
                format!("{before}labelSelector={}%3D{run}%2C{after}", label::RUN.replace('/', "%2F"))
            }
            ("pods", None) => format!("{query}&fieldSelector=metadata.namespace%3D{GATE}"),
            _ => query.to_owned(),
        }
    }

    /// Kills the operator.
    fn kill(&self) -> Refused {
        self.doomed.store(false, Ordering::SeqCst);
        let mut victim = None;
        self.changing.send_modify(|changing| victim = changing.victim.take());
        if let Some(pid) = victim {
            // Whoever waits for the process keeps its number from being given to another.
            kill(pid, Signal::SIGKILL).unwrap();
            self.killed.send_modify(|kills| *kills += 1);
        }
        Refused::because("the operator was killed")
    }

    /// Kills the operator when it makes its next call, or when it makes none.
    fn kill_at_next(self: &Arc<Self>) {
        self.doomed.store(true, Ordering::SeqCst);
        let (mut kills, before) = (self.killed.subscribe(), *self.killed.borrow());
        let state = Arc::clone(self);
        tokio::spawn(async move {
            let next = tokio::time::timeout(SILENCE, kills.wait_for(|kills| *kills > before)).await;
            if next.is_err() {
                state.kill();
            }
        });
    }
}
