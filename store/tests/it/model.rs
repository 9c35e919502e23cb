//! Random histories of jobs, beside a model of a few lines.
//!
//! `STORE_CASES` says how many histories; 1,000 otherwise.

use std::{collections::HashMap, path::Path, sync::Arc};

use comfyport_store::{
    Job, Options, State, Store,
    fleet::Orphan,
    submit::NewJob,
    transition::{Cancelled, Ending, Return},
};
use proptest::prelude::*;
use uuid::Uuid;

use crate::stage::{Plain, assignment, lane, new_job};

const SERVERS: [&str; 2] = ["one", "two"];

/// What may happen. Jobs are meant by their order, round and round.
#[derive(Debug, Clone)]
enum Step {
    Submit {
        deadline: bool,
    },
    Claim {
        server: usize,
    },
    Submitted(usize),
    Progressed(usize),
    Finish {
        job: usize,
        well: bool,
    },
    GiveBack {
        job: usize,
        counts: bool,
        pause: bool,
    },
    Cancel(usize),
    HandOver(usize),
    TakeOver {
        job: usize,
        server: usize,
    },
    /// Somebody who had the job before says something.
    Late {
        job: usize,
        age: i64,
        what: usize,
    },
    Pass,
    Expire,
    Wake,
    /// The process is gone, and comes back.
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let job = 0..8_usize;
    let step = prop_oneof![
        4 => any::<bool>().prop_map(|deadline| Step::Submit { deadline }),
        6 => (0..SERVERS.len()).prop_map(|server| Step::Claim { server }),
        1 => job.clone().prop_map(Step::Submitted),
        1 => job.clone().prop_map(Step::Progressed),
        3 => (job.clone(), any::<bool>()).prop_map(|(job, well)| Step::Finish { job, well }),
        3 => (job.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(job, counts, pause)| Step::GiveBack { job, counts, pause }),
        2 => job.clone().prop_map(Step::Cancel),
        1 => job.clone().prop_map(Step::HandOver),
        2 => (job.clone(), 0..SERVERS.len()).prop_map(|(job, server)| Step::TakeOver { job, server }),
        3 => (job, 1..4_i64, 0..4_usize).prop_map(|(job, age, what)| Step::Late { job, age, what }),
        2 => Just(Step::Pass),
        1 => Just(Step::Expire),
        1 => Just(Step::Wake),
        1 => Just(Step::Crash),
    ];
    proptest::collection::vec(step, 1..40)
}

/// What is known of a job.
#[derive(Debug, Clone)]
struct Known {
    id: Uuid,
    state: State,
    fence: i64,
    attempts: u32,
    holder: Option<String>,
    cancel: bool,
    ready: bool,
    run_after: i64,
    deadline: Option<i64>,
    events: i64,
    submitted: bool,
}

impl Known {
    fn end(&mut self, state: State) {
        assert!(!self.state.is_final(), "it ends once");
        (self.state, self.cancel, self.holder) = (state, false, None);
        self.events += 1;
    }
}

struct World<'f> {
    folder: &'f Path,
    store: Option<Store>,
    clock: Arc<std::sync::atomic::AtomicI64>,
    jobs: Vec<Known>,
}

