//! A plan that fails, made smaller: fewer kinds of trouble, fewer calls, fewer clients.
//!
//! What is left out changes the schedule, so what failed may not any more by chance alone; each
//! smaller plan is tried with a few other schedules before it is given up.

use crate::plan::{FAULTS, Plan};

/// Runs, at most.
const RUNS_MAX: u32 = 600;
/// Schedules that are tried of each plan.
const SALTS: u64 = 6;

/// The smallest plan that was found which fails.
pub fn shrink(plan: &Plan, fails: impl Fn(&Plan) -> bool) -> Plan {
    let mut best = plan.clone();
    let mut runs = 0;
    while let Some(smaller) = candidates(&best).into_iter().find_map(|candidate| {
        (0..SALTS).map(|salt| Plan { salt, ..candidate.clone() }).find(|salted| {
            runs += 1;
            runs <= RUNS_MAX && fails(salted)
        })
    }) {
        best = smaller;
    }
    best
}

/// Plans that leave one thing out, the largest steps first.
fn candidates(plan: &Plan) -> Vec<Plan> {
    let mut plans = Vec::new();
    let numbers = [plan.calls / 2, plan.calls * 3 / 4, plan.calls - 1];
    plans.extend(numbers.map(|calls| Plan { calls, ..plan.clone() }));
    let numbers = [plan.clients / 2, plan.clients - 1];
    plans.extend(numbers.map(|clients| Plan { clients, ..plan.clone() }));
    let faults = FAULTS.iter().filter(|(fault, _)| plan.has(*fault));
    plans.extend(faults.map(|(fault, _)| plan.without(*fault)));
    if plan.shards > 2 {
        plans.push(Plan { shards: plan.shards - 1, ..plan.clone() });
    }
    if plan.replicas > 0 {
        plans.push(Plan { replicas: plan.replicas - 1, ..plan.clone() });
    }
    plans
        .retain(|smaller| smaller.calls > 0 && smaller.clients > 0 && smaller.size() < plan.size());
    plans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Fault;

    #[test]
    fn what_has_no_part_in_a_failure_is_left_out() {
        let seed = (0..).find(|seed| Plan::of(*seed).has(Fault::Moves)).expect("some have");
        let fails = |plan: &Plan| plan.has(Fault::Moves) && plan.clients >= 2 && plan.calls >= 5;
        let smallest = shrink(&Plan::of(seed), fails);
        assert_eq!((smallest.clients, smallest.calls, smallest.shards), (2, 5, 2));
        assert!(FAULTS.iter().all(|(fault, _)| smallest.has(*fault) == (*fault == Fault::Moves)));
    }
}
