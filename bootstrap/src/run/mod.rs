//! `kfe2e run`: up, install, deploy, test, collect, down; one file a stage.

pub mod collect;
pub mod create;
pub mod deploy;
pub mod install;
pub mod lasting;
pub mod operator_ready;
pub mod outcome;
pub mod plan;
pub mod stages;
pub mod test;
pub mod up;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Write as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use bootstrap_install::{ApplyOptions, Before, Claim, Object, Recorded, inventory::InventoryError};
use crds::{
    ExitCode, names,
    run_event::Stage,
    run_result::RunResult,
    v1alpha1::{E2ETest, RunReason},
};
use jiff::Timestamp;
use kube::Client;
use tokio::time::Instant;
use uuid::Uuid;

use self::{
    outcome::Ended,
    plan::{KubeflowSource, Plan},
    stages::{Figures, Stages},
    up::Ready,
};
use crate::{
    cluster::{self, Cluster, ClusterKind, ClusterSettings},
    command_line::{Keep, RunArgs},
    failure::Failure,
    interrupt::Interrupt,
    progress::{Output, Progress},
};

/// What the way to the verdict leaves for the stages after it.
#[derive(Default)]
pub struct Reached {
    /// Whether there is a cluster, and it is this run's.
    pub made: bool,
    /// The claim of a cluster that lasts.
    pub claim: Option<Claim>,
    /// A client of the cluster, once it serves.
    pub client: Option<Client>,
    /// The latest state of the run.
    pub e2etest: Option<E2ETest>,
    /// The namespaces from which evidence is taken; `None` for all of a cluster that is this run's own.
    pub namespaces: Option<BTreeSet<String>>,
    /// What ran: versions and images by name.
    pub environment: BTreeMap<String, String>,
}

/// Runs everything; the exit code is the verdict.
pub async fn run(args: &RunArgs) -> Result<ExitCode, Failure> {
    let start_time = Timestamp::now();
    let mut plan = Plan::new(args, start_time)?;
    let limit = args.timeout.get().map_err(|error| Failure::usage(format!("--timeout: {error}")))?;
    check_out(&plan.out)?;
    let (kind, because) = args.cluster.kind();
    plan.cluster_because = because;
    let settings =
        ClusterSettings { must_be_new: true, failure_logs: plan.out.join("cluster"), ..args.settings(kind) };
    let cluster = up::checked(&settings, plan.cluster_because.as_deref()).await?;
    fs::create_dir_all(&plan.out).map_err(|error| Failure::usage(unusable(&plan.out, &error.to_string())))?;
    let interrupt =
        Interrupt::listen().map_err(|error| Failure::infrastructure(format!("signals: {error}")))?;
    let (progress, drawing) = Progress::start(args.output);
    let mut stages = Stages::new(progress.clone(), interrupt, limit);

    let mut reached = Reached { environment: asked_for(args, kind), ..Reached::default() };
    let stopped = Box::pin(forward(&mut stages, &plan, &cluster, &mut reached)).await.err();
    let results = collect::collect(&mut stages, &cluster, &reached, &plan.out).await;
    let succeeded = stopped.is_none() && verdict(&reached) == Some(RunReason::TestsPassed);
    let clean_up = clean_up(&mut stages, &cluster, &reached, !keeps(plan.keep, succeeded)).await;
    let left = clean_up.iter().flatten();
    let problems: Vec<String> = results.problems.iter().chain(left).cloned().collect();

    let result = outcome::result(&Ended {
        run: plan.name(),
        start_time,
        completion_time: Timestamp::now(),
        stages: stages.results(),
        stopped: stopped.as_ref(),
        e2etest: reached.e2etest.as_ref(),
        clean_up: clean_up.as_ref().err(),
        files: &results.files,
        problems: &problems,
        environment: &reached.environment,
    });
    drop(stages);
    let written = bootstrap_report::write(&plan.out, &result, &results.excerpts);
    progress.result(&result);
    drop(progress);
    drawing.finish();
    close(args.output, &result, &plan.out);
    written.map_err(|error| Failure::infrastructure(error.to_string()))?;
    Ok(exit_code(&result))
}

