//! Files and folders, the real Kubeflow among them.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::*;
use crate::{namespaces::workload_namespaces, order::waves, resource::Resources};

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n";
const LIMIT: Duration = Duration::from_mins(1);

async fn read(path: &Path) -> Result<Vec<Object>, SourceError> {
    load(path, Path::new("no-kubectl-here"), LIMIT).await
}

async fn sentence(path: &Path) -> String {
    read(path).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_file_may_be_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    fs::write(&plain, POD).unwrap();
    let gzip = folder.path().join("gzip");
    let mut encoder =
        flate2::write::GzEncoder::new(fs::File::create(&gzip).unwrap(), flate2::Compression::fast());
    encoder.write_all(POD.as_bytes()).unwrap();
    encoder.finish().unwrap();
    let zstd = folder.path().join("zstd");
    fs::write(&zstd, zstd::encode_all(POD.as_bytes(), 1).unwrap()).unwrap();
    for file in [plain, gzip, zstd] {
        assert_eq!(read(&file).await.unwrap().len(), 1, "{}", file.display());
    }
}

#[tokio::test]
async fn a_folder_is_read_in_the_order_of_names() {
    let folder = tempfile::tempdir().unwrap();
    for (file, name) in [("b.yml", "second"), ("a.yaml", "first"), ("c.json", "third"), ("notes.txt", "none")]
    {
        let text =
            format!("{{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {{\"name\": \"{name}\"}}}}");
        fs::write(folder.path().join(file), text).unwrap();
    }
    let names: Vec<String> =
        read(folder.path()).await.unwrap().iter().map(|object| object.identity().name.clone()).collect();
    assert_eq!(names, ["first", "second", "third"]);
}

#[tokio::test]
async fn what_cannot_be_used_is_said_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let path = file("empty.yaml", b"# nothing\n---\n");
    assert_eq!(sentence(&path).await, format!("{} holds no Kubernetes object", path.display()));
    let path = file("binary.yaml", &[0xff, 0xfe, 0x00]);
    assert_eq!(sentence(&path).await, format!("{} is no text in UTF-8", path.display()));
    let path = file("kind.yaml", b"apiVersion: v1\nmetadata: {name: a}\n");
    assert_eq!(
        sentence(&path).await,
        format!("{}, document 1 (line 1): no Kubernetes object: it has no kind", path.display())
    );
    let path = file("twice.yaml", format!("{POD}---\n{POD}").as_bytes());
    assert_eq!(
        sentence(&path).await,
        format!(
            "Pod a (v1) is there twice: in {0} line 1 and in {0} line 4; remove one of them",
            path.display()
        )
    );
    let path = file("large.yaml.zst", &zstd::encode_all(vec![b' '; 65 * 1024 * 1024].as_slice(), 1).unwrap());
    assert_eq!(
        sentence(&path).await,
        format!("{} has more than 64 MiB of manifests; give the rendered objects only", path.display())
    );
    let path = folder.path().join("missing.yaml");
    assert!(sentence(&path).await.starts_with(&format!("cannot read {}: ", path.display())));
    let path = folder.path().join("no-manifests");
    fs::create_dir(&path).unwrap();
    assert!(matches!(check_folder(&path), Err(SourceError::NoManifests { .. })));
    check_folder(&folder.path().join("missing.yaml")).unwrap();
    assert_eq!(
        sentence(&path).await,
        format!("{} holds neither a kustomization.yaml nor any .yaml, .yml or .json file", path.display())
    );
}

#[tokio::test]
async fn a_kustomize_folder_needs_kubectl() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("kustomization.yaml"), "resources: [pod.yaml]\n").unwrap();
    fs::write(folder.path().join("pod.yaml"), POD).unwrap();
    let said = sentence(folder.path()).await;
    assert!(
        said.starts_with(&format!("cannot run no-kubectl-here to render {}: ", folder.path().display())),
        "{said}"
    );

    let fake = |script: &str| {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.path().join("kubectl");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    let kubectl = fake("test \"$1\" = kustomize && cat \"$2/pod.yaml\"");
    assert_eq!(load(folder.path(), &kubectl, LIMIT).await.unwrap().len(), 1);
    let kubectl = fake("echo 'error: no such base' >&2; exit 1");
    assert_eq!(
        load(folder.path(), &kubectl, LIMIT).await.unwrap_err().to_string(),
        format!("kustomize cannot render {}: no such base", folder.path().display())
    );
    let kubectl = fake("exec sleep 60");
    assert_eq!(
        load(folder.path(), &kubectl, Duration::from_millis(50)).await.unwrap_err().to_string(),
        format!(
            "kustomize did not render {} within 0 s; remote bases that cannot be reached make it hang",
            folder.path().display()
        )
    );
}

/// The rendered Kubeflow: named by `KFE2E_KUBEFLOW_RENDERED`, or beside the workspace.
fn rendered_kubeflow() -> Option<PathBuf> {
    let beside =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/kubeflow/example-2026-04-05.yaml.zst");
    let path = std::env::var_os("KFE2E_KUBEFLOW_RENDERED").map_or(beside, PathBuf::from);
    path.is_file().then_some(path)
}

#[tokio::test]
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
async fn the_real_kubeflow_loads_and_is_known_without_discovery() {
    let Some(path) = rendered_kubeflow() else {
        eprintln!("skipped: no rendered Kubeflow; name one with KFE2E_KUBEFLOW_RENDERED");
        return;
    };
    let begin = Instant::now();
    let objects = read(&path).await.unwrap();
    eprintln!("read {} objects of {} in {:?}", objects.len(), path.display(), begin.elapsed());
    assert_eq!(objects.len(), 683);
    assert_eq!(
        Resources::of(&objects).unknown(objects.iter().map(Object::identity)).unwrap(),
        [] as [&str; 0]
    );
    assert_eq!(waves(&objects).iter().map(|wave| wave.objects.len()).sum::<usize>(), 683);
    for wave in waves(&objects) {
        eprintln!("{:>4} {}", wave.objects.len(), wave.name.as_str());
    }
    assert!(workload_namespaces(&objects).contains(&"kubeflow".to_owned()));
}
