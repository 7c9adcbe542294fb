//! The tables against the one-by-one match: several shards subscribe and unsubscribe at random, and each plan, kept or not, must say what a
//! list of all subscriptions says.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::directory::Directory;
use super::keys::Hasher;
use super::local::{LocalInterest, NewSubscription, SubId};
use super::plan::{HEAD_BYTES, Plan, PlanCache, Sources};
use crate::account::AccountId;
use crate::subject;

const SHARDS: usize = 3;
const SUBJECTS: [&str; 9] = ["a", "b", "a.b", "b.a", "a.a.a", "a.b.c", "a.b.c.d", "a..b", "a.*"];
const PATTERNS: [&str; 14] =
    ["a", "b", "a.b", "a.b.c", "a.*", "*.b", "*", ">", "a.>", "a.b.*", "a.b.>", "*.*.c", "a.*.c", "*.b.>"];
const SIDS: [&str; 3] = ["1", "2", "a-sid-that-is-too-long-to-be-kept-with-the-beginning-of-a-frame-that-is-short"];

#[derive(Clone, Debug)]
enum Action {
    Subscribe { shard: usize, account: u32, pattern: usize, queue: Option<usize>, sid: usize },
    Unsubscribe { at: prop::sample::Index },
    Limit { at: prop::sample::Index },
    Publish { shard: usize, account: u32, subject: usize },
}

fn action() -> impl Strategy<Value = Action> {
    let (shard, account) = (0..SHARDS, 0u32..2);
    let queue = prop::option::weighted(0.4, 0usize..2);
    prop_oneof![
        3 => (shard.clone(), account.clone(), 0..PATTERNS.len(), queue, 0..SIDS.len())
            .prop_map(|(shard, account, pattern, queue, sid)| Action::Subscribe { shard, account, pattern, queue, sid }),
        2 => any::<prop::sample::Index>().prop_map(|at| Action::Unsubscribe { at }),
        1 => any::<prop::sample::Index>().prop_map(|at| Action::Limit { at }),
        6 => (shard, account, 0..SUBJECTS.len())
            .prop_map(|(shard, account, subject)| Action::Publish { shard, account, subject }),
    ]
}

struct Sub {
    shard: usize,
    account: AccountId,
    pattern: &'static str,
    queue: Option<&'static str>,
    sid: &'static str,
    id: SubId,
    limited: bool,
}

struct World {
    directory: Arc<Directory>,
    locals: Vec<LocalInterest>,
    caches: Vec<PlanCache>,
    hasher: Hasher,
    subs: Vec<Sub>,
}

