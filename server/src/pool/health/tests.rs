//! Every rule by itself.

use super::*;

const WELL: Note<'_> = Note::Succeeded { workflow: "w", ran: Duration::from_secs(1) };
const BAD: Note<'_> = Note::WorkflowError { workflow: "w" };

struct Trial {
    table: Table,
    now: Instant,
}

fn trial(engines: usize) -> Trial {
    let now = Instant::now();
    let mut trial = Trial { table: Table::new(engines, Settings::default(), now), now };
    (0..engines).for_each(|index| trial.table.reached(index));
    trial
}

impl Trial {
    fn note(&mut self, index: usize, note: Note<'_>) -> State {
        self.table.note(index, &note, self.now);
        self.state(index)
    }

    fn later(&mut self, seconds: u64) -> &mut Self {
        self.now += Duration::from_secs(seconds);
        self
    }

    fn state(&self, index: usize) -> State {
        self.table.state(index, self.now)
    }

    fn room(&self, index: usize, outstanding: usize) -> Room {
        self.table.room(index, outstanding, 2, self.now)
    }

    fn rank(&self, index: usize, ours: usize) -> Rank {
        let wanted = Affinity { workflow: "w".to_owned(), checkpoint: Some("c".to_owned()) };
        self.table.rank(index, ours, 1.0, &wanted, self.now)
    }

    fn ejected_for(&self, index: usize) -> u64 {
        let State::Ejected { until: Some(until) } = self.state(index) else {
            panic!("{:?}", self.state(index))
        };
        until.duration_since(self.now).as_secs()
    }
}

#[test]
fn an_engine_is_unknown_until_it_answers() {
    let now = Instant::now();
    let mut table = Table::new(1, Settings::default(), now);
    assert_eq!((table.state(0, now), table.room(0, 0, 2, now)), (State::Unknown, Room::Free(1)));
    table.reached(0);
    assert_eq!((table.state(0, now), table.room(0, 0, 2, now)), (State::Up, Room::Free(2)));
    assert_eq!(table.changes(now), [(0, State::Up)]);
    assert_eq!(table.changes(now), []);
}

#[test]
fn ejection_grows_and_a_success_resets_it() {
    let mut trial = trial(2);
    for expected in [10, 20, 40, 80, 160, 320, 600, 600] {
        trial.note(0, Note::Stalled);
        assert_eq!(trial.ejected_for(0), expected);
        assert!(matches!(trial.room(0, 0), Room::No(why) if why.contains("nothing moves")));
        trial.later(expected);
        assert_eq!(
            (trial.state(0), trial.room(0, 0), trial.room(0, 1)),
            (State::Probing, Room::Free(1), Room::Full)
        );
    }
    assert_eq!(trial.note(0, WELL), State::Up);
    trial.note(0, Note::Stalled);
    assert_eq!(trial.ejected_for(0), 10);
}

#[test]
fn the_last_engine_is_never_ejected() {
    let mut trial = trial(2);
    trial.note(0, Note::Stalled);
    assert_eq!(trial.note(1, Note::Stalled), State::Probing);
    assert_eq!(trial.ejected_for(0), 10);
    // What is left goes away: the one that was ejected is all there is.
    assert_eq!(trial.note(1, Note::Unreachable("gone")), State::Down);
    assert_eq!(trial.state(0), State::Probing);
    trial.table.reached(1);
    assert_eq!(
        (trial.state(0), trial.state(1)),
        (State::Ejected { until: trial.table.next_change(0, trial.now) }, State::Probing)
    );
    let mut alone = self::trial(1);
    (0..10).for_each(|_| assert_eq!(alone.note(0, BAD), State::Up));
}