/// The stages up to the verdict; what they reach is kept also when one fails.
async fn forward(
    stages: &mut Stages,
    plan: &Plan,
    cluster: &Arc<dyn Cluster>,
    reached: &mut Reached,
) -> Result<(), Failure> {
    let Ready { kubeflow, mut e2etest, created } = up::up(stages, cluster, plan).await?;
    // Of a cluster that lasts, nothing is this run's before it has claimed it: a run that is refused removes nothing.
    reached.made = !created.lasting;
    let client = cluster::client(&created).await?;
    reached.client = Some(client.clone());
    let version = up::version(&client).await?;
    cluster::supported(&version).map_err(Failure::infrastructure)?;
    reached.environment.insert("kubernetes".into(), version);
    let mut before = Before::Empty;
    if created.lasting {
        before = Before::Unknown;
        lasting::check(&client, plan).await?;
        e2etest = plan.e2etest(&kubeflow, lasting::serves_pod_defaults(&client).await?)?;
        reached.namespaces = Some(namespaces(&kubeflow, &e2etest));
    }
    let invocation = Uuid::new_v4().to_string();
    up::claims(stages, cluster, &invocation).await?;
    let claimed = bootstrap_install::inventory::claim(&client, &invocation).await;
    reached.made |= may_be_ours(&claimed);
    let claimed = claimed.map_err(|error| Failure::infrastructure(error.to_string()))?;
    let claim = claimed.ok_or_else(lasting::taken)?;
    reached.claim = created.lasting.then(|| claim.clone());
    reached.environment.extend(images(&e2etest));
    let progress = stages.progress.clone();
    if plan.kubeflow != KubeflowSource::None {
        let install = install::install(&claim, &kubeflow, before, &progress);
        Box::pin(stages.run(Stage::Install, install)).await?;
    }
    let create_target = plan.kubeflow == KubeflowSource::None;
    let operator = plan.operator()?;
    let deploy = deploy::deploy(&claim, operator, &kubeflow, &e2etest.spec, create_target, before, &progress);
    Box::pin(stages.run(Stage::Deploy, deploy)).await?;
    if e2etest.spec.kubeflow.is_none() && (!create_target || created.lasting) {
        progress.say(Stage::Deploy, "the E2ETest has no gate: its tests start without waiting for Kubeflow");
    }
    let test = test::test(&claim, &e2etest, &progress, &mut reached.e2etest);
    Box::pin(stages.run(Stage::Test, test)).await
}

/// Whether a claim may have made something. Of one that failed only the answer may be lost, and its namespace goes before
/// the rest of it; a removal then finds out what there is of this invocation. Only a cluster that is somebody else's has
/// nothing of it.
const fn may_be_ours(claimed: &Result<Option<Claim>, InventoryError>) -> bool {
    !matches!(claimed, Ok(None))
}

/// The namespaces that concern a run: of a cluster that is somebody's, nothing else is looked at.
fn namespaces(kubeflow: &[Object], e2etest: &E2ETest) -> BTreeSet<String> {
    let gate = e2etest.spec.kubeflow.iter().flat_map(|gate| gate.namespaces.iter().cloned());
    let own = [names::SYSTEM_NAMESPACE.to_owned(), e2etest.spec.target_namespace.clone()];
    own.into_iter().chain(gate).chain(bootstrap_install::workload_namespaces(kubeflow)).collect()
}

/// What the flags say of what runs.
fn asked_for(args: &RunArgs, kind: ClusterKind) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("cluster".into(), kind.to_string()),
        ("kubeflow".into(), args.kubeflow.clone()),
        ("operator image".into(), args.operator_image.clone()),
    ])
}

/// The image of each test.
fn images(e2etest: &E2ETest) -> impl Iterator<Item = (String, String)> {
    e2etest.spec.tests.iter().map(|test| (format!("image of {}", test.name), test.image.clone()))
}

/// The verdict that was reached.
fn verdict(reached: &Reached) -> Option<RunReason> {
    let status = reached.e2etest.as_ref()?.status.as_ref()?;
    test::verdict(status).map(|(reason, _)| reason)
}

/// Whether the cluster stays.
const fn keeps(keep: Keep, succeeded: bool) -> bool {
    match keep {
        Keep::Never => false,
        Keep::OnFailure => !succeeded,
        Keep::Always => true,
    }
}

