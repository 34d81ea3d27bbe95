//! The cluster's certificates: made anew for each cluster, kept in its folder, never copied elsewhere.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};

use crate::{
    ClusterName, Error,
    address::{API_SERVICE, Subnet},
};

/// How long certificates hold: longer than any test cluster.
const VALIDITY: Duration = Duration::from_hours(365 * 24);
/// How far clocks may differ.
const SKEW: Duration = Duration::from_hours(1);

/// A client or server certificate to make.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Leaf {
    /// The files' name.
    file: &'static str,
    user: String,
    group: Option<&'static str>,
    /// Names and addresses that it serves under; none for a client.
    serves: Vec<String>,
}

/// Certificate and key of a client, as PEM.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// What was made: the folder for those parts that read files, and the clients for kubeconfigs.
#[derive(Clone, Debug)]
pub(crate) struct Pki {
    folder: PathBuf,
    pub(crate) ca: String,
}

impl Pki {
    /// Makes authorities, certificates and the service accounts' key pair in `folder`.
    pub(crate) fn create(folder: &Path, cluster: &ClusterName, subnet: Subnet) -> Result<Self, Error> {
        fs::DirBuilder::new().mode(0o700).create(folder).map_err(Error::io("create", folder))?;
        let pki = Self { folder: folder.to_owned(), ca: String::new() };
        let ca = pki.authority("ca")?;
        for leaf in leaves(cluster, subnet) {
            pki.leaf(&leaf, &ca)?;
        }
        let front = pki.authority("front-proxy-ca")?;
        pki.leaf(&client("front-proxy", "front-proxy", None), &front)?;
        let accounts = generate("service accounts")?;
        pki.write("service-accounts.key", &accounts.serialize_pem())?;
        pki.write("service-accounts.pub", &accounts.public_key_pem())?;
        Ok(Self { ca: ca.pem(), ..pki })
    }

    /// The files in a folder, for tests of what refers to them.
    #[cfg(test)]
    pub(crate) fn at(folder: &str) -> Self {
        Self { folder: folder.into(), ca: String::new() }
    }

    /// The path of one of the files.
    pub(crate) fn path(&self, file: &str) -> String {
        self.folder.join(file).to_string_lossy().into_owned()
    }

    /// A client's certificate and key.
    pub(crate) fn client(&self, file: &str) -> Result<Client, Error> {
        let read = |suffix: &str| {
            let path = self.folder.join(format!("{file}.{suffix}"));
            fs::read_to_string(&path).map_err(Error::io("read", path))
        };
        Ok(Client { certificate: read("crt")?, key: read("key")? })
    }

    fn authority(&self, file: &str) -> Result<CertifiedIssuer<'static, KeyPair>, Error> {
        let mut params = params(file, file, None, &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let issuer =
            CertifiedIssuer::self_signed(params, generate(file)?).map_err(|source| refuse(file, source))?;
        self.write(&format!("{file}.crt"), &issuer.pem())?;
        self.write(&format!("{file}.key"), &issuer.key().serialize_pem())?;
        Ok(issuer)
    }

    fn leaf(&self, leaf: &Leaf, issuer: &CertifiedIssuer<'static, KeyPair>) -> Result<(), Error> {
        let mut params = params(leaf.file, &leaf.user, leaf.group, &leaf.serves)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !leaf.serves.is_empty() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.use_authority_key_identifier_extension = true;
        let key = generate(leaf.file)?;
        let certificate = params.signed_by(&key, issuer).map_err(|source| refuse(leaf.file, source))?;
        self.write(&format!("{}.crt", leaf.file), &certificate.pem())?;
        self.write(&format!("{}.key", leaf.file), &key.serialize_pem())
    }

    fn write(&self, file: &str, pem: &str) -> Result<(), Error> {
        write_private(&self.folder.join(file), pem)
    }
}

/// Writes a file that only its owner may read.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let mut file = File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(Error::io("create", path))?;
    file.write_all(text.as_bytes()).map_err(Error::io("write", path))
}

/// Who is who in the cluster. The names are those that Kubernetes' own roles are bound to.
fn leaves(cluster: &ClusterName, subnet: Subnet) -> Vec<Leaf> {
    let node = subnet.node().to_string();
    let api_names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"];
    let api_names =
        api_names.into_iter().chain(["kubernetes.default.svc.cluster.local", "127.0.0.1", API_SERVICE]);
    vec![
        Leaf {
            serves: api_names.map(str::to_owned).chain([node.clone()]).collect(),
            ..client("apiserver", "kube-apiserver", None)
        },
        client("apiserver-kubelet-client", "kube-apiserver-kubelet-client", Some("system:masters")),
        client("admin", "kubernetes-admin", Some("system:masters")),
        client("controller-manager", "system:kube-controller-manager", None),
        client("scheduler", "system:kube-scheduler", None),
        client("proxy", "system:kube-proxy", None),
        client("provisioner", "kfe2e:volume-provisioner", None),
        Leaf {
            serves: vec![cluster.to_string(), node],
            ..client("kubelet", format!("system:node:{cluster}"), Some("system:nodes"))
        },
    ]
}

fn client(file: &'static str, user: impl Into<String>, group: Option<&'static str>) -> Leaf {
    Leaf { file, user: user.into(), group, serves: Vec::new() }
}

fn params(
    subject: &str,
    user: &str,
    group: Option<&str>,
    serves: &[String],
) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(serves).map_err(|source| refuse(subject, source))?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, user);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    let now = SystemTime::now();
    params.not_before = (now - SKEW).into();
    params.not_after = (now + VALIDITY).into();
    Ok(params)
}

fn generate(subject: &str) -> Result<KeyPair, Error> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(|source| refuse(subject, source))
}

fn refuse(subject: &str, source: rcgen::Error) -> Error {
    Error::Certificate { subject: subject.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn every_file_is_private_and_complete() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("pki");
        let pki = Pki::create(&folder, &ClusterName::new("a").unwrap(), Subnet(1)).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        for entry in fs::read_dir(&folder).unwrap() {
            assert_eq!(mode(&entry.unwrap().path()), 0o600);
        }
        assert!(pki.ca.contains("BEGIN CERTIFICATE"));
        let admin = pki.client("admin").unwrap();
        assert!(admin.certificate.contains("BEGIN CERTIFICATE") && admin.key.contains("PRIVATE KEY"));
        assert!(fs::read_to_string(pki.path("service-accounts.pub")).unwrap().contains("BEGIN PUBLIC KEY"));
    }

    #[test]
    fn the_api_server_serves_under_every_name_it_is_called_by() {
        let leaves = leaves(&ClusterName::new("a").unwrap(), Subnet(9));
        let api = leaves.iter().find(|leaf| leaf.file == "apiserver").unwrap();
        for name in ["10.77.9.2", "127.0.0.1", "10.96.0.1", "kubernetes.default.svc"] {
            assert!(api.serves.iter().any(|serves| serves == name), "{name}");
        }
        let node = leaves.iter().find(|leaf| leaf.file == "kubelet").unwrap();
        assert_eq!((node.user.as_str(), node.group), ("system:node:a", Some("system:nodes")));
    }
}