impl World {
    fn new(seed: u64) -> Self {
        let directory = Arc::new(Directory::new(SHARDS, false, seed));
        World {
            locals: (0..SHARDS).map(|shard| LocalInterest::new(shard, Arc::clone(&directory))).collect(),
            caches: (0..SHARDS).map(|_| PlanCache::default()).collect(),
            hasher: directory.hasher().clone(),
            directory,
            subs: Vec::new(),
        }
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Subscribe { shard, account, pattern, queue, sid } => {
                let account = AccountId(account);
                let (pattern, queue, sid) = (PATTERNS[pattern], queue.map(|queue| ["q", "r"][queue]), SIDS[sid]);
                let (subject, group) = (pattern.as_bytes(), queue.map(str::as_bytes));
                let new = NewSubscription { account, connection: 7, subject, queue: group, sid: sid.as_bytes() };
                let id = self.locals[shard].subscribe(new);
                self.subs.push(Sub { shard, account, pattern, queue, sid, id, limited: false });
            }
            Action::Unsubscribe { at } => {
                if !self.subs.is_empty() {
                    let gone = self.subs.swap_remove(at.index(self.subs.len()));
                    assert!(self.locals[gone.shard].unsubscribe(gone.account, gone.id).is_some());
                    assert!(self.locals[gone.shard].get(gone.id).is_none());
                }
            }
            Action::Limit { at } => {
                if !self.subs.is_empty() {
                    let at = at.index(self.subs.len());
                    let sub = &mut self.subs[at];
                    self.locals[sub.shard].set_max(sub.account, sub.id, 5);
                    sub.limited = true;
                }
            }
            Action::Publish { shard, account, subject } => self.check(shard, AccountId(account), SUBJECTS[subject]),
        }
    }

    fn check(&mut self, shard: usize, account: AccountId, subject: &str) {
        let sources = Sources { local: &self.locals[shard], directory: &self.directory, account, shard };
        let found = self.caches[shard].look_up(&sources, &self.hasher, subject.as_bytes());
        let plan = self.caches[shard].plan(found);
        let matching: Vec<&Sub> = self
            .subs
            .iter()
            .filter(|sub| sub.account == account && subject::matches(sub.pattern.as_bytes(), subject.as_bytes()))
            .collect();
        let own: Vec<&Sub> = matching.iter().copied().filter(|sub| sub.shard == shard && sub.queue.is_none()).collect();
        let ids = |ids: Vec<SubId>| {
            let mut ids: Vec<u32> = ids.into_iter().map(|id| id.0).collect();
            ids.sort_unstable();
            ids
        };
        let planned = ids(plan.plain.iter().map(|target| target.subscription).collect());
        assert_eq!(planned, ids(own.iter().map(|sub| sub.id).collect()), "own plain subscriptions of {subject}");

        let others = |sub: &&&Sub| sub.shard != shard && sub.queue.is_none();
        let mut shards: Vec<u16> = matching.iter().filter(others).map(|sub| sub.shard as u16).collect();
        shards.sort_unstable();
        shards.dedup();
        let mut planned = plan.shards.to_vec();
        planned.sort_unstable();
        assert_eq!(planned, shards, "other shards for {subject}");

        self.check_groups(plan, &matching, shard);
        self.check_frames(plan, &own, subject);
    }

    fn check_groups(&self, plan: &Plan, matching: &[&Sub], shard: usize) {
        // Members by group and shard.
        let mut groups: BTreeMap<&str, [u32; SHARDS]> = BTreeMap::new();
        for sub in matching {
            if let Some(queue) = sub.queue {
                groups.entry(queue).or_default()[sub.shard] += 1;
            }
        }
        let name = |group: &super::plan::PlanGroup| String::from_utf8(group.name.to_vec()).expect("text");
        let mut planned: Vec<String> = plan.groups.iter().map(name).collect();
        planned.sort();
        assert_eq!(planned, groups.keys().copied().collect::<Vec<_>>());
        for group in &plan.groups {
            let members = groups[&*name(group)];
            assert_eq!(group.local.len(), members[shard] as usize);
            for (number, members) in members.iter().enumerate() {
                let counted: u32 = group.counts.iter().map(|counts| counts.get(number)).sum();
                assert_eq!(counted, *members, "members of {} on shard {number}", name(group));
            }
        }
    }

    /// Equal sids are neighbours in what is kept, and what is said of frames is so.
    fn check_frames(&self, plan: &Plan, own: &[&Sub], subject: &str) {
        let sub = |id: SubId| own.iter().find(|sub| sub.id == id).expect("it is there");
        for (at, target) in plan.plain.iter().enumerate() {
            let before = at.checked_sub(1).map(|at| sub(plan.plain[at].subscription).sid);
            assert_eq!(target.same_sid, before == Some(sub(target.subscription).sid));
            if let Some(head) = plan.heads.get(at) {
                let expected = format!("MSG {subject} {} ", sub(target.subscription).sid);
                let mut written = b"before ".to_vec();
                head.append(&mut written, false);
                assert_eq!(String::from_utf8_lossy(&written), format!("before {expected}"));
                written.clear();
                head.append(&mut written, true);
                assert_eq!(String::from_utf8_lossy(&written), format!("H{expected}"));
                assert!(expected.len() <= HEAD_BYTES);
            }
        }
        if plan.alike {
            assert!(own.iter().all(|found| found.sid == own[0].sid && !found.limited));
        }
        if let Some(head) = &plan.run_head {
            assert!(plan.groups.is_empty() && plan.alike);
            assert!(plan.heads.first().is_none_or(|first| first.as_bytes() == head.as_bytes()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plans_say_what_a_list_says(seed in any::<u64>(), actions in prop::collection::vec(action(), 1..120)) {
        let mut world = World::new(seed);
        // Little room, so that plans give way.
        world.caches[0].keep_at_most(6);
        actions.iter().for_each(|action| world.act(action));
        for shard in 0..SHARDS {
            for account in 0..2 {
                // The first time makes a plan, the second keeps it, the third finds it.
                for _ in 0..3 {
                    SUBJECTS.iter().for_each(|subject| world.check(shard, AccountId(account), subject));
                }
            }
        }
        while let Some(gone) = world.subs.pop() {
            world.locals[gone.shard].unsubscribe(gone.account, gone.id);
        }
        prop_assert!(world.directory.is_forgotten(), "{:?}", world.directory);
        prop_assert!(world.locals.iter().all(LocalInterest::is_forgotten));
    }
}

#[test]
fn plans_of_many_targets_give_way() {
    let mut world = World::new(1);
    for sid in 0..100u32 {
        let (account, sid) = (AccountId(0), sid.to_string());
        let new = NewSubscription { account, connection: 1, subject: b">", queue: None, sid: sid.as_bytes() };
        world.locals[0].subscribe(new);
    }
    world.caches[0].keep_at_most(1000);
    for round in 0..3 {
        for number in 0..200 {
            let subject = format!("s.{number}");
            let sources =
                Sources { local: &world.locals[0], directory: &world.directory, account: AccountId(0), shard: 0 };
            for _ in 0..2 {
                let found = world.caches[0].look_up(&sources, &world.hasher, subject.as_bytes());
                assert_eq!(world.caches[0].plan(found).plain.len(), 100, "round {round}");
            }
            assert!(world.caches[0].kept_targets() <= 1000);
        }
    }
}
