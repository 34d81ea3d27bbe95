//! A client that asks once more where its connection was lost: an API server closes one that was idle for long, perhaps
//! at the moment at which it is used again, and no hour of measuring should end by that.

use std::future::{Ready, ready};

use http::{Request, Response};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
    config::{KubeConfigOptions, Kubeconfig},
};
use tower::{
    BoxError,
    buffer::BufferLayer,
    retry::{Policy, RetryLayer},
};

use crate::world::AT_ONCE;

/// Once, and only where there was no answer.
#[derive(Clone, Default)]
struct Again {
    asked: bool,
}

impl<B> Policy<Request<Body>, Response<B>, BoxError> for Again {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<Body>,
        answer: &mut Result<Response<B>, BoxError>,
    ) -> Option<Self::Future> {
        (answer.is_err() && !std::mem::replace(&mut self.asked, true)).then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        let mut again = Request::new(request.body().try_clone()?);
        *again.method_mut() = request.method().clone();
        *again.uri_mut() = request.uri().clone();
        *again.headers_mut() = request.headers().clone();
        *again.extensions_mut() = request.extensions().clone();
        Some(again)
    }
}

/// A client of the kubeconfig's administrator.
pub async fn client(kubeconfig: &str) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.default_retry = false;
    // The library's own stack cannot be cloned, as asking twice needs it to be.
    let stack = ClientBuilder::try_from(config).unwrap().with_layer(&BufferLayer::new(AT_ONCE));
    stack.with_layer(&RetryLayer::new(Again::default())).build()
}

/// What was to be created is there: where the first answer was lost, the second says so.
pub fn assert_made<T>(answer: kube::Result<T>) {
    match answer {
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        made => drop(made.unwrap()),
    }
}

/// What was to be deleted is gone: where the first answer was lost, the second says so.
pub fn assert_gone<T>(answer: kube::Result<T>) {
    match answer {
        Err(kube::Error::Api(status)) if status.is_not_found() => {}
        gone => drop(gone.unwrap()),
    }
}