/// Removes the cluster, or from a cluster that lasts what this run made. Returns what stays for somebody else's sake.
async fn clean_up(
    stages: &mut Stages,
    cluster: &Arc<dyn Cluster>,
    reached: &Reached,
    remove: bool,
) -> Result<Vec<String>, Failure> {
    // Also where the cluster is kept: somebody else has begun to remove what this run made in it.
    let late = take_back(reached.claim.as_ref()).await;
    if !(reached.made && remove) {
        return late.map(|()| Vec::new());
    }
    let progress = stages.progress.clone();
    let left = stages.run_to_end(Stage::Down, up::destroy(cluster, &progress)).await?;
    late.map(|()| left)
}

/// Removes what a signal or the deadline broke off while somebody else removed what this run made: nobody lists it.
pub(crate) async fn take_back(claim: Option<&Claim>) -> Result<(), Failure> {
    let Some(claim) = claim else { return Ok(()) };
    let taken = bootstrap_install::inventory::take_back(claim).await;
    taken.map_err(|error| Failure::infrastructure(format!("what was made beside a removal: {error}")))
}

/// Whether the output folder is empty or absent: looked at before the cluster, and made only once that can be had.
fn check_out(folder: &Path) -> Result<(), Failure> {
    let refuse = |what: &str| Failure::usage(unusable(folder, what));
    match fs::read_dir(folder) {
        Ok(mut entries) => {
            let taken = |_| Err(refuse("the folder is not empty; give another one"));
            entries.next().map_or(Ok(()), taken)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(refuse(&error.to_string())),
    }
}

/// What is wrong with the output folder.
fn unusable(folder: &Path, what: &str) -> String {
    format!("--out {}: {what}", folder.display())
}

/// The last lines for people: verdict, tests, where the report is.
fn close(output: Output, result: &RunResult, out: &Path) {
    if output == Output::Text {
        // Of a terminal that was closed, the files and the exit code are left.
        let _ = write!(io::stdout().lock(), "{}", bootstrap_report::closing_lines(result, out));
    }
}

/// The exit code that the result names.
fn exit_code(result: &RunResult) -> ExitCode {
    let known = ExitCode::ALL.into_iter().find(|code| code.code() == result.exit_code);
    known.unwrap_or(ExitCode::Infrastructure)
}

/// How long applying a set may take; what is refused for a passing reason until then is a failure.
const APPLY_WITHIN: Duration = Duration::from_mins(45);

/// Applies objects, writes them into the inventory, and shows what is waited for.
pub(crate) async fn apply(
    claim: &Claim,
    objects: &[Object],
    before: Before,
    stage: Stage,
    progress: &Progress,
) -> Result<Figures, Failure> {
    let options = ApplyOptions::until(Instant::now() + APPLY_WITHIN);
    let tell = |event: bootstrap_install::Progress<'_>| {
        if let bootstrap_install::Progress::Waiting { object, reason } = event {
            progress.say(stage, format!("{object} waits: {reason}"));
        }
    };
    let applied = bootstrap_install::apply_recorded(claim, objects, before, &options, &tell).await;
    let Recorded { applied, kept } = applied.map_err(|error| Failure::infrastructure(error.to_string()))?;
    if let Some(first) = kept.first() {
        let count = kept.len();
        progress
            .say(stage, format!("{count} objects are there already and stay as they are, such as {first}"));
    }
    let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    Ok(Figures::from([
        ("objects".into(), count(applied.objects.len())),
        ("retries".into(), count(applied.retries)),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_claim_without_an_answer_made_is_removed_and_somebody_elses_is_not() {
        assert!(may_be_ours(&Err(InventoryError::Failed("the API server did not answer".into()))));
        assert!(!may_be_ours(&Ok(None)));
    }

    #[test]
    fn an_output_folder_with_something_in_it_is_refused_and_an_absent_one_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let (out, file) = (folder.path().join("out"), folder.path().join("file"));
        check_out(&out).unwrap();
        assert!(!out.exists());
        fs::create_dir(&out).unwrap();
        check_out(&out).unwrap();
        fs::write(&file, "").unwrap();
        let refused = check_out(folder.path()).unwrap_err();
        assert_eq!(
            refused,
            Failure::usage(unusable(folder.path(), "the folder is not empty; give another one"))
        );
        assert_eq!(check_out(&file).unwrap_err().code, ExitCode::Usage);
    }
}
