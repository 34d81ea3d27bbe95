//! One case: a run, what the world does to it, what goes wrong meanwhile, and what it came to.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use tokio::sync::watch;

use super::{
    judge::Finding,
    operator::{Access, Operator},
    outcome::Outcome,
    world::World,
};
use crate::proxy::{Entry, Fault, Proxy, Rule};

/// How long the world waits for anything, on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// The timeout of a run that is to run out of it.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// How long nothing must happen before a case is over.
pub(super) const QUIET: Duration = Duration::from_millis(200);
/// What [`Plan::within`] is where nothing else is said.
pub(super) const RECOVERED: Duration = Duration::from_secs(6);

/// A case to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How the run goes.
    pub outcome: Outcome,
    /// What goes wrong.
    pub rules: Vec<Rule>,
    /// Operators side by side.
    pub operators: usize,
    /// How long the world may wait for the operator once the last fault is over: several times what it should, so that
    /// only a wait that is wrong fails it, and no busy machine.
    pub within: Duration,
    /// How long faults may last.
    pub lasting: Duration,
    /// By how much the operator's clock is ahead of the API server's: the first process's, the next one's, and so on.
    pub clocks: Vec<SignedDuration>,
    /// Whether nothing runs beside it: what it takes is then the operator's own.
    pub alone: bool,
    /// Verdicts that are right besides the outcome's own: where the API server itself says that there is no way on.
    pub also: &'static [&'static str],
}

impl Plan {
    /// A run with these faults.
    pub fn new(outcome: Outcome, rules: Vec<Rule>) -> Self {
        Self {
            outcome,
            rules,
            operators: 1,
            within: RECOVERED,
            lasting: Duration::ZERO,
            clocks: Vec::new(),
            alone: true,
            also: &[],
        }
    }

    /// What it is, in a line.
    pub fn describe(&self) -> String {
        let rules: Vec<String> = self.rules.iter().map(ToString::to_string).collect();
        let clocks: Vec<String> = self.clocks.iter().map(|clock| format!("{clock:#}")).collect();
        let clocks =
            if clocks.is_empty() { String::new() } else { format!(", clock {}", clocks.join(" then ")) };
        format!("{}, {} operator(s){clocks}, {}", self.outcome, self.operators, rules.join("; "))
    }

    /// How long the world waits for anything.
    pub(super) fn patience(&self) -> Duration {
        self.lasting + self.within + PATIENCE
    }
}

/// A run that is under way.
pub struct Case<'a> {
    /// Everything that is shared.
    pub world: &'a World,
    /// The name of the run and of its namespace.
    pub name: String,
    /// Between operator and API server.
    pub proxy: Proxy,
    /// How the operator gets there.
    pub access: Access,
    pub(super) plan: Plan,
    /// When the world waited for the operator, from and to.
    pub(super) waits: watch::Sender<Vec<(Instant, Instant)>>,
    /// Whether the test that runs goes on running.
    pub(super) held: watch::Sender<bool>,
}

impl<'a> Case<'a> {
    /// Makes namespace and proxy.
    pub async fn prepare(world: &'a World, plan: Plan) -> Self {
        let name = world.next_name();
        world.make_namespace(&name).await;
        let proxy = Proxy::start(world.upstream.clone(), &name).await;
        proxy.follow(plan.rules.clone());
        let access = Access::new(&proxy, &world.token);
        let (waits, held) = Default::default();
        Self { world, name, proxy, access, plan, waits, held }
    }

    /// The test does not end before [`Case::release`].
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    /// The test may end.
    pub fn release(&self) {
        self.held.send_replace(false);
    }

    /// Creates the run.
    pub(super) async fn create(&self) {
        let run = self.plan.outcome.e2etest(&self.name, &format!("{}s", TIMEOUT.as_secs()));
        self.world.create("/apis/e2e.kubeflow.org/v1alpha1/e2etests", run).await;
    }

    /// Runs it, with `meanwhile` beside it, which returns when its own fault ended.
    pub async fn run(&self, meanwhile: impl Future<Output = Option<Instant>>) -> Finding {
        let mut clocks = self.plan.clocks.iter();
        self.set_clock(clocks.next());
        let mut operators: Vec<Operator> =
            (0..self.plan.operators).map(|_| Operator::start(&self.access)).collect();
        self.proxy.set_victim(operators[0].pid());
        let began = Instant::now();
        self.create().await;
        let mut restarted = None;
        let (mut wrong, own) = {
            let both = async {
                let (played, own) = tokio::join!(self.play(), meanwhile);
                let mut wrong: Vec<String> = played.err().into_iter().collect();
                wrong.extend(self.calm_down().await.err());
                (wrong, own)
            };
            tokio::select! {
                done = both => done,
                () = self.replace(&mut operators[0], clocks, &mut restarted) => unreachable!("it goes on for good"),
            }
        };
        self.proxy.spare();
        for operator in &mut operators {
            wrong.extend(operator.ended().map(|status| format!("an operator ended by itself: {status}")));
        }
        drop(operators);
        let fault_ended = [restarted, own, self.proxy.last_fault()].into_iter().flatten().max();
        self.judge(wrong, began, fault_ended).await
    }

    /// Starts a new operator whenever the old one is killed.
    async fn replace(
        &self,
        operator: &mut Operator,
        mut clocks: impl Iterator<Item = &SignedDuration>,
        restarted: &mut Option<Instant>,
    ) {
        let mut kills = self.proxy.kills();
        while kills.changed().await.is_ok() {
            if self.plan.outcome == Outcome::Delete {
                // Deleted while no operator is there: nobody but Kubernetes itself can clean up.
                // Where it fails, the run's own end will say so.
                let _ = self.tell(|| self.delete()).await;
            }
            self.set_clock(clocks.next());
            *operator = Operator::start(&self.access);
            *restarted = Some(operator.started);
            self.proxy.set_victim(operator.pid());
        }
        std::future::pending::<()>().await;
    }

    /// Sets the operator's clock.
    fn set_clock(&self, ahead: Option<&SignedDuration>) {
        if let Some(ahead) = ahead {
            self.proxy.set_clock_ahead(*ahead);
        }
    }

    /// Waits until an expected kill has happened, the operator after it is up, and nothing happens any more.
    pub(super) async fn calm_down(&self) -> Result<(), String> {
        let kills = self.plan.rules.iter().filter(|rule| matches!(rule.fault, Fault::Kill(_))).count();
        let mut killed = self.proxy.kills();
        if tokio::time::timeout(PATIENCE, killed.wait_for(|count| *count >= kills)).await.is_err() {
            return Err("the run never came to the write at which its operator is killed".to_owned());
        }
        let watching = |entries: &[Entry]| {
            entries.iter().filter(|entry| entry.call.site() == "watch e2etests everywhere").count() > kills
        };
        let deadline = Instant::now() + PATIENCE;
        let mut before = usize::MAX;
        loop {
            let entries = self.proxy.journal.entries();
            if entries.len() == before && (kills == 0 || watching(&entries)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err("the operator does not come to rest".to_owned());
            }
            before = entries.len();
            // That nothing happens has no event.
            tokio::time::sleep(QUIET).await;
        }
    }
}