#[test]
fn what_fails_fast_attracts_nothing() {
    let mut trial = trial(4);
    let mut sent = [0; 4];
    // Three good engines take ten seconds for a prompt, the bad one none; a prompt is there whenever there is room.
    let mut ends: Vec<Vec<Instant>> = vec![Vec::new(); 4];
    for _ in 0..3600 {
        trial.later(1);
        let now = trial.now;
        for (index, ends) in ends.iter_mut().enumerate().skip(1) {
            let before = ends.len();
            ends.retain(|end| *end > now);
            (ends.len()..before).for_each(|_| {
                trial.note(index, WELL);
            });
        }
        while let Some(index) = (0..4)
            .filter(|index| matches!(trial.room(*index, ends[*index].len()), Room::Free(_)))
            .min_by(|a, b| trial.rank(*a, ends[*a].len()).compare(&trial.rank(*b, ends[*b].len())))
        {
            sent[index] += 1;
            if index == 0 {
                trial.note(0, BAD);
            } else {
                ends[index].push(now + Duration::from_secs(10));
            }
        }
    }
    let all: u32 = sent.iter().sum();
    assert!(all > 1000 && sent[0] > 3 && f64::from(sent[0]) / f64::from(all) <= 0.02, "{sent:?}");
}

#[test]
fn what_fails_everywhere_is_the_workflows_fault() {
    let mut trial = trial(2);
    trial.note(1, BAD);
    (0..10).for_each(|_| assert_eq!(trial.note(0, BAD), State::Up));
    // It succeeds there by now, so it is the engine after all.
    trial.note(1, WELL);
    trial.note(0, BAD);
    trial.note(0, BAD);
    assert!(matches!(trial.note(0, BAD), State::Ejected { .. }));
}

#[test]
fn what_was_away_is_tried_with_one_prompt_at_a_time() {
    let mut trial = trial(1);
    assert_eq!(trial.note(0, Note::Unreachable("refused")), State::Down);
    assert_eq!(trial.room(0, 0), Room::No("refused".to_owned()));
    trial.table.reached(0);
    assert_eq!((trial.room(0, 0), trial.room(0, 1)), (Room::Free(1), Room::Full));
    assert_eq!(trial.note(0, WELL), State::Up);
    assert_eq!(trial.note(0, Note::Lost), State::Probing);
}

#[test]
fn flapping_is_work_that_is_not_there() {
    let mut trial = trial(2);
    for _ in 0..4 {
        trial.note(0, Note::Unreachable("x"));
        trial.note(0, WELL);
    }
    assert!(trial.rank(0, 0).load > 0.9);
    assert!(trial.later(601).rank(0, 0).load < 0.1);
}

#[test]
fn a_blocked_engine_waits_for_its_prompt_and_a_drained_one_for_its_operator() {
    let mut trial = trial(1);
    trial.table.block(0, Some("x ignores the interrupt".to_owned()));
    assert_eq!(trial.state(0), State::Ejected { until: None });
    assert_eq!(trial.room(0, 0), Room::No("x ignores the interrupt".to_owned()));
    trial.table.block(0, None);
    assert_eq!(trial.state(0), State::Probing);
    trial.table.drain(0, true);
    assert_eq!(trial.note(0, WELL), State::Drained);
    trial.table.drain(0, false);
    assert_eq!(trial.state(0), State::Up);
}

#[test]
fn candidates_go_by_load_then_speed_then_what_they_ran_last() {
    let mut trial = trial(2);
    let first = |trial: &Trial, ours: [usize; 2]| {
        usize::from(trial.rank(1, ours[1]).compare(&trial.rank(0, ours[0])).is_lt())
    };
    trial.table.ran(1, Affinity { workflow: "other".to_owned(), checkpoint: Some("c".to_owned()) });
    assert_eq!(first(&trial, [0, 0]), 1);
    trial.table.ran(0, Affinity { workflow: "w".to_owned(), checkpoint: None });
    assert_eq!(first(&trial, [0, 0]), 0);
    trial.note(1, WELL);
    trial.note(0, Note::Succeeded { workflow: "w", ran: Duration::from_secs(5) });
    assert_eq!(first(&trial, [0, 0]), 1);
    assert_eq!(first(&trial, [0, 1]), 0);
    trial.table.count_foreign(0, 3);
    assert_eq!(first(&trial, [0, 1]), 1);
    // Four prompts on a place of weight 4.
    let load = trial.table.rank(0, 1, 4.0, &Affinity::default(), trial.now).load;
    assert!((load - 1.0).abs() < 1e-9);
}
