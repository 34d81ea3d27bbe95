//! Kubeconfig files with everything embedded, so that one file is all that a client needs.

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::{ClusterName, pki::Client};

/// The text of a kubeconfig for one user of one cluster.
pub(crate) fn render(cluster: &ClusterName, server: &str, ca: &str, user: &str, client: &Client) -> String {
    let data = |pem: &str| BASE64_STANDARD.encode(pem);
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         clusters:\n\
         - name: {name}\n\
         \x20 cluster:\n\
         \x20   server: {server}\n\
         \x20   certificate-authority-data: {ca}\n\
         users:\n\
         - name: {user}\n\
         \x20 user:\n\
         \x20   client-certificate-data: {certificate}\n\
         \x20   client-key-data: {key}\n\
         contexts:\n\
         - name: {name}\n\
         \x20 context: {{cluster: {name}, user: {user}}}\n\
         current-context: {name}\n",
        name = cluster.tag(),
        ca = data(ca),
        certificate = data(&client.certificate),
        key = data(&client.key),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_holds_server_and_credentials() {
        let client = Client { certificate: "cert".into(), key: "key".into() };
        let text = render(&ClusterName::new("a").unwrap(), "https://10.77.1.2:6443", "ca", "admin", &client);
        assert!(text.contains("server: https://10.77.1.2:6443"));
        assert!(text.contains(&format!("client-key-data: {}", BASE64_STANDARD.encode("key"))));
        assert!(text.contains("current-context: kfe2e-a"));
    }
}