impl World<'_> {
    fn open(&mut self) {
        // The old one goes first: two are refused.
        self.store = None;
        let clock = Arc::clone(&self.clock);
        let options = Options::Sqlite(self.folder.to_owned());
        let clock = move || clock.load(std::sync::atomic::Ordering::SeqCst);
        self.store = Some(Store::open_at(&options, Arc::new(Plain), |_| {}, clock).unwrap());
    }

    fn now(&self) -> i64 {
        self.clock.load(std::sync::atomic::Ordering::SeqCst)
    }

    async fn step(&mut self, step: &Step) {
        let (store, now) = (self.store.clone().unwrap(), self.now());
        let count = self.jobs.len().max(1);
        match *step {
            Step::Submit { deadline } => {
                let new = NewJob { deadline: deadline.then_some(now + 25), max_attempts: 3, ..new_job() };
                store.submit(vec![new.clone()], None, None).await.unwrap();
                self.jobs.push(Known {
                    id: new.id,
                    state: State::Queued,
                    fence: 0,
                    attempts: 0,
                    holder: None,
                    cancel: false,
                    ready: true,
                    run_after: 0,
                    deadline: new.deadline,
                    events: 1,
                    submitted: false,
                });
            }
            Step::Claim { server } => {
                let wanted = vec![assignment(lane(), "box", 3)];
                let taken = store.claim(wanted, SERVERS[server].to_owned()).await.unwrap();
                let running = self.jobs.iter().filter(|job| job.state == State::Running).count();
                let first = self.jobs.iter_mut().find(|job| job.state == State::Queued && job.ready);
                let expected = first.filter(|_| running < 3);
                assert_eq!(taken.first().map(|job| job.id), expected.as_ref().map(|job| job.id));
                if let Some(job) = expected {
                    (job.state, job.holder) = (State::Running, Some(SERVERS[server].to_owned()));
                    (job.fence, job.attempts, job.events) = (job.fence + 1, job.attempts + 1, job.events + 1);
                    (job.ready, job.submitted) = (false, false);
                }
            }
            Step::Submitted(job) => {
                let Some(job) = self.jobs.get_mut(job % count) else { return };
                let told = store.submitted(job.id, job.fence).await.unwrap();
                assert_eq!(told, job.state == State::Running);
                job.submitted |= told;
            }
            Step::Progressed(job) => {
                let Some(job) = self.jobs.get_mut(job % count) else { return };
                let told = store.progressed(job.id, job.fence, "{}".to_owned()).await.unwrap();
                assert_eq!(told, job.state == State::Running);
                job.events += i64::from(told);
            }
            Step::Finish { job, well } => {
                let Some(job) = self.jobs.get_mut(job % count) else { return };
                let state = if well { State::Succeeded } else { State::Failed };
                let ending = Ending { state, ..crate::stage::success() };
                let ended = store.finish(job.id, job.fence, ending).await.unwrap();
                assert_eq!(ended.is_some(), job.state == State::Running);
                if ended.is_some() {
                    job.end(state);
                }
            }
            Step::GiveBack { job, counts, pause } => {
                let Some(job) = self.jobs.get_mut(job % count) else { return };
                let why = Return {
                    counts,
                    crashed: false,
                    pause: pause.then_some(15),
                    avoid: None,
                    reason: "x".to_owned(),
                };
                let back = store.give_back(job.id, job.fence, why).await.unwrap();
                assert_eq!(back.is_some(), job.state == State::Running);
                if back.is_none() {
                    return;
                }
                job.attempts -= u32::from(!counts);
                job.submitted = false;
                if job.cancel {
                    return job.end(State::Cancelled);
                }
                (job.state, job.holder, job.events) = (State::Queued, None, job.events + 1);
                (job.ready, job.run_after) = (!pause, now + 15);
            }
            Step::Cancel(job) => {
                let Some(job) = self.jobs.get_mut(job % count) else { return };
                match (store.cancel(job.id).await.unwrap(), job.state) {
                    (Cancelled::Now(_), State::Queued) => job.end(State::Cancelled),
                    (Cancelled::Told(_), State::Running) => job.cancel = true,
                    (Cancelled::Before(_), State::Cancelled)
                    | (Cancelled::TooLate(_), State::Succeeded | State::Failed | State::Expired) => {}
                    other => panic!("{other:?}"),
                }
            }
            Step::HandOver(job) => {
                let Some(job) = self.jobs.get_mut(job % count) else { return };
                let left = store.hand_over(job.id, job.fence).await.unwrap();
                assert_eq!(left, job.state == State::Running);
                job.holder = job.holder.take().filter(|_| !left);
            }
            Step::TakeOver { job, server } => {
                let Some(job) = self.jobs.get_mut(job % count) else { return };
                // No server beats here, so that whatever runs is left alone.
                let orphan = Orphan { id: job.id, engine: None, holder: job.holder.clone() };
                let taken = store.take_over(orphan, SERVERS[server].to_owned()).await.unwrap();
                assert_eq!(taken.is_some(), job.state == State::Running);
                if taken.is_some() {
                    (job.fence, job.holder) = (job.fence + 1, Some(SERVERS[server].to_owned()));
                }
            }
            Step::Late { job, age, what } => {
                let Some(job) = self.jobs.get_mut(job % count) else { return };
                let (id, fence) = (job.id, job.fence - age);
                let changed = match what {
                    0 => store.finish(id, fence, crate::stage::success()).await.unwrap().is_some(),
                    1 => store.progressed(id, fence, "{}".to_owned()).await.unwrap(),
                    2 => store.submitted(id, fence).await.unwrap(),
                    _ => store.hand_over(id, fence).await.unwrap(),
                };
                assert!(!changed, "whoever lost a job changes nothing");
            }
            Step::Pass => drop(self.clock.fetch_add(10, std::sync::atomic::Ordering::SeqCst)),
            Step::Expire => {
                let ended = store.expire(100).await.unwrap().len();
                let late = |job: &&mut Known| {
                    job.state == State::Queued && job.deadline.is_some_and(|deadline| deadline <= now)
                };
                assert_eq!(
                    ended,
                    self.jobs.iter_mut().filter(late).map(|job| job.end(State::Expired)).count()
                );
            }
            Step::Wake => {
                store.wake().await.unwrap();
                let over = |job: &&mut Known| job.state == State::Queued && job.run_after <= now;
                self.jobs.iter_mut().filter(over).for_each(|job| job.ready = true);
            }
            Step::Crash => {
                drop(store);
                self.open();
            }
        }
    }

    /// Every accepted job is there, as the model has it.
    async fn check(&self) {
        let store = self.store.as_ref().unwrap();
        let kept = store.list(comfyport_store::list::Filter::default(), 1000).await.unwrap();
        let kept: HashMap<Uuid, Job> = kept.into_iter().map(|job| (job.id, job)).collect();
        assert_eq!(kept.len(), self.jobs.len());
        for known in &self.jobs {
            let job = &kept[&known.id];
            assert_eq!(
                (job.state, job.fence, job.attempts),
                (known.state, known.fence, known.attempts),
                "{known:?}"
            );
            assert_eq!(
                (&job.holder, job.cancel, job.events),
                (&known.holder, known.cancel, known.events),
                "{known:?}"
            );
            assert_eq!(
                (job.submitted, job.ended_at.is_some()),
                (known.submitted, known.state.is_final()),
                "{known:?}"
            );
            let (_, events) = store.events(known.id, 0).await.unwrap().unwrap();
            assert!(events.iter().map(|event| event.number).eq(1..=known.events), "{events:?}");
            let ends = |event: &&comfyport_store::events::Event| {
                event.kind.parse::<State>().is_ok_and(State::is_final)
            };
            assert_eq!(events.iter().filter(ends).count(), usize::from(known.state.is_final()));
        }
    }
}

#[test]
fn histories_are_as_the_model_has_them() {
    let cases: u32 =
        std::env::var("STORE_CASES").map_or(1000, |cases| cases.parse().expect("STORE_CASES is a number"));
    let threads = u32::try_from(std::thread::available_parallelism().map_or(1, usize::from)).unwrap();
    // Tables are made once: every history begins with a copy.
    let template = memory();
    drop(Store::open(&Options::Sqlite(template.path().to_owned()), Arc::new(Plain), |_| {}).unwrap());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| histories(cases.div_ceil(threads), &template.path().join(FILE)));
        }
    });
}

const FILE: &str = "comfyport.db";

fn histories(cases: u32, template: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&steps(), |steps| {
        let folder = memory();
        std::fs::copy(template, folder.path().join(FILE)).unwrap();
        let clock = Arc::new(1_000_000.into());
        let mut world = World { folder: folder.path(), store: None, clock, jobs: Vec::new() };
        world.open();
        runtime.block_on(async {
            for step in &steps {
                world.step(step).await;
            }
            world.check().await;
            world.open();
            world.check().await;
        });
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

/// A folder that is quick, where there is one: these histories are about rules, not about disks.
fn memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}
